/* The float32 kernels of every set against plain loops in double, over odd shapes, in memory of
 * exactly their size. Vectors of 16 floats are here compiled for any processor, so that the
 * source of AVX-512 is run everywhere. */
#include "allocate.h"
#include "check.h"
#include "kernels/kernels.h"

#define EB_F32_LANES 16
#include "kernels/f32.h"

static const eb_kernels wide = {.name = "vectors of 16", EB_F32_KERNELS};

static uint32_t random_state = 1;

static float random_float(void) {
    random_state = random_state * 1664525u + 1013904223u;
    return (float)(random_state >> 8) / (float)(1 << 23) - 1.0f;
}

static float *floats(size_t count) {
    float *x = allocate(count * sizeof *x);
    for (size_t i = 0; i < count; i++)
        x[i] = random_float();
    return x;
}

static void compare(const eb_kernels *k, const char *what, size_t n, size_t size, const float *x,
                    const double *expected, double tolerance) {
    double worst = 0;
    int wrong = 0;
    for (size_t i = 0; i < n * size; i++) {
        const double error = fabs((double)x[i] - expected[i]);
        wrong += !(error <= tolerance); /* a NaN is wrong too */
        worst = error > worst ? error : worst;
    }
    CHECK(wrong == 0, "%s %s [%zu, %zu]: %d wrong, by up to %g", k->name, what, n, size, wrong,
          worst);
}

static void test_linear(const eb_kernels *k, size_t n, size_t in, size_t out) {
    float *x = floats(n * in), *w = floats(in * EB_ROUND_UP(out)), *b = floats(out);
    float *y = floats(n * out);
    double *expected = calloc(n * out, sizeof *expected);
    if (!expected)
        abort();
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < out; j++) {
            expected[i * out + j] = (double)b[j];
            for (size_t c = 0; c < in; c++)
                expected[i * out + j] +=
                    (double)x[i * in + c] *
                    (double)w[(j / EB_BLOCK * in + c) * EB_BLOCK + j % EB_BLOCK];
        }
    k->linear_f32(x, n, in, w, b, out, y);
    compare(k, "linear", n, out, y, expected, 1e-6 * (double)in);
    free(x);
    free(w);
    free(b);
    free(y);
    free(expected);
}

static void test_layer_norm(const eb_kernels *k, size_t n, size_t h) {
    float *x = floats(n * h), *residual = floats(n * h), *weight = floats(h), *bias = floats(h);
    double *expected = calloc(n * h, sizeof *expected);
    if (!expected)
        abort();
    for (size_t i = 0; i < n; i++) {
        double *row = expected + i * h, mean = 0, variance = 0;
        for (size_t c = 0; c < h; c++) {
            row[c] = (double)x[i * h + c] + (double)residual[i * h + c];
            mean += row[c] / (double)h;
        }
        for (size_t c = 0; c < h; c++)
            variance += (row[c] - mean) * (row[c] - mean) / (double)h;
        for (size_t c = 0; c < h; c++)
            row[c] = (row[c] - mean) / sqrt(variance + 1e-5) * (double)weight[c] + (double)bias[c];
    }
    k->layer_norm_f32(x, residual, n, h, weight, bias, 1e-5f, x);
    compare(k, "LayerNorm", n, h, x, expected, 3e-6);
    free(x);
    free(residual);
    free(weight);
    free(bias);
    free(expected);
}

static void test_attention(const eb_kernels *k, size_t n, size_t h, size_t heads) {
    const size_t d = h / heads;
    float *qkv = floats(n * 3 * h), *context = floats(n * h);
    float *scratch = floats(EB_ATTENTION_SCRATCH(n, d));
    double *expected = calloc(n * h, sizeof *expected);
    if (!expected)
        abort();
    for (size_t i = 0; i < n * 3 * h; i++)
        qkv[i] *= 4.0f; /* scores far apart */
    for (size_t head = 0; head < heads; head++)
        for (size_t i = 0; i < n; i++) {
            double sum = 0, *out = expected + i * h + head * d;
            for (size_t j = 0; j < n; j++) {
                const float *q = qkv + i * 3 * h + head * d,
                            *key = qkv + (j * 3 + 1) * h + head * d;
                double score = 0;
                for (size_t c = 0; c < d; c++)
                    score += (double)q[c] * (double)key[c];
                score = exp(score / sqrt((double)d));
                sum += score;
                for (size_t c = 0; c < d; c++)
                    out[c] += score * (double)key[h + c];
            }
            for (size_t c = 0; c < d; c++)
                out[c] /= sum;
        }
    k->attention_f32(qkv, 3 * h, n, qkv + h, 3 * h, n, h, heads, scratch, context);
    compare(k, "attention", n, h, context, expected, 2e-5);
    memset(context, 0, n * h * sizeof *context);
    k->attention_f32(qkv, h, 1, qkv + h, 3 * h, n, h, heads, scratch, context);
    compare(k, "attention of one", 1, h, context, expected, 2e-5);
    free(qkv);
    free(context);
    free(scratch);
    free(expected);
}

static void test_functions(const eb_kernels *k) {
    enum { COUNT = 4001 };
    float gelu[COUNT], tangent[COUNT];
    double expected_gelu[COUNT], expected_tangent[COUNT];
    for (int i = 0; i < COUNT; i++) {
        const double x = (i - COUNT / 2) / 100.0;
        gelu[i] = tangent[i] = (float)x;
        expected_gelu[i] = x * 0.5 * erfc(-x / sqrt(2.0));
        expected_tangent[i] = tanh(x);
    }
    k->gelu_f32(gelu, COUNT);
    k->tanh_f32(tangent, COUNT);
    compare(k, "GELU", 1, COUNT, gelu, expected_gelu, 2e-6);
    compare(k, "tanh", 1, COUNT, tangent, expected_tangent, 1e-6);
}

/* A model may hold any floats: overflow ends in the limits, and NaN stays NaN. */
static void test_functions_at_infinity(const eb_kernels *k) {
    float gelu[] = {INFINITY, 1e30f, -1e30f, NAN}, tangent[] = {INFINITY, 1e30f, -INFINITY, NAN};
    k->gelu_f32(gelu, 4);
    k->tanh_f32(tangent, 4);
    CHECK(isinf(gelu[0]) && gelu[1] == 1e30f && gelu[2] == 0.0f && isnan(gelu[3]), "%s: GELU",
          k->name);
    CHECK(tangent[0] == 1.0f && tangent[1] == 1.0f && tangent[2] == -1.0f && isnan(tangent[3]),
          "%s: tanh", k->name);
}

static void test_normalise(const eb_kernels *k, size_t size) {
    float *x = floats(size), *zeros = floats(size);
    double *expected = allocate(size * sizeof *expected);
    double squares = 0;
    for (size_t i = 0; i < size; i++) {
        squares += (double)x[i] * x[i];
        zeros[i] = 0;
    }
    for (size_t i = 0; i < size; i++)
        expected[i] = x[i] / sqrt(squares);
    k->normalise_f32(x, size);
    compare(k, "a vector of length 1", 1, size, x, expected, 1e-6);
    k->normalise_f32(zeros, size);
    for (size_t i = 0; i < size; i++)
        expected[i] = 0;
    compare(k, "a vector of zeros", 1, size, zeros, expected, 0);
    free(x);
    free(zeros);
    free(expected);
}

static void test_all(const eb_kernels *k) {
    static const size_t sizes[] = {1, 2, 3, 4, 5, 7, 8, 15, 16, 17, 24, 33, 48, 64, 97};
    const size_t count = sizeof sizes / sizeof sizes[0];
    printf("kernels: %s\n", k->name);
    for (size_t i = 0; i < count; i++)
        test_normalise(k, sizes[i]);
    for (size_t i = 0; i < count; i++)
        for (size_t j = 0; j < count; j++) {
            test_linear(k, sizes[i] % 11 + 1, sizes[(i * 7 + j) % count], sizes[j]);
            test_layer_norm(k, sizes[i] % 5 + 1, sizes[j]);
            test_attention(k, sizes[i], sizes[j] * (i % 3 + 1), i % 3 + 1);
        }
    test_functions(k);
    test_functions_at_infinity(k);
}

int main(void) {
    for (size_t i = 0; i < eb_kernels_count(); i++)
        if (eb_kernels_get(i))
            test_all(eb_kernels_get(i));
    test_all(&wide);
    return summary();
}

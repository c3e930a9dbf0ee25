/* The float32 kernels of one instruction set. Each of scalar.c, avx2.c, ... includes this file
 * after switching its instruction set on and setting EB_F32_LANES, the floats in a vector. Vectors
 * are those that GCC and Clang know in C; other compilers get single floats. Sums are ordered
 * differently from set to set, so float results may differ in the last bits.
 *
 * Matrices are row-major; weights are [in, out]. Of libm only sqrtf. */
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define EB_F32_ROWS EB_ATTENTION_ROWS /* rows of x that share a load of weights */
#define EB_F32_VECS 3                 /* 4 x 3 vectors of sums fill 16 registers best */

#if defined(__GNUC__)
#define EB_ALWAYS_INLINE inline __attribute__((always_inline))
typedef float eb_vec
    __attribute__((vector_size(4 * EB_F32_LANES), aligned(4), may_alias)); /* of any floats */
#define EB_VEC_ZERO {0.0f}
#else
#define EB_ALWAYS_INLINE inline
#undef EB_F32_LANES
#define EB_F32_LANES 1
typedef float eb_vec;
#define EB_VEC_ZERO 0.0f
#endif
#define EB_VEC(p) (*(eb_vec *)(p))

/* e^x, relative error below 3e-7; x is clamped to where e^x is a normal float. */
static inline float eb_exp(float x) {
    const float log2e = 1.44269504f, ln2_high = 0.693359375f, ln2_low = -2.12194440e-4f;
    x = x < -87.0f ? -87.0f : x;
    x = x > 88.0f ? 88.0f : x;
    float shifted =
        x * log2e + 12582912.0f; /* 1.5 * 2^23: the sum's low bits are round(x log2 e) */
    float n = shifted - 12582912.0f;
    float r = x - n * ln2_high - n * ln2_low;
    float p = 1.0f / 720.0f; /* Taylor series: |r| <= ln(2)/2 leaves r^7/5040 < 1.2e-7 */
    p = p * r + 1.0f / 120.0f;
    p = p * r + 1.0f / 24.0f;
    p = p * r + 1.0f / 6.0f;
    p = p * r + 0.5f;
    p = p * r + 1.0f;
    p = p * r + 1.0f;
    uint32_t bits; /* those of 2^n; unsigned, so that even a NaN does nothing undefined */
    memcpy(&bits, &shifted, sizeof bits);
    bits = (bits + 127) << 23;
    float scale;
    memcpy(&scale, &bits, sizeof scale);
    return p * scale;
}

static inline float eb_tanh(float x) {
    return 1.0f - 2.0f / (eb_exp(2.0f * x) + 1.0f);
}

static inline float eb_sqrt(float x) {
    return sqrtf(x); /* an instruction, not a call, wherever the machine has one */
}

/* x * Phi(x). The complementary error function is Abramowitz & Stegun's 7.1.26, whose absolute
 * error is below 1.5e-7. */
static inline float eb_gelu(float x) {
    float z = (x < 0.0f ? -x : x) * 0.707106781f;
    float t = 1.0f / (1.0f + 0.3275911f * z);
    float p = 1.061405429f;
    p = p * t - 1.453152027f;
    p = p * t + 1.421413741f;
    p = p * t - 0.284496736f;
    p = p * t + 0.254829592f;
    float half_erfc = 0.5f * p * t * eb_exp(-z * z);
    return x * (x < 0.0f ? half_erfc : 1.0f - half_erfc);
}

/* y[rows, vecs * lanes] = x[rows, in] * w[in, vecs * lanes] + b, in matrices whose rows begin ldx,
 * ldw and ldy floats apart; b may be NULL. Called with constants for rows and vecs, so that the
 * sums stay in registers while `in` runs. */
static EB_ALWAYS_INLINE void eb_tile(const float *x, size_t ldx, size_t rows, size_t in,
                                     const float *w, size_t ldw, const float *b, size_t vecs,
                                     float *y, size_t ldy) {
    eb_vec sum[EB_F32_ROWS][EB_F32_VECS];
    for (size_t r = 0; r < rows; r++)
        for (size_t v = 0; v < vecs; v++)
            sum[r][v] = b ? EB_VEC(b + v * EB_F32_LANES) : (eb_vec)EB_VEC_ZERO;
    for (size_t k = 0; k < in; k++)
        for (size_t r = 0; r < rows; r++)
            for (size_t v = 0; v < vecs; v++)
                sum[r][v] += x[r * ldx + k] * EB_VEC(w + k * ldw + v * EB_F32_LANES);
    for (size_t r = 0; r < rows; r++)
        for (size_t v = 0; v < vecs; v++)
            EB_VEC(y + r * ldy + v * EB_F32_LANES) = sum[r][v];
}

/* The same for any number of rows. */
static EB_ALWAYS_INLINE void eb_tiles(const float *x, size_t ldx, size_t n, size_t in,
                                      const float *w, size_t ldw, const float *b, size_t vecs,
                                      float *y, size_t ldy) {
    size_t i = 0;
    for (; i + EB_F32_ROWS <= n; i += EB_F32_ROWS)
        eb_tile(x + i * ldx, ldx, EB_F32_ROWS, in, w, ldw, b, vecs, y + i * ldy, ldy);
    x += i * ldx;
    y += i * ldy;
    if (n - i == 3)
        eb_tile(x, ldx, 3, in, w, ldw, b, vecs, y, ldy);
    else if (n - i == 2)
        eb_tile(x, ldx, 2, in, w, ldw, b, vecs, y, ldy);
    else if (n - i == 1)
        eb_tile(x, ldx, 1, in, w, ldw, b, vecs, y, ldy);
}

/* y[n, out] = x[n, in] * w[in, out] + b, b may be NULL. */
static void eb_matmul(const float *x, size_t ldx, size_t n, size_t in, const float *w, size_t ldw,
                      const float *b, size_t out, float *y, size_t ldy) {
    const size_t block = EB_F32_VECS * EB_F32_LANES;
    size_t j = 0;
    for (; j + block <= out; j += block)
        eb_tiles(x, ldx, n, in, w + j, ldw, b ? b + j : NULL, EB_F32_VECS, y + j, ldy);
    for (; j + EB_F32_LANES <= out; j += EB_F32_LANES)
        eb_tiles(x, ldx, n, in, w + j, ldw, b ? b + j : NULL, 1, y + j, ldy);
    for (; j < out; j++)
        for (size_t i = 0; i < n; i++) {
            float sum = b ? b[j] : 0.0f;
            for (size_t k = 0; k < in; k++)
                sum += x[i * ldx + k] * w[k * ldw + j];
            y[i * ldy + j] = sum;
        }
}

static void eb_linear_f32(const float *x, size_t n, size_t in, const float *w, const float *b,
                          size_t out, float *y) {
    eb_matmul(x, in, n, in, w, out, b, out, y, out);
}

static void eb_gelu_f32(float *x, size_t count) {
    for (size_t i = 0; i < count; i++)
        x[i] = eb_gelu(x[i]);
}

static void eb_tanh_f32(float *x, size_t count) {
    for (size_t i = 0; i < count; i++)
        x[i] = eb_tanh(x[i]);
}

/* Sum of x[count], in as many partial sums as a vector has lanes. */
static inline float eb_sum(const float *x, size_t count) {
    float lanes[EB_F32_LANES], sum = 0.0f;
    eb_vec partial = EB_VEC_ZERO;
    size_t i = 0;
    for (; i + EB_F32_LANES <= count; i += EB_F32_LANES)
        partial += EB_VEC(x + i);
    EB_VEC(lanes) = partial;
    for (size_t lane = 0; lane < EB_F32_LANES; lane++)
        sum += lanes[lane];
    for (; i < count; i++)
        sum += x[i];
    return sum;
}

/* Sum of x[count] squared. */
static inline float eb_sum_of_squares(const float *x, size_t count) {
    float lanes[EB_F32_LANES], sum = 0.0f;
    eb_vec partial = EB_VEC_ZERO;
    size_t i = 0;
    for (; i + EB_F32_LANES <= count; i += EB_F32_LANES)
        partial += EB_VEC(x + i) * EB_VEC(x + i);
    EB_VEC(lanes) = partial;
    for (size_t lane = 0; lane < EB_F32_LANES; lane++)
        sum += lanes[lane];
    for (; i < count; i++)
        sum += x[i] * x[i];
    return sum;
}

/* out = LayerNorm(x + residual) over rows of size h; residual may be NULL, out may be x. */
static void eb_layer_norm_f32(const float *x, const float *residual, size_t n, size_t h,
                              const float *weight, const float *bias, float eps, float *out) {
    for (size_t i = 0; i < n; i++, x += h, out += h) {
        for (size_t c = 0; c < h; c++)
            out[c] = x[c] + (residual ? residual[i * h + c] : 0.0f);
        const float mean = eb_sum(out, h) / (float)h;
        for (size_t c = 0; c < h; c++)
            out[c] -= mean;
        const float scale = 1.0f / eb_sqrt(eb_sum_of_squares(out, h) / (float)h + eps);
        for (size_t c = 0; c < h; c++)
            out[c] = out[c] * scale * weight[c] + bias[c];
    }
}

/* x[count] = e^x; returns their sum. */
static inline float eb_softmax_numerators(float *x, size_t count) {
    float max = x[0];
    for (size_t j = 1; j < count; j++)
        max = x[j] > max ? x[j] : max;
    for (size_t j = 0; j < count; j++)
        x[j] = eb_exp(x[j] - max);
    return eb_sum(x, count);
}

/* context[n, h] = softmax(Q K^T / sqrt(h / heads)) V for each head; qkv is [n, 3 h]. A few queries
 * at a time, so that the scores stay small. */
static void eb_attention_f32(const float *qkv, size_t n, size_t h, size_t heads, float *scratch,
                             float *context) {
    const size_t d = h / heads, ldk = EB_ATTENTION_STRIDE(n);
    const float scale = 1.0f / eb_sqrt((float)d);
    float *keys = scratch, *scores = scratch + d * ldk;
    for (size_t head = 0; head < heads; head++) {
        const float *q = qkv + head * d, *k = q + h, *v = k + h;
        for (size_t c = 0; c < d; c++) /* K transposed: scores of neighbours lie side by side */
            for (size_t j = 0; j < ldk; j++)
                keys[c * ldk + j] = j < n ? k[j * 3 * h + c] * scale : 0.0f;
        for (size_t i = 0; i < n; i += EB_F32_ROWS) {
            const size_t rows = n - i < EB_F32_ROWS ? n - i : EB_F32_ROWS;
            float *out = context + i * h + head * d;
            float sums[EB_F32_ROWS];
            eb_matmul(q + i * 3 * h, 3 * h, rows, d, keys, ldk, NULL, ldk, scores, ldk);
            for (size_t r = 0; r < rows; r++)
                sums[r] = eb_softmax_numerators(scores + r * ldk, n);
            eb_matmul(scores, ldk, rows, n, v, 3 * h, NULL, d, out, h);
            for (size_t r = 0; r < rows; r++)
                for (size_t c = 0; c < d; c++)
                    out[r * h + c] /= sums[r];
        }
    }
}

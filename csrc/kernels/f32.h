/* The float32 kernels of one instruction set. Each of scalar.c, avx2.c, ... includes this file
 * after switching its instruction set on and setting EB_F32_LANES, the floats in a vector: plain C
 * that the compiler turns into that set's vectors. Sums are ordered differently from set to set, so
 * float results may differ in the last bits.
 *
 * Matrices are row-major; weights are [in, out]. Of libm only sqrtf. */
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define EB_F32_ROWS 4                  /* rows of x that share a load of weights */
#define EB_F32_COLS (3 * EB_F32_LANES) /* 4 x 3 vectors of sums fill 16 registers best */

#if defined(__GNUC__)
#define EB_ALWAYS_INLINE inline __attribute__((always_inline))
#else
#define EB_ALWAYS_INLINE inline
#endif

/* e^x, relative error below 2e-7; x is clamped to where e^x is a normal float. */
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

/* y[rows, cols] of x[rows, in] * w[in, out] + b. Called with constants for rows and cols, so that
 * the compiler keeps the sums in registers while `in` runs. */
static EB_ALWAYS_INLINE void eb_linear_tile(const float *x, size_t rows, size_t in, const float *w,
                                            const float *b, size_t cols, size_t out, float *y) {
    float sum[EB_F32_ROWS][EB_F32_COLS];
    for (size_t r = 0; r < rows; r++)
        for (size_t c = 0; c < cols; c++)
            sum[r][c] = b[c];
    for (size_t k = 0; k < in; k++)
        for (size_t r = 0; r < rows; r++)
            for (size_t c = 0; c < cols; c++)
                sum[r][c] += x[r * in + k] * w[k * out + c];
    for (size_t r = 0; r < rows; r++)
        for (size_t c = 0; c < cols; c++)
            y[r * out + c] = sum[r][c];
}

static EB_ALWAYS_INLINE void eb_linear_columns(const float *x, size_t n, size_t in, const float *w,
                                               const float *b, size_t cols, size_t out, float *y) {
    size_t i = 0;
    for (; i + EB_F32_ROWS <= n; i += EB_F32_ROWS)
        eb_linear_tile(x + i * in, EB_F32_ROWS, in, w, b, cols, out, y + i * out);
    for (; i < n; i++)
        eb_linear_tile(x + i * in, 1, in, w, b, cols, out, y + i * out);
}

static void eb_linear_f32(const float *x, size_t n, size_t in, const float *w, const float *b,
                          size_t out, float *y) {
    size_t j = 0;
    for (; j + EB_F32_COLS <= out; j += EB_F32_COLS)
        eb_linear_columns(x, n, in, w + j, b + j, EB_F32_COLS, out, y + j);
    for (; j + EB_F32_LANES <= out; j += EB_F32_LANES)
        eb_linear_columns(x, n, in, w + j, b + j, EB_F32_LANES, out, y + j);
    for (; j < out; j++)
        eb_linear_columns(x, n, in, w + j, b + j, 1, out, y + j);
}

static void eb_gelu_f32(float *x, size_t count) {
    for (size_t i = 0; i < count; i++)
        x[i] = eb_gelu(x[i]);
}

static void eb_tanh_f32(float *x, size_t count) {
    for (size_t i = 0; i < count; i++)
        x[i] = eb_tanh(x[i]);
}

/* out = LayerNorm(x + residual) over rows of size h; residual may be NULL, out may be x. */
static void eb_layer_norm_f32(const float *x, const float *residual, size_t n, size_t h,
                              const float *weight, const float *bias, float eps, float *out) {
    for (size_t i = 0; i < n; i++, x += h, out += h) {
        float mean = 0.0f, variance = 0.0f;
        for (size_t c = 0; c < h; c++) {
            out[c] = x[c] + (residual ? residual[i * h + c] : 0.0f);
            mean += out[c];
        }
        mean /= (float)h;
        for (size_t c = 0; c < h; c++)
            variance += (out[c] - mean) * (out[c] - mean);
        float scale = 1.0f / eb_sqrt(variance / (float)h + eps);
        for (size_t c = 0; c < h; c++)
            out[c] = (out[c] - mean) * scale * weight[c] + bias[c];
    }
}

/* context[n, h] = softmax(Q K^T / sqrt(h / heads)) V for each head; qkv is [n, 3 h].
 * keys: float[head_size * n], scores: float[n], both scratch. */
static void eb_attention_f32(const float *qkv, size_t n, size_t h, size_t heads, float *keys,
                             float *scores, float *context) {
    const size_t d = h / heads;
    const float scale = 1.0f / eb_sqrt((float)d);
    for (size_t head = 0; head < heads; head++) {
        const float *q = qkv + head * d, *k = q + h, *v = k + h;
        for (size_t j = 0; j < n; j++) /* K transposed: scores of neighbours lie side by side */
            for (size_t c = 0; c < d; c++)
                keys[c * n + j] = k[j * 3 * h + c] * scale;
        for (size_t i = 0; i < n; i++) {
            float *out = context + i * h + head * d;
            float max = -3.4e38f, sum = 0.0f;
            for (size_t j = 0; j < n; j++)
                scores[j] = 0.0f;
            for (size_t c = 0; c < d; c++)
                for (size_t j = 0; j < n; j++)
                    scores[j] += q[i * 3 * h + c] * keys[c * n + j];
            for (size_t j = 0; j < n; j++)
                max = scores[j] > max ? scores[j] : max;
            for (size_t j = 0; j < n; j++) {
                scores[j] = eb_exp(scores[j] - max);
                sum += scores[j];
            }
            for (size_t c = 0; c < d; c++)
                out[c] = 0.0f;
            for (size_t j = 0; j < n; j++)
                for (size_t c = 0; c < d; c++)
                    out[c] += scores[j] * v[j * 3 * h + c];
            for (size_t c = 0; c < d; c++)
                out[c] /= sum;
        }
    }
}

/* The float32 kernels of one instruction set. Each of scalar.c, avx2.c, ... includes this file
 * after switching its instruction set on and setting EB_F32_LANES, the floats in a vector. Vectors
 * are those that GCC and Clang know in C; other compilers get single floats. Sums are ordered
 * differently from set to set, so float results may differ in the last bits.
 *
 * Matrices are row-major; weights are [in, out]. Of libm only sqrtf. */
#include "target.h"

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if defined(__GNUC__)
typedef float eb_vec __attribute__((vector_size(4 * EB_F32_LANES)));
typedef eb_vec eb_any_vec __attribute__((aligned(4), may_alias)); /* of any floats */
typedef int32_t eb_mask __attribute__((vector_size(4 * EB_F32_LANES)));
#define EB_VEC_ZERO {0.0f}
#else
#undef EB_F32_LANES
#define EB_F32_LANES 1
typedef float eb_vec;
typedef float eb_any_vec;
#define EB_VEC_ZERO 0.0f
#endif
#define EB_VEC(p) (*(eb_any_vec *)(p))

/* At least 8 vectors of sums are under way at a time: as many as two units of a latency of 4 need.
 * Where there are registers for more, weights and inputs are loaded less often: AVX2 takes 6 rows
 * of 2 vectors, NEON 4 of 4, AVX-512 8 rows of two blocks, each of which is a vector there. */
#define EB_F32_VECS (EB_BLOCK / EB_F32_LANES)
#define EB_F32_ROWS                                                                                \
    (EB_F32_LANES < 4                ? 1                                                           \
     : EB_ARM64 && EB_F32_LANES == 4 ? 4                                                           \
     : EB_F32_LANES == 8             ? 6                                                           \
                                     : EB_F32_LANES / 2)
#define EB_F32_BLOCKS (EB_F32_LANES == EB_BLOCK ? 2 : 1)

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

/* y[rows, blocks * EB_BLOCK] = x[rows, in] * w[blocks, in, EB_BLOCK] + b, with rows of x and y that
 * begin ldx and ldy floats apart; b may be NULL. Called with constants for rows and blocks, so that
 * the sums stay in registers while `in` runs. */
static EB_ALWAYS_INLINE void eb_tile(const float *x, size_t ldx, size_t rows, size_t in,
                                     const float *w, size_t blocks, const float *b, float *y,
                                     size_t ldy) {
    eb_vec sum[EB_F32_ROWS][EB_F32_BLOCKS * EB_F32_VECS];
    const size_t vecs = blocks * EB_F32_VECS;
    for (size_t r = 0; r < rows; r++)
        for (size_t v = 0; v < vecs; v++)
            sum[r][v] = b ? (eb_vec)EB_VEC(b + v * EB_F32_LANES) : (eb_vec)EB_VEC_ZERO;
    for (size_t k = 0; k < in; k++, w += EB_BLOCK)
        for (size_t r = 0; r < rows; r++)
            for (size_t v = 0; v < vecs; v++)
                sum[r][v] += x[r * ldx + k] * EB_VEC(w + v / EB_F32_VECS * in * EB_BLOCK +
                                                     v % EB_F32_VECS * EB_F32_LANES);
    for (size_t r = 0; r < rows; r++)
        for (size_t v = 0; v < vecs; v++)
            EB_VEC(y + r * ldy + v * EB_F32_LANES) = sum[r][v];
}

/* The same for any number of rows; 8 are 4 and 4 rather than 6 and 2. */
static EB_ALWAYS_INLINE void eb_rows(const float *x, size_t ldx, size_t n, size_t in,
                                     const float *w, size_t blocks, const float *b, float *y,
                                     size_t ldy) {
    size_t i = 0;
    for (; n - i >= EB_F32_ROWS && !(EB_F32_ROWS == 6 && n - i == 8); i += EB_F32_ROWS)
        eb_tile(x + i * ldx, ldx, EB_F32_ROWS, in, w, blocks, b, y + i * ldy, ldy);
#if EB_F32_ROWS > 4
    for (; n - i >= 4; i += 4)
        eb_tile(x + i * ldx, ldx, 4, in, w, blocks, b, y + i * ldy, ldy);
#endif
#if EB_F32_ROWS > 2
    if (n - i >= 2) {
        eb_tile(x + i * ldx, ldx, 2, in, w, blocks, b, y + i * ldy, ldy);
        i += 2;
    }
#endif
    if (i < n)
        eb_tile(x + i * ldx, ldx, 1, in, w, blocks, b, y + i * ldy, ldy);
}

/* The same for any number of blocks. */
static void eb_blocks(const float *x, size_t ldx, size_t n, size_t in, const float *w,
                      size_t blocks, const float *b, float *y, size_t ldy) {
    size_t i = 0;
#if EB_F32_BLOCKS > 1
    for (; i + EB_F32_BLOCKS <= blocks; i += EB_F32_BLOCKS)
        eb_rows(x, ldx, n, in, w + i * in * EB_BLOCK, EB_F32_BLOCKS, b ? b + i * EB_BLOCK : NULL,
                y + i * EB_BLOCK, ldy);
#endif
    for (; i < blocks; i++)
        eb_rows(x, ldx, n, in, w + i * in * EB_BLOCK, 1, b ? b + i * EB_BLOCK : NULL,
                y + i * EB_BLOCK, ldy);
}

/* The columns behind the last whole block; a block's zeros or strangers go no further. */
static void eb_partial_block(const float *x, size_t ldx, size_t n, size_t in, const float *w,
                             const float *b, size_t cols, float *y, size_t ldy) {
    float bias[EB_BLOCK] = {0}, whole[EB_BLOCK];
    memcpy(bias, b, cols * sizeof *b);
    for (size_t i = 0; i < n; i++) {
        eb_tile(x + i * ldx, ldx, 1, in, w, 1, bias, whole, EB_BLOCK);
        memcpy(y + i * ldy, whole, cols * sizeof *y);
    }
}

static void eb_linear_f32(const float *x, size_t n, size_t in, const float *w, const float *b,
                          size_t out, float *y) {
    const size_t j = out / EB_BLOCK * EB_BLOCK;
    eb_blocks(x, in, n, in, w, out / EB_BLOCK, b, y, out);
    if (j < out)
        eb_partial_block(x, in, n, in, w + j * in, b + j, out - j, y + j, out);
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

static void eb_normalise_f32(float *x, size_t count) {
    const float length = eb_sqrt(eb_sum_of_squares(x, count));
    for (size_t i = 0; i < count && length > 0.0f; i++)
        x[i] /= length;
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

/* Largest of x[count]. Compilers make no vectors of such a loop by themselves. */
static inline float eb_max(const float *x, size_t count) {
    float max = x[0];
    size_t i = 0;
#if defined(__GNUC__)
    if (count >= EB_F32_LANES) {
        float lanes[EB_F32_LANES];
        eb_vec most = EB_VEC(x);
        for (i = EB_F32_LANES; i + EB_F32_LANES <= count; i += EB_F32_LANES) {
            const eb_vec next = EB_VEC(x + i);
            const eb_mask is_greater = (eb_mask)(next > most);
            most = (eb_vec)((is_greater & (eb_mask)next) | (~is_greater & (eb_mask)most));
        }
        EB_VEC(lanes) = most;
        for (size_t lane = 0; lane < EB_F32_LANES; lane++)
            max = lanes[lane] > max ? lanes[lane] : max;
    }
#endif
    for (; i < count; i++)
        max = x[i] > max ? x[i] : max;
    return max;
}

/* x[count] = e^x; returns their sum. */
static inline float eb_softmax_numerators(float *x, size_t count) {
    const float max = eb_max(x, count);
    for (size_t j = 0; j < count; j++)
        x[j] = eb_exp(x[j] - max);
    return eb_sum(x, count);
}

/* A head's keys or values, [n, d] with rows ld apart, as a matrix of weights: keys turned, so that
 * the scores of neighbours lie side by side. */
static void eb_pack_keys(const float *k, size_t ld, size_t n, size_t d, float scale,
                         float *packed) {
    for (size_t j = 0; j < EB_ROUND_UP(n); j++)
        for (size_t c = 0; c < d; c++)
            packed[(j / EB_BLOCK * d + c) * EB_BLOCK + j % EB_BLOCK] =
                j < n ? k[j * ld + c] * scale : 0.0f;
}

static void eb_pack_values(const float *v, size_t ld, size_t n, size_t d, float *packed) {
    for (size_t c = 0; c < d; c += EB_BLOCK) {
        const size_t cols = d - c < EB_BLOCK ? d - c : EB_BLOCK;
        for (size_t j = 0; j < n; j++, packed += EB_BLOCK) {
            memset(packed + cols, 0, (EB_BLOCK - cols) * sizeof *packed);
            memcpy(packed, v + j * ld + c, cols * sizeof *packed);
        }
    }
}

/* context[queries, h] = softmax(Q K^T / sqrt(h / heads)) V for each head; rows of q[queries, h] are
 * ldq apart, those of keys and values, k[n, 2 h], ldk. A few queries at a time, so that the scores
 * stay small. */
static void eb_attention_f32(const float *q, size_t ldq, size_t queries, const float *k, size_t ldk,
                             size_t n, size_t h, size_t heads, float *scratch, float *context) {
    const size_t d = h / heads, padded = EB_ROUND_UP(n), padded_d = EB_ROUND_UP(d);
    float *keys = scratch, *values = keys + d * padded, *scores = values + n * padded_d;
    float *out = scores + EB_F32_ROWS * padded;
    for (size_t head = 0; head < heads; head++, q += d, k += d, context += d) {
        eb_pack_keys(k, ldk, n, d, 1.0f / eb_sqrt((float)d), keys);
        eb_pack_values(k + h, ldk, n, d, values);
        for (size_t i = 0; i < queries; i += EB_F32_ROWS) {
            const size_t rows = queries - i < EB_F32_ROWS ? queries - i : EB_F32_ROWS;
            eb_blocks(q + i * ldq, ldq, rows, d, keys, padded / EB_BLOCK, NULL, scores, padded);
            float sums[EB_F32_ROWS];
            for (size_t r = 0; r < rows; r++)
                sums[r] = eb_softmax_numerators(scores + r * padded, n);
            eb_blocks(scores, padded, rows, n, values, padded_d / EB_BLOCK, NULL, out, padded_d);
            for (size_t r = 0; r < rows; r++)
                for (size_t c = 0; c < d; c++)
                    context[(i + r) * h + c] = out[r * padded_d + c] / sums[r];
        }
    }
}

/* Rows of a kernel table. */
#define EB_F32_KERNELS                                                                             \
    .linear_f32 = eb_linear_f32, .gelu_f32 = eb_gelu_f32, .tanh_f32 = eb_tanh_f32,                 \
    .normalise_f32 = eb_normalise_f32, .layer_norm_f32 = eb_layer_norm_f32,                        \
    .attention_f32 = eb_attention_f32

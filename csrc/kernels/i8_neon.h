/* The matrix product of i8.h with NEON, for a few rows of x at a time: each vector of weights, 4
 * inputs of 4 columns, is loaded once for all of them. GCC vectorises the other integer kernels
 * itself. Included behind f32.h and i8.h. */
#include <arm_neon.h>

#define EB_I8_VECS (EB_BLOCK / 4)
#define EB_NEON_ROWS 2

/* Four inputs of a row, for each of 4 columns. */
static inline int8x16_t eb_inputs_neon(const int8_t *x) {
    int32_t inputs;
    memcpy(&inputs, x, sizeof inputs);
    return vreinterpretq_s8_s32(vdupq_n_s32(inputs));
}

/* Sums of products of even and of odd pairs of inputs: two for each column. */
typedef struct eb_pairs_neon {
    int32x4_t low, high; /* of columns 0 and 1, of columns 2 and 3 */
} eb_pairs_neon;

/* Adds 4 inputs' products for 4 columns. An int16 holds each product but not the sum of two, if
 * both are (-128)^2: they are added as int32. */
static EB_ALWAYS_INLINE void eb_add_pairs_neon(eb_pairs_neon *sums, size_t rows,
                                               const int8x16_t *inputs, const int8_t *w) {
    const int8x16_t weights = vld1q_s8(w);
    for (size_t r = 0; r < rows; r++) {
        const int16x8_t low = vmull_s8(vget_low_s8(weights), vget_low_s8(inputs[r]));
        const int16x8_t high = vmull_high_s8(weights, inputs[r]);
        sums[r].low = vpadalq_s16(sums[r].low, low);
        sums[r].high = vpadalq_s16(sums[r].high, high);
    }
}

/* acc[rows, EB_BLOCK] = x[rows, in] w. Called with constants for rows, so that the sums stay in
 * registers; so they do with Clang only if the columns' loop is written out. */
static EB_ALWAYS_INLINE void eb_tile_neon(const int8_t *x, size_t ldx, size_t rows, size_t in,
                                          const int8_t *w, int32_t *acc, size_t ld) {
    eb_pairs_neon sums[EB_I8_VECS][EB_NEON_ROWS];
    int8x16_t inputs[EB_NEON_ROWS];
    for (size_t v = 0; v < EB_I8_VECS; v++)
        for (size_t r = 0; r < rows; r++)
            sums[v][r].low = sums[v][r].high = vdupq_n_s32(0);
    for (size_t k = 0; k < in; k += 4, w += 4 * EB_BLOCK) {
        for (size_t r = 0; r < rows; r++)
            inputs[r] = eb_inputs_neon(x + r * ldx + k);
        eb_add_pairs_neon(sums[0], rows, inputs, w);
        eb_add_pairs_neon(sums[1], rows, inputs, w + 16);
        eb_add_pairs_neon(sums[2], rows, inputs, w + 32);
        eb_add_pairs_neon(sums[3], rows, inputs, w + 48);
    }
    for (size_t r = 0; r < rows; r++)
        for (size_t v = 0; v < EB_I8_VECS; v++)
            vst1q_s32(acc + r * ld + 4 * v, vpaddq_s32(sums[v][r].low, sums[v][r].high));
}

static void eb_gemm_i8_neon(const int8_t *x, size_t ldx, size_t n, size_t in, const int8_t *w,
                            size_t blocks, int32_t *acc, size_t ld) {
    for (size_t b = 0; b < blocks; b++, w += in * EB_BLOCK, acc += EB_BLOCK) {
        size_t i = 0;
        for (; i + EB_NEON_ROWS <= n; i += EB_NEON_ROWS)
            eb_tile_neon(x + i * ldx, ldx, EB_NEON_ROWS, in, w, acc + i * ld, ld);
        if (i < n)
            eb_tile_neon(x + i * ldx, ldx, 1, in, w, acc + i * ld, ld);
    }
}

#if EB_ARM64_DOTPROD
#if !defined(__ARM_FEATURE_DOTPROD)
EB_ARM64_TARGET_BEGIN("+dotprod")
#endif
#define EB_NEONDOT_ROWS 4

/* Adds the products of the inputs in one lane of each row and 4 inputs' weights. */
#define EB_ADD_LANE(sum, rows, inputs, lane, w)                                                    \
    for (size_t v = 0; v < EB_I8_VECS; v++) {                                                      \
        const int8x16_t weights = vld1q_s8((w) + 16 * v);                                          \
        for (size_t r = 0; r < (rows); r++)                                                        \
            (sum)[r][v] = vdotq_laneq_s32((sum)[r][v], weights, (inputs)[r], lane);                \
    }

/* eb_tile_neon with the instruction that sums four products. */
static EB_ALWAYS_INLINE void eb_tile_neondot(const int8_t *x, size_t ldx, size_t rows, size_t in,
                                             const int8_t *w, int32_t *acc, size_t ld) {
    int32x4_t sum[EB_NEONDOT_ROWS][EB_I8_VECS];
    int8x16_t inputs[EB_NEONDOT_ROWS];
    size_t k = 0;
    for (size_t r = 0; r < rows; r++)
        for (size_t v = 0; v < EB_I8_VECS; v++)
            sum[r][v] = vdupq_n_s32(0);
    for (; k + 16 <= in; k += 16, w += 16 * EB_BLOCK) {
        for (size_t r = 0; r < rows; r++)
            inputs[r] = vld1q_s8(x + r * ldx + k);
        EB_ADD_LANE(sum, rows, inputs, 0, w)
        EB_ADD_LANE(sum, rows, inputs, 1, w + 4 * EB_BLOCK)
        EB_ADD_LANE(sum, rows, inputs, 2, w + 8 * EB_BLOCK)
        EB_ADD_LANE(sum, rows, inputs, 3, w + 12 * EB_BLOCK)
    }
    for (; k < in; k += 4, w += 4 * EB_BLOCK) {
        for (size_t r = 0; r < rows; r++)
            inputs[r] = eb_inputs_neon(x + r * ldx + k);
        EB_ADD_LANE(sum, rows, inputs, 0, w)
    }
    for (size_t r = 0; r < rows; r++)
        for (size_t v = 0; v < EB_I8_VECS; v++)
            vst1q_s32(acc + r * ld + 4 * v, sum[r][v]);
}

static void eb_gemm_i8_neondot(const int8_t *x, size_t ldx, size_t n, size_t in, const int8_t *w,
                               size_t blocks, int32_t *acc, size_t ld) {
    for (size_t b = 0; b < blocks; b++, w += in * EB_BLOCK, acc += EB_BLOCK) {
        size_t i = 0;
        for (; i + EB_NEONDOT_ROWS <= n; i += EB_NEONDOT_ROWS)
            eb_tile_neondot(x + i * ldx, ldx, EB_NEONDOT_ROWS, in, w, acc + i * ld, ld);
        if (n - i >= 2) {
            eb_tile_neondot(x + i * ldx, ldx, 2, in, w, acc + i * ld, ld);
            i += 2;
        }
        if (i < n)
            eb_tile_neondot(x + i * ldx, ldx, 1, in, w, acc + i * ld, ld);
    }
}
#if !defined(__ARM_FEATURE_DOTPROD)
EB_TARGET_END
#endif
#endif

#if EB_ARM64_I8MM
#if !defined(__ARM_FEATURE_MATMUL_INT8)
EB_ARM64_TARGET_BEGIN("+dotprod+i8mm")
#endif
#define EB_I8MM_PAIRS 3 /* of rows */

/* The inputs k to k + 7 of two rows; those behind the end are zeros. */
static EB_ALWAYS_INLINE int8x16_t eb_pair_i8mm(const int8_t *x, size_t ldx, size_t count) {
    int8_t inputs[16] = {0};
    memcpy(inputs, x, count);
    memcpy(inputs + 8, x + ldx, count);
    return vld1q_s8(inputs);
}

/* Adds 4 columns' products for the rows' 8 inputs, of which first and second are 4 each. */
static EB_ALWAYS_INLINE void eb_add_i8mm(int32x4_t (*sum)[2 * EB_I8_VECS], size_t pairs,
                                         const int8x16_t *inputs, size_t v, int32x4_t first,
                                         int32x4_t second) {
    const int8x16_t low = vreinterpretq_s8_s32(vzip1q_s32(first, second));
    const int8x16_t high = vreinterpretq_s8_s32(vzip2q_s32(first, second));
    for (size_t p = 0; p < pairs; p++) {
        sum[p][2 * v] = vmmlaq_s32(sum[p][2 * v], inputs[p], low);
        sum[p][2 * v + 1] = vmmlaq_s32(sum[p][2 * v + 1], inputs[p], high);
    }
}

/* acc[2 * pairs, EB_BLOCK] = x[2 * pairs, in] w, with the instruction that multiplies 2 rows and 2
 * columns of 8. A vector of sums is two columns of a row, then those of the next row. */
static EB_ALWAYS_INLINE void eb_tile_i8mm(const int8_t *x, size_t ldx, size_t pairs, size_t in,
                                          const int8_t *w, int32_t *acc, size_t ld) {
    int32x4_t sum[EB_I8MM_PAIRS][2 * EB_I8_VECS];
    int8x16_t inputs[EB_I8MM_PAIRS];
    size_t k = 0;
    for (size_t p = 0; p < pairs; p++)
        for (size_t v = 0; v < 2 * EB_I8_VECS; v++)
            sum[p][v] = vdupq_n_s32(0);
    for (; k + 8 <= in; k += 8, w += 8 * EB_BLOCK) {
        for (size_t p = 0; p < pairs; p++)
            inputs[p] = eb_pair_i8mm(x + 2 * p * ldx + k, ldx, 8);
        for (size_t v = 0; v < EB_I8_VECS; v++)
            eb_add_i8mm(sum, pairs, inputs, v, vreinterpretq_s32_s8(vld1q_s8(w + 16 * v)),
                        vreinterpretq_s32_s8(vld1q_s8(w + 4 * EB_BLOCK + 16 * v)));
    }
    if (k < in) {
        for (size_t p = 0; p < pairs; p++)
            inputs[p] = eb_pair_i8mm(x + 2 * p * ldx + k, ldx, 4);
        for (size_t v = 0; v < EB_I8_VECS; v++)
            eb_add_i8mm(sum, pairs, inputs, v, vreinterpretq_s32_s8(vld1q_s8(w + 16 * v)),
                        vdupq_n_s32(0));
    }
    for (size_t p = 0; p < pairs; p++)
        for (size_t v = 0; v < EB_I8_VECS; v++) {
            const int64x2_t left = vreinterpretq_s64_s32(sum[p][2 * v]);
            const int64x2_t right = vreinterpretq_s64_s32(sum[p][2 * v + 1]);
            int32_t *out = acc + 2 * p * ld + 4 * v;
            vst1q_s32(out, vreinterpretq_s32_s64(vzip1q_s64(left, right)));
            vst1q_s32(out + ld, vreinterpretq_s32_s64(vzip2q_s64(left, right)));
        }
}

/* A row without a pair is left to dot products, which need no zeros beside it. */
static void eb_gemm_i8_i8mm(const int8_t *x, size_t ldx, size_t n, size_t in, const int8_t *w,
                            size_t blocks, int32_t *acc, size_t ld) {
    for (size_t rows; n > 1; n -= rows, x += rows * ldx, acc += rows * ld) {
        rows = n >= 6 && n != 8 ? 6 : n >= 4 ? 4 : 2;
        for (size_t b = 0; b < blocks; b++) {
            const int8_t *block = w + b * in * EB_BLOCK;
            int32_t *out = acc + b * EB_BLOCK;
            if (rows == 6)
                eb_tile_i8mm(x, ldx, 3, in, block, out, ld);
            else if (rows == 4)
                eb_tile_i8mm(x, ldx, 2, in, block, out, ld);
            else
                eb_tile_i8mm(x, ldx, 1, in, block, out, ld);
        }
    }
    if (n > 0)
        eb_gemm_i8_neondot(x, ldx, 1, in, w, blocks, acc, ld);
}
#if !defined(__ARM_FEATURE_MATMUL_INT8)
EB_TARGET_END
#endif
#endif

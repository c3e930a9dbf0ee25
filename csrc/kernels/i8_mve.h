/* Integer kernels for Helium, the vectors of Cortex-M55 and M85. */
#ifndef EB_I8_MVE_H
#define EB_I8_MVE_H

#include "i8.h"
#include "i8_small.h"

#include <arm_mve.h>

/* A block's columns of four rows. 16 inputs of a column are in four words, four inputs of a whole
 * block apart; words begin at a multiple of 4. */
static EB_NEVER_INLINE void eb_block_mve(const int8_t *const *x, size_t in, const int8_t *w,
                                         int32_t *const *out) {
    const uint32x4_t offsets = vshlq_n_u32(vidupq_n_u32(0, 1), 6);
    const mve_pred16_t rest = vctp8q((uint32_t)in % 16);
    for (size_t c = 0; c < EB_BLOCK; c++) {
        const int8_t *x0 = x[0], *x1 = x[1], *x2 = x[2], *x3 = x[3];
        const int32_t *words = (const int32_t *)(const void *)w + c;
        int32_t s0 = 0, s1 = 0, s2 = 0, s3 = 0;
        for (size_t k = in / 16; k > 0; k--, words += 4 * EB_BLOCK) {
            const int8x16_t column = vreinterpretq_s8_s32(vldrwq_gather_offset_s32(words, offsets));
            s0 = vmladavaq_s8(s0, vldrbq_s8(x0), column);
            s1 = vmladavaq_s8(s1, vldrbq_s8(x1), column);
            s2 = vmladavaq_s8(s2, vldrbq_s8(x2), column);
            s3 = vmladavaq_s8(s3, vldrbq_s8(x3), column);
            x0 += 16;
            x1 += 16;
            x2 += 16;
            x3 += 16;
        }
        if (rest) {
            const int8x16_t column =
                vreinterpretq_s8_s32(vldrwq_gather_offset_z_s32(words, offsets, rest));
            s0 = vmladavaq_s8(s0, vldrbq_z_s8(x0, rest), column);
            s1 = vmladavaq_s8(s1, vldrbq_z_s8(x1, rest), column);
            s2 = vmladavaq_s8(s2, vldrbq_z_s8(x2, rest), column);
            s3 = vmladavaq_s8(s3, vldrbq_z_s8(x3, rest), column);
        }
        out[0][c] = s0;
        out[1][c] = s1;
        out[2][c] = s2;
        out[3][c] = s3;
    }
}

/* Four rows at a time: the last stands for those that are not there. */
static void eb_gemm_i8_mve(const int8_t *x, size_t ldx, size_t n, size_t in, const int8_t *w,
                           size_t blocks, int32_t *acc, size_t ld) {
    for (size_t i = 0; i < n; i += 4)
        for (size_t b = 0; b < blocks; b++) {
            const int8_t *rows[4];
            int32_t *out[4];
            for (size_t r = 0; r < 4; r++) {
                const size_t row = i + r < n ? i + r : n - 1;
                rows[r] = x + row * ldx;
                out[r] = acc + row * ld + b * EB_BLOCK;
            }
            eb_block_mve(rows, in, w + b * EB_BLOCK * in, out);
        }
}

/* Eight int32, of which one vector has the even and one the odd, shifted and limited to int16. */
static EB_ALWAYS_INLINE int16x8_t eb_to_i16_mve(int32x4_t even, int32x4_t odd, int shift) {
    even = vshlq_r_s32(even, -shift);
    odd = vshlq_r_s32(odd, -shift);
    return vqmovntq_s32(vqmovnbq_s32(vdupq_n_s16(0), even), odd);
}

/* Eight of eb_rescale. */
static EB_ALWAYS_INLINE int16x8_t eb_rescale_mve(const int32_t *acc, const int32_t *bias,
                                                 const int16_t *multipliers, int shift) {
    const int32x4x2_t sums = vld2q_s32(acc), add = vld2q_s32(bias);
    const int16x8_t words = eb_to_i16_mve(vaddq_s32(sums.val[0], add.val[0]),
                                          vaddq_s32(sums.val[1], add.val[1]), shift);
    return vqrdmulhq_s16(words, vldrhq_s16(multipliers));
}

/* out[8] = x in int8 */
static EB_ALWAYS_INLINE void eb_narrow_mve(int16x8_t x, int bits, int16x8_t least, int8_t *out) {
    x = vrshlq_n_s16(x, -bits);
    vstrbq_s16(out, vmaxq_s16(vminq_s16(x, vdupq_n_s16(127)), least));
}

static void eb_requantise_i8_mve(const int32_t *acc, const eb_rescaling *r, int bits, size_t count,
                                 int32_t least, int8_t *out) {
    const eb_rescaling copy = *r;
    const int16x8_t limit = vdupq_n_s16((int16_t)least);
    size_t c = 0;
    for (; c + 8 <= count; c += 8)
        eb_narrow_mve(eb_rescale_mve(acc + c, copy.bias + c, copy.multipliers + c, copy.shift),
                      bits, limit, out + c);
    for (; c < count; c++)
        out[c] = eb_narrow(eb_rescale(acc[c], r, c), bits, least);
}

static void eb_requantise_add_mve(const int32_t *acc, const eb_rescaling *r, const int8_t *x,
                                  int32_t factor, size_t count, int16_t *y) {
    const eb_rescaling copy = *r;
    size_t c = 0;
    for (; c + 8 <= count; c += 8) {
        const int16x8_t old = vmulq_n_s16(vldrbq_s16(x + c), (int16_t)factor);
        const int16x8_t sum =
            eb_rescale_mve(acc + c, copy.bias + c, copy.multipliers + c, copy.shift);
        vstrhq_s16(y + c, vqaddq_s16(old, sum));
    }
    for (; c < count; c++)
        y[c] = (int16_t)eb_clip_i16(x[c] * factor + eb_rescale(acc[c], r, c));
}

static void eb_scale_i8_mve(const int32_t *acc, int32_t multiplier, int shift, int bits,
                            size_t count, int8_t *out) {
    const int16x8_t limit = vdupq_n_s16(-127);
    size_t c = 0;
    for (; c + 8 <= count; c += 8) {
        const int32x4x2_t sums = vld2q_s32(acc + c);
        const int16x8_t words = eb_to_i16_mve(sums.val[0], sums.val[1], shift);
        eb_narrow_mve(vqrdmulhq_n_s16(words, (int16_t)multiplier), bits, limit, out + c);
    }
    eb_scale_i8(acc + c, multiplier, shift, bits, count - c, out + c);
}

/* For rows of whole vectors that are short enough to be summed in int32, and whose differences fit
 * int16 at every step; all others are for plain C. */
static void eb_layer_norm_i8_mve(const int16_t *y, size_t h, const int16_t *weight,
                                 const int16_t *bias, const eb_norm_scales *scales, int8_t *out) {
    const int bits = scales->bits;
    const int16x8_t limit = vdupq_n_s16(-127);
    int16_t most = y[0], least = y[0];
    int32_t sum = 0, squares = 0;
    if (h % 8 || h > 1024) {
        eb_layer_norm_i8(y, h, weight, bias, scales, out);
        return;
    }
    for (size_t c = 0; c < h; c += 8) {
        const int16x8_t numbers = vldrhq_s16(y + c);
        sum = vaddvaq_s16(sum, numbers);
        most = vmaxvq_s16(most, numbers);
        least = vminvq_s16(least, numbers);
    }
    const int32_t mean = eb_mean(sum, h);
    const int32_t above = eb_clip_i16(most - mean), below = -eb_clip_i16(least - mean);
    eb_norm_row row =
        eb_norm_start(mean, (uint32_t)(above > below ? above : below), (uint32_t)scales->epsilon);
    const int16x8_t middle = vdupq_n_s16((int16_t)mean);
    for (size_t c = 0; c < h; c += 8) {
        const int16x8_t d = vrshlq_n_s16(vqsubq_s16(vldrhq_s16(y + c), middle), -row.shift);
        squares = vmladavaq_s16(squares, d, d);
    }
    eb_norm_finish(&row, (uint32_t)squares, h, eb_integer_sqrt);
    if (row.length < 10) {
        eb_layer_norm_i8(y, h, weight, bias, scales, out);
        return;
    }
    for (size_t c = 0; c < h; c += 8) {
        int16x8_t x = vrshlq_n_s16(vqsubq_s16(vldrhq_s16(y + c), middle), -row.shift);
        x = vqrdmulhq_n_s16(vshlq_r_s16(x, 14 - row.length), (int16_t)row.reciprocal);
        x = vqaddq_s16(vqrdmulhq_s16(x, vldrhq_s16(weight + c)), vldrhq_s16(bias + c));
        eb_narrow_mve(x, bits, limit, out + c);
    }
}

static void eb_lookup_i8_mve(const int8_t *table, size_t count, int8_t *x) {
    size_t c = 0;
    for (; c + 16 <= count; c += 16) {
        const uint8x16_t index = veorq_u8(vreinterpretq_u8_s8(vldrbq_s8(x + c)), vdupq_n_u8(128));
        vstrbq_s8(x + c, vldrbq_gather_offset_s8(table, index));
    }
    eb_lookup_i8(table, count - c, x + c);
}

/* Eight of eb_exp2_i8. */
static EB_ALWAYS_INLINE int16x8_t eb_exp2_mve(int16x8_t x) {
    const int16x8_t n = vshrq_n_s16(x, 11);
    const int16x8_t f = vshlq_n_s16(vandq_s16(x, vdupq_n_s16(2047)), 4);
    const int16x8_t slope = vsubq_s16(vdupq_n_s16(21975), vqrdmulhq_n_s16(f, 5591));
    const int16x8_t p = vsubq_s16(vdupq_n_s16(32767), vqrdmulhq_s16(f, slope));
    const int16x8_t power = vshlq_s16(vdupq_n_s16(128), vnegq_s16(n));
    return vqrdmulhq_s16(vqrdmulhq_n_s16(p, 127 << 8), power);
}

static int32_t eb_softmax_i8_mve(const int32_t *scores, size_t count, size_t padded,
                                 int32_t multiplier, int shift, int8_t *out) {
    const int32x4_t far = vdupq_n_s32(1 << 24);
    int32_t max = scores[0], sum = 0;
    for (size_t j = 0; j < count; j += 4)
        max = vmaxvq_p_s32(max, vldrwq_s32(scores + j), vctp32q((uint32_t)(count - j)));
    const int32x4_t most = vdupq_n_s32(max);
    for (size_t j = 0; j < padded; j += 8) { /* whose blocks may be read to their end */
        const mve_pred16_t p = vctp16q((uint32_t)(count > j ? count - j : 0));
        const int32x4x2_t s = vld2q_s32(scores + j);
        const int32x4_t even = vshlq_n_s32(vminq_s32(vsubq_s32(most, s.val[0]), far), 6);
        const int32x4_t odd = vshlq_n_s32(vminq_s32(vsubq_s32(most, s.val[1]), far), 6);
        const int16x8_t x = vqrdmulhq_n_s16(eb_to_i16_mve(even, odd, shift), (int16_t)multiplier);
        const int16x8_t e = vpselq_s16(eb_exp2_mve(x), vdupq_n_s16(0), p);
        vstrbq_s16(out + j, e);
        sum = vaddvaq_s16(sum, e);
    }
    return sum;
}

#define EB_I8_KERNELS_MVE                                                                          \
    .gemm_i8 = eb_gemm_i8_mve, .requantise_i8 = eb_requantise_i8_mve,                              \
    .requantise_add = eb_requantise_add_mve, .scale_i8 = eb_scale_i8_mve,                          \
    .layer_norm_i8 = eb_layer_norm_i8_mve, .softmax_i8 = eb_softmax_i8_mve,                        \
    .unpack_i4 = eb_unpack_i4, .hash_mean_i16 = eb_hash_mean_i16_small,                            \
    .add_embeddings = eb_add_embeddings, .lookup_i8 = eb_lookup_i8_mve

#endif

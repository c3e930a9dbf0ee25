/* Integer kernels with the DSP instructions of Cortex-M4, M7 and M33, which older 32-bit Arm
 * processors have too: two products of int16 at a time. */
#ifndef EB_I8_DSP_H
#define EB_I8_DSP_H

#include "i8.h"
#include "i8_small.h"

#include <arm_acle.h>

#define EB_DSP_ROWS 4     /* rows of a tile */
#define EB_DSP_INPUTS 128 /* inputs that are widened at a time, to 1 KB on the stack */

static EB_ALWAYS_INLINE int32_t eb_word_dsp(const void *p) {
    int32_t word;
    memcpy(&word, p, sizeof word);
    return word;
}

/* wide[in / 4][2][EB_DSP_ROWS]: for each four inputs of the rows their even ones, then the odd. The
 * last row stands for those that are not there. */
static inline void eb_widen_dsp(const int8_t *x, size_t ldx, size_t rows, size_t in,
                                int16x2_t *wide) {
    for (size_t r = 0; r < EB_DSP_ROWS; r++, x += r < rows ? ldx : 0) {
        int16x2_t *to = wide + r;
        for (size_t k = 0; k < in; k += 4, to += 2 * EB_DSP_ROWS) {
            const int8x4_t quad = eb_word_dsp(x + k);
            to[0] = __sxtb16(quad);
            to[EB_DSP_ROWS] = __sxtb16((int8x4_t)((uint32_t)quad >> 8 | (uint32_t)quad << 24));
        }
    }
}

/* Four inputs of four rows, times a column's weights: 13 instructions for 16 products. */
#define EB_STEP_DSP                                                                                \
    "ldr %[quad], [%[w]], #64\n\t"                                                                 \
    "ldmia %[x]!, {r4, r5, r6, r8}\n\t"                                                            \
    "sxtb16 %[pair], %[quad]\n\t"                                                                  \
    "smlad %[s0], r4, %[pair], %[s0]\n\t"                                                          \
    "smlad %[s1], r5, %[pair], %[s1]\n\t"                                                          \
    "smlad %[s2], r6, %[pair], %[s2]\n\t"                                                          \
    "smlad %[s3], r8, %[pair], %[s3]\n\t"                                                          \
    "ldmia %[x]!, {r4, r5, r6, r8}\n\t"                                                            \
    "sxtb16 %[pair], %[quad], ror #8\n\t"                                                          \
    "smlad %[s0], r4, %[pair], %[s0]\n\t"                                                          \
    "smlad %[s1], r5, %[pair], %[s1]\n\t"                                                          \
    "smlad %[s2], r6, %[pair], %[s2]\n\t"                                                          \
    "smlad %[s3], r8, %[pair], %[s3]\n\t"

/* Sums of a block's columns, or what is to be added to them; out[EB_DSP_ROWS] are where the rows'
 * are. By hand: compilers neither load four numbers by one instruction nor turn and widen by one.
 */
static inline void eb_block_dsp(const int16x2_t *wide, size_t in, const int8_t *w, int is_first,
                                int32_t *const *out) {
    for (size_t c = 0; c < EB_BLOCK; c++) {
        const int16x2_t *x = wide;
        const int8_t *column = w + 4 * c;
        int32_t s0 = 0, s1 = 0, s2 = 0, s3 = 0, quad, pair, steps = (int32_t)(in / 4);
        __asm__("subs %[steps], %[steps], #4\n\t"
                "bmi 2f\n"
                "1:\n\t" EB_STEP_DSP EB_STEP_DSP EB_STEP_DSP EB_STEP_DSP
                "subs %[steps], %[steps], #4\n\t"
                "bpl 1b\n"
                "2:\n\t"
                "adds %[steps], %[steps], #4\n\t"
                "beq 4f\n"
                "3:\n\t" EB_STEP_DSP "subs %[steps], %[steps], #1\n\t"
                "bne 3b\n"
                "4:"
                : [s0] "+r"(s0), [s1] "+r"(s1), [s2] "+r"(s2), [s3] "+r"(s3), [x] "+r"(x),
                  [w] "+r"(column), [steps] "+r"(steps), [quad] "=&r"(quad), [pair] "=&r"(pair)
                :
                : "r4", "r5", "r6", "r8", "cc", "memory");
        if (!is_first) {
            s0 += out[0][c];
            s1 += out[1][c];
            s2 += out[2][c];
            s3 += out[3][c];
        }
        out[0][c] = s0;
        out[1][c] = s1;
        out[2][c] = s2;
        out[3][c] = s3;
    }
}

static inline void eb_gemm_i8_dsp(const int8_t *x, size_t ldx, size_t n, size_t in, const int8_t *w,
                                  size_t blocks, int32_t *acc, size_t ld) {
    int16x2_t wide[EB_DSP_INPUTS / 4 * 2 * EB_DSP_ROWS];
    for (size_t rows; n > 0; n -= rows, x += rows * ldx, acc += rows * ld) {
        rows = n < EB_DSP_ROWS ? n : EB_DSP_ROWS;
        for (size_t k = 0; k < in; k += EB_DSP_INPUTS) {
            const size_t part = in - k < EB_DSP_INPUTS ? in - k : EB_DSP_INPUTS;
            eb_widen_dsp(x + k, ldx, rows, part, wide);
            for (size_t b = 0; b < blocks; b++) {
                int32_t *out[EB_DSP_ROWS];
                for (size_t r = 0; r < EB_DSP_ROWS; r++)
                    out[r] = acc + (r < rows ? r : rows - 1) * ld + b * EB_BLOCK;
                eb_block_dsp(wide, part, w + (b * in + k) * EB_BLOCK, k == 0, out);
            }
        }
    }
}

/* GCC that does not optimise leaves too few registers for it where floats have their own; nor does
 * it compile inline functions that nobody calls. */
#ifdef __OPTIMIZE__
#define EB_GEMM_DSP eb_gemm_i8_dsp
#else
#define EB_GEMM_DSP eb_gemm_i8_small
#endif

/* SSAT, which compilers do not find; their macros for it do not compile without warnings. */
static EB_ALWAYS_INLINE int32_t eb_limit_i8_dsp(int32_t x) {
    return (int32_t)__builtin_arm_ssat(x, 8);
}

static EB_ALWAYS_INLINE int32_t eb_limit_i16_dsp(int32_t x) {
    return (int32_t)__builtin_arm_ssat(x, 16);
}

/* Two int16, by one instruction that compilers do not find either. */
static EB_ALWAYS_INLINE int16x2_t eb_join_dsp(int32_t low, int32_t high) {
    int16x2_t pair;
    __asm__("pkhbt %0, %1, %2, lsl #16" : "=r"(pair) : "r"(low), "r"(high));
    return pair;
}

/* Of each pair of int16 the larger. */
static EB_ALWAYS_INLINE int16x2_t eb_larger_dsp(int16x2_t a, int16x2_t b) {
    __ssub16(a, b);
    return (int16x2_t)__sel((uint8x4_t)a, (uint8x4_t)b);
}

static EB_ALWAYS_INLINE int16x2_t eb_smaller_dsp(int16x2_t a, int16x2_t b) {
    __ssub16(b, a);
    return (int16x2_t)__sel((uint8x4_t)a, (uint8x4_t)b);
}

/* out[4] = the numbers in int8; floors: 128 more than the least of them, in each byte. */
static EB_ALWAYS_INLINE void eb_store_dsp(int32_t a, int32_t b, int32_t c, int32_t d,
                                          int8x4_t floors, int8_t *out) {
    const int16x2_t even = eb_join_dsp(eb_limit_i8_dsp(a), eb_limit_i8_dsp(c));
    const int16x2_t odd = eb_join_dsp(eb_limit_i8_dsp(b), eb_limit_i8_dsp(d));
    const uint32_t bytes = ((uint32_t)even & 0xff00ff) | ((uint32_t)odd & 0xff00ff) << 8;
    const int8x4_t limited = __sadd8(__qsub8((int8x4_t)bytes, floors), floors);
    memcpy(out, &limited, sizeof limited);
}

static EB_ALWAYS_INLINE int8x4_t eb_floors_dsp(int32_t least) {
    return (128 + least) * 0x01010101;
}

/* Two roundings in one, of eb_multiply and of a shift by so many bits: what both add. */
static EB_ALWAYS_INLINE int32_t eb_half_dsp(int bits) {
    return (1 << 14) + (bits ? 1 << (bits + 14) : 0);
}

static EB_ALWAYS_INLINE int32_t eb_sum_dsp(int32_t acc, int32_t bias, int shift) {
    return eb_limit_i16_dsp(eb_add(acc, bias) >> shift);
}

static void eb_requantise_i8_dsp(const int32_t *acc, const eb_rescaling *r, int bits, size_t count,
                                 int32_t least, int8_t *out) {
    const int32_t *bias = r->bias, half = eb_half_dsp(bits);
    const int16_t *multipliers = r->multipliers;
    const int shift = r->shift, places = 15 + bits;
    const int8x4_t floors = eb_floors_dsp(least);
    size_t c = 0;
    for (; c + 4 <= count; c += 4) {
        const int32_t low = eb_word_dsp(multipliers + c), high = eb_word_dsp(multipliers + c + 2);
        eb_store_dsp(__smlabb(eb_sum_dsp(acc[c], bias[c], shift), low, half) >> places,
                     __smlabt(eb_sum_dsp(acc[c + 1], bias[c + 1], shift), low, half) >> places,
                     __smlabb(eb_sum_dsp(acc[c + 2], bias[c + 2], shift), high, half) >> places,
                     __smlabt(eb_sum_dsp(acc[c + 3], bias[c + 3], shift), high, half) >> places,
                     floors, out + c);
    }
    for (; c < count; c++)
        out[c] = eb_narrow(eb_rescale(acc[c], r, c), bits, least);
}

static void eb_scale_i8_dsp(const int32_t *acc, int32_t multiplier, int shift, int bits,
                            size_t count, int8_t *out) {
    const int32_t half = eb_half_dsp(bits);
    const int places = 15 + bits;
    const int8x4_t floors = eb_floors_dsp(-127);
    size_t c = 0;
    for (; c + 4 <= count; c += 4)
        eb_store_dsp(__smlabb(eb_limit_i16_dsp(acc[c] >> shift), multiplier, half) >> places,
                     __smlabb(eb_limit_i16_dsp(acc[c + 1] >> shift), multiplier, half) >> places,
                     __smlabb(eb_limit_i16_dsp(acc[c + 2] >> shift), multiplier, half) >> places,
                     __smlabb(eb_limit_i16_dsp(acc[c + 3] >> shift), multiplier, half) >> places,
                     floors, out + c);
    eb_scale_i8(acc + c, multiplier, shift, bits, count - c, out + c);
}

static void eb_requantise_add_dsp(const int32_t *acc, const eb_rescaling *r, const int8_t *x,
                                  int32_t factor, size_t count, int16_t *y) {
    const int32_t *bias = r->bias, half = eb_half_dsp(0);
    const int16_t *multipliers = r->multipliers;
    const int shift = r->shift;
    size_t c = 0;
    for (; c + 4 <= count; c += 4) {
        const int32_t low = eb_word_dsp(multipliers + c), high = eb_word_dsp(multipliers + c + 2);
        const int32_t a = __smlabb(eb_sum_dsp(acc[c], bias[c], shift), low, half) >> 15;
        const int32_t b = __smlabt(eb_sum_dsp(acc[c + 1], bias[c + 1], shift), low, half) >> 15;
        const int32_t d = __smlabb(eb_sum_dsp(acc[c + 2], bias[c + 2], shift), high, half) >> 15;
        const int32_t e = __smlabt(eb_sum_dsp(acc[c + 3], bias[c + 3], shift), high, half) >> 15;
        y[c] = (int16_t)eb_limit_i16_dsp(x[c] * factor + a);
        y[c + 1] = (int16_t)eb_limit_i16_dsp(x[c + 1] * factor + b);
        y[c + 2] = (int16_t)eb_limit_i16_dsp(x[c + 2] * factor + d);
        y[c + 3] = (int16_t)eb_limit_i16_dsp(x[c + 3] * factor + e);
    }
    for (; c < count; c++)
        y[c] = (int16_t)eb_clip_i16(x[c] * factor + eb_rescale(acc[c], r, c));
}

static EB_ALWAYS_INLINE int32_t eb_low_dsp(int16x2_t pair) {
    return (int16_t)pair;
}

/* A normalised number of 10 bits times its weight, and its bias. Fewer than 1024 numbers have none
 * beyond int16, and what the sum may be beyond it is beyond int8 too. */
static EB_ALWAYS_INLINE int32_t eb_norm_dsp(const eb_norm_row *row, int32_t d, int32_t weight,
                                            int32_t bias, int32_t half, int bits) {
    const int32_t z = (d * row->reciprocal + (1 << row->length)) >> (row->length + 1);
    return ((__smlabb(z, weight, half) >> 15) + bias) >> bits;
}

/* For rows of whole words that are short enough to be summed in int32, and differences to the mean
 * that int16 holds; all others are for plain C. A difference is shifted as the upper half of its
 * product with a power of two. */
static void eb_layer_norm_i8_dsp(const int16_t *y, size_t h, const int16_t *weight,
                                 const int16_t *bias, const eb_norm_scales *scales, int8_t *out) {
    const int bits = scales->bits;
    const int32_t half = eb_half_dsp(bits);
    const int8x4_t floors = eb_floors_dsp(-127);
    int16x2_t most = eb_join_dsp(y[0], y[0]), least = most;
    int32_t sum = 0;
    uint32_t squares = 0;
    if (h % 4 || h > 512) {
        eb_layer_norm_i8(y, h, weight, bias, scales, out);
        return;
    }
    for (size_t c = 0; c < h; c += 2) {
        const int16x2_t pair = eb_word_dsp(y + c);
        sum = __smlad(pair, eb_join_dsp(1, 1), sum);
        most = eb_larger_dsp(most, pair);
        least = eb_smaller_dsp(least, pair);
    }
    const int32_t mean = eb_mean(sum, h);
    const int32_t above = eb_clip(eb_low_dsp(most), most >> 16, INT16_MAX) - mean;
    const int32_t below = mean - eb_clip(eb_low_dsp(least), INT16_MIN, least >> 16);
    eb_norm_row row =
        eb_norm_start(mean, (uint32_t)(above > below ? above : below), (uint32_t)scales->epsilon);
    const int32_t round = row.shift > 0 ? 1 << (row.shift - 1) : 0;
    if (above + round > INT16_MAX || below > INT16_MAX) {
        eb_layer_norm_i8(y, h, weight, bias, scales, out);
        return;
    }
    const int16x2_t middle = eb_join_dsp(mean - round, mean - round);
    const int32_t power = 1 << (16 - row.shift);
    for (size_t c = 0; c < h; c += 2) {
        const int16x2_t pair = __ssub16(eb_word_dsp(y + c), middle);
        const int32_t a = __smlawb(power, pair, 0), b = __smlawt(power, pair, 0);
        squares += (uint32_t)(a * a + b * b);
    }
    eb_norm_finish(&row, squares, h, eb_integer_sqrt);
    for (size_t c = 0; c < h; c += 4) {
        const int16x2_t low = __ssub16(eb_word_dsp(y + c), middle);
        const int16x2_t high = __ssub16(eb_word_dsp(y + c + 2), middle);
        eb_store_dsp(
            eb_norm_dsp(&row, __smlawb(power, low, 0), weight[c], bias[c], half, bits),
            eb_norm_dsp(&row, __smlawt(power, low, 0), weight[c + 1], bias[c + 1], half, bits),
            eb_norm_dsp(&row, __smlawb(power, high, 0), weight[c + 2], bias[c + 2], half, bits),
            eb_norm_dsp(&row, __smlawt(power, high, 0), weight[c + 3], bias[c + 3], half, bits),
            floors, out + c);
    }
}

#define EB_I8_KERNELS_DSP                                                                          \
    .gemm_i8 = EB_GEMM_DSP, .requantise_i8 = eb_requantise_i8_dsp,                                 \
    .requantise_add = eb_requantise_add_dsp, .scale_i8 = eb_scale_i8_dsp,                          \
    .layer_norm_i8 = eb_layer_norm_i8_dsp, .softmax_i8 = eb_softmax_i8_small,                      \
    .unpack_i4 = eb_unpack_i4, .hash_mean_i16 = eb_hash_mean_i16_small,                            \
    .add_embeddings = eb_add_embeddings, .lookup_i8 = eb_lookup_i8_small

#endif

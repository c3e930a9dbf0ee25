/* The integer kernels in plain C, which also define what every other version must give, byte for
 * byte: docs/numerics.md has the formulas. >> of a negative number rounds down, as it does with
 * every compiler that we know. Sums that a hostile file could make overflow are taken unsigned. */
#ifndef EB_I8_H
#define EB_I8_H

#include "i4.h"
#include "kernels.h"

#include <string.h>

/* x / 2^shift, halves rounded up; shift is 1 or more. */
static inline int32_t eb_round_shift(int32_t x, int shift) {
    return (int32_t)((uint32_t)x + ((uint32_t)1 << (shift - 1))) >> shift;
}

static inline int32_t eb_clip(int32_t x, int32_t least, int32_t most) {
    return x < least ? least : x > most ? most : x;
}

/* x * multiplier / 2^(24 + shift), halves rounded up. */
static inline int32_t eb_requantise(int32_t x, int32_t multiplier, int shift) {
    const int64_t half = (int64_t)1 << (23 + shift);
    return (int32_t)(((int64_t)x * multiplier + half) >> (24 + shift));
}

static inline int32_t eb_add(int32_t a, int32_t b) {
    return (int32_t)((uint32_t)a + (uint32_t)b);
}

/* acc[n, 16 * blocks] = x[n, in] w, rows of x and acc ldx and ld apart; in is a multiple of 4. */
static inline void eb_gemm_i8(const int8_t *x, size_t ldx, size_t n, size_t in, const int8_t *w,
                              size_t blocks, int32_t *acc, size_t ld) {
    for (size_t b = 0; b < blocks; b++, w += in * EB_BLOCK)
        for (size_t i = 0; i < n; i++) {
            int32_t sum[EB_BLOCK] = {0};
            for (size_t k = 0; k < in; k++)
                for (size_t c = 0; c < EB_BLOCK; c++)
                    sum[c] += x[i * ldx + k] * w[k / 4 * 4 * EB_BLOCK + c * 4 + k % 4];
            memcpy(acc + i * ld + b * EB_BLOCK, sum, sizeof sum);
        }
}

/* out[count] = clip(requantise(acc + bias)) */
static inline void eb_requantise_i8(const int32_t *acc, const int32_t *bias,
                                    const int32_t *multipliers, int shift, size_t count,
                                    int32_t least, int8_t *out) {
    for (size_t c = 0; c < count; c++)
        out[c] = (int8_t)eb_clip(eb_requantise(eb_add(acc[c], bias[c]), multipliers[c], shift),
                                 least, 127);
}

/* out[count] = clip(requantise(acc)), with one multiplier for all */
static inline void eb_scale_i8(const int32_t *acc, int32_t multiplier, int shift, size_t count,
                               int8_t *out) {
    for (size_t c = 0; c < count; c++)
        out[c] = (int8_t)eb_clip(eb_requantise(acc[c], multiplier, shift), -127, 127);
}

/* y[count] = x + requantise(acc + bias) */
static inline void eb_requantise_add(const int32_t *acc, const int32_t *bias,
                                     const int32_t *multipliers, int shift, const int16_t *x,
                                     size_t count, int32_t *y) {
    for (size_t c = 0; c < count; c++)
        y[c] = eb_add(x[c], eb_requantise(eb_add(acc[c], bias[c]), multipliers[c], shift));
}

static inline uint32_t eb_integer_sqrt(uint64_t x) {
    uint64_t root = 0;
    for (uint64_t bit = (uint64_t)1 << 31; bit; bit >>= 1)
        if ((root + bit) * (root + bit) <= x)
            root += bit;
    return (uint32_t)root;
}

static inline int eb_bit_length(uint32_t x) {
    int length = 0;
    for (int step = 16; step; step /= 2)
        if (x >> step) {
            x >>= step;
            length += step;
        }
    return length + (int)x;
}

/* out[h] = LayerNorm(y), with some way to a square root rounded down; y is scratch afterwards. */
static inline void eb_normalise_i16(int32_t *y, size_t h, const int16_t *weight,
                                    const int32_t *bias, const eb_norm_scales *scales,
                                    uint32_t (*integer_sqrt)(uint64_t), int16_t *out) {
    const int length = eb_bit_length((uint32_t)h - 1), drop = length > 3 ? length - 3 : 0;
    int32_t sum = 0;
    uint64_t squares = 0;
    for (size_t c = 0; c < h; c++) {
        y[c] = eb_clip(y[c], -(1 << 17) + 1, (1 << 17) - 1);
        sum += y[c];
    }
    for (size_t c = 0; c < h; c++) {
        y[c] = (y[c] * (int32_t)h - sum) >> drop;
        squares += (uint64_t)((int64_t)y[c] * y[c]);
    }
    uint32_t deviation = integer_sqrt(squares / h + (uint32_t)scales->epsilon);
    if (deviation == 0)
        deviation = 1;
    const int bits = eb_bit_length(deviation), excess = bits > 10 ? bits - 10 : 0;
    const int32_t reciprocal = (int32_t)(((uint64_t)1 << (23 + excess)) / deviation);
    for (size_t c = 0; c < h; c++) {
        const int32_t small = excess ? eb_round_shift(y[c], excess) : y[c];
        const int32_t z = eb_round_shift(small * reciprocal, 13);
        const int32_t value =
            (int32_t)((uint32_t)z * (uint32_t)(int32_t)weight[c] + (uint32_t)bias[c]);
        out[c] = (int16_t)eb_clip(scales->shift ? eb_round_shift(value, scales->shift) : value,
                                  -32767, 32767);
    }
}

static inline void eb_layer_norm_i16(int32_t *y, size_t h, const int16_t *weight,
                                     const int32_t *bias, const eb_norm_scales *scales,
                                     int16_t *out) {
    eb_normalise_i16(y, h, weight, bias, scales, eb_integer_sqrt, out);
}

/* out[count] = x in int8: the upper bits of hidden states. */
static inline void eb_narrow_i16(const int16_t *x, size_t count, int8_t *out) {
    for (size_t c = 0; c < count; c++)
        out[c] = (int8_t)eb_clip(eb_round_shift(x[c], 7), -127, 127);
}

/* 127 * 2^-x, x in units of 2^-15. */
static inline int32_t eb_exp2_i8(int32_t x) {
    const uint32_t whole = (uint32_t)x >> 15; /* negative in a hostile file alone */
    const int32_t n = whole < 16 ? (int32_t)whole : 16, f = x & 0x7fff;
    const int32_t p = 32768 - (f * 21975 >> 15) + (f * (f * 5591 >> 15) >> 15);
    return eb_round_shift(p * 127 >> n, 15);
}

/* out[padded] = softmax numerators of scores[count], at most 127, then zeros; returns their sum. */
static inline int32_t eb_softmax_i8(const int32_t *scores, size_t count, size_t padded,
                                    int32_t multiplier, int shift, int8_t *out) {
    int32_t max = scores[0], sum = 0;
    for (size_t j = 1; j < count; j++)
        max = scores[j] > max ? scores[j] : max;
    for (size_t j = 0; j < count; j++) {
        const int32_t below = max - scores[j] < 1 << 24 ? max - scores[j] : 1 << 24;
        const int32_t value = eb_exp2_i8(eb_requantise(below * 64, multiplier, shift));
        out[j] = (int8_t)value;
        sum += value;
    }
    memset(out + count, 0, padded - count);
    return sum;
}

/* Rows of a kernel table; the instruction set names its own matrix product. */
#define EB_I8_KERNELS                                                                              \
    .requantise_i8 = eb_requantise_i8, .requantise_add = eb_requantise_add,                        \
    .scale_i8 = eb_scale_i8, .layer_norm_i16 = eb_layer_norm_i16, .narrow_i16 = eb_narrow_i16,     \
    .softmax_i8 = eb_softmax_i8, .unpack_i4 = eb_unpack_i4

#endif

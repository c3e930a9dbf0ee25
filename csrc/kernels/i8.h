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

static inline int32_t eb_clip_i16(int32_t x) {
    return eb_clip(x, INT16_MIN, INT16_MAX);
}

/* x * multiplier / 2^shift, halves rounded up; shift is 1 or more. */
static inline int32_t eb_multiply_wide(int32_t x, int32_t multiplier, int shift) {
    return (int32_t)(((int64_t)x * multiplier + ((int64_t)1 << (shift - 1))) >> shift);
}

/* x * y / 2^15, halves rounded up, of int16: vpmulhrsw, SQRDMULH, VQRDMULH. */
static inline int16_t eb_multiply(int32_t x, int32_t y) {
    return (int16_t)((x * y + (1 << 14)) >> 15);
}

/* An int16 as int8: its upper bits. */
static inline int8_t eb_narrow(int32_t x, int bits, int32_t least) {
    return (int8_t)eb_clip(bits ? eb_round_shift(x, bits) : x, least, 127);
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

/* means[j] = sums[j] / 2^shift * reciprocal / 2^46; a negative shift is one to the left. What is
 * left of a sum fits int32, so that its lower half is the same from a logical shift. */
static inline void eb_hash_mean_i16(const int64_t *sums, size_t cols, int shift, int32_t reciprocal,
                                    int16_t *means) {
    const int right = shift > 0 ? shift : 0, left = shift < 0 ? -shift : 0;
    for (size_t j = 0; j < cols; j++) {
        const int32_t sum = (int32_t)(uint32_t)((uint64_t)sums[j] << left >> right);
        const int64_t product = (int64_t)sum * reciprocal + ((int64_t)1 << 45);
        means[j] = (int16_t)((int32_t)(product >> 32) >> 14);
    }
}

/* row[count] += type + position * multiplier / 2^7 */
static inline void eb_add_embeddings(const int8_t *position, int32_t multiplier,
                                     const int16_t *type, size_t count, int16_t *row) {
    for (size_t c = 0; c < count; c++) {
        const int32_t offset = (position[c] * multiplier + (1 << 6)) >> 7;
        row[c] = (int16_t)eb_clip_i16(row[c] + offset + type[c]);
    }
}

/* x[count] = table[x + 128] */
static inline void eb_lookup_i8(const int8_t *table, size_t count, int8_t *x) {
    for (size_t c = 0; c < count; c++)
        x[c] = table[x[c] + 128];
}

/* A linear layer's sum as int16. */
static inline int16_t eb_rescale(int32_t acc, const eb_rescaling *r, size_t c) {
    const int32_t sum = eb_clip_i16(eb_add(acc, r->bias[c]) >> r->shift);
    return eb_multiply(sum, r->multipliers[c]);
}

/* out[count] = the layer's sums in int8 */
static inline void eb_requantise_i8(const int32_t *acc, const eb_rescaling *r, int bits,
                                    size_t count, int32_t least, int8_t *out) {
    for (size_t c = 0; c < count; c++)
        out[c] = eb_narrow(eb_rescale(acc[c], r, c), bits, least);
}

/* y[count] = factor x + the layer's sums */
static inline void eb_requantise_add(const int32_t *acc, const eb_rescaling *r, const int8_t *x,
                                     int32_t factor, size_t count, int16_t *y) {
    for (size_t c = 0; c < count; c++)
        y[c] = (int16_t)eb_clip_i16(x[c] * factor + eb_rescale(acc[c], r, c));
}

/* out[count] = sums without a bias in int8, with one multiplier for all */
static inline void eb_scale_i8(const int32_t *acc, int32_t multiplier, int shift, int bits,
                               size_t count, int8_t *out) {
    for (size_t c = 0; c < count; c++)
        out[c] = eb_narrow(eb_multiply(eb_clip_i16(acc[c] >> shift), multiplier), bits, -127);
}

/* The square root, rounded down. */
static inline uint32_t eb_integer_sqrt(uint32_t x) {
    uint32_t root = 0;
    for (uint32_t bit = 1 << 15; bit; bit >>= 1)
        if ((root + bit) * (root + bit) <= x)
            root += bit;
    return root;
}

static inline uint32_t eb_integer_sqrt64(uint64_t x) {
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

/* What a LayerNorm knows of its row behind a first look at it. */
typedef struct eb_norm_row {
    int32_t mean;
    int shift;          /* of differences to the mean, which makes them 10 bits; may be negative */
    uint32_t least;     /* epsilon, shifted like them */
    int length;         /* bits of their deviation in eighths */
    int32_t reciprocal; /* 2^(length + 14) / that, an int16 */
} eb_norm_row;

static inline int32_t eb_mean(int32_t sum, size_t h) {
    const uint32_t positive = (uint32_t)sum + (uint32_t)(h / 2 + h * 32768);
    return (int32_t)(positive / (uint32_t)h) - 32768;
}

/* From the mean and the largest difference to it. */
static inline eb_norm_row eb_norm_start(int32_t mean, uint32_t largest, uint32_t epsilon) {
    const int shift = eb_bit_length(largest > epsilon ? largest : epsilon) - 10;
    const eb_norm_row row = {mean, shift, shift > 0 ? epsilon >> shift : epsilon << -shift, 0, 0};
    return row;
}

/* From the sum of the squares of the shifted differences, by some way to a root rounded down. */
static inline void eb_norm_finish(eb_norm_row *row, uint64_t squares, size_t h,
                                  uint32_t (*integer_sqrt)(uint32_t)) {
    const uint32_t variance = (uint32_t)(squares / h) + row->least * row->least;
    uint32_t deviation = integer_sqrt(variance << 6); /* of less than 2^27 */
    deviation = deviation ? deviation : 1;
    row->length = eb_bit_length(deviation);
    row->reciprocal = (int32_t)((((uint32_t)1 << (row->length + 14)) - 1) / deviation);
}

/* A shifted difference to the mean. */
static inline int32_t eb_norm_difference(const eb_norm_row *row, int32_t y) {
    const int32_t d = eb_clip_i16(y - row->mean);
    return row->shift > 0 ? eb_round_shift(d, row->shift) : d * (1 << -row->shift);
}

/* An output from a shifted difference. */
static inline int8_t eb_norm_output(const eb_norm_row *row, int32_t d, int32_t weight, int32_t bias,
                                    int bits) {
    const int32_t z = eb_round_shift(d * row->reciprocal, row->length + 1);
    const int32_t value = eb_multiply(eb_clip(z, -INT16_MAX, INT16_MAX), weight) + bias;
    return eb_narrow(eb_clip_i16(value), bits, -127);
}

/* out[h] = LayerNorm(y) */
static inline void eb_layer_norm_i8(const int16_t *y, size_t h, const int16_t *weight,
                                    const int16_t *bias, const eb_norm_scales *scales,
                                    int8_t *out) {
    int32_t sum = 0, largest = 0;
    uint64_t squares = 0;
    for (size_t c = 0; c < h; c++)
        sum += y[c];
    const int32_t mean = eb_mean(sum, h);
    for (size_t c = 0; c < h; c++) {
        const int32_t d = eb_clip_i16(y[c] - mean), size = d < 0 ? -d : d;
        largest = size > largest ? size : largest;
    }
    eb_norm_row row = eb_norm_start(mean, (uint32_t)largest, (uint32_t)scales->epsilon);
    for (size_t c = 0; c < h; c++) {
        const int32_t d = eb_norm_difference(&row, y[c]);
        squares += (uint32_t)(d * d);
    }
    eb_norm_finish(&row, squares, h, eb_integer_sqrt);
    for (size_t c = 0; c < h; c++)
        out[c] =
            eb_norm_output(&row, eb_norm_difference(&row, y[c]), weight[c], bias[c], scales->bits);
}

/* 127 * 2^-x, x in units of 2^-11, below 2^15. */
static inline int32_t eb_exp2_i8(int32_t x) {
    const int32_t f = (x & 2047) << 4;
    const int32_t p = 32767 - eb_multiply(f, 21975 - eb_multiply(f, 5591));
    return eb_multiply(eb_multiply(p, 127 << 8), 128 >> (x >> 11));
}

/* out[padded] = softmax numerators of scores[count], at most 127, then zeros; returns their sum. */
static inline int32_t eb_softmax_i8(const int32_t *scores, size_t count, size_t padded,
                                    int32_t multiplier, int shift, int8_t *out) {
    int32_t max = scores[0], sum = 0;
    for (size_t j = 1; j < count; j++)
        max = scores[j] > max ? scores[j] : max;
    for (size_t j = 0; j < count; j++) {
        const int32_t below = max - scores[j] < 1 << 24 ? max - scores[j] : 1 << 24;
        const int32_t x = below << 6 >> shift;
        out[j] = (int8_t)eb_exp2_i8(eb_multiply(x < INT16_MAX ? x : INT16_MAX, multiplier));
        sum += out[j];
    }
    memset(out + count, 0, padded - count);
    return sum;
}

/* Rows of a kernel table; the instruction set names its own matrix product. */
#define EB_I8_KERNELS                                                                              \
    .requantise_i8 = eb_requantise_i8, .requantise_add = eb_requantise_add,                        \
    .scale_i8 = eb_scale_i8, .layer_norm_i8 = eb_layer_norm_i8, .softmax_i8 = eb_softmax_i8,       \
    .unpack_i4 = eb_unpack_i4, .hash_mean_i16 = eb_hash_mean_i16,                                  \
    .add_embeddings = eb_add_embeddings, .lookup_i8 = eb_lookup_i8

#endif

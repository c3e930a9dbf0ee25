/* Integer kernels in C for processors without vectors, which the plain ones in i8.h leave to
 * compilers: their numbers stay in registers. */
#ifndef EB_I8_SMALL_H
#define EB_I8_SMALL_H

#include "i8.h"
#include "target.h"

/* Sums at a time, and inputs in a step: as many as registers hold. GCC would load so far ahead for
 * RISC-V that they do not. */
#define EB_SMALL_ROWS 4
#if defined(__riscv)
#define EB_SMALL_COLS 4
#define EB_SMALL_STEPS 1
#else
#define EB_SMALL_COLS 2
#define EB_SMALL_STEPS 4
#endif
#if defined(__riscv) && defined(__GNUC__) && !defined(__clang__)
#define EB_SMALL_TILE __attribute__((noinline, optimize("no-schedule-insns")))
#else
#define EB_SMALL_TILE EB_NEVER_INLINE
#endif
#define EB_SMALL_INPUTS 128 /* of some rows, side by side on the stack */

/* acc[rows, EB_SMALL_COLS] of inputs[in, EB_SMALL_ROWS] */
static EB_SMALL_TILE void eb_tile_small(const int8_t *inputs, size_t rows, size_t in,
                                        const int8_t *w, int is_first, int32_t *acc, size_t ld) {
    int32_t sums[EB_SMALL_ROWS][EB_SMALL_COLS] = {{0}};
    const int8_t *end = w + in * EB_BLOCK;
    for (; w != end; w += 4 * EB_BLOCK, inputs += 4 * EB_SMALL_ROWS) {
        EB_UNROLL(EB_SMALL_STEPS)
        for (size_t k = 0; k < 4; k++) {
            EB_UNROLL(4)
            for (size_t r = 0; r < EB_SMALL_ROWS; r++) {
                EB_UNROLL(4)
                for (size_t c = 0; c < EB_SMALL_COLS; c++)
                    sums[r][c] += inputs[k * EB_SMALL_ROWS + r] * w[4 * c + k];
            }
        }
    }
    EB_UNROLL(4)
    for (size_t r = 0; r < EB_SMALL_ROWS; r++) {
        EB_UNROLL(4)
        for (size_t c = 0; c < EB_SMALL_COLS; c++)
            if (r < rows)
                acc[r * ld + c] = is_first ? sums[r][c] : acc[r * ld + c] + sums[r][c];
    }
}

static inline void eb_gemm_i8_small(const int8_t *x, size_t ldx, size_t n, size_t in,
                                    const int8_t *w, size_t blocks, int32_t *acc, size_t ld) {
    int8_t inputs[EB_SMALL_INPUTS * EB_SMALL_ROWS] = {0};
    for (size_t rows; n > 0; n -= rows, x += rows * ldx, acc += rows * ld) {
        rows = n < EB_SMALL_ROWS ? n : EB_SMALL_ROWS;
        for (size_t k = 0; k < in; k += EB_SMALL_INPUTS) {
            const size_t part = in - k < EB_SMALL_INPUTS ? in - k : EB_SMALL_INPUTS;
            for (size_t r = 0; r < rows; r++) {
                EB_UNROLL(4)
                for (size_t j = 0; j < part; j++)
                    inputs[j * EB_SMALL_ROWS + r] = x[r * ldx + k + j];
            }
            for (size_t c = 0; c < blocks * EB_BLOCK; c += EB_SMALL_COLS)
                eb_tile_small(inputs, rows, part,
                              w + (c / EB_BLOCK * in + k) * EB_BLOCK + c % EB_BLOCK * 4, k == 0,
                              acc + c, ld);
        }
    }
}

/* The residues of a column are summed at a time. A quotient that is rounded, not cut, leaves more
 * than -modulus / 2 and less than modulus: one step to the symmetric residue. */
static inline void eb_hash_poly_small(const uint32_t *grams, size_t n, const uint32_t *multipliers,
                                      const uint32_t *quotients, size_t cols, uint32_t modulus,
                                      int64_t *sums) {
    const int32_t half = (int32_t)(modulus / 2);
    for (size_t j = 0; j < cols; j++) {
        const uint32_t multiplier = multipliers[j], quotient = quotients[j];
        int64_t sum = sums[j];
        for (size_t i = 0; i < n; i++) {
            const uint64_t product = (uint64_t)grams[i] * quotient + ((uint32_t)1 << 31);
            int32_t r = (int32_t)(grams[i] * multiplier - (uint32_t)(product >> 32) * modulus);
            r -= r > half ? (int32_t)modulus : 0;
            sum += r;
        }
        sums[j] = sum;
    }
}

/* Of the product its upper half alone, and of a sum the 32 bits that are left of it. */
static inline void eb_hash_mean_i16_small(const int64_t *sums, size_t cols, int shift,
                                          int32_t reciprocal, int16_t *means) {
    if (shift < 1 || shift > 31) {
        eb_hash_mean_i16(sums, cols, shift, reciprocal, means);
        return;
    }
    for (size_t j = 0; j < cols; j++) {
        const uint32_t low = (uint32_t)(uint64_t)sums[j];
        const uint32_t high = (uint32_t)((uint64_t)sums[j] >> 32);
        const int32_t sum = (int32_t)(low >> shift | high << (32 - shift));
        const int32_t product = (int32_t)((int64_t)sum * reciprocal >> 32);
        means[j] = (int16_t)((product + (1 << 13)) >> 14);
    }
}

static inline void eb_lookup_i8_small(const int8_t *table, size_t count, int8_t *x) {
    const int8_t *middle = table + 128;
    EB_UNROLL(4)
    for (size_t c = 0; c < count; c++)
        x[c] = middle[x[c]];
}

/* Copies keep what an output might alias in registers. */
static inline void eb_requantise_i8_small(const int32_t *acc, const eb_rescaling *r, int bits,
                                          size_t count, int32_t least, int8_t *out) {
    const eb_rescaling copy = *r;
    const int32_t half = (1 << 14) + (bits ? 1 << (bits + 14) : 0); /* of two roundings in one */
    for (size_t c = 0; c < count; c++) {
        const int32_t sum = eb_clip_i16(eb_add(acc[c], copy.bias[c]) >> copy.shift);
        out[c] = (int8_t)eb_clip((sum * copy.multipliers[c] + half) >> (15 + bits), least, 127);
    }
}

static inline void eb_requantise_add_small(const int32_t *acc, const eb_rescaling *r,
                                           const int8_t *x, int32_t factor, size_t count,
                                           int16_t *y) {
    const eb_rescaling copy = *r;
    eb_requantise_add(acc, &copy, x, factor, count, y);
}

static inline void eb_scale_i8_small(const int32_t *acc, int32_t multiplier, int shift, int bits,
                                     size_t count, int8_t *out) {
    const int32_t half = (1 << 14) + (bits ? 1 << (bits + 14) : 0);
    for (size_t c = 0; c < count; c++) {
        const int32_t product = eb_clip_i16(acc[c] >> shift) * multiplier;
        out[c] = (int8_t)eb_clip((product + half) >> (15 + bits), -127, 127);
    }
}

/* eb_exp2_i8 in fewer steps: its factors of 2^4 and 2^8 are shifts less, and 128 >> n one more. */
static EB_ALWAYS_INLINE int32_t eb_exp2_i8_small(int32_t x) {
    const int32_t f = x & 2047, n = x >> 11;
    const int32_t slope = 21975 - ((f * 5591 + (1 << 10)) >> 11);
    const int32_t p = 32767 - ((f * slope + (1 << 10)) >> 11);
    const int32_t e = (p * 127 + (1 << 6)) >> 7;
    return (e + (1 << (n + 7))) >> (n + 8);
}

static inline int32_t eb_softmax_i8_small(const int32_t *scores, size_t count, size_t padded,
                                          int32_t multiplier, int shift, int8_t *out) {
    if (shift < 6) {
        return eb_softmax_i8(scores, count, padded, multiplier, shift, out);
    }
    const int32_t limit = (1 << 30) >> shift, far = limit < INT16_MAX ? limit : INT16_MAX;
    int32_t max = scores[0], sum = 0;
    for (size_t j = 1; j < count; j++)
        max = scores[j] > max ? scores[j] : max;
    for (size_t j = 0; j < count; j++) {
        const int32_t below = (max - scores[j]) >> (shift - 6);
        const int32_t x = below < far ? below : far;
        const int32_t e = eb_exp2_i8_small((x * multiplier + (1 << 14)) >> 15);
        out[j] = (int8_t)e;
        sum += e;
    }
    memset(out + count, 0, padded - count);
    return sum;
}

/* Rows of at most 512 numbers, whose squares fit 32 bits and whose normalised numbers int16. */
static inline void eb_layer_norm_i8_small(const int16_t *y, size_t h, const int16_t *weight,
                                          const int16_t *bias, const eb_norm_scales *scales,
                                          int8_t *out) {
    const int bits = scales->bits;
    const int32_t half = bits ? 1 << (bits - 1) : 0;
    int32_t sum = 0, most = y[0], least = y[0];
    uint32_t squares = 0;
    if (h > 512) {
        eb_layer_norm_i8(y, h, weight, bias, scales, out);
        return;
    }
    for (size_t c = 0; c < h; c++) {
        sum += y[c];
        most = y[c] > most ? y[c] : most;
        least = y[c] < least ? y[c] : least;
    }
    const int32_t mean = eb_mean(sum, h);
    const int32_t above = most - mean, below = mean - least;
    eb_norm_row row =
        eb_norm_start(mean, (uint32_t)(above > below ? above : below), (uint32_t)scales->epsilon);
    if (above > INT16_MAX || below > INT16_MAX || row.shift < 0) {
        eb_layer_norm_i8(y, h, weight, bias, scales, out);
        return;
    }
    const int right = row.shift;
    const int32_t middle = mean - (right > 0 ? 1 << (right - 1) : 0);
    for (size_t c = 0; c < h; c++) {
        const int32_t d = (y[c] - middle) >> right;
        squares += (uint32_t)(d * d);
    }
    eb_norm_finish(&row, squares, h, eb_integer_sqrt);
    const int32_t reciprocal = row.reciprocal, places = row.length + 1;
    for (size_t c = 0; c < h; c++) {
        const int32_t z = (((y[c] - middle) >> right) * reciprocal + (1 << row.length)) >> places;
        const int32_t value = ((z * weight[c] + (1 << 14)) >> 15) + bias[c];
        out[c] = (int8_t)eb_clip((value + half) >> bits, -127, 127);
    }
}

/* But for the matrix product. */
#define EB_I8_KERNELS_SMALL                                                                        \
    .requantise_i8 = eb_requantise_i8_small, .requantise_add = eb_requantise_add_small,            \
    .scale_i8 = eb_scale_i8_small, .layer_norm_i8 = eb_layer_norm_i8_small,                        \
    .softmax_i8 = eb_softmax_i8_small, .unpack_i4 = eb_unpack_i4,                                  \
    .hash_mean_i16 = eb_hash_mean_i16_small, .add_embeddings = eb_add_embeddings,                  \
    .lookup_i8 = eb_lookup_i8_small

#endif

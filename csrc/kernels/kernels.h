/* The one dispatch table: what an instruction set does faster. Each set is one file here
 * and one row of dispatch.c. */
#ifndef EB_KERNELS_H
#define EB_KERNELS_H

#include "format.h"

#include <stddef.h>
#include <stdint.h>

/* Attention's scratch: a head's keys and values in blocks, and the scores and results of the few
 * queries, at most EB_ATTENTION_ROWS, that are taken at a time. */
#define EB_ATTENTION_ROWS 8
#define EB_ATTENTION_SCRATCH(n, head_size)                                                         \
    (EB_ROUND_UP(n) * ((head_size) + EB_ATTENTION_ROWS) +                                          \
     EB_ROUND_UP(head_size) * ((n) + EB_ATTENTION_ROWS))

/* How the sums of a linear layer become int16: rescale((acc + bias) >> shift). */
typedef struct eb_rescaling {
    const int32_t *bias;
    const int16_t *multipliers;
    int shift;
} eb_rescaling;

typedef struct eb_kernels {
    const char *name;
    /* Both add to sums[cols] the symmetric residues mod modulus of n n-grams; n <= 2^31.
     * poly: the residues of grams[i] * multipliers[j]; all grams and multipliers < modulus and
     * quotients[j] = floor(multipliers[j] * 2^32 / modulus).
     * murmur3: those of the MurmurHash3 with seed multipliers[j] of an n-gram of gram_size bytes,
     * given as blocks[n, ceil(gram_size / 4)] after eb_murmur3_scramble. */
    void (*hash_poly)(const uint32_t *grams, size_t n, const uint32_t *multipliers,
                      const uint32_t *quotients, size_t cols, uint32_t modulus, int64_t *sums);
    void (*hash_murmur3)(const uint32_t *blocks, size_t n, size_t gram_size,
                         const uint32_t *multipliers, size_t cols, uint32_t modulus, int64_t *sums);
    /* means[j] = 2 * sums[j] / divisor: one division in double, then one rounding to float.
     * |2 * sums[j]| <= divisor < 2^63. */
    void (*hash_mean)(const int64_t *sums, size_t cols, uint64_t divisor, float *means);
    /* y[n, out] = x[n, in] w[in, out] + b[out] */
    void (*linear_f32)(const float *x, size_t n, size_t in, const float *w, const float *b,
                       size_t out, float *y);
    void (*gelu_f32)(float *x, size_t count);
    void (*tanh_f32)(float *x, size_t count);
    void (*normalise_f32)(float *x, size_t count); /* to Euclidean length 1; 0 stays 0 */
    void (*layer_norm_f32)(const float *x, const float *residual, size_t n, size_t h,
                           const float *weight, const float *bias, float eps, float *out);
    /* scratch: float[EB_ATTENTION_SCRATCH(n, h / heads)] */
    void (*attention_f32)(const float *q, size_t ldq, size_t queries, const float *k, size_t ldk,
                          size_t n, size_t h, size_t heads, float *scratch, float *context);
    /* Integer kernels: i8.h says what each gives, to the byte. */
    void (*gemm_i8)(const int8_t *x, size_t ldx, size_t n, size_t in, const int8_t *w,
                    size_t blocks, int32_t *acc, size_t ld);
    void (*unpack_i4)(const uint8_t *block, size_t in, int8_t *weights); /* i4.h */
    /* gemm_i8 of four-bit weights, or NULL if they are best unpacked for it. */
    void (*gemm_i4)(const int8_t *x, size_t ldx, size_t n, size_t in, const uint8_t *w,
                    size_t blocks, int32_t *acc, size_t ld);
    void (*requantise_i8)(const int32_t *acc, const eb_rescaling *r, int bits, size_t count,
                          int32_t least, int8_t *out);
    void (*requantise_add)(const int32_t *acc, const eb_rescaling *r, const int8_t *x,
                           int32_t factor, size_t count, int16_t *y);
    void (*scale_i8)(const int32_t *acc, int32_t multiplier, int shift, int bits, size_t count,
                     int8_t *out);
    void (*layer_norm_i8)(const int16_t *y, size_t h, const int16_t *weight, const int16_t *bias,
                          const eb_norm_scales *scales, int8_t *out);
    void (*hash_mean_i16)(const int64_t *sums, size_t cols, int shift, int32_t reciprocal,
                          int16_t *means);
    void (*add_embeddings)(const int8_t *position, int32_t multiplier, const int16_t *type,
                           size_t count, int16_t *row);
    void (*lookup_i8)(const int8_t *table, size_t count, int8_t *x);
    int32_t (*softmax_i8)(const int32_t *scores, size_t count, size_t padded, int32_t multiplier,
                          int shift, int8_t *out);
} eb_kernels;

/* The kernels of the best instruction set that this processor and its system support. */
const eb_kernels *eb_kernels_best(void);

/* The i-th set of this build, best last, or NULL if there is none or the processor lacks it. */
const eb_kernels *eb_kernels_get(size_t i);
size_t eb_kernels_count(void);

#endif

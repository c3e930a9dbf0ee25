/* The hash kernels in plain C. */
#ifndef EB_HASH_SCALAR_H
#define EB_HASH_SCALAR_H

#include <stddef.h>
#include <stdint.h>

#include "murmur3.h"

/* x * h mod modulus, moved to (-modulus/2, modulus/2], for h < modulus and any x; Shoup's trick:
 * quotient = floor(h * 2^32 / modulus) makes q = floor(x * h / modulus) or one less, so that
 * r < 2 * modulus < 2^32, and wrapped arithmetic is enough. */
static inline int64_t eb_symmetric_product(uint32_t x, uint32_t h, uint32_t quotient,
                                           uint32_t modulus) {
    const uint32_t q = (uint32_t)((uint64_t)x * quotient >> 32);
    uint32_t r = x * h - q * modulus;
    r -= modulus & (0u - (r >= modulus)); /* no branches: half of these residues would miss */
    return (int64_t)r - (modulus & (0u - (r > modulus / 2)));
}

static inline void eb_hash_poly_scalar(const uint32_t *grams, size_t n, const uint32_t *multipliers,
                                       const uint32_t *quotients, size_t cols, uint32_t modulus,
                                       int64_t *sums) {
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < cols; j++)
            sums[j] += eb_symmetric_product(grams[i], multipliers[j], quotients[j], modulus);
}

static inline void eb_hash_murmur3_scalar(const uint32_t *blocks, size_t n, size_t gram_size,
                                          const uint32_t *multipliers, size_t cols,
                                          uint32_t modulus, int64_t *sums) {
    const size_t stride = (gram_size + 3) / 4;
    const uint32_t quotient = (uint32_t)(((uint64_t)1 << 32) / modulus);
    for (size_t j = 0; j < cols; j++)
        for (size_t i = 0; i < n; i++) {
            const uint32_t s = eb_murmur3_blocks(blocks + i * stride, gram_size, multipliers[j]);
            sums[j] += eb_symmetric_product(s, 1, quotient, modulus);
        }
}

static inline void eb_hash_mean_scalar(const int64_t *sums, size_t cols, uint64_t divisor,
                                       float *means) {
    for (size_t j = 0; j < cols; j++)
        means[j] = (float)((double)(2 * sums[j]) / (double)divisor);
}

#endif

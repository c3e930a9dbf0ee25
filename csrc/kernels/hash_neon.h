/* The hash kernels, four columns at a time. Included where NEON is switched on. Residues are those
 * of product + modulus / 2: modulus / 2 above the symmetric ones, so that they are not negative and
 * one conditional subtraction makes them. */
#include "hash_scalar.h"

typedef struct eb_sums_neon {
    uint64x2_t low, high; /* modulo 2^64: of columns 0 and 1, of columns 2 and 3 */
} eb_sums_neon;

/* Sums to which n residues will be added, each modulus / 2 too high. */
static inline eb_sums_neon eb_load_sums_neon(const int64_t *from, size_t n, uint32_t modulus) {
    const uint64x2_t excess = vdupq_n_u64((uint64_t)n * (modulus / 2));
    const uint64_t *sums = (const uint64_t *)from;
    return (eb_sums_neon){vsubq_u64(vld1q_u64(sums), excess),
                          vsubq_u64(vld1q_u64(sums + 2), excess)};
}

static inline void eb_store_sums_neon(const eb_sums_neon *sums, int64_t *to) {
    vst1q_u64((uint64_t *)to, sums->low);
    vst1q_u64((uint64_t *)to + 2, sums->high);
}

/* Adds the residues of products, of which the low 32 bits are enough. Quotients are those of
 * Shoup's trick, which are less than 1 too low, rounded: -1/2 <= product / modulus - q < 3/2, so
 * that 0 <= r < 2 * modulus < 2^32. */
static inline void eb_add_products_neon(eb_sums_neon *sums, uint32x4_t product, uint32x4_t q,
                                        uint32x4_t modulus) {
    const uint32x4_t half = vshrq_n_u32(modulus, 1);
    uint32x4_t r = vmlsq_u32(vaddq_u32(product, half), q, modulus);
    r = vminq_u32(r, vsubq_u32(r, modulus));
    sums->low = vaddw_u32(sums->low, vget_low_u32(r));
    sums->high = vaddw_high_u32(sums->high, r);
}

/* N-grams are below 2^31 and so are halved quotients: floor(h * 2^31 / modulus). One instruction,
 * made for fixed-point fractions, has their product, divided by 2^31 and rounded. */
static void eb_hash_poly_neon(const uint32_t *grams, size_t n, const uint32_t *multipliers,
                              const uint32_t *quotients, size_t cols, uint32_t modulus,
                              int64_t *sums) {
    const uint32x4_t m = vdupq_n_u32(modulus);
    size_t j = 0;
    for (; j + 4 <= cols; j += 4) {
        const uint32x4_t h = vld1q_u32(multipliers + j);
        const int32x4_t quotient = vreinterpretq_s32_u32(vshrq_n_u32(vld1q_u32(quotients + j), 1));
        eb_sums_neon sum = eb_load_sums_neon(sums + j, n, modulus);
        for (size_t i = 0; i < n; i++) {
            const uint32x4_t s = vld1q_dup_u32(grams + i);
            const int32x4_t q = vqrdmulhq_s32(vreinterpretq_s32_u32(s), quotient);
            eb_add_products_neon(&sum, vmulq_u32(s, h), vreinterpretq_u32_s32(q), m);
        }
        eb_store_sums_neon(&sum, sums + j);
    }
    eb_hash_poly_scalar(grams, n, multipliers + j, quotients + j, cols - j, modulus, sums + j);
}

/* eb_murmur3_blocks for four seeds. */
static inline uint32x4_t eb_murmur3_neon(const uint32_t *blocks, size_t size, uint32x4_t h) {
    for (size_t i = 0; i < size / 4; i++) {
        h = veorq_u32(h, vld1q_dup_u32(blocks + i));
        h = vsriq_n_u32(vshlq_n_u32(h, 13), h, 19);
        h = vmlaq_u32(vdupq_n_u32(EB_MURMUR3_STEP), h, vdupq_n_u32(5));
    }
    if (size % 4)
        h = veorq_u32(h, vld1q_dup_u32(blocks + size / 4));
    h = veorq_u32(h, vdupq_n_u32((uint32_t)size));
    h = vmulq_u32(veorq_u32(h, vshrq_n_u32(h, 16)), vdupq_n_u32(EB_MURMUR3_FINISH_1));
    h = vmulq_u32(veorq_u32(h, vshrq_n_u32(h, 13)), vdupq_n_u32(EB_MURMUR3_FINISH_2));
    return veorq_u32(h, vshrq_n_u32(h, 16));
}

static void eb_hash_murmur3_neon(const uint32_t *blocks, size_t n, size_t gram_size,
                                 const uint32_t *multipliers, size_t cols, uint32_t modulus,
                                 int64_t *sums) {
    const size_t stride = (gram_size + 3) / 4;
    const uint32x4_t m = vdupq_n_u32(modulus);
    const uint32x4_t quotient = vdupq_n_u32((uint32_t)(((uint64_t)1 << 32) / modulus));
    size_t j = 0;
    for (; j + 4 <= cols; j += 4) {
        const uint32x4_t seeds = vld1q_u32(multipliers + j);
        eb_sums_neon sum = eb_load_sums_neon(sums + j, n, modulus);
        for (size_t i = 0; i < n; i++) {
            const uint32x4_t s = eb_murmur3_neon(blocks + i * stride, gram_size, seeds);
            const uint64x2_t low = vmull_u32(vget_low_u32(s), vget_low_u32(quotient));
            const uint64x2_t high = vmull_high_u32(s, quotient);
            const uint32x4_t q = vrshrn_high_n_u64(vrshrn_n_u64(low, 32), high, 32);
            eb_add_products_neon(&sum, s, q, m);
        }
        eb_store_sums_neon(&sum, sums + j);
    }
    eb_hash_murmur3_scalar(blocks, n, gram_size, multipliers + j, cols - j, modulus, sums + j);
}

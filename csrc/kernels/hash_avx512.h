/* The hash kernels, sixteen columns at a time. Included where AVX-512 is switched on, or where
 * SIMDe stands in for it: tests/c/avx512_simde.h runs this file on any processor. */
#include <string.h>

#include "hash_scalar.h"

#define EB_ODD_LANES 0xaaaa

typedef struct eb_sums_avx512 {
    __m512i even, odd; /* int64[8]: sums of the residues in [0, modulus) */
    __m512i wraps;     /* int32[16]: how many of them are above modulus / 2 */
} eb_sums_avx512;

/* Adds the residues of x * h mod modulus, see eb_symmetric_product. */
static inline void eb_add_products_avx512(eb_sums_avx512 *sums, __m512i x, __m512i x_odd, __m512i h,
                                          __m512i quotient, __m512i quotient_odd, __m512i modulus) {
    const __m512i q_even = _mm512_srli_epi64(_mm512_mul_epu32(x, quotient), 32);
    const __m512i q_odd = _mm512_mul_epu32(x_odd, quotient_odd);
    const __m512i q = _mm512_mask_blend_epi32(EB_ODD_LANES, q_even, q_odd);
    __m512i r = _mm512_sub_epi32(_mm512_mullo_epi32(x, h), _mm512_mullo_epi32(q, modulus));
    r = _mm512_min_epu32(r, _mm512_sub_epi32(r, modulus));
    sums->wraps = _mm512_mask_add_epi32(sums->wraps,
                                        _mm512_cmpgt_epi32_mask(r, _mm512_srli_epi32(modulus, 1)),
                                        sums->wraps, _mm512_set1_epi32(1));
    sums->even = _mm512_add_epi64(sums->even,
                                  _mm512_mask_blend_epi32(EB_ODD_LANES, r, _mm512_setzero_si512()));
    sums->odd = _mm512_add_epi64(sums->odd, _mm512_srli_epi64(r, 32));
}

/* The first count numbers, at most sixteen, and zeros. */
static inline __m512i eb_load_avx512(const uint32_t *from, size_t count) {
    uint32_t tail[16] = {0};
    if (count < 16)
        from = memcpy(tail, from, count * sizeof *from);
    return _mm512_loadu_si512(from);
}

/* Adds the first count sums of symmetric residues, at most sixteen, to out. */
static inline void eb_store_sums_avx512(const eb_sums_avx512 *sums, __m512i modulus, size_t count,
                                        int64_t *out) {
    const __m512i wraps_odd = _mm512_srli_epi64(sums->wraps, 32);
    const __m512i even = _mm512_sub_epi64(sums->even, _mm512_mul_epu32(sums->wraps, modulus));
    const __m512i odd = _mm512_sub_epi64(sums->odd, _mm512_mul_epu32(wraps_odd, modulus));
    const __m512i low = _mm512_setr_epi64(0, 8, 1, 9, 2, 10, 3, 11);
    const __m512i high = _mm512_setr_epi64(4, 12, 5, 13, 6, 14, 7, 15);
    const __m512i sums_low = _mm512_permutex2var_epi64(even, low, odd);
    const __m512i sums_high = _mm512_permutex2var_epi64(even, high, odd);
    int64_t tail[16] = {0}, *to = count < 16 ? tail : out;
    _mm512_storeu_si512(to, _mm512_add_epi64(_mm512_loadu_si512(to), sums_low));
    _mm512_storeu_si512(to + 8, _mm512_add_epi64(_mm512_loadu_si512(to + 8), sums_high));
    for (size_t j = 0; count < 16 && j < count; j++)
        out[j] += tail[j];
}

static void eb_hash_poly_avx512(const uint32_t *grams, size_t n, const uint32_t *multipliers,
                                const uint32_t *quotients, size_t cols, uint32_t modulus,
                                int64_t *sums) {
    const __m512i m = _mm512_set1_epi32((int32_t)modulus);
    for (size_t j = 0; j < cols; j += 16) {
        const __m512i h = eb_load_avx512(multipliers + j, cols - j);
        const __m512i q = eb_load_avx512(quotients + j, cols - j);
        const __m512i q_odd = _mm512_srli_epi64(q, 32);
        const __m512i zero = _mm512_setzero_si512();
        eb_sums_avx512 sum = {zero, zero, zero};
        for (size_t i = 0; i < n; i++) {
            const __m512i s = _mm512_set1_epi32((int32_t)grams[i]);
            eb_add_products_avx512(&sum, s, s, h, q, q_odd, m);
        }
        eb_store_sums_avx512(&sum, m, cols - j, sums + j);
    }
}

static inline __m512i eb_xor_shift_avx512(__m512i x, unsigned bits) {
    return _mm512_xor_si512(x, _mm512_srli_epi32(x, bits));
}

/* eb_murmur3_blocks for sixteen seeds. */
static inline __m512i eb_murmur3_avx512(const uint32_t *blocks, size_t size, __m512i h) {
    const __m512i five = _mm512_set1_epi32(5), step = _mm512_set1_epi32((int32_t)EB_MURMUR3_STEP);
    const __m512i mix_1 = _mm512_set1_epi32((int32_t)EB_MURMUR3_FINISH_1);
    const __m512i mix_2 = _mm512_set1_epi32((int32_t)EB_MURMUR3_FINISH_2);
    for (size_t i = 0; i < size / 4; i++) {
        h = _mm512_xor_si512(h, _mm512_set1_epi32((int32_t)blocks[i]));
        h = _mm512_or_si512(_mm512_slli_epi32(h, 13), _mm512_srli_epi32(h, 19));
        h = _mm512_add_epi32(_mm512_mullo_epi32(h, five), step);
    }
    if (size % 4)
        h = _mm512_xor_si512(h, _mm512_set1_epi32((int32_t)blocks[size / 4]));
    h = _mm512_xor_si512(h, _mm512_set1_epi32((int32_t)size));
    h = _mm512_mullo_epi32(eb_xor_shift_avx512(h, 16), mix_1);
    h = _mm512_mullo_epi32(eb_xor_shift_avx512(h, 13), mix_2);
    return eb_xor_shift_avx512(h, 16);
}

static void eb_hash_murmur3_avx512(const uint32_t *blocks, size_t n, size_t gram_size,
                                   const uint32_t *multipliers, size_t cols, uint32_t modulus,
                                   int64_t *sums) {
    const size_t stride = (gram_size + 3) / 4;
    const __m512i m = _mm512_set1_epi32((int32_t)modulus), one = _mm512_set1_epi32(1);
    const __m512i q = _mm512_set1_epi32((int32_t)(((uint64_t)1 << 32) / modulus));
    for (size_t j = 0; j < cols; j += 16) {
        const __m512i seeds = eb_load_avx512(multipliers + j, cols - j);
        const __m512i zero = _mm512_setzero_si512();
        eb_sums_avx512 sum = {zero, zero, zero};
        for (size_t i = 0; i < n; i++) {
            const __m512i s = eb_murmur3_avx512(blocks + i * stride, gram_size, seeds);
            eb_add_products_avx512(&sum, s, _mm512_srli_epi64(s, 32), one, q, q, m);
        }
        eb_store_sums_avx512(&sum, m, cols - j, sums + j);
    }
}

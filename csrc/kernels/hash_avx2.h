/* The hash kernels, eight columns at a time. Included where AVX2 is switched on. Products of the
 * even and of the odd lanes are separate instructions, so sums are kept apart in the same way. */
#include "hash_scalar.h"

typedef struct eb_sums_avx2 {
    __m256i even, odd; /* int64[4]: sums of the residues in [0, modulus) */
    __m256i wraps;     /* int32[8]: how many of them are above modulus / 2 */
} eb_sums_avx2;

/* Adds the residues of x * h mod modulus, see eb_symmetric_product. */
static inline void eb_add_products_avx2(eb_sums_avx2 *sums, __m256i x, __m256i x_odd, __m256i h,
                                        __m256i quotient, __m256i quotient_odd, __m256i modulus) {
    const __m256i q_even = _mm256_srli_epi64(_mm256_mul_epu32(x, quotient), 32);
    const __m256i q_odd = _mm256_mul_epu32(x_odd, quotient_odd);
    const __m256i q = _mm256_blend_epi32(q_even, q_odd, 0xaa);
    __m256i r = _mm256_sub_epi32(_mm256_mullo_epi32(x, h), _mm256_mullo_epi32(q, modulus));
    r = _mm256_min_epu32(r, _mm256_sub_epi32(r, modulus));
    const __m256i is_wrapped = _mm256_cmpgt_epi32(r, _mm256_srli_epi32(modulus, 1));
    sums->wraps = _mm256_sub_epi32(sums->wraps, is_wrapped);
    sums->even = _mm256_add_epi64(sums->even, _mm256_blend_epi32(r, _mm256_setzero_si256(), 0xaa));
    sums->odd = _mm256_add_epi64(sums->odd, _mm256_srli_epi64(r, 32));
}

/* The first count numbers, at most eight, and zeros. */
static inline __m256i eb_load_avx2(const uint32_t *from, size_t count) {
    const __m256i lanes = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    const __m256i mask =
        _mm256_cmpgt_epi32(_mm256_set1_epi32(count < 8 ? (int32_t)count : 8), lanes);
    return _mm256_maskload_epi32((const int *)(const void *)from, mask);
}

/* Adds the first count sums of symmetric residues, at most eight, to out. */
static inline void eb_store_sums_avx2(const eb_sums_avx2 *sums, __m256i modulus, size_t count,
                                      int64_t *out) {
    const __m256i wraps_odd = _mm256_srli_epi64(sums->wraps, 32);
    const __m256i even = _mm256_sub_epi64(sums->even, _mm256_mul_epu32(sums->wraps, modulus));
    const __m256i odd = _mm256_sub_epi64(sums->odd, _mm256_mul_epu32(wraps_odd, modulus));
    const __m256i low = _mm256_unpacklo_epi64(even, odd);  /* columns 0 1 4 5 */
    const __m256i high = _mm256_unpackhi_epi64(even, odd); /* columns 2 3 6 7 */
    int64_t tail[8] = {0};
    __m256i *to = (__m256i *)(void *)(count < 8 ? tail : out);
    _mm256_storeu_si256(
        to, _mm256_add_epi64(_mm256_loadu_si256(to), _mm256_permute2x128_si256(low, high, 0x20)));
    _mm256_storeu_si256(to + 1, _mm256_add_epi64(_mm256_loadu_si256(to + 1),
                                                 _mm256_permute2x128_si256(low, high, 0x31)));
    for (size_t j = 0; count < 8 && j < count; j++)
        out[j] += tail[j];
}

static void eb_hash_poly_avx2(const uint32_t *grams, size_t n, const uint32_t *multipliers,
                              const uint32_t *quotients, size_t cols, uint32_t modulus,
                              int64_t *sums) {
    const __m256i m = _mm256_set1_epi32((int32_t)modulus);
    for (size_t j = 0; j < cols; j += 8) {
        const __m256i h = eb_load_avx2(multipliers + j, cols - j);
        const __m256i q = eb_load_avx2(quotients + j, cols - j);
        const __m256i q_odd = _mm256_srli_epi64(q, 32);
        const __m256i zero = _mm256_setzero_si256();
        eb_sums_avx2 sum = {zero, zero, zero};
        for (size_t i = 0; i < n; i++) {
            const __m256i s = _mm256_set1_epi32((int32_t)grams[i]);
            eb_add_products_avx2(&sum, s, s, h, q, q_odd, m);
        }
        eb_store_sums_avx2(&sum, m, cols - j, sums + j);
    }
}

static inline __m256i eb_xor_shift_avx2(__m256i x, int bits) {
    return _mm256_xor_si256(x, _mm256_srli_epi32(x, bits));
}

/* eb_murmur3_blocks for eight seeds. */
static inline __m256i eb_murmur3_avx2(const uint32_t *blocks, size_t size, __m256i h) {
    const __m256i five = _mm256_set1_epi32(5), step = _mm256_set1_epi32((int32_t)EB_MURMUR3_STEP);
    const __m256i mix_1 = _mm256_set1_epi32((int32_t)EB_MURMUR3_FINISH_1);
    const __m256i mix_2 = _mm256_set1_epi32((int32_t)EB_MURMUR3_FINISH_2);
    for (size_t i = 0; i < size / 4; i++) {
        h = _mm256_xor_si256(h, _mm256_set1_epi32((int32_t)blocks[i]));
        h = _mm256_or_si256(_mm256_slli_epi32(h, 13), _mm256_srli_epi32(h, 19));
        h = _mm256_add_epi32(_mm256_mullo_epi32(h, five), step);
    }
    if (size % 4)
        h = _mm256_xor_si256(h, _mm256_set1_epi32((int32_t)blocks[size / 4]));
    h = _mm256_xor_si256(h, _mm256_set1_epi32((int32_t)size));
    h = _mm256_mullo_epi32(eb_xor_shift_avx2(h, 16), mix_1);
    h = _mm256_mullo_epi32(eb_xor_shift_avx2(h, 13), mix_2);
    return eb_xor_shift_avx2(h, 16);
}

static void eb_hash_murmur3_avx2(const uint32_t *blocks, size_t n, size_t gram_size,
                                 const uint32_t *multipliers, size_t cols, uint32_t modulus,
                                 int64_t *sums) {
    const size_t stride = (gram_size + 3) / 4;
    const __m256i m = _mm256_set1_epi32((int32_t)modulus), one = _mm256_set1_epi32(1);
    const __m256i q = _mm256_set1_epi32((int32_t)(((uint64_t)1 << 32) / modulus));
    for (size_t j = 0; j < cols; j += 8) {
        const __m256i seeds = eb_load_avx2(multipliers + j, cols - j);
        const __m256i zero = _mm256_setzero_si256();
        eb_sums_avx2 sum = {zero, zero, zero};
        for (size_t i = 0; i < n; i++) {
            const __m256i s = eb_murmur3_avx2(blocks + i * stride, gram_size, seeds);
            eb_add_products_avx2(&sum, s, _mm256_srli_epi64(s, 32), one, q, q, m);
        }
        eb_store_sums_avx2(&sum, m, cols - j, sums + j);
    }
}

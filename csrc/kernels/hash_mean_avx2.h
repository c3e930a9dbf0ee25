/* The hash's division, four columns at a time; AVX-512 divides no faster than AVX2. Included where
 * either is switched on. */
#include "hash_scalar.h"

static void eb_hash_mean_avx2(const int64_t *sums, size_t cols, uint64_t divisor, float *means) {
    /* AVX2 converts no int64 to double, but adding one to the bits of 1.5 * 2^52 is the same as
     * adding it to that number, while it stays below 2^51. */
    const __m256d bias = _mm256_set1_pd(6755399441055744.0), d = _mm256_set1_pd((double)divisor);
    const size_t vectors = divisor < (uint64_t)1 << 51 ? cols / 4 : 0;
    for (size_t j = 0; j < 4 * vectors; j += 4) {
        __m256i sum = _mm256_loadu_si256((const __m256i *)(const void *)(sums + j));
        sum = _mm256_add_epi64(_mm256_add_epi64(sum, sum), _mm256_castpd_si256(bias));
        const __m256d number = _mm256_sub_pd(_mm256_castsi256_pd(sum), bias);
        _mm_storeu_ps(means + j, _mm256_cvtpd_ps(_mm256_div_pd(number, d)));
    }
    eb_hash_mean_scalar(sums + 4 * vectors, cols - 4 * vectors, divisor, means + 4 * vectors);
}

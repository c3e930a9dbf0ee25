/* The matrix product of four-bit weights for AVX2, without unpacking them to int8. The half bytes,
 * 0 to 15, are the unsigned factors of vpmaddubsw and x the signed ones, so that 32 products take
 * one instruction. Their sums over a group of EB_I4_GROUP inputs fit int16, from which 8 times the
 * sum of x has been taken before, as the weights are the halves less 8; then come the scales.
 * Included where AVX2 or more is switched on. */
#ifndef EB_I4_AVX2_H
#define EB_I4_AVX2_H

#include "i4.h"
#include "target.h"

#define EB_I4_ROWS 4
#define EB_I4_WIDE_ROWS 8 /* for which a block of weights is used while it is near */
#define EB_I4_IN 512      /* inputs whose groups' sums of x are kept at a time */

/* Of each group of a row -8 times the sum of x, of the even and of the odd pairs: two int16. */
static EB_ALWAYS_INLINE void eb_i4_offsets_avx2(const int8_t *x, size_t in, int32_t *offsets) {
    for (size_t g = 0; g < in / EB_I4_GROUP; g++, x += EB_I4_GROUP) {
        const __m256i pairs =
            _mm256_maddubs_epi16(_mm256_set1_epi8(8), _mm256_loadu_si256((const void *)x));
        __m128i sum =
            _mm_add_epi16(_mm256_castsi256_si128(pairs), _mm256_extracti128_si256(pairs, 1));
        sum = _mm_add_epi16(sum, _mm_srli_si128(sum, 8));
        sum = _mm_add_epi16(sum, _mm_srli_si128(sum, 4));
        offsets[g] = _mm_cvtsi128_si32(_mm_sub_epi16(_mm_setzero_si128(), sum));
    }
}

/* A scale for each int16 of 8 columns' sums. */
static EB_ALWAYS_INLINE __m256i eb_i4_scales_avx2(const uint8_t *scales) {
    const __m256i wide = _mm256_cvtepu8_epi32(_mm_loadl_epi64((const void *)scales));
    return _mm256_or_si256(wide, _mm256_slli_epi32(wide, 16));
}

/* acc[rows, 16] (+)= x[rows, in] times a block, from its scales and its halves of these inputs. */
static EB_ALWAYS_INLINE void eb_i4_tile_avx2(const int8_t *x, size_t ldx, size_t rows, size_t in,
                                             const int32_t (*offsets)[EB_I4_IN / EB_I4_GROUP],
                                             const uint8_t *scales, const uint8_t *halves,
                                             int is_first, int32_t *acc, size_t ld) {
    const __m256i mask = _mm256_set1_epi8(15);
    __m256i sums[EB_I4_ROWS][2];
    for (size_t r = 0; r < rows; r++)
        for (size_t v = 0; v < 2; v++)
            sums[r][v] = is_first ? _mm256_setzero_si256()
                                  : _mm256_loadu_si256((const void *)(acc + r * ld + 8 * v));
    for (size_t g = 0; g < in / EB_I4_GROUP; g++, scales += EB_BLOCK) {
        __m256i group[EB_I4_ROWS][2];
        for (size_t r = 0; r < rows; r++)
            group[r][0] = group[r][1] = _mm256_set1_epi32(offsets[r][g]);
        for (size_t k = 0; k < EB_I4_GROUP; k += 4, halves += 32) {
            const __m256i both = _mm256_loadu_si256((const void *)halves);
            const __m256i low = _mm256_and_si256(both, mask);
            const __m256i high = _mm256_and_si256(_mm256_srli_epi16(both, 4), mask);
            for (size_t r = 0; r < rows; r++) {
                int32_t four;
                memcpy(&four, x + r * ldx + g * EB_I4_GROUP + k, sizeof four);
                const __m256i inputs = _mm256_set1_epi32(four);
                /* Nothing saturates, but compilers leave the order of these additions alone. */
                group[r][0] = _mm256_adds_epi16(group[r][0], _mm256_maddubs_epi16(low, inputs));
                group[r][1] = _mm256_adds_epi16(group[r][1], _mm256_maddubs_epi16(high, inputs));
            }
        }
        for (size_t v = 0; v < 2; v++) {
            const __m256i scale = eb_i4_scales_avx2(scales + 8 * v);
            for (size_t r = 0; r < rows; r++)
                sums[r][v] = _mm256_add_epi32(sums[r][v], _mm256_madd_epi16(group[r][v], scale));
        }
    }
    for (size_t r = 0; r < rows; r++)
        for (size_t v = 0; v < 2; v++)
            _mm256_storeu_si256((void *)(acc + r * ld + 8 * v), sums[r][v]);
}

/* A number of rows that the compiler knows keeps the sums in registers. */
static inline void eb_i4_rows_avx2(const int8_t *x, size_t ldx, size_t rows, size_t in,
                                   const int32_t (*offsets)[EB_I4_IN / EB_I4_GROUP],
                                   const uint8_t *scales, const uint8_t *halves, int is_first,
                                   int32_t *acc, size_t ld) {
    if (rows >= 4)
        eb_i4_tile_avx2(x, ldx, 4, in, offsets, scales, halves, is_first, acc, ld);
    else if (rows == 3)
        eb_i4_tile_avx2(x, ldx, 3, in, offsets, scales, halves, is_first, acc, ld);
    else if (rows == 2)
        eb_i4_tile_avx2(x, ldx, 2, in, offsets, scales, halves, is_first, acc, ld);
    else
        eb_i4_tile_avx2(x, ldx, 1, in, offsets, scales, halves, is_first, acc, ld);
}

static inline void eb_gemm_i4_avx2(const int8_t *x, size_t ldx, size_t n, size_t in,
                                   const uint8_t *w, size_t blocks, int32_t *acc, size_t ld) {
    int32_t offsets[EB_I4_WIDE_ROWS][EB_I4_IN / EB_I4_GROUP];
    for (size_t rows; n > 0; n -= rows, x += rows * ldx, acc += rows * ld) {
        rows = n < EB_I4_WIDE_ROWS ? n : EB_I4_WIDE_ROWS;
        for (size_t k = 0; k < in; k += EB_I4_IN) {
            const size_t part = in - k < EB_I4_IN ? in - k : EB_I4_IN;
            for (size_t r = 0; r < rows; r++)
                eb_i4_offsets_avx2(x + r * ldx + k, part, offsets[r]);
            for (size_t b = 0; b < blocks; b++) {
                const uint8_t *scales = w + b * EB_I4_SIZE(in, EB_BLOCK);
                const uint8_t *halves = scales + in / EB_I4_GROUP * EB_BLOCK + k * 8;
                for (size_t r = 0; r < rows; r += EB_I4_ROWS)
                    eb_i4_rows_avx2(x + r * ldx + k, ldx, rows - r, part,
                                    (const int32_t(*)[EB_I4_IN / EB_I4_GROUP]) offsets + r,
                                    scales + k / EB_I4_GROUP * EB_BLOCK, halves, k == 0,
                                    acc + r * ld + b * EB_BLOCK, ld);
            }
        }
    }
}

#endif

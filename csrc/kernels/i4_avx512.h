/* The matrix product of four-bit weights with AVX-512's dot products (VNNI), without unpacking them
 * to int8: the half bytes, 0 to 15, are the unsigned factors. The sums over a group begin at -8
 * times that of x, as the weights are the halves less 8, and fit int16; then come the scales.
 * Included where VNNI is switched on, or where SIMDe stands in for it. */
#ifndef EB_I4_AVX512_H
#define EB_I4_AVX512_H

#include "i4.h"
#include "target.h"

#define EB_I4_VNNI_ROWS 8
#define EB_I4_VNNI_GROUPS 16 /* whose sums of x are kept at a time */

/* -8 times the sum of each group of a row. */
static EB_ALWAYS_INLINE void eb_i4_offsets_vnni(const int8_t *x, size_t groups, int32_t *offsets) {
    for (size_t g = 0; g < groups; g++, x += EB_I4_GROUP) {
        const __m256i lanes = _mm256_dpbusd_epi32(_mm256_setzero_si256(), _mm256_set1_epi8(8),
                                                  _mm256_loadu_si256((const void *)x));
        __m128i sum =
            _mm_add_epi32(_mm256_castsi256_si128(lanes), _mm256_extracti128_si256(lanes, 1));
        sum = _mm_add_epi32(sum, _mm_srli_si128(sum, 8));
        sum = _mm_add_epi32(sum, _mm_srli_si128(sum, 4));
        offsets[g] = -_mm_cvtsi128_si32(sum);
    }
}

/* acc[rows, EB_BLOCK] (+)= x[rows, groups * EB_I4_GROUP] times a block, from its scales and halves
 * of these groups. Called with constants for rows, so that the sums stay in registers. */
static EB_ALWAYS_INLINE void eb_i4_tile_vnni(const int8_t *x, size_t ldx, size_t rows,
                                             size_t groups,
                                             const int32_t (*offsets)[EB_I4_VNNI_GROUPS],
                                             const uint8_t *scales, const uint8_t *halves,
                                             int is_first, int32_t *acc, size_t ld) {
    const __m512i mask = _mm512_set1_epi8(15);
    const __m512i places = _mm512_set_epi64(4, 4, 4, 4, 0, 0, 0, 0);
    __m512i sums[EB_I4_VNNI_ROWS];
    for (size_t r = 0; r < rows; r++)
        sums[r] =
            is_first ? _mm512_setzero_si512() : _mm512_loadu_si512((const void *)(acc + r * ld));
    for (size_t g = 0; g < groups; g++, scales += EB_BLOCK) {
        __m512i group[EB_I4_VNNI_ROWS];
        for (size_t r = 0; r < rows; r++)
            group[r] = _mm512_set1_epi32(offsets[r][g]);
        for (size_t k = 0; k < EB_I4_GROUP; k += 4, halves += 32) {
            const __m512i both = _mm512_broadcast_i64x4(_mm256_loadu_si256((const void *)halves));
            const __m512i weights = _mm512_and_si512(_mm512_srlv_epi64(both, places), mask);
            for (size_t r = 0; r < rows; r++) {
                int32_t inputs;
                memcpy(&inputs, x + r * ldx + g * EB_I4_GROUP + k, sizeof inputs);
                group[r] = _mm512_dpbusd_epi32(group[r], weights, _mm512_set1_epi32(inputs));
            }
        }
        const __m512i scale = _mm512_cvtepu8_epi32(_mm_loadu_si128((const void *)scales));
        for (size_t r = 0; r < rows; r++)
            sums[r] = _mm512_dpwssd_epi32(sums[r], group[r], scale);
    }
    for (size_t r = 0; r < rows; r++)
        _mm512_storeu_si512((void *)(acc + r * ld), sums[r]);
}

static void eb_gemm_i4_vnni(const int8_t *x, size_t ldx, size_t n, size_t in, const uint8_t *w,
                            size_t blocks, int32_t *acc, size_t ld) {
    const size_t all = in / EB_I4_GROUP;
    int32_t offsets[EB_I4_VNNI_ROWS][EB_I4_VNNI_GROUPS];
    for (size_t rows; n > 0; n -= rows, x += rows * ldx, acc += rows * ld) {
        rows = n >= 8 ? 8 : n >= 4 ? 4 : n >= 2 ? 2 : 1;
        for (size_t first = 0; first < all; first += EB_I4_VNNI_GROUPS) {
            const size_t groups = all - first < EB_I4_VNNI_GROUPS ? all - first : EB_I4_VNNI_GROUPS;
            const int8_t *part = x + first * EB_I4_GROUP;
            for (size_t r = 0; r < rows; r++)
                eb_i4_offsets_vnni(part + r * ldx, groups, offsets[r]);
            const int32_t(*own)[EB_I4_VNNI_GROUPS] = (const int32_t(*)[EB_I4_VNNI_GROUPS])offsets;
            for (size_t b = 0; b < blocks; b++) {
                const uint8_t *block = w + b * EB_I4_SIZE(in, EB_BLOCK);
                const uint8_t *scales = block + first * EB_BLOCK;
                const uint8_t *halves = block + all * EB_BLOCK + first * EB_I4_GROUP * 8;
                int32_t *out = acc + b * EB_BLOCK;
                if (rows == 8)
                    eb_i4_tile_vnni(part, ldx, 8, groups, own, scales, halves, first == 0, out, ld);
                else if (rows == 4)
                    eb_i4_tile_vnni(part, ldx, 4, groups, own, scales, halves, first == 0, out, ld);
                else if (rows == 2)
                    eb_i4_tile_vnni(part, ldx, 2, groups, own, scales, halves, first == 0, out, ld);
                else
                    eb_i4_tile_vnni(part, ldx, 1, groups, own, scales, halves, first == 0, out, ld);
            }
        }
    }
}

#endif

/* Integer kernels for AVX2, with the results of i8.h to the byte. Included where AVX2 or more is
 * switched on. */
#ifndef EB_I8_AVX2_H
#define EB_I8_AVX2_H

#include "i8.h"

/* A tile's sums stay in registers; its rows of x are widened to int16 once for all blocks. */
#define EB_TILE_ROWS 4
#define EB_TILE_COLS 8
#define EB_TILE_IN 512

/* acc[rows, 8] (+)= x[rows, in] w: inputs times weights in pairs, which vpmaddwd adds exactly. */
static inline void eb_tile_avx2(const int16_t (*x)[EB_TILE_IN], size_t rows, size_t in,
                                const int8_t *w, int is_first, int32_t *acc, size_t ld) {
    __m256i sums[EB_TILE_ROWS][2];
    for (size_t i = 0; i < rows; i++)
        sums[i][0] = sums[i][1] = _mm256_setzero_si256();
    for (size_t k = 0; k < in; k += 4, w += 4 * EB_BLOCK) {
        const __m128i *quads = (const __m128i *)(const void *)w;
        const __m256i w0 = _mm256_cvtepi8_epi16(_mm_loadu_si128(quads));
        const __m256i w1 = _mm256_cvtepi8_epi16(_mm_loadu_si128(quads + 1));
        for (size_t i = 0; i < rows; i++) {
            int64_t quad;
            memcpy(&quad, x[i] + k, sizeof quad);
            const __m256i inputs = _mm256_set1_epi64x(quad);
            sums[i][0] = _mm256_add_epi32(sums[i][0], _mm256_madd_epi16(inputs, w0));
            sums[i][1] = _mm256_add_epi32(sums[i][1], _mm256_madd_epi16(inputs, w1));
        }
    }
    for (size_t i = 0; i < rows; i++) {
        __m256i *out = (__m256i *)(void *)(acc + i * ld);
        __m256i sum = _mm256_hadd_epi32(sums[i][0], sums[i][1]);
        sum = _mm256_permute4x64_epi64(sum, _MM_SHUFFLE(3, 1, 2, 0));
        if (!is_first)
            sum = _mm256_add_epi32(sum, _mm256_loadu_si256(out));
        _mm256_storeu_si256(out, sum);
    }
}

/* A number of rows that the compiler knows keeps the sums in registers. */
static inline void eb_tile_rows_avx2(const int16_t (*x)[EB_TILE_IN], size_t rows, size_t in,
                                     const int8_t *w, int is_first, int32_t *acc, size_t ld) {
    if (rows == 4)
        eb_tile_avx2(x, 4, in, w, is_first, acc, ld);
    else if (rows == 3)
        eb_tile_avx2(x, 3, in, w, is_first, acc, ld);
    else if (rows == 2)
        eb_tile_avx2(x, 2, in, w, is_first, acc, ld);
    else
        eb_tile_avx2(x, 1, in, w, is_first, acc, ld);
}

static void eb_gemm_i8_avx2(const int8_t *x, size_t ldx, size_t n, size_t in, const int8_t *w,
                            size_t blocks, int32_t *acc, size_t ld) {
    int16_t wide[EB_TILE_ROWS][EB_TILE_IN];
    for (size_t i = 0; i < n; i += EB_TILE_ROWS)
        for (size_t k = 0; k < in; k += EB_TILE_IN) {
            const size_t rows = n - i < EB_TILE_ROWS ? n - i : EB_TILE_ROWS;
            const size_t part = in - k < EB_TILE_IN ? in - k : EB_TILE_IN;
            for (size_t r = 0; r < rows; r++)
                for (size_t j = 0; j < part; j++)
                    wide[r][j] = x[(i + r) * ldx + k + j];
            for (size_t c = 0; c < blocks * EB_BLOCK; c += EB_TILE_COLS) {
                const int8_t *tile = w + c / EB_BLOCK * EB_BLOCK * in + c % EB_BLOCK * 4;
                eb_tile_rows_avx2((const int16_t(*)[EB_TILE_IN])wide, rows, part,
                                  tile + k * EB_BLOCK, k == 0, acc + i * ld + c, ld);
            }
        }
}

#endif

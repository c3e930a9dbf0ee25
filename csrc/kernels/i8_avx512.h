/* The matrix product of i8.h with AVX-512's dot products (VNNI), which take one unsigned and one
 * signed factor: the weights plus 128, of which every sum gets 128 times the row of x too much.
 * Included where they are switched on, or where SIMDe stands in for them: tests/c/avx512_simde.h
 * runs this file on any processor. */
#include "i8.h"
#include "target.h"

#define EB_VNNI_ROWS 8
#define EB_VNNI_BLOCKS 2 /* at a time: more sums are under way, and x is loaded half as often */

/* acc[rows, blocks * EB_BLOCK] = x[rows, in] w. Called with constants for rows and blocks, so that
 * the sums stay in registers. */
static EB_ALWAYS_INLINE void eb_tile_vnni(const int8_t *x, size_t ldx, size_t rows, size_t in,
                                          const int8_t *w, size_t blocks, const int32_t *excess,
                                          int32_t *acc, size_t ld) {
    __m512i sums[EB_VNNI_ROWS][EB_VNNI_BLOCKS];
    for (size_t r = 0; r < rows; r++)
        for (size_t b = 0; b < blocks; b++)
            sums[r][b] = _mm512_set1_epi32(-excess[r]);
    for (size_t k = 0; k < in; k += 4, w += 4 * EB_BLOCK) {
        __m512i plus_128[EB_VNNI_BLOCKS];
        for (size_t b = 0; b < blocks; b++)
            plus_128[b] = _mm512_xor_si512(
                _mm512_loadu_si512((const void *)(w + b * in * EB_BLOCK)), _mm512_set1_epi8(-128));
        for (size_t r = 0; r < rows; r++) {
            int32_t inputs;
            memcpy(&inputs, x + r * ldx + k, sizeof inputs);
            for (size_t b = 0; b < blocks; b++)
                sums[r][b] =
                    _mm512_dpbusd_epi32(sums[r][b], plus_128[b], _mm512_set1_epi32(inputs));
        }
    }
    for (size_t r = 0; r < rows; r++)
        for (size_t b = 0; b < blocks; b++)
            _mm512_storeu_si512((void *)(acc + r * ld + b * EB_BLOCK), sums[r][b]);
}

/* The same for any number of rows up to EB_VNNI_ROWS that is a power of two. */
static EB_ALWAYS_INLINE void eb_rows_vnni(const int8_t *x, size_t ldx, size_t rows, size_t in,
                                          const int8_t *w, size_t blocks, const int32_t *excess,
                                          int32_t *acc, size_t ld) {
    if (rows == 8)
        eb_tile_vnni(x, ldx, 8, in, w, blocks, excess, acc, ld);
    else if (rows == 4)
        eb_tile_vnni(x, ldx, 4, in, w, blocks, excess, acc, ld);
    else if (rows == 2)
        eb_tile_vnni(x, ldx, 2, in, w, blocks, excess, acc, ld);
    else
        eb_tile_vnni(x, ldx, 1, in, w, blocks, excess, acc, ld);
}

static void eb_gemm_i8_vnni(const int8_t *x, size_t ldx, size_t n, size_t in, const int8_t *w,
                            size_t blocks, int32_t *acc, size_t ld) {
    for (size_t rows; n > 0; n -= rows, x += rows * ldx, acc += rows * ld) {
        int32_t excess[EB_VNNI_ROWS] = {0};
        size_t b = 0;
        rows = n >= 8 ? 8 : n >= 4 ? 4 : n >= 2 ? 2 : 1;
        for (size_t r = 0; r < rows; r++) {
            for (size_t k = 0; k < in; k++)
                excess[r] += x[r * ldx + k];
            excess[r] *= 128;
        }
        for (; b + EB_VNNI_BLOCKS <= blocks; b += EB_VNNI_BLOCKS)
            eb_rows_vnni(x, ldx, rows, in, w + b * in * EB_BLOCK, EB_VNNI_BLOCKS, excess,
                         acc + b * EB_BLOCK, ld);
        if (b < blocks)
            eb_rows_vnni(x, ldx, rows, in, w + b * in * EB_BLOCK, 1, excess, acc + b * EB_BLOCK,
                         ld);
    }
}

/* The AMX kernels on any processor: tiles in plain C, with the checks of the real ones, so that the
 * source that is tested is the one that is shipped. What a processor answers with an exception is
 * counted as a failure. */
#ifndef EB_AMX_EMULATION_H
#define EB_AMX_EMULATION_H

#include "check.h"
#include "kernels/i8.h"

#include <string.h>

#define TILES 8
#define TILE_ROWS 16
#define TILE_ROW_BYTES 64

static struct {
    int configured;
    size_t rows[TILES], row_bytes[TILES];
    int8_t bytes[TILES][TILE_ROWS][TILE_ROW_BYTES];
} tiles;

static void emulated_release(void) {
    memset(&tiles, 0, sizeof tiles);
}

/* Also sets all tiles to zeros, as LDTILECFG does. */
static void emulated_loadconfig(const void *config) {
    uint8_t bytes[64];
    memcpy(bytes, config, sizeof bytes);
    emulated_release();
    CHECK(bytes[0] == 1 && bytes[1] == 0, "palette %d, start row %d", bytes[0], bytes[1]);
    tiles.configured = 1;
    for (size_t i = 2; i < 16; i++)
        CHECK(bytes[i] == 0, "reserved byte %zu", i);
    for (size_t t = 0; t < 16; t++) {
        const size_t rows = bytes[48 + t], row_bytes = bytes[16 + 2 * t] + 256u * bytes[17 + 2 * t];
        const int is_shape =
            rows <= TILE_ROWS && row_bytes <= TILE_ROW_BYTES && !rows == !row_bytes;
        CHECK(is_shape && (t < TILES || !rows), "tile %zu: %zu rows of %zu", t, rows, row_bytes);
        if (is_shape && t < TILES) {
            tiles.rows[t] = rows;
            tiles.row_bytes[t] = row_bytes;
        }
    }
}

static int is_configured(int t) {
    const int is = tiles.configured && t >= 0 && t < TILES && tiles.rows[t] > 0;
    CHECK(is, "tile %d is not configured", t);
    return is;
}

static void emulated_zero(int t) {
    if (is_configured(t))
        memset(tiles.bytes[t], 0, sizeof tiles.bytes[t]);
}

static void emulated_loadd(int t, const void *base, size_t stride) {
    if (!is_configured(t))
        return;
    memset(tiles.bytes[t], 0, sizeof tiles.bytes[t]);
    for (size_t r = 0; r < tiles.rows[t]; r++)
        memcpy(tiles.bytes[t][r], (const int8_t *)base + r * stride, tiles.row_bytes[t]);
}

static void emulated_stored(int t, void *base, size_t stride) {
    if (!is_configured(t))
        return;
    for (size_t r = 0; r < tiles.rows[t]; r++)
        memcpy((int8_t *)base + r * stride, tiles.bytes[t][r], tiles.row_bytes[t]);
}

/* sums[m, n] += a[m, 4 k] b[k, n, 4] */
static void emulated_dpbssd(int sums, int a, int b) {
    if (!is_configured(sums) || !is_configured(a) || !is_configured(b))
        return;
    const size_t rows = tiles.rows[sums], columns = tiles.row_bytes[sums] / 4, k = tiles.rows[b];
    const int fits = tiles.rows[a] == rows && tiles.row_bytes[b] == 4 * columns &&
                     tiles.row_bytes[sums] == 4 * columns && tiles.row_bytes[a] == 4 * k;
    CHECK(fits && sums != a && sums != b && a != b, "tiles %d, %d and %d", sums, a, b);
    if (!fits)
        return;
    for (size_t m = 0; m < rows; m++)
        for (size_t n = 0; n < columns; n++) {
            int32_t sum;
            memcpy(&sum, tiles.bytes[sums][m] + 4 * n, sizeof sum);
            for (size_t i = 0; i < 4 * k; i++)
                sum += tiles.bytes[a][m][i] * tiles.bytes[b][i / 4][4 * n + i % 4];
            memcpy(tiles.bytes[sums][m] + 4 * n, &sum, sizeof sum);
        }
}

/* Compilers for x86 may have these already, as macros or as functions. */
#undef _tile_loadconfig
#undef _tile_release
#undef _tile_zero
#undef _tile_loadd
#undef _tile_stored
#undef _tile_dpbssd
#define _tile_loadconfig emulated_loadconfig
#define _tile_release emulated_release
#define _tile_zero emulated_zero
#define _tile_loadd emulated_loadd
#define _tile_stored emulated_stored
#define _tile_dpbssd emulated_dpbssd
#include "kernels/i8_amx.h"

/* Tiles that stay configured slow every later switch to another thread down. */
static void gemm_i8_amx_emulated(const int8_t *x, size_t ldx, size_t n, size_t in, const int8_t *w,
                                 size_t blocks, int32_t *acc, size_t ld) {
    eb_gemm_i8_amx(x, ldx, n, in, w, blocks, acc, ld);
    CHECK(!tiles.configured, "tiles stay configured");
}

static const eb_kernels amx_emulated = {
    .name = "amx, emulated",
    .gemm_i8 = gemm_i8_amx_emulated,
    EB_I8_KERNELS,
};

#endif

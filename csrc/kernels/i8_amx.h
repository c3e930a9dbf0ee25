/* The matrix product of i8.h with AMX's tiles: 16 rows of 64 bytes each, of which one instruction
 * adds a product. A block of weights is laid out as it takes them, 64 inputs at a time.
 * Included where AMX is switched on, or where tests/c/amx_emulation.h stands in for it. */
#ifndef EB_I8_AMX_H
#define EB_I8_AMX_H

#include "i8.h"
#include "target.h"

#define EB_AMX_ROWS 16 /* of a tile */
#define EB_AMX_IN 64   /* bytes of a tile's row */
#define EB_AMX_BLOCKS 4

/* The tiles. 0 to 3 are sums of as many blocks: that many products are under way at a time. The
 * last two have the shapes of the inputs behind the last whole tile. Macros, as compilers write
 * the numbers into instructions. */
#define EB_AMX_X 4
#define EB_AMX_W 5
#define EB_AMX_X_REST 6
#define EB_AMX_W_REST 7

/* What LDTILECFG reads; a tile without rows is switched off. */
typedef struct eb_amx_config {
    uint8_t palette, start_row, reserved[14];
    uint16_t row_bytes[16];
    uint8_t rows[16];
} eb_amx_config;

static inline void eb_shape_amx(eb_amx_config *config, int tile, size_t rows, size_t row_bytes) {
    config->rows[tile] = (uint8_t)rows;
    config->row_bytes[tile] = (uint16_t)row_bytes;
}

/* Switches tiles on for that many rows of x. */
static inline void eb_configure_amx(size_t rows, size_t rest) {
    eb_amx_config config = {.palette = 1};
    for (int sums = 0; sums < EB_AMX_BLOCKS; sums++)
        eb_shape_amx(&config, sums, rows, EB_BLOCK * sizeof(int32_t));
    eb_shape_amx(&config, EB_AMX_X, rows, EB_AMX_IN);
    eb_shape_amx(&config, EB_AMX_W, EB_AMX_IN / 4, 4 * EB_BLOCK);
    if (rest) {
        eb_shape_amx(&config, EB_AMX_X_REST, rows, rest);
        eb_shape_amx(&config, EB_AMX_W_REST, rest / 4, 4 * EB_BLOCK);
    }
    __asm__ volatile("" ::: "memory"); /* GCC's intrinsics do not say that they read it. */
    _tile_loadconfig(&config);
}

/* Adds the product of the inputs in tile x and of a block's weights for them. */
#define EB_AMX_ADD(sums, x, w, weights)                                                            \
    do {                                                                                           \
        _tile_loadd(w, weights, 4 * EB_BLOCK);                                                     \
        _tile_dpbssd(sums, x, w);                                                                  \
    } while (0)

/* acc[rows, EB_AMX_BLOCKS * EB_BLOCK] = x[rows, in] w, rows as configured. */
static inline void eb_tile_4_amx(const int8_t *x, size_t ldx, size_t in, const int8_t *w,
                                 int32_t *acc, size_t ld) {
    const size_t block = in * EB_BLOCK;
    size_t k = 0;
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
    for (; k + EB_AMX_IN <= in; k += EB_AMX_IN, w += EB_AMX_IN * EB_BLOCK) {
        _tile_loadd(EB_AMX_X, x + k, ldx);
        EB_AMX_ADD(0, EB_AMX_X, EB_AMX_W, w);
        EB_AMX_ADD(1, EB_AMX_X, EB_AMX_W, w + block);
        EB_AMX_ADD(2, EB_AMX_X, EB_AMX_W, w + 2 * block);
        EB_AMX_ADD(3, EB_AMX_X, EB_AMX_W, w + 3 * block);
    }
    if (k < in) {
        _tile_loadd(EB_AMX_X_REST, x + k, ldx);
        EB_AMX_ADD(0, EB_AMX_X_REST, EB_AMX_W_REST, w);
        EB_AMX_ADD(1, EB_AMX_X_REST, EB_AMX_W_REST, w + block);
        EB_AMX_ADD(2, EB_AMX_X_REST, EB_AMX_W_REST, w + 2 * block);
        EB_AMX_ADD(3, EB_AMX_X_REST, EB_AMX_W_REST, w + 3 * block);
    }
    _tile_stored(0, acc, ld * sizeof *acc);
    _tile_stored(1, acc + EB_BLOCK, ld * sizeof *acc);
    _tile_stored(2, acc + 2 * EB_BLOCK, ld * sizeof *acc);
    _tile_stored(3, acc + 3 * EB_BLOCK, ld * sizeof *acc);
}

/* The same for one block. */
static inline void eb_tile_amx(const int8_t *x, size_t ldx, size_t in, const int8_t *w,
                               int32_t *acc, size_t ld) {
    size_t k = 0;
    _tile_zero(0);
    for (; k + EB_AMX_IN <= in; k += EB_AMX_IN, w += EB_AMX_IN * EB_BLOCK) {
        _tile_loadd(EB_AMX_X, x + k, ldx);
        EB_AMX_ADD(0, EB_AMX_X, EB_AMX_W, w);
    }
    if (k < in) {
        _tile_loadd(EB_AMX_X_REST, x + k, ldx);
        EB_AMX_ADD(0, EB_AMX_X_REST, EB_AMX_W_REST, w);
    }
    _tile_stored(0, acc, ld * sizeof *acc);
}

static void eb_gemm_i8_amx(const int8_t *x, size_t ldx, size_t n, size_t in, const int8_t *w,
                           size_t blocks, int32_t *acc, size_t ld) {
    const size_t block = in * EB_BLOCK;
    for (size_t i = 0; i < n; i += EB_AMX_ROWS, x += EB_AMX_ROWS * ldx, acc += EB_AMX_ROWS * ld) {
        size_t b = 0;
        if (i == 0 || n - i < EB_AMX_ROWS)
            eb_configure_amx(n - i < EB_AMX_ROWS ? n - i : EB_AMX_ROWS, in % EB_AMX_IN);
        for (; b + EB_AMX_BLOCKS <= blocks; b += EB_AMX_BLOCKS)
            eb_tile_4_amx(x, ldx, in, w + b * block, acc + b * EB_BLOCK, ld);
        for (; b < blocks; b++)
            eb_tile_amx(x, ldx, in, w + b * block, acc + b * EB_BLOCK, ld);
    }
    _tile_release();
}

#endif

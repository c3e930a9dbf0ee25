/* Four-bit weights, which become the int8 weights that they stand for just before they are used.
 *
 * A block of 16 columns is: a scale, 1 to 17, for each 32 inputs of each column, [in / 32][16];
 * then for each 4 inputs 32 bytes, [in / 4][32], of which byte i holds weight i of [16][4] in its
 * lower half and weight 32 + i in its upper half, both less 8 and times their scale. */
#ifndef EB_I4_H
#define EB_I4_H

#include "kernels.h"

/* weights[in, 16], in the layout of int8 weights, from one block; in is a multiple of 32. */
static inline void eb_unpack_i4(const uint8_t *block, size_t in, int8_t *weights) {
    const uint8_t *halves = block + in / EB_I4_GROUP * EB_BLOCK;
    for (size_t g = 0; g < in / EB_I4_GROUP; g++, block += EB_BLOCK) {
        int16_t scales[4 * EB_BLOCK]; /* of [16][4], and of each 4 inputs of the group the same */
        for (size_t i = 0; i < 4 * EB_BLOCK; i++)
            scales[i] = block[i / 4];
        for (size_t k = 0; k < EB_I4_GROUP; k += 4, halves += 32, weights += 4 * EB_BLOCK) {
            for (size_t i = 0; i < 32; i++)
                weights[i] = (int8_t)(((halves[i] & 15) - 8) * scales[i]);
            for (size_t i = 0; i < 32; i++)
                weights[32 + i] = (int8_t)(((halves[i] >> 4) - 8) * scales[32 + i]);
        }
    }
}

/* weights[in], those of one column of a block. */
static inline void eb_unpack_i4_column(const uint8_t *block, size_t in, size_t column,
                                       int8_t *weights) {
    const uint8_t *halves = block + in / EB_I4_GROUP * EB_BLOCK + column % 8 * 4;
    const int shift = column < 8 ? 0 : 4;
    for (size_t k = 0; k < in; k += 4, halves += 32) {
        const int32_t scale = block[k / EB_I4_GROUP * EB_BLOCK + column];
        for (size_t i = 0; i < 4; i++)
            weights[k + i] = (int8_t)(((halves[i] >> shift & 15) - 8) * scale);
    }
}

#endif

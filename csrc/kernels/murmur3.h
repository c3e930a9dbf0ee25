/* The steps of MurmurHash3 (x86, 32 bit; Austin Appleby, public domain), shared by all kernels.
 * A block is 4 bytes as a little-endian number; the last one may have fewer. */
#ifndef EB_MURMUR3_H
#define EB_MURMUR3_H

#include <stddef.h>
#include <stdint.h>

#define EB_MURMUR3_STEP 0xe6546b64u
#define EB_MURMUR3_FINISH_1 0x85ebca6bu
#define EB_MURMUR3_FINISH_2 0xc2b2ae35u

static inline uint32_t eb_rotate_left(uint32_t x, unsigned bits) {
    return (x << bits) | (x >> (32 - bits));
}

/* What a block is before it meets the seed: the same for every column. */
static inline uint32_t eb_murmur3_scramble(uint32_t block) {
    return eb_rotate_left(block * 0xcc9e2d51u, 15) * 0x1b873593u;
}

static inline uint32_t eb_murmur3_add_block(uint32_t h, uint32_t scrambled) {
    return eb_rotate_left(h ^ scrambled, 13) * 5 + EB_MURMUR3_STEP;
}

static inline uint32_t eb_murmur3_finish(uint32_t h, uint32_t size) {
    h ^= size;
    h = (h ^ h >> 16) * EB_MURMUR3_FINISH_1;
    h = (h ^ h >> 13) * EB_MURMUR3_FINISH_2;
    return h ^ h >> 16;
}

/* The hash of size bytes, given as ceil(size / 4) scrambled blocks. */
static inline uint32_t eb_murmur3_blocks(const uint32_t *blocks, size_t size, uint32_t seed) {
    uint32_t h = seed;
    for (size_t i = 0; i < size / 4; i++)
        h = eb_murmur3_add_block(h, blocks[i]);
    if (size % 4)
        h ^= blocks[size / 4];
    return eb_murmur3_finish(h, (uint32_t)size);
}

#endif

/* The hash embedding's inside; private to csrc. docs/design.md has the definition. */
#ifndef EB_HASH_H
#define EB_HASH_H

#include "edgebert.h"
#include "kernels/kernels.h"

struct eb_hash {
    eb_hash_params params;
    const eb_kernels *kernels;
    uint32_t *multipliers; /* h_j */
    uint32_t *quotients;   /* floor(h_j * 2^32 / B), for Shoup's modular product */
};

/* MurmurHash3, x86, 32 bit. */
uint32_t eb_murmur3_32(const uint8_t *data, size_t size, uint32_t seed);

/* First column and number of columns of n-grams of length i, 1 to max_ngram. */
void eb_hash_columns(const eb_hash_params *params, uint32_t i, uint32_t *first, uint32_t *count);

/* The exact integers behind eb_hash_embed, for integer-only code: sums[0 .. count) of P over the
 * token's n-grams of length i, for `count` columns from `first`, all of them of that length.
 * Returns the number of n-grams, 0 if the token is too short; a column's value is
 * 2 * sum / (number * modulus). */
uint64_t eb_hash_sums(const eb_hash *hash, const uint8_t *token, size_t token_size, uint32_t i,
                      uint32_t first, uint32_t count, int64_t *sums);

/* The hash vector for integer-only code: int16 in units of 2^-13 (docs/numerics.md). */
void eb_hash_embed_i16(const eb_hash *hash, const uint8_t *token, size_t token_size,
                       int16_t *vector);

#endif

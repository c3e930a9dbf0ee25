/* A token's vector as a function of its bytes (EELBERT, arXiv 2310.20144, section 3). */
#include "hash.h"

#include <string.h>

#define BLOCK 32 /* n-grams and ... */
#define PART 128 /* ... columns hashed at a time: any token fits into fixed stack space */

static uint32_t rotate_left(uint32_t x, unsigned bits) {
    return (x << bits) | (x >> (32 - bits));
}

static uint32_t murmur3_scramble(uint32_t k) {
    return rotate_left(k * 0xcc9e2d51u, 15) * 0x1b873593u;
}

uint32_t eb_murmur3_32(const uint8_t *data, size_t size, uint32_t seed) {
    uint32_t h = seed, tail = 0;
    size_t i = 0;
    for (; i + 4 <= size; i += 4) {
        const uint32_t k = (uint32_t)data[i] | (uint32_t)data[i + 1] << 8 |
                           (uint32_t)data[i + 2] << 16 | (uint32_t)data[i + 3] << 24;
        h = rotate_left(h ^ murmur3_scramble(k), 13) * 5 + 0xe6546b64u;
    }
    for (size_t j = size; j > i; j--)
        tail = tail << 8 | data[j - 1];
    h ^= murmur3_scramble(tail);
    h ^= (uint32_t)size;
    h = (h ^ h >> 16) * 0x85ebca6bu;
    h = (h ^ h >> 13) * 0xc2b2ae35u;
    return h ^ h >> 16;
}

static int params_are_sane(const eb_hash_params *p) {
    return p && p->family <= EB_HASH_MURMUR3 && p->dimension >= 1 &&
           p->dimension <= EB_MAX_HIDDEN_SIZE && p->max_ngram >= 1 &&
           p->max_ngram <= EB_MAX_NGRAM && p->modulus >= 3 && p->modulus < 0x80000000u &&
           p->modulus % 2 == 1 && p->base >= 1 && p->base < p->modulus && p->boundary_marks <= 1;
}

eb_status eb_hash_size(const eb_hash_params *params, size_t *bytes) {
    if (!bytes || !params_are_sane(params))
        return EB_ERROR_ARGUMENT;
    *bytes = sizeof(eb_hash) + 2 * params->dimension * sizeof(uint32_t);
    return EB_OK;
}

eb_status eb_hash_open(const eb_hash_params *params, void *memory, size_t memory_size,
                       eb_hash **hash) {
    size_t needed;
    eb_status status = eb_hash_size(params, &needed);
    if (status != EB_OK || !memory || !hash || (uintptr_t)memory % EB_ALIGNMENT)
        return EB_ERROR_ARGUMENT;
    if (memory_size < needed)
        return EB_ERROR_MEMORY;
    eb_hash *h = memory;
    h->params = *params;
    h->kernels = eb_kernels_best();
    h->multipliers = (uint32_t *)(void *)(h + 1);
    h->quotients = h->multipliers + params->dimension;
    for (uint32_t j = 0; j < params->dimension; j++) {
        const uint8_t key[4] = {(uint8_t)j, (uint8_t)(j >> 8), (uint8_t)(j >> 16),
                                (uint8_t)(j >> 24)};
        h->multipliers[j] = 1 + eb_murmur3_32(key, 4, params->seed) % (params->modulus - 1);
        h->quotients[j] = (uint32_t)(((uint64_t)h->multipliers[j] << 32) / params->modulus);
    }
    *hash = h;
    return EB_OK;
}

void eb_hash_columns(const eb_hash_params *params, uint32_t i, uint32_t *first, uint32_t *count) {
    const uint32_t d = params->dimension, n = params->max_ngram, parts = n * (n + 1) / 2;
    *first = 0;
    for (uint32_t shorter = 1; shorter < i; shorter++)
        *first += d * shorter / parts;
    *count = i < n ? d * i / parts : d - *first;
}

/* Byte `at` of the token, boundary marks included. */
static uint8_t marked_byte(const eb_hash *hash, const uint8_t *token, size_t size, size_t at) {
    if (!hash->params.boundary_marks)
        return token[at];
    return at == 0 ? '<' : at == size + 1 ? '>' : token[at - 1];
}

/* Moves 0 <= r < modulus to (-modulus/2, modulus/2]; modulus is odd. */
static int64_t symmetric(uint32_t r, uint32_t modulus) {
    return r > modulus / 2 ? (int64_t)r - modulus : (int64_t)r;
}

static void add_murmur3(const eb_hash *hash, const uint8_t *gram, uint32_t i, uint32_t first,
                        uint32_t count, int64_t *sums) {
    const uint32_t modulus = hash->params.modulus;
    for (uint32_t j = 0; j < count; j++) {
        const uint32_t s = eb_murmur3_32(gram, i, hash->multipliers[first + j]);
        sums[j] += symmetric(s % modulus, modulus);
    }
}

/* Sums over all n-grams of length i of the token; the columns are [first, first + count). */
static void add_ngrams(const eb_hash *hash, const uint8_t *token, size_t size, size_t num_grams,
                       uint32_t i, uint32_t first, uint32_t count, int64_t *sums) {
    const eb_hash_params *p = &hash->params;
    uint32_t grams[BLOCK];
    size_t filled = 0;
    for (size_t g = 0; g < num_grams; g++) {
        uint8_t gram[EB_MAX_NGRAM];
        uint64_t s = 0;
        for (uint32_t k = 0; k < i; k++) {
            gram[k] = marked_byte(hash, token, size, g + k);
            s = (s * p->base + gram[k]) % p->modulus;
        }
        if (p->family == EB_HASH_MURMUR3) {
            add_murmur3(hash, gram, i, first, count, sums);
            continue;
        }
        grams[filled++] = (uint32_t)s;
        if (filled == BLOCK || g + 1 == num_grams) {
            hash->kernels->hash_poly(grams, filled, hash->multipliers + first,
                                     hash->quotients + first, count, p->modulus, sums);
            filled = 0;
        }
    }
}

void eb_hash_embed(const eb_hash *hash, const uint8_t *token, size_t token_size, float *vector) {
    const eb_hash_params *p = &hash->params;
    const size_t length = token_size + 2 * (size_t)p->boundary_marks;
    int64_t sums[PART];
    for (uint32_t i = 1; i <= p->max_ngram; i++) {
        const size_t num_grams = length >= i ? length - i + 1 : 0;
        uint32_t first, count;
        eb_hash_columns(p, i, &first, &count);
        for (uint32_t done = 0; done < count; done += PART) {
            const uint32_t part = count - done < PART ? count - done : PART;
            memset(sums, 0, part * sizeof sums[0]);
            add_ngrams(hash, token, token_size, num_grams, i, first + done, part, sums);
            /* One division and one rounding: both sides are exact integers in double. */
            const double divisor = (double)((uint64_t)num_grams * p->modulus);
            for (uint32_t j = 0; j < part; j++)
                vector[first + done + j] =
                    num_grams ? (float)((double)(2 * sums[j]) / divisor) : 0.0f;
        }
    }
}

void eb_hash_embed_many(const eb_hash *hash, const uint8_t *bytes, const uint32_t *ends,
                        size_t count, float *vectors) {
    for (size_t i = 0; i < count; i++) {
        const uint32_t begin = i ? ends[i - 1] : 0;
        eb_hash_embed(hash, bytes + begin, ends[i] - begin, vectors + i * hash->params.dimension);
    }
}

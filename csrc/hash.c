/* A token's vector as a function of its bytes (EELBERT, arXiv 2310.20144, section 3). */
#include "hash.h"

#include <float.h>
#include <string.h>

#include "kernels/murmur3.h"

#if defined(FLT_EVAL_METHOD) && FLT_EVAL_METHOD == 2
#error "the hash needs a division that rounds to double: compile with -msse2 -mfpmath=sse"
#endif

/* N-grams, and columns, hashed at a time: any token fits into fixed stack space. */
#define BLOCK 32
#ifndef EB_HASH_COLUMNS
#define EB_HASH_COLUMNS 128
#endif

/* The scrambled block that the first size bytes make, at most 4. */
static uint32_t murmur3_block(const uint8_t *data, size_t size) {
    uint32_t block = 0;
    for (size_t k = 0; k < 4 && k < size; k++)
        block |= (uint32_t)data[k] << 8 * k;
    return eb_murmur3_scramble(block);
}

uint32_t eb_murmur3_32(const uint8_t *data, size_t size, uint32_t seed) {
    uint32_t h = seed;
    size_t i = 0;
    for (; i + 4 <= size; i += 4)
        h = eb_murmur3_add_block(h, murmur3_block(data + i, 4));
    return eb_murmur3_finish(h ^ murmur3_block(data + i, size - i), (uint32_t)size);
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

/* Byte `at` of the token between its boundary marks. */
static uint8_t marked_byte(const uint8_t *token, size_t size, size_t at) {
    return at == 0 ? '<' : at == size + 1 ? '>' : token[at - 1];
}

/* Polynomial rolling hashes of the n i-grams that begin in text[0 .. n). */
static void poly_grams(const eb_hash_params *p, const uint8_t *text, size_t n, uint32_t i,
                       uint32_t *grams) {
    for (size_t g = 0; g < n; g++) {
        uint64_t s = 0;
        for (uint32_t k = 0; k < i; k++) {
            s = s * p->base + text[g + k];
            if (s >= p->modulus) /* seldom: short n-grams stay below, and division is slow */
                s %= p->modulus;
        }
        grams[g] = (uint32_t)s;
    }
}

uint64_t eb_hash_sums(const eb_hash *hash, const uint8_t *token, size_t token_size, uint32_t i,
                      uint32_t first, uint32_t count, int64_t *sums) {
    const eb_hash_params *p = &hash->params;
    const uint64_t length = (uint64_t)token_size + 2 * p->boundary_marks;
    const uint64_t num_grams = length >= i ? length - i + 1 : 0;
    const uint32_t *multipliers = hash->multipliers + first, *quotients = hash->quotients + first;
    uint32_t grams[BLOCK * EB_MAX_NGRAM / 4]; /* poly: one number each; murmur3: its blocks */
    uint8_t marked[BLOCK + EB_MAX_NGRAM];

    memset(sums, 0, count * sizeof sums[0]);
    for (uint64_t start = 0; start < num_grams; start += BLOCK) {
        const size_t n = (size_t)(num_grams - start < BLOCK ? num_grams - start : BLOCK);
        const uint8_t *text = marked;
        if (!p->boundary_marks)
            text = token + start;
        else
            for (size_t k = 0; k < n + i - 1; k++)
                marked[k] = marked_byte(token, token_size, (size_t)start + k);
        if (p->family == EB_HASH_POLY) {
            poly_grams(p, text, n, i, grams);
            hash->kernels->hash_poly(grams, n, multipliers, quotients, count, p->modulus, sums);
        } else {
            uint32_t *block = grams;
            for (size_t g = 0; g < n; g++)
                for (uint32_t k = 0; k < i; k += 4)
                    *block++ = murmur3_block(text + g + k, i - k);
            hash->kernels->hash_murmur3(grams, n, i, multipliers, count, p->modulus, sums);
        }
    }
    return num_grams;
}

/* means[j] = 2 * sums[j] / divisor in units of 2^-13, |2 * sums[j]| <= divisor. */
static void fixed_point_means(const eb_hash *hash, const int64_t *sums, uint32_t count,
                              uint64_t divisor, int16_t *means) {
    int shift = -31; /* so that the divisor has 31 bits */
    for (uint64_t rest = divisor; rest; rest >>= 1)
        shift++;
    const uint64_t d = shift >= 0 ? divisor >> shift : divisor << -shift;
    const int32_t reciprocal = (int32_t)(((uint64_t)1 << 60) / d);
    hash->kernels->hash_mean_i16(sums, count, shift, reciprocal, means);
}

/* The vector as floats or, if these are NULL, as integers. */
static void embed(const eb_hash *hash, const uint8_t *token, size_t token_size, float *floats,
                  int16_t *integers) {
    int64_t sums[EB_HASH_COLUMNS];
    for (uint32_t i = 1; i <= hash->params.max_ngram; i++) {
        uint32_t first, count;
        eb_hash_columns(&hash->params, i, &first, &count);
        for (uint32_t part; count > 0; first += part, count -= part) {
            part = count < EB_HASH_COLUMNS ? count : EB_HASH_COLUMNS;
            const uint64_t n = eb_hash_sums(hash, token, token_size, i, first, part, sums);
            const uint64_t divisor = (n ? n : 1) * hash->params.modulus; /* sums of none are 0 */
            if (floats)
                hash->kernels->hash_mean(sums, part, divisor, floats + first);
            else
                fixed_point_means(hash, sums, part, divisor, integers + first);
        }
    }
}

void eb_hash_embed_i16(const eb_hash *hash, const uint8_t *token, size_t token_size,
                       int16_t *vector) {
    embed(hash, token, token_size, NULL, vector);
}

#ifndef EB_NO_F32
void eb_hash_embed(const eb_hash *hash, const uint8_t *token, size_t token_size, float *vector) {
    embed(hash, token, token_size, vector, NULL);
}

void eb_hash_embed_many(const eb_hash *hash, const uint8_t *bytes, const uint32_t *ends,
                        size_t count, float *vectors) {
    for (size_t i = 0; i < count; i++) {
        const uint32_t begin = i ? ends[i - 1] : 0;
        eb_hash_embed(hash, bytes + begin, ends[i] - begin, vectors + i * hash->params.dimension);
    }
}
#endif

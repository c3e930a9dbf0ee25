/* Fuzzes the hash: the input is parameters and a token. Every instruction set that this processor
 * has, and AVX-512 on any, gives the scalar kernels' bits, as floats and as integers. */
#include "allocate.h"
#include "avx512_simde.h"
#include "fuzz.h"
#include "hash.h"

#define MAX_DIMENSION 512 /* more are more of the same */

/* The nearest parameters that are allowed. */
static eb_hash_params repaired(eb_hash_params p) {
    p.family &= 1;
    p.dimension = 1 + p.dimension % MAX_DIMENSION;
    p.max_ngram = 1 + p.max_ngram % EB_MAX_NGRAM;
    p.modulus = (p.modulus & 0x7fffffff) | 1;
    p.modulus = p.modulus < 3 ? 3 : p.modulus;
    p.base = 1 + p.base % (p.modulus - 1);
    p.boundary_marks &= 1;
    return p;
}

static void check_kernels(eb_hash *hash, const eb_kernels *kernels, const uint8_t *token,
                          size_t size, const float *floats, const int16_t *integers) {
    const size_t d = hash->params.dimension;
    float *vector = allocate(d * sizeof *vector);
    int16_t *fixed = allocate(d * sizeof *fixed);
    hash->kernels = kernels;
    eb_hash_embed(hash, token, size, vector);
    eb_hash_embed_i16(hash, token, size, fixed);
    REQUIRE(memcmp(vector, floats, d * sizeof *vector) == 0);
    REQUIRE(memcmp(fixed, integers, d * sizeof *fixed) == 0);
    free(fixed);
    free(vector);
}

static void check_token(eb_hash *hash, const uint8_t *token, size_t size) {
    const size_t d = hash->params.dimension;
    float *floats = allocate(d * sizeof *floats);
    int16_t *integers = allocate(d * sizeof *integers);
    hash->kernels = eb_kernels_get(0);
    eb_hash_embed(hash, token, size, floats);
    eb_hash_embed_i16(hash, token, size, integers);
    for (size_t j = 0; j < d; j++) {
        REQUIRE(floats[j] >= -1.0f && floats[j] <= 1.0f);
        const float difference = floats[j] * 8192.0f - (float)integers[j];
        REQUIRE(difference > -1.0f && difference < 1.0f);
    }
    for (size_t k = 1; k < eb_kernels_count(); k++)
        if (eb_kernels_get(k)) /* NULL: this processor lacks the set */
            check_kernels(hash, eb_kernels_get(k), token, size, floats, integers);
#if EB_HAS_SIMDE
    check_kernels(hash, &avx512_simde, token, size, floats, integers);
#endif
    free(integers);
    free(floats);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    eb_hash_params params;
    size_t handle_size;
    eb_hash *hash;
    if (size < sizeof params)
        return 0;
    memcpy(&params, data, sizeof params);
    if (eb_hash_size(&params, &handle_size) != EB_OK || params.dimension > MAX_DIMENSION)
        params = repaired(params);
    REQUIRE(eb_hash_size(&params, &handle_size) == EB_OK);
    void *handle = allocate(handle_size);
    REQUIRE(eb_hash_open(&params, handle, handle_size, &hash) == EB_OK);
    check_token(hash, data + sizeof params, size - sizeof params);
    free(handle);
    return 0;
}

/* Hash embedding: every kernel that this processor has gives the golden vectors' bits and the same
 * sums as arithmetic without tricks. argv[1]: tests/golden/hash.txt. */
#include "allocate.h"
#include "avx512_simde.h"
#include "check.h"
#include "hash.h"

#define LINE 4096

static const uint32_t moduli[] = {3, 5, 257, 65535, 1000000007u, 2147483647u};
#define NUM_MODULI (sizeof moduli / sizeof moduli[0])

static uint64_t random_state = 1;

/* Any bits will do, but the same ones in every run: an LCG (Knuth, MMIX). */
static uint32_t random_u32(void) {
    random_state = random_state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(random_state >> 32);
}

static eb_hash *open_hash(const eb_hash_params *params, const eb_kernels *kernels) {
    size_t size;
    eb_hash *hash;
    if (eb_hash_size(params, &size) != EB_OK ||
        eb_hash_open(params, allocate(size), size, &hash) != EB_OK)
        abort();
    hash->kernels = kernels;
    return hash;
}

/* The published values of MurmurHash3_x86_32, and what Python's mmh3 says. */
static void test_murmur3(void) {
    static const struct {
        const char *data;
        uint32_t size, seed, hash;
    } cases[] = {
        {"", 0, 0, 0},
        {"", 0, 1, 0x514e28b7u},
        {"", 0, 0xffffffffu, 0x81f16f39u},
        {"\xff\xff\xff\xff", 4, 0, 0x76293b50u},
        {"!Ce\x87", 4, 0, 0xf55b516bu},
        {"!Ce\x87", 4, 0x5082edeeu, 0x2362f9deu},
        {"!Ce", 3, 0, 0x7e4a8634u},
        {"!C", 2, 0, 0xa0f7b07au},
        {"!", 1, 0, 0x72661cf4u},
        {"\0\0\0\0", 4, 0, 0x2362f9deu},
        {"\0\0\0", 3, 0, 0x85f0b427u},
        {"Hello, world!", 13, 0x9747b28cu, 0x24884cbau},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const uint32_t hash =
            eb_murmur3_32((const uint8_t *)cases[i].data, cases[i].size, cases[i].seed);
        CHECK(hash == cases[i].hash, "case %zu gave %08x", i, hash);
    }
}

static size_t read_token(const char *hex, uint8_t *token) {
    size_t size = 0;
    unsigned byte;
    while (sscanf(hex + 2 * size, "%2x", &byte) == 1)
        token[size++] = (uint8_t)byte;
    return size;
}

/* A golden line without its first word: hexadecimal bytes, then one float's bits per column. */
static void check_vector(const eb_hash *hash, const char *line) {
    char hex[LINE];
    int at;
    if (sscanf(line, "%s%n", hex, &at) != 1)
        abort();
    uint8_t bytes[LINE / 2];
    const size_t size = read_token(hex, bytes), d = hash->params.dimension;
    uint8_t *token = allocate(size);
    memcpy(token, bytes, size);
    float *vector = allocate(d * sizeof *vector);
    eb_hash_embed(hash, token, size, vector);
    for (size_t j = 0; j < d; j++) {
        char *end;
        const uint32_t expected = (uint32_t)strtoul(line + at, &end, 16);
        uint32_t bits;
        memcpy(&bits, &vector[j], sizeof bits);
        CHECK(bits == expected, "%s: token %s, column %zu: %08x, not %08x", hash->kernels->name,
              hex, j, bits, expected);
        at = (int)(end - line);
    }
    free(vector);
    free(token);
}

static void test_golden_vectors(const char *path, const eb_kernels *kernels) {
    FILE *file = fopen(path, "r");
    CHECK(file, "cannot open %s", path);
    if (!file)
        return;
    char line[LINE];
    eb_hash *hash = NULL;
    size_t vectors = 0;
    while (fgets(line, sizeof line, file)) {
        eb_hash_params p;
        if (sscanf(line, "params %u %u %u %u %u %u %u", &p.family, &p.dimension, &p.max_ngram,
                   &p.modulus, &p.base, &p.seed, &p.boundary_marks) == 7) {
            free(hash);
            hash = open_hash(&p, kernels);
        } else if (hash && strncmp(line, "vector ", 7) == 0) {
            check_vector(hash, line + 7);
            vectors++;
        }
    }
    CHECK(vectors > 400, "only %zu golden vectors in %s", vectors, path);
    free(hash);
    fclose(file);
}

/* The definition, with one 64-bit division per product. */
static int64_t symmetric_product(uint32_t s, uint32_t h, uint32_t modulus) {
    const int64_t r = (int64_t)((uint64_t)s * h % modulus);
    return r > modulus / 2 ? r - modulus : r;
}

/* Adds to sums that are not zero, and to no column beyond the last. */
static void check_sums(const eb_kernels *kernels, uint32_t modulus, size_t n, size_t cols,
                       int extreme) {
    uint32_t *grams = allocate(n * sizeof *grams), *h = allocate(cols * sizeof *h),
             *quotients = allocate(cols * sizeof *quotients);
    int64_t *sums = allocate(cols * sizeof *sums), *expected = allocate(cols * sizeof *expected);
    for (size_t g = 0; g < n; g++)
        grams[g] = extreme ? modulus - 1 - (g & 1) : random_u32() % modulus;
    for (size_t j = 0; j < cols; j++) {
        h[j] = extreme ? modulus - 1 - (j & 1) : 1 + random_u32() % (modulus - 1);
        quotients[j] = (uint32_t)(((uint64_t)h[j] << 32) / modulus);
        sums[j] = expected[j] = (int64_t)((uint64_t)random_u32() << 16) - ((int64_t)1 << 47);
        for (size_t g = 0; g < n; g++)
            expected[j] += symmetric_product(grams[g], h[j], modulus);
    }
    kernels->hash_poly(grams, n, h, quotients, cols, modulus, sums);
    CHECK(memcmp(sums, expected, cols * sizeof *sums) == 0,
          "%s: modulus %u, %zu n-grams, %zu columns", kernels->name, modulus, n, cols);
    free(expected);
    free(sums);
    free(quotients);
    free(h);
    free(grams);
}

static void test_sums(const eb_kernels *kernels) {
    for (size_t m = 0; m < NUM_MODULI; m++)
        for (size_t cols = 1; cols <= 70; cols++)
            for (size_t n = 1; n <= 33; n += n < 4 ? 1 : 7)
                for (int extreme = 0; extreme < 2; extreme++)
                    check_sums(kernels, moduli[m], n, cols, extreme);
}

/* Divisors that a double holds and ones that it must round, and no float beyond the last. */
static void test_means(const eb_kernels *kernels) {
    for (unsigned bits = 2; bits < 63; bits++)
        for (size_t cols = 1; cols <= 9; cols++) {
            const uint64_t any = (uint64_t)random_u32() << 32 | random_u32();
            const uint64_t divisor = ((uint64_t)1 << bits) + any % ((uint64_t)1 << bits);
            int64_t *sums = allocate(cols * sizeof *sums);
            float *means = allocate(cols * sizeof *means), expected[9];
            for (size_t j = 0; j < cols; j++) {
                const uint64_t part = ((uint64_t)random_u32() << 32 | random_u32()) % divisor;
                sums[j] = j == 0 ? (int64_t)(divisor / 2) : (int64_t)(part / 2);
                sums[j] = random_u32() % 2 ? -sums[j] : sums[j];
                expected[j] = (float)((double)(2 * sums[j]) / (double)divisor);
            }
            kernels->hash_mean(sums, cols, divisor, means);
            CHECK(memcmp(means, expected, cols * sizeof *means) == 0, "%s: %zu columns, 2^%u",
                  kernels->name, cols, bits);
            free(means);
            free(sums);
        }
}

/* The whole embedding of one token, byte by byte and column by column. */
static float naive_value(const eb_hash *hash, const uint8_t *token, size_t size, uint32_t column) {
    const eb_hash_params *p = &hash->params;
    uint32_t i = 1, first, count;
    for (;; i++) {
        eb_hash_columns(p, i, &first, &count);
        if (column < first + count)
            break;
    }
    if (size < i)
        return 0.0f;
    int64_t sum = 0;
    for (size_t g = 0; g + i <= size; g++) {
        uint64_t s = 0;
        for (size_t k = 0; k < i; k++)
            s = (s * p->base + token[g + k]) % p->modulus;
        if (p->family == EB_HASH_MURMUR3)
            sum += symmetric_product(
                eb_murmur3_32(token + g, i, hash->multipliers[column]) % p->modulus, 1, p->modulus);
        else
            sum += symmetric_product((uint32_t)s, hash->multipliers[column], p->modulus);
    }
    return (float)((double)(2 * sum) / (double)((uint64_t)(size - i + 1) * p->modulus));
}

/* Tokens around the sizes at which the work is cut into blocks. */
static void test_any_length(const eb_kernels *kernels) {
    static const size_t sizes[] = {1, 2, 31, 32, 33, 34, 63, 64, 65, 66, 97, 1000};
    for (uint32_t family = 0; family <= EB_HASH_MURMUR3; family++)
        for (size_t t = 0; t < sizeof sizes / sizeof sizes[0]; t++) {
            const size_t size = sizes[t];
            const eb_hash_params params = {family, 300, 3, 1000000007u, 31, 42, 0};
            eb_hash *hash = open_hash(&params, kernels);
            uint8_t *token = allocate(size);
            for (size_t k = 0; k < size; k++)
                token[k] = (uint8_t)random_u32();
            float vector[300];
            eb_hash_embed(hash, token, size, vector);
            for (uint32_t j = 0; j < 300; j++)
                CHECK(vector[j] == naive_value(hash, token, size, j),
                      "%s: family %u, %zu bytes, column %u", kernels->name, family, size, j);
            free(token);
            free(hash);
        }
}

static void test_marks_are_bytes(const eb_kernels *kernels) {
    eb_hash_params params = {EB_HASH_POLY, 64, 3, 1000000007u, 31, 42, 1};
    eb_hash *marked = open_hash(&params, kernels);
    params.boundary_marks = 0;
    eb_hash *plain = open_hash(&params, kernels);
    float a[64], b[64];
    eb_hash_embed(marked, (const uint8_t *)"word", 4, a);
    eb_hash_embed(plain, (const uint8_t *)"<word>", 6, b);
    CHECK(memcmp(a, b, sizeof a) == 0, "%s: word", kernels->name);
    eb_hash_embed(marked, NULL, 0, a);
    eb_hash_embed(plain, (const uint8_t *)"<>", 2, b);
    CHECK(memcmp(a, b, sizeof a) == 0, "%s: empty token", kernels->name);
    free(plain);
    free(marked);
}

static void test_embed_many(const eb_kernels *kernels) {
    const eb_hash_params params = {EB_HASH_POLY, 7, 2, 257, 31, 42, 0};
    eb_hash *hash = open_hash(&params, kernels);
    const uint32_t ends[] = {3, 3, 8, 9};
    float many[4][7], one[4][7];
    eb_hash_embed_many(hash, (const uint8_t *)"filmplots", ends, 4, &many[0][0]);
    eb_hash_embed(hash, (const uint8_t *)"fil", 3, one[0]);
    eb_hash_embed(hash, (const uint8_t *)"", 0, one[1]);
    eb_hash_embed(hash, (const uint8_t *)"mplot", 5, one[2]);
    eb_hash_embed(hash, (const uint8_t *)"s", 1, one[3]);
    CHECK(memcmp(many, one, sizeof one) == 0, "%s", kernels->name);
    free(hash);
}

static void test_bad_params(void) {
    const eb_hash_params good = {EB_HASH_POLY, 128, 3, 1000000007u, 31, 42, 0};
    eb_hash_params bad[12];
    for (size_t i = 0; i < 12; i++)
        bad[i] = good;
    bad[0].family = 2;
    bad[1].dimension = 0;
    bad[2].dimension = EB_MAX_HIDDEN_SIZE + 1;
    bad[3].max_ngram = 0;
    bad[4].max_ngram = EB_MAX_NGRAM + 1;
    bad[5].modulus = 1;
    bad[6].modulus = 1000000006u;
    bad[7].modulus = 2147483649u;
    bad[8].base = 0;
    bad[9].base = 1000000007u;
    bad[10].boundary_marks = 2;
    bad[11].modulus = 0;
    size_t size = 0;
    CHECK(eb_hash_size(&good, &size) == EB_OK && size > 0, "good parameters");
    for (size_t i = 0; i < 12; i++)
        CHECK(eb_hash_size(&bad[i], &size) == EB_ERROR_ARGUMENT, "bad parameters %zu", i);
    CHECK(eb_hash_size(NULL, &size) == EB_ERROR_ARGUMENT, "no parameters");
    CHECK(eb_hash_size(&good, NULL) == EB_ERROR_ARGUMENT, "no place for the size");
}

static void test_bad_memory(void) {
    const eb_hash_params params = {EB_HASH_POLY, 16, 3, 1000000007u, 31, 42, 0};
    size_t size;
    eb_hash_size(&params, &size);
    char *memory = allocate(size + 1);
    eb_hash *hash = NULL;
    CHECK(eb_hash_open(&params, memory, size - 1, &hash) == EB_ERROR_MEMORY, "a byte short");
    CHECK(eb_hash_open(&params, memory + 1, size, &hash) == EB_ERROR_ARGUMENT, "unaligned");
    CHECK(eb_hash_open(&params, NULL, size, &hash) == EB_ERROR_ARGUMENT, "no memory");
    CHECK(eb_hash_open(&params, memory, size, NULL) == EB_ERROR_ARGUMENT, "no place for handle");
    CHECK(eb_hash_open(NULL, memory, size, &hash) == EB_ERROR_ARGUMENT, "no parameters");
    CHECK(hash == NULL, "the handle is written only on success");
    free(memory);
}

static void test_kernels(const char *golden, const eb_kernels *kernels) {
    printf("kernels: %s\n", kernels->name);
    test_golden_vectors(golden, kernels);
    test_sums(kernels);
    test_means(kernels);
    test_any_length(kernels);
    test_marks_are_bytes(kernels);
    test_embed_many(kernels);
}

int main(int argc, char **argv) {
    if (argc != 2) {
        fprintf(stderr, "usage: %s tests/golden/hash.txt\n", argv[0]);
        return 2;
    }
    test_murmur3();
    test_bad_params();
    test_bad_memory();
    CHECK(eb_kernels_get(0) && !eb_kernels_get(eb_kernels_count()), "the range of kernels");
    for (size_t k = 0; k < eb_kernels_count(); k++)
        if (eb_kernels_get(k)) /* NULL: this processor lacks the set */
            test_kernels(argv[1], eb_kernels_get(k));
#if EB_HAS_SIMDE
    test_kernels(argv[1], &avx512_simde);
#else
    puts("skipped: the AVX-512 kernels on any processor need SIMDe (libsimde-dev), little-endian");
#endif
    return summary();
}

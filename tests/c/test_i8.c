/* Integer kernels: every set gives the same bytes as plain C, and whole models the golden
 * answers.
 * Arguments, in pairs: a model such as tests/data/small_i8.ebm, its answers in tests/golden/i8.txt.
 */
#include "allocate.h"
#include "amx_emulation.h"
#include "avx512_simde.h"
#include "check.h"
#include "kernels/i8.h"
#include "kernels/i8_small.h"
#include "model.h"

#define LINE 4096
#define MAX_NUMBERS 64
#define MAX_SCORES 512

/* What scalar.c has on microcontrollers. */
static const eb_kernels small_kernels = {
    .name = "small", .gemm_i8 = eb_gemm_i8_small, EB_I8_KERNELS_SMALL};

static uint32_t random_state = 1;

static uint32_t random_u32(void) {
    random_state = random_state * 1664525u + 1013904223u;
    return random_state >> 8;
}

/* So many of them are -128 that it meets itself, and the largest products their like. */
static void *random_bytes(size_t size) {
    uint8_t *bytes = allocate(size);
    for (size_t i = 0; i < size; i++)
        bytes[i] = random_u32() % 4 ? (uint8_t)random_u32() : 0x80;
    return bytes;
}

/* count numbers of up to so many bits. */
static int32_t *random_numbers(size_t count, int bits) {
    int32_t *numbers = allocate(count * sizeof *numbers);
    for (size_t i = 0; i < count; i++) {
        const uint32_t number = random_u32() << 8 ^ random_u32();
        numbers[i] = (int32_t)number >> (32 - bits + (int)(random_u32() % (uint32_t)bits) / 2);
    }
    return numbers;
}

static void test_gemm(const eb_kernels *k, size_t n, size_t in, size_t blocks) {
    const size_t columns = blocks * EB_BLOCK, ldx = in + 4 * (n % 3), ld = columns + n % 2 * 8;
    int8_t *x = random_bytes(n * ldx), *w = random_bytes(in * columns);
    int32_t *expected = allocate(n * ld * sizeof *expected);
    int32_t *acc = allocate(n * ld * sizeof *acc);
    memset(expected, 0, n * ld * sizeof *expected);
    memset(acc, 0, n * ld * sizeof *acc);
    eb_gemm_i8(x, ldx, n, in, w, blocks, expected, ld);
    k->gemm_i8(x, ldx, n, in, w, blocks, acc, ld);
    CHECK(memcmp(acc, expected, n * ld * sizeof *acc) == 0, "%s gemm %zu %zu %zu", k->name, n, in,
          blocks);
    free(x);
    free(w);
    free(expected);
    free(acc);
}

static void test_rows(const eb_kernels *k, size_t count) {
    const int shift = (int)(random_u32() % 20), bits = (int)(random_u32() % (EB_MOST_BITS + 1));
    const int32_t least = count % 2 ? -127 : -128, factor = (int32_t)(random_u32() % 257);
    int32_t *acc = random_numbers(count, 32), *bias = random_numbers(count, 31);
    int16_t *multipliers = random_bytes(count * sizeof *multipliers);
    int16_t *y = allocate(count * sizeof *y), *expected_y = allocate(count * sizeof *y);
    int8_t *x = random_bytes(count), *out = allocate(count), *expected = allocate(count);
    const eb_rescaling r = {bias, multipliers, shift};
    for (size_t c = 0; c < count; c++)
        multipliers[c] &= INT16_MAX;

    eb_requantise_i8(acc, &r, bits, count, least, expected);
    k->requantise_i8(acc, &r, bits, count, least, out);
    CHECK(memcmp(out, expected, count) == 0, "%s requantise_i8 %zu", k->name, count);
    eb_scale_i8(acc, multipliers[0], shift, bits, count, expected);
    k->scale_i8(acc, multipliers[0], shift, bits, count, out);
    CHECK(memcmp(out, expected, count) == 0, "%s scale_i8 %zu", k->name, count);
    eb_requantise_add(acc, &r, x, factor, count, expected_y);
    k->requantise_add(acc, &r, x, factor, count, y);
    CHECK(memcmp(y, expected_y, count * sizeof *y) == 0, "%s requantise_add %zu", k->name, count);
    free(acc);
    free(bias);
    free(multipliers);
    free(y);
    free(expected_y);
    free(x);
    free(out);
    free(expected);
}

static void test_softmax(const eb_kernels *k, size_t count) {
    const size_t padded = EB_ROUND_UP(count);
    const int32_t multiplier = (int32_t)(random_u32() & INT16_MAX);
    const int shift = (int)(random_u32() % 31);
    int32_t *scores = random_numbers(padded, 27);
    int8_t *out = allocate(padded), *expected = allocate(padded);
    const int32_t sum = eb_softmax_i8(scores, count, padded, multiplier, shift, expected);
    CHECK(sum >= 127 && sum <= 127 * (int32_t)count, "sum %d of %zu", (int)sum, count);
    CHECK(k->softmax_i8(scores, count, padded, multiplier, shift, out) == sum &&
              memcmp(out, expected, padded) == 0,
          "%s softmax %zu", k->name, count);
    free(scores);
    free(out);
    free(expected);
}

/* Of all powers of two: what small differences and large epsilons lead to. */
static void test_layer_norm(const eb_kernels *k, size_t h, int bits) {
    int32_t *numbers = random_numbers(h, bits);
    int16_t *y = allocate(h * sizeof *y);
    int16_t *weight = random_bytes(h * sizeof *weight), *bias = random_bytes(h * sizeof *bias);
    int8_t *out = allocate(h), *expected = allocate(h);
    const eb_norm_scales scales = {(int32_t)(random_u32() % (EB_MOST_BITS + 1)),
                                   (int32_t)((random_u32() & INT16_MAX) >> random_u32() % 16)};
    for (size_t c = 0; c < h; c++) {
        y[c] = (int16_t)(h % 32 ? numbers[c] : c ? numbers[0] : -numbers[0]);
        weight[c] = weight[c] == INT16_MIN ? 0 : weight[c];
    }
    eb_layer_norm_i8(y, h, weight, bias, &scales, expected);
    k->layer_norm_i8(y, h, weight, bias, &scales, out);
    CHECK(memcmp(out, expected, h) == 0, "%s layer_norm %zu of %d bits", k->name, h, bits);
    free(numbers);
    free(y);
    free(bias);
    free(weight);
    free(out);
    free(expected);
}

static void test_unpack(const eb_kernels *k, size_t in) {
    uint8_t *block = random_bytes(EB_I4_SIZE(in, EB_BLOCK));
    int8_t *weights = allocate(in * EB_BLOCK), *expected = allocate(in * EB_BLOCK);
    eb_unpack_i4(block, in, expected);
    k->unpack_i4(block, in, weights);
    CHECK(memcmp(weights, expected, in * EB_BLOCK) == 0, "%s unpack_i4 %zu", k->name, in);
    free(block);
    free(weights);
    free(expected);
}

/* A product with four-bit weights, of well-formed blocks: scales up to 17, halves from 1 on. */
static void test_gemm_i4(const eb_kernels *k, size_t n, size_t in, size_t blocks) {
    const size_t columns = blocks * EB_BLOCK, size = EB_I4_SIZE(in, EB_BLOCK), ldx = in + n % 3;
    uint8_t *packed = random_bytes(blocks * size);
    int8_t *x = random_bytes(n * ldx), *w = allocate(in * columns);
    int32_t *expected = allocate(n * columns * sizeof *expected);
    int32_t *acc = allocate(n * columns * sizeof *acc);
    for (size_t b = 0; b < blocks; b++) {
        uint8_t *block = packed + b * size;
        for (size_t i = 0; i < size; i++) {
            const uint8_t low = block[i] & 15, high = block[i] >> 4;
            const int is_scale = i < in / EB_I4_GROUP * EB_BLOCK;
            block[i] = is_scale ? (uint8_t)(1 + block[i] % 17)
                                : (uint8_t)((low ? low : 1) | (high ? high : 15) << 4);
        }
        eb_unpack_i4(block, in, w + b * in * EB_BLOCK);
    }
    eb_gemm_i8(x, ldx, n, in, w, blocks, expected, columns);
    k->gemm_i4(x, ldx, n, in, packed, blocks, acc, columns);
    CHECK(memcmp(acc, expected, n * columns * sizeof *acc) == 0, "%s gemm_i4 %zu %zu %zu", k->name,
          n, in, blocks);
    free(packed);
    free(x);
    free(w);
    free(expected);
    free(acc);
}

/* The look-up table, the embeddings' sum and the hash's division. */
static void test_embedding(const eb_kernels *k, size_t count) {
    int8_t *table = random_bytes(256), *x = random_bytes(count), *same = copy_of(x, count);
    int16_t *row = random_bytes(count * sizeof *row), *type = random_bytes(count * sizeof *type);
    int16_t *same_row = copy_of(row, count * sizeof *row);
    int32_t *low = random_numbers(count, 32);
    int64_t *sums = allocate(count * sizeof *sums);
    const int32_t multiplier = (int32_t)(random_u32() & INT16_MAX);
    const int32_t reciprocal = (int32_t)((1u << 29) + random_u32());
    const int shift = (int)(random_u32() % 40) - 8;
    eb_add_embeddings(x, multiplier, type, count, row);
    k->add_embeddings(x, multiplier, type, count, same_row);
    CHECK(memcmp(row, same_row, count * sizeof *row) == 0, "%s embeddings %zu", k->name, count);
    eb_lookup_i8(table, count, x);
    k->lookup_i8(table, count, same);
    CHECK(memcmp(x, same, count) == 0, "%s lookup %zu", k->name, count);
    for (size_t j = 0; j < count; j++)
        sums[j] = shift < 0 ? low[j] >> 10 : (int64_t)low[j] * ((int64_t)1 << shift) / 2;
    eb_hash_mean_i16(sums, count, shift, reciprocal, row);
    k->hash_mean_i16(sums, count, shift, reciprocal, same_row);
    CHECK(memcmp(row, same_row, count * sizeof *row) == 0, "%s hash mean %zu", k->name, count);
    free(table);
    free(x);
    free(same);
    free(row);
    free(type);
    free(same_row);
    free(low);
    free(sums);
}

static void test_kernels(const eb_kernels *k) {
    printf("kernels: %s\n", k->name);
    CHECK(k->gemm_i8 && k->unpack_i4 && k->requantise_i8 && k->requantise_add && k->scale_i8 &&
              k->layer_norm_i8 && k->softmax_i8 && k->hash_mean_i16 && k->add_embeddings &&
              k->lookup_i8,
          "%s lacks a kernel", k->name);
    test_unpack(k, 32);
    test_unpack(k, 160);
    for (size_t n = 1; n <= 9; n++)
        for (size_t in = 4; in <= 80; in += 4)
            test_gemm(k, n, in, 1 + (n + in) % 4);
    test_gemm(k, 8, 4096, 2);
    test_gemm(k, 37, 132, 9);
    for (size_t count = 1; count <= 70; count++) {
        test_rows(k, count);
        test_softmax(k, count);
        test_embedding(k, count);
        for (int bits = 1; bits <= 16; bits++)
            test_layer_norm(k, 16 * count, bits);
    }
    for (size_t n = 1; n <= 9 && k->gemm_i4; n++)
        for (size_t in = 32; in <= 1056; in += 512)
            test_gemm_i4(k, n, in, 1 + n % 3);
    test_layer_norm(k, 4096, 16);
    test_layer_norm(k, 24, 16);
}

/* The square root rounds down for every kind of number. */
static void test_integer_sqrt(void) {
    for (int i = 0; i < 4000; i++) {
        const uint32_t x = (random_u32() << 8 ^ random_u32()) >> i % 32;
        const uint64_t root = eb_integer_sqrt(x);
        CHECK(root * root <= x && (root + 1) * (root + 1) > x, "%u", (unsigned)x);
    }
}

static size_t from_hex(const char *hex, char *text) {
    size_t size = 0;
    unsigned byte;
    while (sscanf(hex + 2 * size, "%2x", &byte) == 1)
        text[size++] = (char)byte;
    return size;
}

/* How many tokens a text has. */
static uint32_t tokens_of(const eb_model *model, const eb_text *what, uint8_t *bytes,
                          uint32_t *ends) {
    uint8_t types[MAX_NUMBERS];
    eb_tokens tokens = {bytes, LINE, ends, MAX_NUMBERS, NULL, 0, 0, 0};
    CHECK(eb_sequence(eb_model_tokenizer(model), what,
                      eb_model_config(model)->max_position_embeddings, &tokens, types,
                      NULL) == EB_OK,
          "tokens");
    return tokens.count;
}

static void test_golden(const char *model_name, const char *golden_name) {
    static uint8_t data[1 << 20];
    char line[LINE], text[LINE];
    FILE *stream = fopen(model_name, "rb");
    const size_t size = stream ? fread(data, 1, sizeof data, stream) : 0;
    FILE *golden = fopen(golden_name, "r");
    if (stream)
        fclose(stream);
    void *file = copy_of(data, size);
    size_t handle_size = 0, arena_size = 0;
    eb_model *model = NULL;
    CHECK(eb_model_size(file, size, &handle_size) == EB_OK, "%s", model_name);
    void *handle = allocate(handle_size);
    CHECK(eb_model_open(file, size, handle, handle_size, &model) == EB_OK, "%s", model_name);
    CHECK(golden, "%s", golden_name);
    if (!model || !golden)
        return;
    eb_arena_size(model, eb_model_config(model)->max_position_embeddings, &arena_size);
    void *arena = allocate(arena_size);
    const eb_config *config = eb_model_config(model);
    float *logits = allocate(config->num_labels * sizeof *logits);
    float *pooled = allocate(config->hidden_size * sizeof *pooled);
    uint8_t bytes[LINE];
    uint32_t ends[MAX_NUMBERS];
    static int16_t scores[MAX_SCORES], expected_scores[MAX_SCORES];
    CHECK(config->hidden_size <= MAX_NUMBERS && config->num_labels <= MAX_NUMBERS &&
              config->max_position_embeddings <= MAX_NUMBERS &&
              config->max_position_embeddings * config->num_tags <= MAX_SCORES,
          "a small model");
    CHECK(eb_model_use_isa(model, "z80") == EB_ERROR_UNSUPPORTED, "no such set");
    CHECK(eb_model_use_isa(model, "") == EB_ERROR_UNSUPPORTED, "no name");
    CHECK(eb_model_use_isa(model, NULL) == EB_ERROR_ARGUMENT, "NULL");
    while (fgets(line, sizeof line, golden)) {
        if (line[0] == '#')
            continue;
        char *number = strchr(line, ' ');
        *number++ = '\0';
        const eb_text what = {text, from_hex(line, text), NULL, 0};
        const uint32_t count = config->num_labels ? config->num_labels : config->hidden_size;
        long expected[MAX_NUMBERS] = {0};
        for (uint32_t j = 0; j < count; j++)
            expected[j] = strtol(number, &number, 10);
        const uint32_t num_tokens = tokens_of(model, &what, bytes, ends);
        const uint32_t num_scores = num_tokens * config->num_tags;
        for (uint32_t j = 0; j < num_scores; j++)
            expected_scores[j] = (int16_t)strtol(number, &number, 10);
        CHECK(*number == '\n', "%s has other numbers", golden_name);
        for (size_t i = 0; i < eb_kernels_count(); i++) {
            if (!eb_kernels_get(i))
                continue;
            const float *values = config->num_labels ? logits : pooled;
            CHECK(eb_model_use_isa(model, eb_kernels_get(i)->name) == EB_OK, "use");
            CHECK(eb_tag_tokens(model, bytes, ends, NULL, num_tokens, arena, arena_size, logits,
                                pooled, scores) == EB_OK,
                  "%s", line);
            for (uint32_t j = 0; j < count; j++)
                CHECK((long)(values[j] * 65536.0f) == expected[j], "%s: number %u is %ld, not %ld",
                      model->kernels->name, (unsigned)j, (long)(values[j] * 65536.0f), expected[j]);
            for (uint32_t j = 0; j < num_scores; j++)
                CHECK(scores[j] == expected_scores[j], "%s: score %u of tags", model->kernels->name,
                      (unsigned)j);
        }
    }
    fclose(golden);
    free(pooled);
    free(logits);
    free(arena);
    free(handle);
    free(file);
}

int main(int argc, char **argv) {
    test_integer_sqrt();
    for (size_t i = 0; i < eb_kernels_count(); i++)
        if (eb_kernels_get(i))
            test_kernels(eb_kernels_get(i));
#if EB_HAS_SIMDE
    test_kernels(&avx512_simde);
#else
    puts("skipped: the AVX-512 kernels on any processor need SIMDe (libsimde-dev), little-endian");
#endif
    test_kernels(&amx_emulated);
    test_kernels(&small_kernels);
    for (int i = 1; i + 1 < argc; i += 2)
        test_golden(argv[i], argv[i + 1]);
    CHECK(argc >= 3, "two files are given");
    return summary();
}

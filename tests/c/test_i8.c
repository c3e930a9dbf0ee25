/* Integer kernels: every set gives the same bytes as plain C, and a whole model the golden logits.
 * Arguments, in pairs: a model such as tests/data/small_i8.ebm, its answers in tests/golden/i8.txt.
 */
#include "allocate.h"
#include "amx_emulation.h"
#include "avx512_simde.h"
#include "check.h"
#include "kernels/i8.h"
#include "model.h"

#define LINE 4096

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
    const int shift = (int)(random_u32() % (EB_MAX_SHIFT + 1));
    const int32_t least = count % 2 ? -127 : -128;
    int32_t *acc = random_numbers(count, 32), *bias = random_numbers(count, 31);
    int32_t *multipliers = random_numbers(count, 32), *y = allocate(count * sizeof *y);
    int32_t *expected_y = allocate(count * sizeof *y);
    int16_t *x = random_bytes(count * sizeof *x);
    int8_t *out = allocate(count), *expected = allocate(count);
    for (size_t c = 0; c < count; c++)
        multipliers[c] &= 0x7fffffff;

    eb_requantise_i8(acc, bias, multipliers, shift, count, least, expected);
    k->requantise_i8(acc, bias, multipliers, shift, count, least, out);
    CHECK(memcmp(out, expected, count) == 0, "%s requantise_i8 %zu", k->name, count);
    eb_scale_i8(acc, multipliers[0], shift, count, expected);
    k->scale_i8(acc, multipliers[0], shift, count, out);
    CHECK(memcmp(out, expected, count) == 0, "%s scale_i8 %zu", k->name, count);
    eb_requantise_add(acc, bias, multipliers, shift, x, count, expected_y);
    k->requantise_add(acc, bias, multipliers, shift, x, count, y);
    CHECK(memcmp(y, expected_y, count * sizeof *y) == 0, "%s requantise_add %zu", k->name, count);
    eb_narrow_i16(x, count, expected);
    k->narrow_i16(x, count, out);
    CHECK(memcmp(out, expected, count) == 0, "%s narrow %zu", k->name, count);
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
    const int32_t multiplier = (int32_t)(random_u32() << 6 | 1 << 28);
    const int shift = 10 + (int)(random_u32() % 24);
    int32_t *scores = random_numbers(count, 27);
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

static void test_layer_norm(const eb_kernels *k, size_t h, int bits) {
    int32_t *y = random_numbers(h, bits), *bias = random_numbers(h, 28);
    int32_t *same = copy_of(y, h * sizeof *y);
    int16_t *weight = random_bytes(h * sizeof *weight);
    int16_t *out = allocate(h * sizeof *out), *expected = allocate(h * sizeof *out);
    const eb_norm_scales scales = {(int32_t)(random_u32() % 15), (int32_t)(random_u32() % 1000)};
    for (size_t c = 0; c < h; c++)
        weight[c] /= 2;
    eb_layer_norm_i16(y, h, weight, bias, &scales, expected);
    k->layer_norm_i16(same, h, weight, bias, &scales, out);
    CHECK(memcmp(out, expected, h * sizeof *out) == 0, "%s layer_norm %zu", k->name, h);
    free(y);
    free(bias);
    free(same);
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

static void test_kernels(const eb_kernels *k) {
    printf("kernels: %s\n", k->name);
    CHECK(k->gemm_i8 && k->unpack_i4 && k->requantise_i8 && k->requantise_add && k->scale_i8 &&
              k->layer_norm_i16 && k->narrow_i16 && k->softmax_i8,
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
        test_layer_norm(k, 16 * count, 19);
        test_layer_norm(k, 16 * count, 4);
    }
    test_layer_norm(k, 4096, 32);
}

/* The square root rounds down for every kind of number. */
static void test_integer_sqrt(void) {
    for (int i = 0; i < 4000; i++) {
        const uint64_t x = ((uint64_t)random_u32() << 40 ^ (uint64_t)random_u32() << 20) >> i % 60;
        const uint64_t root = eb_integer_sqrt(x);
        CHECK(root * root <= x && (root + 1) * (root + 1) > x, "%llu", (unsigned long long)x);
    }
}

static size_t from_hex(const char *hex, char *text) {
    size_t size = 0;
    unsigned byte;
    while (sscanf(hex + 2 * size, "%2x", &byte) == 1)
        text[size++] = (char)byte;
    return size;
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
    float *logits = allocate(eb_model_config(model)->num_labels * sizeof *logits);
    CHECK(eb_model_use_isa(model, "z80") == EB_ERROR_UNSUPPORTED, "no such set");
    CHECK(eb_model_use_isa(model, "") == EB_ERROR_UNSUPPORTED, "no name");
    CHECK(eb_model_use_isa(model, NULL) == EB_ERROR_ARGUMENT, "NULL");
    while (fgets(line, sizeof line, golden)) {
        if (line[0] == '#')
            continue;
        char *number = strchr(line, ' ');
        *number++ = '\0';
        const eb_text what = {text, from_hex(line, text), NULL, 0};
        long expected[8] = {0};
        for (uint32_t j = 0; j < eb_model_config(model)->num_labels; j++)
            expected[j] = strtol(number, &number, 10);
        for (size_t i = 0; i < eb_kernels_count(); i++) {
            if (!eb_kernels_get(i))
                continue;
            CHECK(eb_model_use_isa(model, eb_kernels_get(i)->name) == EB_OK, "use");
            CHECK(eb_classify(model, &what, arena, arena_size, logits, NULL, NULL) == EB_OK, "%s",
                  line);
            for (uint32_t j = 0; j < eb_model_config(model)->num_labels; j++)
                CHECK((long)(logits[j] * 65536.0f) == expected[j], "%s: logit %u is %ld, not %ld",
                      model->kernels->name, (unsigned)j, (long)(logits[j] * 65536.0f), expected[j]);
        }
    }
    fclose(golden);
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
    for (int i = 1; i + 1 < argc; i += 2)
        test_golden(argv[i], argv[i + 1]);
    CHECK(argc >= 3, "two files are given");
    return summary();
}

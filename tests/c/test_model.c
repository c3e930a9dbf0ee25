/* A model file through the C API alone: answers, sizes, wrong use, and thousands of damaged files.
 * Argument: a valid .ebm file. */
#include "allocate.h"
#include "check.h"
#include "edgebert.h"
#include "format.h"

#ifndef NUM_HOSTILE /* fewer where a processor is emulated */
#define NUM_HOSTILE 20000
#endif

#define LITERAL(string) string, sizeof string - 1

static const eb_text text = {LITERAL("An unexpectedly gripping film, [SEP] \xc3\xa9t\xc3\xa9!"),
                             NULL, 0};
static const eb_text pair = {LITERAL("one two three"), LITERAL("four \xff\xed\xa0\x80 five")};

/* Opens a file and runs a text through it; the status of what failed first. */
static eb_status classify(const uint8_t *file, size_t size, const eb_text *what, uint32_t tokens,
                          float *first_logit, eb_report *report) {
    size_t handle_size, arena_size;
    eb_model *model = NULL;
    eb_status status = eb_model_size(file, size, &handle_size);
    if (status != EB_OK)
        return status;
    void *handle = allocate(handle_size);
    status = eb_model_open(file, size, handle, handle_size, &model);
    if (status == EB_OK)
        status = eb_arena_size(model, tokens, &arena_size);
    if (status == EB_OK) {
        const eb_config *config = eb_model_config(model);
        float *logits = allocate(config->num_labels * sizeof(float));
        float *pooled = allocate(config->hidden_size * sizeof(float));
        void *arena = allocate(arena_size);
        status = eb_classify(model, what, arena, arena_size, logits, pooled, report);
        *first_logit = logits[0];
        free(arena);
        free(pooled);
        free(logits);
    }
    free(handle);
    return status;
}

static void test_answers(const uint8_t *file, size_t size) {
    float logit = 0, again = 1, shorter = 0;
    eb_report report;
    CHECK(classify(file, size, &text, 16, &logit, &report) == EB_OK, "text");
    CHECK(report.num_tokens > 5 && report.num_dropped == 0, "%u tokens", report.num_tokens);
    CHECK(classify(file, size, &text, 16, &again, NULL) == EB_OK && again == logit, "again");
    CHECK(classify(file, size, &text, 4, &shorter, &report) == EB_OK, "a small arena");
    CHECK(report.num_tokens == 4 && report.num_dropped > 0, "%u tokens", report.num_tokens);
    CHECK(classify(file, size, &pair, 16, &logit, &report) == EB_OK, "pair");
    CHECK(report.num_tokens == 8, "%u tokens of a pair", report.num_tokens);
    CHECK(classify(file, size, &pair, 2, &logit, NULL) == EB_ERROR_MEMORY, "no room for a pair");
    CHECK(classify(file, size, &text, 100000, &logit, NULL) == EB_ERROR_TOO_LONG, "positions");
}

static void test_wrong_use(const uint8_t *file, size_t size) {
    size_t handle_size;
    eb_model *model = NULL;
    CHECK(eb_model_size(NULL, size, &handle_size) == EB_ERROR_ARGUMENT, "no file");
    CHECK(eb_model_size(file + 1, size - 1, &handle_size) == EB_ERROR_ARGUMENT, "alignment");
    CHECK(eb_model_size(file, size, NULL) == EB_ERROR_ARGUMENT, "no result");
    CHECK(eb_model_size(file, size, &handle_size) == EB_OK, "size");
    void *handle = allocate(handle_size);
    CHECK(eb_model_open(file, size, handle, handle_size - 1, &model) == EB_ERROR_MEMORY, "small");
    CHECK(eb_model_open(file, size, NULL, handle_size, &model) == EB_ERROR_ARGUMENT, "no memory");
    CHECK(eb_model_open(file, size, handle, handle_size, &model) == EB_OK, "open");

    const uint32_t ends[] = {5, 8, 3}, good_ends[] = {5, 8};
    const uint8_t types[] = {0, 255};
    const uint8_t *bytes = (const uint8_t *)"[CLS]abc";
    float logits[64];
    void *arena = allocate(1 << 16);
    CHECK(eb_classify_tokens(model, bytes, ends, NULL, 3, arena, 1 << 16, logits, NULL) ==
              EB_ERROR_ARGUMENT,
          "ends that go back");
    CHECK(eb_classify_tokens(model, bytes, good_ends, types, 2, arena, 1 << 16, logits, NULL) ==
              EB_ERROR_ARGUMENT,
          "a token type that the model lacks");
    CHECK(eb_classify_tokens(model, bytes, good_ends, NULL, 2, arena, 64, logits, NULL) ==
              EB_ERROR_MEMORY,
          "a small arena");
    CHECK(eb_classify_tokens(model, bytes, good_ends, NULL, 2, arena, 1 << 16, logits, NULL) ==
              EB_OK,
          "tokens");
    CHECK(eb_model_label(model, 1000000, &handle_size) == NULL, "no such label");
    for (int status = EB_OK; status <= EB_ERROR_TOO_LONG + 1; status++)
        CHECK(strlen(eb_status_text((eb_status)status)) > 3, "status %d", status);
    free(arena);
    free(handle);
}

static uint32_t random_state = 1;

static uint32_t random_below(uint32_t limit) { /* xorshift32 */
    random_state ^= random_state << 13;
    random_state ^= random_state >> 17;
    random_state ^= random_state << 5;
    return random_state % limit;
}

/* Damage behind a right checksum, as a hostile file has it: refused, or harmless to run. */
static void test_hostile_files(const uint8_t *file, size_t size) {
    const eb_file_header *header = (const void *)file;
    const eb_span parts[] = {{16, sizeof *header - 16},
                             header->tensors,
                             header->labels,
                             header->tokenizer,
                             {16, (uint32_t)size - 16}};
    unsigned refused = 0;
    for (int i = 0; i < NUM_HOSTILE; i++) {
        uint8_t *copy = allocate(size);
        memcpy(copy, file, size);
        for (uint32_t changes = 1 + random_below(3); changes; changes--) {
            const eb_span part = parts[random_below(5)];
            const uint32_t at = part.offset + random_below(part.size - 3);
            const uint32_t values[] = {
                0, 1, 0x7fffffff, 0xffffffff, random_below(64), (uint32_t)size};
            if (random_below(2))
                memcpy(copy + (at & ~3u), &values[random_below(6)], 4);
            else
                copy[at] ^= (uint8_t)(1u << random_below(8));
        }
        const uint32_t checksum = eb_file_checksum(copy, size);
        memcpy(copy + offsetof(eb_file_header, checksum), &checksum, 4);
        float logit;
        refused += classify(copy, size, &text, 12, &logit, NULL) != EB_OK;
        free(copy);
    }
    CHECK(refused > NUM_HOSTILE / 4, "only %u hostile files were refused", refused);
}

/* Labels may share bytes, but a small file must not make 65536 labels of its size. */
static void test_labels_longer_than_the_file(const uint8_t *file, size_t size) {
    uint8_t *copy = allocate(size);
    memcpy(copy, file, size);
    eb_file_header *header = (void *)copy;
    eb_span *labels = (void *)(copy + header->labels.offset);
    const uint32_t count = header->config.num_labels;
    float logit;
    for (uint32_t i = 0; i < count; i++)
        labels[i] = (eb_span){sizeof *header, header->file_size / count};
    header->checksum = eb_file_checksum(copy, size);
    CHECK(classify(copy, size, &text, 12, &logit, NULL) == EB_OK, "%u shared labels", count);
    labels[0].size += count;
    header->checksum = eb_file_checksum(copy, size);
    CHECK(classify(copy, size, &text, 12, &logit, NULL) == EB_ERROR_CORRUPT, "a byte too many");
    free(copy);
}

static void test_damaged_files(const uint8_t *file, size_t size) {
    float logit;
    for (size_t cut = 0; cut < size; cut += 1 + size / 500) {
        uint8_t *copy = allocate(cut);
        memcpy(copy, file, cut);
        CHECK(classify(copy, cut, &text, 12, &logit, NULL) != EB_OK, "cut to %zu", cut);
        free(copy);
    }
    uint8_t *copy = allocate(size);
    memcpy(copy, file, size);
    for (int i = 0; i < 500; i++) {
        const uint32_t at = random_below((uint32_t)size);
        copy[at] ^= 64;
        const eb_status status = classify(copy, size, &text, 12, &logit, NULL);
        CHECK(at < sizeof(eb_file_header) ? status != EB_OK : status == EB_ERROR_CHECKSUM,
              "flip at %u: %s", at, eb_status_text(status));
        copy[at] ^= 64;
    }
    free(copy);
}

int main(int argc, char **argv) {
    FILE *stream = argc == 2 ? fopen(argv[1], "rb") : NULL;
    if (!stream) {
        fprintf(stderr, "usage: test_model FILE.ebm\n");
        return 2;
    }
    uint8_t *buffer = allocate(1 << 20);
    const size_t size = fread(buffer, 1, 1 << 20, stream);
    fclose(stream);
    uint8_t *file = allocate(size);
    memcpy(file, buffer, size);
    free(buffer);
    test_answers(file, size);
    test_wrong_use(file, size);
    test_hostile_files(file, size);
    test_labels_longer_than_the_file(file, size);
    test_damaged_files(file, size);
    free(file);
    return summary();
}

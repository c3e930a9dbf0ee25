/* Fuzzes the loader: the input is an .ebm file. Whatever its bytes are, it is refused, or can be
 * run and asked for its labels within its own memory. */
#include "allocate.h"
#include "format.h"
#include "fuzz.h"

#define MAX_TOKENS 12
#define MAX_ARENA ((size_t)1 << 24)

#define LITERAL(string) string, sizeof string - 1

static const eb_text text = {LITERAL("An unexpectedly gripping film, [SEP] \xc3\xa9t\xc3\xa9!"),
                             NULL, 0};
static const eb_text pair = {LITERAL("one two three"), LITERAL("four \xff\xed\xa0\x80 five")};

/* Nine tenths of a file are weights, any of which are valid: every other mutation is of the rest,
 * and moves nothing else. What libFuzzer does by itself is LLVMFuzzerMutate. */
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned int seed) {
    eb_file_header header;
    if (seed % 2 && size >= sizeof header) {
        memcpy(&header, data, sizeof header);
        const eb_span parts[] = {
            {0, sizeof header}, header.tokenizer, header.labels, header.tensors};
        const eb_span part = parts[seed / 2 % 4];
        if (part.size > 0 && part.offset <= size && part.size <= size - part.offset) {
            LLVMFuzzerMutate(data + part.offset, part.size, part.size);
            return size;
        }
    }
    return LLVMFuzzerMutate(data, size, max_size);
}

/* No chance mutation passes the checksum, and one written by an attacker always does. */
static void repair_checksum(uint8_t *file, size_t size) {
    eb_file_header header;
    if (size < sizeof header)
        return;
    memcpy(&header, file, sizeof header);
    if (header.file_size < sizeof header || header.file_size > size)
        return;
    header.checksum = eb_file_checksum(file, header.file_size);
    memcpy(file, &header, sizeof header);
}

static void classify(const eb_model *model, const eb_text *what, uint32_t num_tokens) {
    const eb_config *config = eb_model_config(model);
    size_t arena_size;
    eb_report report;
    REQUIRE(eb_arena_size(model, num_tokens, &arena_size) == EB_OK);
    if (arena_size > MAX_ARENA)
        return;
    void *arena = allocate(arena_size);
    float *logits = allocate(config->num_labels * sizeof(float));
    float *pooled = allocate(config->hidden_size * sizeof(float));
    const eb_status status = eb_classify(model, what, arena, arena_size, logits, pooled, &report);
    if (status == EB_OK)
        REQUIRE(report.num_tokens >= 2 && report.num_tokens <= num_tokens);
    else
        REQUIRE(status == EB_ERROR_MEMORY && what->b && num_tokens < 3);
    free(pooled);
    free(logits);
    free(arena);
}

static void read_labels(const eb_model *model) {
    const uint32_t count = eb_model_config(model)->num_labels;
    size_t size;
    for (uint32_t i = 0; i < count; i++) {
        const char *label = eb_model_label(model, i, &size);
        REQUIRE(label);
        free(copy_of(label, size));
    }
    REQUIRE(!eb_model_label(model, count, &size));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    uint8_t *file = copy_of(data, size);
    size_t handle_size;
    eb_model *model;
    repair_checksum(file, size);
    if (eb_model_size(file, size, &handle_size) == EB_OK) {
        void *handle = allocate(handle_size);
        const eb_status status = eb_model_open(file, size, handle, handle_size, &model);
        REQUIRE(status != EB_ERROR_ARGUMENT && status != EB_ERROR_MEMORY);
        if (status == EB_OK) {
            const uint32_t positions = eb_model_config(model)->max_position_embeddings;
            const uint32_t num_tokens = positions < MAX_TOKENS ? positions : MAX_TOKENS;
            classify(model, &text, num_tokens);
            classify(model, &pair, num_tokens);
            read_labels(model);
        }
        free(handle);
    }
    free(file);
    return 0;
}

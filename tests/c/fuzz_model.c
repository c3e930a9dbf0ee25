/* Fuzzes the loader: the input is an .ebm file. Whatever its bytes are, it is refused, or can be
 * run and asked for its labels and tags within its own memory. */
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
            {0, sizeof header}, header.tokenizer, header.labels, header.tags, header.tensors};
        const eb_span part = parts[seed / 2 % 5];
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

/* What eb_tag found follows from the scores of the tokens, which are the tokens that it ran. */
static void check_entities(const eb_model *model, const eb_text *what, uint32_t num_tokens,
                           void *arena, size_t arena_size, const eb_entity *found, uint32_t count) {
    const eb_config *config = eb_model_config(model);
    uint8_t bytes[MAX_TOKENS * EB_MAX_WORD * 4], types[MAX_TOKENS];
    uint32_t ends[MAX_TOKENS], num_entities;
    uint16_t tags[MAX_TOKENS];
    eb_word words[MAX_TOKENS];
    eb_entity entities[MAX_TOKENS];
    eb_tokens tokens = {bytes, sizeof bytes, ends, MAX_TOKENS, words, 0, 0, 0};
    REQUIRE(eb_sequence(eb_model_tokenizer(model), what, num_tokens, &tokens, types, NULL) ==
            EB_OK);
    for (uint32_t i = 0; i < tokens.count; i++)
        types[i] = types[i] < config->type_vocab_size ? types[i] : 0;
    float *logits = allocate(config->num_labels * sizeof(float));
    int16_t *scores = allocate(tokens.count * config->num_tags * sizeof *scores);
    REQUIRE(eb_tag_tokens(model, bytes, ends, types, tokens.count, arena, arena_size, logits, NULL,
                          scores) == EB_OK);
    free(logits);
    if (!config->num_tags) {
        REQUIRE(count == 0);
        free(scores);
        return;
    }
    REQUIRE(eb_best_tags(eb_model_transitions(model), config->num_tags, words, tokens.count, scores,
                         tags) == EB_OK);
    free(scores);
    eb_name *names = allocate(config->num_tags * sizeof *names);
    for (uint32_t i = 0; i < config->num_tags; i++)
        names[i].text = eb_model_tag(model, i, &names[i].size);
    REQUIRE(eb_find_entities(names, config->num_tags, tags, words, tokens.count, entities,
                             MAX_TOKENS, &num_entities) == EB_OK);
    REQUIRE(num_entities == count);
    REQUIRE(memcmp(entities, found, count * sizeof *found) == 0);
    free(names);
    for (uint32_t i = 0; i < count; i++) {
        REQUIRE(found[i].begin < found[i].end && found[i].end <= what->a_size);
        REQUIRE(i == 0 || found[i].begin > found[i - 1].end);
        REQUIRE(found[i].type_size > 0);
        free(copy_of(found[i].type, found[i].type_size));
    }
}

static void run(const eb_model *model, const eb_text *what, uint32_t num_tokens) {
    const eb_config *config = eb_model_config(model);
    size_t arena_size;
    eb_report report;
    REQUIRE(eb_arena_size(model, num_tokens, &arena_size) == EB_OK);
    if (arena_size > MAX_ARENA)
        return;
    void *arena = allocate(arena_size);
    float *logits = allocate(config->num_labels * sizeof(float));
    float *pooled = allocate(config->hidden_size * sizeof(float));
    eb_entity entities[MAX_TOKENS];
    const eb_status status =
        eb_tag(model, what, arena, arena_size, logits, pooled, entities, MAX_TOKENS, &report);
    if (status == EB_OK) {
        REQUIRE(report.num_tokens >= 2 && report.num_tokens <= num_tokens);
        check_entities(model, what, report.num_tokens, arena, arena_size, entities,
                       report.num_entities);
    } else {
        REQUIRE(status == EB_ERROR_MEMORY && what->b && num_tokens < 3);
    }
    free(pooled);
    free(logits);
    free(arena);
}

static void read_names(const eb_model *model, uint32_t count,
                       const char *(*name)(const eb_model *, uint32_t, size_t *)) {
    size_t size;
    for (uint32_t i = 0; i < count; i++) {
        const char *text_of_name = name(model, i, &size);
        REQUIRE(text_of_name);
        free(copy_of(text_of_name, size));
    }
    REQUIRE(!name(model, count, &size));
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
            run(model, &text, num_tokens);
            run(model, &pair, num_tokens);
            read_names(model, eb_model_config(model)->num_labels, eb_model_label);
            read_names(model, eb_model_config(model)->num_tags, eb_model_tag);
        }
        free(handle);
    }
    free(file);
    return 0;
}

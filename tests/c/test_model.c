/* A model file through the C API alone: answers, sizes, wrong use, and thousands of damaged files.
 * Arguments: valid .ebm files. */
#include "allocate.h"
#include "check.h"
#include "edgebert.h"
#include "format.h"
#include "kernels/target.h"

#ifndef NUM_HOSTILE       /* fewer where a processor is emulated */
#define NUM_HOSTILE 10000 /* of each file */
#endif

#define LITERAL(string) string, sizeof string - 1

static const eb_text text = {LITERAL("An unexpectedly gripping film, [SEP] \xc3\xa9t\xc3\xa9!"),
                             NULL, 0};
static const eb_text pair = {LITERAL("one two three"), LITERAL("four \xff\xed\xa0\x80 five")};

/* Opens a file and runs a text through it; the status of what failed first. */
static eb_status run(const uint8_t *file, size_t size, const eb_text *what, uint32_t tokens,
                     float *first_pooled, eb_report *report) {
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
        eb_report unused;
        const eb_config *config = eb_model_config(model);
        float *logits = allocate(config->num_labels * sizeof(float));
        float *pooled = allocate(config->hidden_size * sizeof(float));
        void *arena = allocate(arena_size);
        eb_entity *entities = allocate(tokens * sizeof *entities);
        status = eb_tag(model, what, arena, arena_size, config->num_labels ? logits : NULL, pooled,
                        entities, tokens, report ? report : &unused);
        *first_pooled = pooled[0];
        free(entities);
        free(arena);
        free(pooled);
        free(logits);
    }
    free(handle);
    return status;
}

static void test_answers(const uint8_t *file, size_t size) {
    float first = 0, again = 1, shorter = 0;
    eb_report report;
    CHECK(run(file, size, &text, 16, &first, &report) == EB_OK, "text");
    CHECK(report.num_tokens > 5 && report.num_dropped == 0, "%u tokens", report.num_tokens);
    CHECK(run(file, size, &text, 16, &again, &report) == EB_OK && again == first, "again");
    CHECK(run(file, size, &text, 4, &shorter, &report) == EB_OK, "a small arena");
    CHECK(report.num_tokens == 4 && report.num_dropped > 0, "%u tokens", report.num_tokens);
    CHECK(run(file, size, &pair, 16, &first, &report) == EB_OK, "pair");
    CHECK(report.num_tokens == 8, "%u tokens of a pair", report.num_tokens);
    CHECK(run(file, size, &pair, 2, &first, NULL) == EB_ERROR_MEMORY, "no room for a pair");
    CHECK(run(file, size, &text, 100000, &first, NULL) == EB_ERROR_TOO_LONG, "positions");
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
    CHECK(eb_classify_tokens(model, bytes, good_ends, NULL, 0, arena, 1 << 16, logits, NULL) ==
              EB_ERROR_ARGUMENT,
          "no tokens");
    CHECK(eb_classify_tokens(model, NULL, good_ends, NULL, 2, arena, 1 << 16, logits, NULL) ==
              EB_ERROR_ARGUMENT,
          "no bytes");
    CHECK(eb_classify_tokens(model, bytes, NULL, NULL, 2, arena, 1 << 16, logits, NULL) ==
              EB_ERROR_ARGUMENT,
          "no ends");
    CHECK(eb_classify_tokens(model, bytes, ends, NULL, 100000, arena, 1 << 16, logits, NULL) ==
              EB_ERROR_TOO_LONG,
          "more tokens than positions, none of which is looked at");
    CHECK(eb_arena_size(model, 0, &handle_size) == EB_ERROR_ARGUMENT, "an arena for nothing");
    CHECK(eb_arena_size(NULL, 1, &handle_size) == EB_ERROR_ARGUMENT, "no model");
    CHECK(eb_arena_size(model, 1, NULL) == EB_ERROR_ARGUMENT, "no size");
    CHECK(eb_model_label(model, 1000000, &handle_size) == NULL, "no such label");
    for (int status = EB_OK; status <= EB_ERROR_TOO_LONG + 1; status++)
        CHECK(strlen(eb_status_text((eb_status)status)) > 3, "status %d", status);
    free(arena);
    free(handle);
}

/* The parts of a model are those of its file. */
static void test_parts(const uint8_t *file, size_t size) {
    const eb_file_header *header = (const void *)file;
    const uint8_t *token = (const uint8_t *)"film";
    float vector[256], alone[256];
    size_t handle_size, hash_size;
    eb_model *model = NULL;
    eb_hash *hash = NULL;
    CHECK(eb_model_size(file, size, &handle_size) == EB_OK, "size");
    void *handle = allocate(handle_size);
    CHECK(eb_model_open(file, size, handle, handle_size, &model) == EB_OK, "open");
    const eb_hash_params *params = eb_model_hash_params(model);
    CHECK(memcmp(params, &header->hash, sizeof *params) == 0, "parameters of the hash");
    CHECK(eb_hash_size(params, &hash_size) == EB_OK && params->dimension <= 256, "a small model");
    void *memory = allocate(hash_size);
    CHECK(eb_hash_open(params, memory, hash_size, &hash) == EB_OK, "hash");
    eb_hash_embed(hash, token, 4, alone);
    eb_hash_embed(eb_model_hash(model), token, 4, vector);
    CHECK(memcmp(vector, alone, params->dimension * sizeof *vector) == 0, "the model's hash");
    CHECK(eb_tokenizer_has(eb_model_tokenizer(model), token, 4), "the model's tokenizer");
    CHECK(eb_model_use_isa(model, "scalar") == EB_OK, "every build has it");
    CHECK(strcmp(eb_model_isa(model), "scalar") == 0, "%s", eb_model_isa(model));
    free(memory);
    free(handle);
}

/* Each value of a header's start that is wrong has an answer of its own. */
static void test_headers(const uint8_t *file, size_t size) {
    static const struct {
        size_t offset;
        uint32_t value;
        eb_status status;
    } cases[] = {
        {offsetof(eb_file_header, magic), 0x324d4245, EB_ERROR_FOREIGN},
        {offsetof(eb_file_header, version), 0, EB_ERROR_CORRUPT},
        {offsetof(eb_file_header, version), 2, EB_ERROR_VERSION},
        {offsetof(eb_file_header, file_size), 0x7fffffff, EB_ERROR_TRUNCATED},
        {offsetof(eb_file_header, file_size), sizeof(eb_file_header) - 1, EB_ERROR_CORRUPT},
        {offsetof(eb_file_header, hash.family), 2, EB_ERROR_UNSUPPORTED},
        {offsetof(eb_file_header, hash.dimension), 8, EB_ERROR_CORRUPT},
        {offsetof(eb_file_header, config.task), 4, EB_ERROR_UNSUPPORTED},
        {offsetof(eb_file_header, config.dtype), 3, EB_ERROR_UNSUPPORTED},
        {offsetof(eb_file_header, config.num_hidden_layers), 65, EB_ERROR_CORRUPT},
    };
    size_t handle_size;
    uint8_t *copy = copy_of(file, size);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        memcpy(copy + cases[i].offset, &cases[i].value, sizeof cases[i].value);
        CHECK(eb_model_size(copy, size, &handle_size) == cases[i].status, "%u at %zu",
              cases[i].value, cases[i].offset);
        memcpy(copy, file, sizeof(eb_file_header));
    }
    free(copy);
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
    const eb_span names = header->labels.size ? header->labels : header->tags;
    const eb_span parts[] = {{16, sizeof *header - 16},
                             header->tensors,
                             names,
                             header->tags.size ? header->tags : names,
                             header->tokenizer,
                             {16, (uint32_t)size - 16}};
    unsigned refused = 0;
    for (int i = 0; i < NUM_HOSTILE; i++) {
        uint8_t *copy = allocate(size);
        memcpy(copy, file, size);
        for (uint32_t changes = 1 + random_below(3); changes; changes--) {
            const eb_span part = parts[random_below(sizeof parts / sizeof parts[0])];
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
        float first;
        refused += run(copy, size, &text, 12, &first, NULL) != EB_OK;
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
    float first;
    if (count == 0) {
        free(copy);
        return;
    }
    for (uint32_t i = 0; i < count; i++)
        labels[i] = (eb_span){sizeof *header, header->file_size / count};
    header->checksum = eb_file_checksum(copy, size);
    CHECK(run(copy, size, &text, 12, &first, NULL) == EB_OK, "%u shared labels", count);
    labels[0].size += count;
    header->checksum = eb_file_checksum(copy, size);
    CHECK(run(copy, size, &text, 12, &first, NULL) == EB_ERROR_CORRUPT, "a byte too many");
    free(copy);
}

/* What entities are made of is known to be a tag once the file is open. */
static void test_tags_of_no_scheme(const uint8_t *file, size_t size) {
    static const char *const bad[] = {"", "B", "B-", "o", "OO", "X-a", "BIa"};
    static const char *const good[] = {"O", "B-a", "I-\xff"};
    uint8_t *copy = copy_of(file, size);
    eb_file_header *header = (void *)copy;
    eb_span *tags = (void *)(copy + header->tags.offset);
    const eb_span first_tag = tags[0];
    float first;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0] + sizeof good / sizeof good[0]; i++) {
        const int is_good = i >= sizeof bad / sizeof bad[0];
        const char *name = is_good ? good[i - sizeof bad / sizeof bad[0]] : bad[i];
        tags[0] = first_tag; /* of 3 bytes or, being aligned, with room for them */
        tags[0].size = (uint32_t)strlen(name);
        memcpy(copy + first_tag.offset, name, tags[0].size);
        header->checksum = eb_file_checksum(copy, size);
        CHECK(run(copy, size, &text, 12, &first, NULL) == (is_good ? EB_OK : EB_ERROR_CORRUPT),
              "tag '%s'", name);
    }
    free(copy);
}

/* Of integers the same; of floats what is left where a compiler fuses multiplications and additions
 * in the code for one row, but not in that for several. */
static int are_alike(const eb_config *config, const float *a, const float *b, uint32_t count) {
    const float most = config->dtype == EB_DTYPE_F32 ? 1e-6f : 0.0f;
    uint32_t alike = 0;
    while (alike < count && a[alike] - b[alike] <= most && b[alike] - a[alike] <= most)
        alike++;
    return alike == count;
}

/* Tags are asked for by eb_tag alone, and change nothing of what eb_classify gives. */
static void test_tags(const uint8_t *file, size_t size) {
    size_t handle_size, arena_size;
    eb_model *model = NULL;
    CHECK(eb_model_size(file, size, &handle_size) == EB_OK, "size");
    void *handle = allocate(handle_size);
    CHECK(eb_model_open(file, size, handle, handle_size, &model) == EB_OK, "open");
    const eb_config *config = eb_model_config(model);
    CHECK(eb_arena_size(model, 16, &arena_size) == EB_OK, "arena");
    void *arena = allocate(arena_size);
    float logits[64], tagged_logits[64], pooled[256], tagged_pooled[256];
    eb_entity entities[16], first;
    eb_report report, again;
    CHECK(config->num_labels <= 64 && config->hidden_size <= 256, "a small model");
    CHECK(eb_classify(model, &text, arena, arena_size, logits, pooled, &report) == EB_OK, "all");
    CHECK(report.num_entities == 0, "eb_classify finds none");
    CHECK(eb_tag(model, &text, arena, arena_size, tagged_logits, tagged_pooled, entities, 16,
                 &report) == EB_OK,
          "tag");
    CHECK(are_alike(config, logits, tagged_logits, config->num_labels), "logits");
    CHECK(are_alike(config, pooled, tagged_pooled, config->hidden_size), "pooled");
    CHECK((report.num_entities > 0) == (config->num_tags > 0), "%u found", report.num_entities);
    CHECK(eb_tag(model, &text, arena, arena_size, logits, NULL, &first, 1, &again) == EB_OK, "one");
    CHECK(again.num_entities == report.num_entities, "all are counted");
    CHECK(report.num_entities == 0 || memcmp(&first, entities, sizeof first) == 0, "the first");
    CHECK(eb_tag(model, &text, arena, arena_size, logits, NULL, NULL, 0, &again) == EB_OK, "none");
    CHECK(eb_tag(model, &text, arena, arena_size, logits, NULL, NULL, 2, &again) ==
              EB_ERROR_ARGUMENT,
          "no memory for entities");
    CHECK(eb_tag(model, &text, arena, arena_size, logits, NULL, &first, 1, NULL) ==
              EB_ERROR_ARGUMENT,
          "no report");
    const uint32_t ends[] = {5, 8};
    int16_t scores[64] = {9999, 9999};
    CHECK(2 * config->num_tags <= sizeof scores / sizeof *scores, "a small model");
    CHECK(eb_tag_tokens(model, (const uint8_t *)"[CLS]abc", ends, NULL, 2, arena, arena_size,
                        logits, NULL, scores) == EB_OK,
          "tokens");
    CHECK((scores[0] == 9999) == (config->num_tags == 0), "%d", scores[0]);
    CHECK((eb_model_transitions(model) == NULL) == (config->num_tags == 0), "transitions");
    CHECK(eb_tag_tokens(model, (const uint8_t *)"[CLS]abc", ends, NULL, 2, arena, arena_size,
                        logits, NULL, NULL) == (config->num_tags ? EB_ERROR_ARGUMENT : EB_OK),
          "no memory for scores of tags");
    CHECK(eb_classify(model, &text, arena, arena_size, NULL, pooled, NULL) ==
              (config->num_labels ? EB_ERROR_ARGUMENT : EB_OK),
          "no memory for logits");
    free(arena);
    free(handle);
}

static void test_damaged_files(const uint8_t *file, size_t size) {
    float first;
    for (size_t cut = 0; cut < size; cut += 1 + size / 500) {
        uint8_t *copy = allocate(cut);
        memcpy(copy, file, cut);
        CHECK(run(copy, cut, &text, 12, &first, NULL) != EB_OK, "cut to %zu", cut);
        free(copy);
    }
    uint8_t *copy = allocate(size);
    memcpy(copy, file, size);
    for (int i = 0; i < 500; i++) {
        const uint32_t at = random_below((uint32_t)size);
        copy[at] ^= 64;
        const eb_status status = run(copy, size, &text, 12, &first, NULL);
        CHECK(at < sizeof(eb_file_header) ? status != EB_OK : status == EB_ERROR_CHECKSUM,
              "flip at %u: %s", at, eb_status_text(status));
        copy[at] ^= 64;
    }
    free(copy);
}

/* Nothing in a file or a tokenizer's section is what it seems to a big-endian processor. */
static void test_big_endian_refuses(const uint8_t *file, size_t size) {
    size_t handle_size = 1 << 16;
    void *handle = allocate(handle_size);
    eb_model *model = NULL;
    CHECK(eb_model_open(file, size, handle, handle_size, &model) == EB_ERROR_UNSUPPORTED, "open");
    CHECK(model == NULL, "the handle is written only on success");
    CHECK(eb_model_size(file, size, &handle_size) == EB_ERROR_UNSUPPORTED, "size");
    for (uint8_t kind = EB_TOKENIZER_WORDPIECE; kind <= EB_TOKENIZER_WORD; kind++) {
        const uint8_t section[sizeof(eb_tokenizer_header)] = {kind, 0, 0, 0, 1};
        eb_tokenizer *tokenizer = NULL;
        CHECK(eb_tokenizer_open(section, sizeof section, handle, handle_size, &tokenizer) ==
                  EB_ERROR_UNSUPPORTED,
              "tokenizer %u", kind);
        CHECK(tokenizer == NULL, "its handle");
    }
    free(handle);
}

static void test_file(const char *name) {
    FILE *stream = fopen(name, "rb");
    uint8_t *buffer = allocate(1 << 20);
    const size_t size = stream ? fread(buffer, 1, 1 << 20, stream) : 0;
    uint8_t *file = copy_of(buffer, size);
    free(buffer);
    CHECK(stream && size, "%s", name);
    if (!stream)
        return;
    fclose(stream);
    if (eb_is_big_endian()) {
        test_big_endian_refuses(file, size);
        free(file);
        return;
    }
    test_answers(file, size);
    test_wrong_use(file, size);
    test_parts(file, size);
    test_headers(file, size);
    test_tags(file, size);
    if (((const eb_file_header *)(const void *)file)->config.num_tags)
        test_tags_of_no_scheme(file, size);
    test_hostile_files(file, size);
    test_labels_longer_than_the_file(file, size);
    test_damaged_files(file, size);
    free(file);
}

int main(int argc, char **argv) {
    CHECK(argc >= 2, "files are given");
    for (int i = 1; i < argc; i++)
        test_file(argv[i]);
    return summary();
}

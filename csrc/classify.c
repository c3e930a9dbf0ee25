/* From text or tokens to logits and tags: lays out the arena, embeds each token as the tokenizer
 * yields it, runs the encoder and the heads. */
#include "model.h"
#include "sequence.h"
#include "tags.h"

#include <string.h>

typedef struct run {
    const eb_model *model;
    uint8_t *x;       /* [capacity, hidden_size] of the encoder's type */
    uint8_t *scratch; /* the encoder's */
    eb_word *words;   /* [capacity] in models with tags, as the next one */
    uint16_t *tags;
    uint32_t count;
} run;

static uint64_t states_size(const eb_model *model, uint64_t num_tokens) {
    return eb_align(num_tokens * eb_model_config(model)->hidden_size *
                    model->encoder->element_size);
}

static uint64_t scratch_size(const eb_model *model, uint64_t num_tokens) {
    return eb_align(model->encoder->scratch(eb_model_config(model), num_tokens));
}

static uint64_t arena_size(const eb_model *model, uint64_t num_tokens) {
    const uint64_t tags = num_tokens * (sizeof(eb_word) + sizeof(uint16_t));
    return states_size(model, num_tokens) + scratch_size(model, num_tokens) +
           (eb_has_tags(eb_model_config(model)) ? eb_align(tags) : 0);
}

eb_status eb_arena_size(const eb_model *model, uint32_t num_tokens, size_t *bytes) {
    if (!model || !bytes || num_tokens == 0)
        return EB_ERROR_ARGUMENT;
    if (num_tokens > eb_model_config(model)->max_position_embeddings)
        return EB_ERROR_TOO_LONG;
    const uint64_t size = arena_size(model, num_tokens);
    if (size > SIZE_MAX)
        return EB_ERROR_MEMORY;
    *bytes = (size_t)size;
    return EB_OK;
}

/* Most tokens that the arena and the model have room for. */
static uint32_t tokens_that_fit(const eb_model *model, size_t bytes) {
    const eb_config *config = eb_model_config(model);
    uint32_t fits = 0, above = config->max_position_embeddings + 1;
    while (above - fits > 1) {
        const uint32_t middle = fits + (above - fits) / 2;
        if (arena_size(model, middle) <= bytes)
            fits = middle;
        else
            above = middle;
    }
    return fits;
}

static run start(const eb_model *model, void *arena, uint32_t capacity) {
    run r = {model, arena, NULL, NULL, NULL, 0};
    r.scratch = r.x + (size_t)states_size(model, capacity);
    if (eb_has_tags(eb_model_config(model))) {
        r.words = (eb_word *)(void *)(r.scratch + (size_t)scratch_size(model, capacity));
        r.tags = (uint16_t *)(r.words + capacity);
    }
    return r;
}

static void push(run *r, const uint8_t *token, size_t size, uint8_t type) {
    const eb_encoder *encoder = r->model->encoder;
    const size_t row = eb_model_config(r->model)->hidden_size * encoder->element_size;
    encoder->embed(r->model, token, size, r->count, type, r->x + r->count * row, r->scratch);
    r->count++;
}

/* The best tags of the words too, in r->tags, if `tagged`; tag_scores are given unless NULL. */
static void finish(run *r, float *logits, float *pooled, int tagged, int16_t *tag_scores) {
    const eb_model *model = r->model;
    const eb_encoder *encoder = model->encoder;
    const uint32_t num_tags = eb_model_config(model)->num_tags;
    const int has_labels = eb_has_labels(eb_model_config(model));
    const int all = tagged || tag_scores || !has_labels;
    encoder->encode(model, r->count, all ? r->count : 1, r->x, r->scratch);
    if (eb_has_tags(eb_model_config(model)) && tagged)
        eb_decode_tags(eb_model_transitions(model), num_tags, r->words, r->count,
                       encoder->tag(model, r->count, r->x, r->scratch), r->tags);
    if (eb_has_tags(eb_model_config(model)) && tag_scores)
        memcpy(tag_scores, encoder->tag(model, r->count, r->x, r->scratch),
               (size_t)r->count * num_tags * sizeof *tag_scores);
    if (has_labels)
        encoder->classify(model, r->x, logits, pooled, r->scratch);
    else if (pooled)
        encoder->mean(model, r->count, r->x, pooled, r->scratch);
}

static int can_run(const eb_model *model, const void *arena, const float *logits) {
    return model && arena && eb_is_aligned(arena) &&
           (logits || !eb_has_labels(eb_model_config(model)));
}

/* What eb_tag does; bio is NULL if entities are not asked for, or the model has no tags. */
static eb_status run_text(const eb_model *model, const eb_text *text, void *arena,
                          size_t arena_bytes, float *logits, float *pooled, eb_bio *bio,
                          eb_report *report) {
    const uint32_t capacity = tokens_that_fit(model, arena_bytes);
    if (capacity < eb_sequence_specials(text))
        return EB_ERROR_MEMORY;

    const uint32_t last_type = eb_model_config(model)->type_vocab_size - 1;
    run r = start(model, arena, capacity);
    eb_sequence_iter iter;
    const uint8_t *token;
    size_t size;
    uint8_t type;
    eb_sequence_start(&iter, model->tokenizer, text, capacity);
    while (eb_sequence_next(&iter, &token, &size, &type)) {
        if (bio)
            r.words[r.count] = eb_sequence_word(&iter);
        push(&r, token, size, type < last_type ? type : (uint8_t)last_type);
    }
    finish(&r, logits, pooled, bio != NULL, NULL);
    for (uint32_t i = 0; bio && i < r.count; i++) {
        eb_name tag;
        tag.text = eb_model_tag(model, r.tags[i], &tag.size);
        eb_bio_add(bio, r.words[i], tag);
    }
    if (report) {
        report->num_tokens = r.count;
        report->num_dropped = iter.num_dropped;
        report->num_entities = bio ? bio->count : 0;
    }
    return EB_OK;
}

eb_status eb_classify(const eb_model *model, const eb_text *text, void *arena, size_t arena_bytes,
                      float *logits, float *pooled, eb_report *report) {
    if (!can_run(model, arena, logits) || !eb_text_is_sane(text))
        return EB_ERROR_ARGUMENT;
    return run_text(model, text, arena, arena_bytes, logits, pooled, NULL, report);
}

eb_status eb_tag(const eb_model *model, const eb_text *text, void *arena, size_t arena_bytes,
                 float *logits, float *pooled, eb_entity *entities, uint32_t capacity,
                 eb_report *report) {
    if (!can_run(model, arena, logits) || !eb_text_is_sane(text) || (!entities && capacity) ||
        !report)
        return EB_ERROR_ARGUMENT;
    eb_bio bio;
    eb_bio_start(&bio, entities, capacity);
    return run_text(model, text, arena, arena_bytes, logits, pooled,
                    eb_has_tags(eb_model_config(model)) ? &bio : NULL, report);
}

/* What eb_tag_tokens does; tag_scores is NULL if not asked for, or the model has no tags. */
static eb_status run_tokens(const eb_model *model, const uint8_t *bytes, const uint32_t *ends,
                            const uint8_t *types, uint32_t count, void *arena, size_t arena_bytes,
                            float *logits, float *pooled, int16_t *tag_scores) {
    if (!can_run(model, arena, logits) || !bytes || !ends || !count)
        return EB_ERROR_ARGUMENT;
    if (count > eb_model_config(model)->max_position_embeddings)
        return EB_ERROR_TOO_LONG;
    if (arena_bytes < arena_size(model, count))
        return EB_ERROR_MEMORY;
    for (uint32_t i = 0; i < count; i++)
        if ((i && ends[i] < ends[i - 1]) ||
            (types && types[i] >= eb_model_config(model)->type_vocab_size))
            return EB_ERROR_ARGUMENT;

    run r = start(model, arena, count);
    for (uint32_t i = 0; i < count; i++) {
        const uint32_t begin = i ? ends[i - 1] : 0;
        push(&r, bytes + begin, ends[i] - begin, types ? types[i] : 0);
    }
    finish(&r, logits, pooled, 0, tag_scores);
    return EB_OK;
}

eb_status eb_classify_tokens(const eb_model *model, const uint8_t *bytes, const uint32_t *ends,
                             const uint8_t *types, uint32_t count, void *arena, size_t arena_bytes,
                             float *logits, float *pooled) {
    return run_tokens(model, bytes, ends, types, count, arena, arena_bytes, logits, pooled, NULL);
}

eb_status eb_tag_tokens(const eb_model *model, const uint8_t *bytes, const uint32_t *ends,
                        const uint8_t *types, uint32_t count, void *arena, size_t arena_bytes,
                        float *logits, float *pooled, int16_t *tag_scores) {
    const int has_tags = model && eb_has_tags(eb_model_config(model));
    if (has_tags && !tag_scores)
        return EB_ERROR_ARGUMENT;
    return run_tokens(model, bytes, ends, types, count, arena, arena_bytes, logits, pooled,
                      has_tags ? tag_scores : NULL);
}

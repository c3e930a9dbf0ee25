/* From text or tokens to logits: lays out the arena, embeds each token as the tokenizer yields
 * it, runs the encoder and the head. */
#include "model.h"
#include "sequence.h"

typedef struct run {
    const eb_model *model;
    uint8_t *x;       /* [capacity, hidden_size] of the encoder's type */
    uint8_t *scratch; /* the encoder's */
    uint32_t count;
} run;

static uint64_t states_size(const eb_model *model, uint64_t num_tokens) {
    return eb_align(num_tokens * eb_model_config(model)->hidden_size *
                    model->encoder->element_size);
}

static uint64_t arena_size(const eb_model *model, uint64_t num_tokens) {
    return states_size(model, num_tokens) +
           eb_align(model->encoder->scratch(eb_model_config(model), num_tokens));
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
    run r = {model, arena, NULL, 0};
    r.scratch = r.x + (size_t)states_size(model, capacity);
    return r;
}

static void push(run *r, const uint8_t *token, size_t size, uint8_t type) {
    const eb_encoder *encoder = r->model->encoder;
    const size_t row = eb_model_config(r->model)->hidden_size * encoder->element_size;
    encoder->embed(r->model, token, size, r->count, type, r->x + r->count * row, r->scratch);
    r->count++;
}

static void finish(run *r, float *logits, float *pooled) {
    const eb_encoder *encoder = r->model->encoder;
    encoder->encode(r->model, r->count, r->x, r->scratch);
    encoder->head(r->model, r->x, logits, pooled, r->scratch);
}

eb_status eb_classify(const eb_model *model, const eb_text *text, void *arena, size_t arena_bytes,
                      float *logits, float *pooled, eb_report *report) {
    if (!model || !eb_text_is_sane(text) || !arena || !logits || !eb_is_aligned(arena))
        return EB_ERROR_ARGUMENT;
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
    while (eb_sequence_next(&iter, &token, &size, &type))
        push(&r, token, size, type < last_type ? type : (uint8_t)last_type);
    if (report) {
        report->num_tokens = r.count;
        report->num_dropped = iter.num_dropped;
    }
    finish(&r, logits, pooled);
    return EB_OK;
}

eb_status eb_classify_tokens(const eb_model *model, const uint8_t *bytes, const uint32_t *ends,
                             const uint8_t *types, uint32_t count, void *arena, size_t arena_bytes,
                             float *logits, float *pooled) {
    if (!model || !bytes || !ends || !count || !arena || !logits || !eb_is_aligned(arena))
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
    finish(&r, logits, pooled);
    return EB_OK;
}

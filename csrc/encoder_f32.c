/* The encoder in float32: hash vectors in, hidden states and logits out. Post-norm BERT (arXiv
 * 1810.04805). Every step is one kernel; the order of the steps is all there is here. */
#include "encoder.h"
#include "model.h"
#include "tags.h"

#ifndef EB_NO_F32

#define TAG_ROWS 8 /* tokens that are tagged at a time */

static uint64_t most(uint64_t a, uint64_t b) {
    return a > b ? a : b;
}

static uint64_t scratch_size(const eb_config *config, uint64_t n) {
    const uint64_t h = config->hidden_size;
    const uint64_t attention = 5 * h * n + EB_ATTENTION_SCRATCH(n, h / config->num_attention_heads);
    const uint64_t feed_forward = (h + config->intermediate_size) * n;
    const uint64_t logits = TAG_ROWS * (uint64_t)config->num_tags * sizeof(float);
    const uint64_t tags = logits + n * config->num_tags * sizeof(int16_t);
    return most(most(attention, feed_forward) * sizeof(float), tags);
}

static void embed(const eb_model *model, const uint8_t *token, size_t token_size, size_t position,
                  size_t type, void *x, void *scratch) {
    const eb_config *config = eb_model_config(model);
    const size_t h = config->hidden_size;
    const float *positions = eb_tensor_of(model, 0, EB_POSITION_EMBEDDINGS);
    const float *types = eb_tensor_of(model, 0, EB_TOKEN_TYPE_EMBEDDINGS);
    float *row = x;
    (void)scratch;
    eb_hash_embed(model->hash, token, token_size, row);
    for (size_t c = 0; c < h; c++)
        row[c] += positions[position * h + c] + types[type * h + c];
    model->kernels->layer_norm_f32(
        row, NULL, 1, h, eb_tensor_of(model, 0, EB_EMBEDDINGS_NORM_WEIGHT),
        eb_tensor_of(model, 0, EB_EMBEDDINGS_NORM_BIAS), config->layer_norm_eps, row);
}

static void encode_layer(const eb_model *model, size_t layer, size_t n, size_t states, float *x,
                         float *scratch) {
    const eb_kernels *k = model->kernels;
    const eb_config *config = eb_model_config(model);
    const size_t h = config->hidden_size, heads = config->num_attention_heads;
    const size_t inner = config->intermediate_size;
#define W(role) eb_tensor_of(model, layer, EB_##role)

    float *qkv = scratch, *context = qkv + 3 * h * n, *update = context + h * n;
    float *attention = update + h * n;
    const float *weights = W(QKV_WEIGHT), *bias = W(QKV_BIAS);
    if (states < n && h % EB_BLOCK == 0) { /* few queries: their columns are blocks of their own */
        float *keys = qkv + h * states;
        k->linear_f32(x, states, h, weights, bias, h, qkv);
        k->linear_f32(x, n, h, weights + h * h, bias + h, 2 * h, keys);
        k->attention_f32(qkv, h, states, keys, 2 * h, n, h, heads, attention, context);
    } else {
        k->linear_f32(x, n, h, weights, bias, 3 * h, qkv);
        k->attention_f32(qkv, 3 * h, states, qkv + h, 3 * h, n, h, heads, attention, context);
    }
    k->linear_f32(context, states, h, W(ATTENTION_OUTPUT_WEIGHT), W(ATTENTION_OUTPUT_BIAS), h,
                  update);
    k->layer_norm_f32(update, x, states, h, W(ATTENTION_NORM_WEIGHT), W(ATTENTION_NORM_BIAS),
                      config->layer_norm_eps, x);

    float *intermediate = scratch;
    update = intermediate + inner * states;
    k->linear_f32(x, states, h, W(INTERMEDIATE_WEIGHT), W(INTERMEDIATE_BIAS), inner, intermediate);
    k->gelu_f32(intermediate, states * inner);
    k->linear_f32(intermediate, states, inner, W(OUTPUT_WEIGHT), W(OUTPUT_BIAS), h, update);
    k->layer_norm_f32(update, x, states, h, W(OUTPUT_NORM_WEIGHT), W(OUTPUT_NORM_BIAS),
                      config->layer_norm_eps, x);
#undef W
}

static void encode(const eb_model *model, size_t n, size_t wanted, void *x, void *scratch) {
    const eb_config *config = eb_model_config(model);
    for (size_t layer = 0; layer < config->num_hidden_layers; layer++)
        encode_layer(model, layer, n, eb_states_of_layer(config, layer, n, wanted), x, scratch);
}

static void classify(const eb_model *model, const void *x, float *logits, float *pooled,
                     void *scratch) {
    const eb_kernels *k = model->kernels;
    const size_t h = eb_model_config(model)->hidden_size;
    float *first = pooled ? pooled : scratch;
    k->linear_f32(x, 1, h, eb_tensor_of(model, 0, EB_POOLER_WEIGHT),
                  eb_tensor_of(model, 0, EB_POOLER_BIAS), h, first);
    k->tanh_f32(first, h);
    k->linear_f32(first, 1, h, eb_tensor_of(model, 0, EB_CLASSIFIER_WEIGHT),
                  eb_tensor_of(model, 0, EB_CLASSIFIER_BIAS), eb_model_config(model)->num_labels,
                  logits);
}

#ifndef EB_LABELS_ONLY
static void mean(const eb_model *model, size_t n, const void *x, float *pooled, void *scratch) {
    const size_t h = eb_model_config(model)->hidden_size;
    const float *states = x;
    (void)scratch;
    for (size_t c = 0; c < h; c++)
        pooled[c] = 0.0f;
    for (size_t t = 0; t < n; t++)
        for (size_t c = 0; c < h; c++)
            pooled[c] += states[t * h + c];
    model->kernels->normalise_f32(pooled, h);
}

static int16_t *tag(const eb_model *model, size_t n, const void *x, void *scratch) {
    const size_t h = eb_model_config(model)->hidden_size;
    const size_t count = eb_model_config(model)->num_tags;
    const float *states = x;
    float *logits = scratch;
    int16_t *scores = (int16_t *)(logits + TAG_ROWS * count);
    for (size_t i = 0; i < n; i += TAG_ROWS) {
        const size_t rows = n - i < TAG_ROWS ? n - i : TAG_ROWS;
        model->kernels->linear_f32(states + i * h, rows, h,
                                   eb_tensor_of(model, 0, EB_TAGGER_WEIGHT),
                                   eb_tensor_of(model, 0, EB_TAGGER_BIAS), count, logits);
        eb_tag_scores(logits, rows * count, scores + i * count);
    }
    return scores;
}
#endif

const eb_encoder eb_encoder_f32 = {
    .element_size = sizeof(float),
    .scratch = scratch_size,
    .embed = embed,
    .encode = encode,
    .classify = classify,
#ifndef EB_LABELS_ONLY
    .mean = mean,
    .tag = tag,
#endif
};

#endif

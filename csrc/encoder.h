/* What turns hash vectors into logits: one for each type of arithmetic; private to csrc. */
#ifndef EB_ENCODER_H
#define EB_ENCODER_H

#include "edgebert.h"

typedef struct eb_encoder {
    size_t element_size; /* bytes of an element of a hidden state */
    /* Bytes of scratch memory for n tokens. */
    uint64_t (*scratch)(const eb_config *config, uint64_t n);
    /* x[hidden_size] = the first hidden state of a token. */
    void (*embed)(const eb_model *model, const uint8_t *token, size_t token_size, size_t position,
                  size_t type, void *x, void *scratch);
    /* x[wanted, hidden_size] = the last hidden states of so many tokens, 1 or n, from the first
     * states of all n. */
    void (*encode)(const eb_model *model, size_t n, size_t wanted, void *x, void *scratch);
    /* logits[num_labels] and, unless NULL, pooled[hidden_size] from the first token's state. */
    void (*classify)(const eb_model *model, const void *x, float *logits, float *pooled,
                     void *scratch);
    /* pooled[hidden_size] = the mean of n states, scaled to length 1. */
    void (*mean)(const eb_model *model, size_t n, const void *x, float *pooled, void *scratch);
    /* Scores of the tags of n states, [n, num_tags], in the scratch memory. */
    int16_t *(*tag)(const eb_model *model, size_t n, const void *x, void *scratch);
} eb_encoder;

/* How many tokens need a hidden state behind a layer: all, as the next layer's keys and values are
 * of them; behind the last layer, those that are wanted. */
static inline size_t eb_states_of_layer(const eb_config *config, size_t layer, size_t n,
                                        size_t wanted) {
    return layer + 1 < config->num_hidden_layers ? n : wanted;
}

extern const eb_encoder eb_encoder_i8;
#ifndef EB_NO_F32 /* leaves out all that only float32 models need, floats of hash vectors too */
extern const eb_encoder eb_encoder_f32;
#endif

/* The encoder for models of a dtype; NULL if this build has none. */
static inline const eb_encoder *eb_encoder_of(uint32_t dtype) {
#ifndef EB_NO_F32
    if (dtype == EB_DTYPE_F32)
        return &eb_encoder_f32;
#endif
    return dtype == EB_DTYPE_F32 ? NULL : &eb_encoder_i8;
}

#endif

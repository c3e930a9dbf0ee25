/* What an open model is made of; private to csrc. */
#ifndef EB_MODEL_H
#define EB_MODEL_H

#include "edgebert.h"
#include "format.h"
#include "kernels/kernels.h"

struct eb_model {
    const eb_file_header *file; /* the whole file, used in place */
    const eb_kernels *kernels;
    eb_hash *hash;
    eb_tokenizer *tokenizer;
    const void *tensors[]; /* [layer * EB_NUM_ROLES + role]; layer 0 has those of no layer too */
};

static inline const void *eb_tensor_of(const eb_model *model, size_t layer, size_t role) {
    return model->tensors[layer * EB_NUM_ROLES + role];
}

/* x[n, hidden_size] = the encoder's last hidden states, from the hash vectors in x.
 * scratch: float[eb_encoder_scratch(config, n)]. */
void eb_encode(const eb_model *model, const uint8_t *types, size_t n, float *x, float *scratch);
uint64_t eb_encoder_scratch(const eb_config *config, uint64_t n);

/* logits[num_labels] and, unless NULL, pooled[hidden_size] from the first row's hidden state. */
void eb_head(const eb_model *model, const float *x, float *logits, float *pooled, float *scratch);

/* Rounds up to EB_ALIGNMENT. 64 bits: sizes read from files cannot overflow it. */
static inline uint64_t eb_align(uint64_t size) {
    return (size + EB_ALIGNMENT - 1) / EB_ALIGNMENT * EB_ALIGNMENT;
}

static inline int eb_is_aligned(const void *memory) {
    return (uintptr_t)memory % EB_ALIGNMENT == 0;
}

#endif

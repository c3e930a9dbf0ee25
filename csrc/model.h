/* What an open model is made of; private to csrc. */
#ifndef EB_MODEL_H
#define EB_MODEL_H

#include "edgebert.h"
#include "encoder.h"
#include "format.h"
#include "kernels/kernels.h"

struct eb_model {
    const eb_file_header *file; /* the whole file, used in place */
    const eb_kernels *kernels;
    const eb_encoder *encoder; /* of the config's dtype */
    eb_hash *hash;
    eb_tokenizer *tokenizer;
    const void *tensors[]; /* [layer * EB_NUM_ROLES + role]; layer 0 has those of no layer too */
};

static inline const void *eb_tensor_of(const eb_model *model, size_t layer, size_t role) {
    return model->tensors[layer * EB_NUM_ROLES + role];
}

/* Rounds up to EB_ALIGNMENT. 64 bits: sizes read from files cannot overflow it. */
static inline uint64_t eb_align(uint64_t size) {
    return (size + EB_ALIGNMENT - 1) / EB_ALIGNMENT * EB_ALIGNMENT;
}

static inline int eb_is_aligned(const void *memory) {
    return (uintptr_t)memory % EB_ALIGNMENT == 0;
}

#endif

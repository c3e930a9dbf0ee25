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

/* Whether a part of the file lies in it, behind the header. */
static inline int eb_span_is_inside(const eb_file_header *header, eb_span span,
                                    uint32_t alignment) {
    return span.offset >= sizeof *header && span.offset % alignment == 0 &&
           span.offset <= header->file_size && span.size <= header->file_size - span.offset;
}

/* tensors[layer * EB_NUM_ROLES + role] = where each lies in the file. */
eb_status eb_tensors_read(const eb_file_header *header, const void **tensors);

/* Which heads a model has. EB_LABELS_ONLY leaves out what only models with tags, or without labels,
 * need: eb_model_open refuses those then, and the compiler sees that none of it is called. */
static inline int eb_has_labels(const eb_config *config) {
#ifdef EB_LABELS_ONLY
    (void)config;
    return 1;
#else
    return config->num_labels > 0;
#endif
}

static inline int eb_has_tags(const eb_config *config) {
#ifdef EB_LABELS_ONLY
    (void)config;
    return 0;
#else
    return config->num_tags > 0;
#endif
}

#endif

/* Opens an .ebm file: checks every value in it once, so that nothing has to be checked later. */
#include "model.h"

#include "hash.h"
#include "kernels/target.h"
#include "tags.h"

#include <string.h>

#define MAX_LAYERS 64
#define MAX_TOKENS 65536
#define MAX_LABELS 65536

const char *eb_status_text(eb_status status) {
    switch (status) {
    case EB_OK:
        return "done";
    case EB_ERROR_ARGUMENT:
        return "wrong argument: a NULL pointer, a count of zero or unaligned memory";
    case EB_ERROR_MEMORY:
        return "the memory given is too small";
    case EB_ERROR_TRUNCATED:
        return "the file is truncated: it is shorter than its header says";
    case EB_ERROR_FOREIGN:
        return "not an edgebert model (.ebm) file";
    case EB_ERROR_VERSION:
        return "the file was made by a newer edgebert: update edgebert to read it";
    case EB_ERROR_CHECKSUM:
        return "the file is damaged: its checksum is wrong";
    case EB_ERROR_CORRUPT:
        return "the file is damaged: a value in it is impossible";
    case EB_ERROR_UNSUPPORTED:
        return "the file needs a feature that this build of edgebert does not have";
    case EB_ERROR_TOO_LONG:
        return "more tokens than the model has positions";
    }
    return "unknown status";
}

uint32_t eb_file_checksum(const void *file, size_t file_size) {
    const size_t start = offsetof(eb_file_header, checksum) + sizeof(uint32_t);
    return eb_murmur3_32((const uint8_t *)file + start, file_size - start, EB_FILE_VERSION);
}

static int in_range(uint32_t value, uint32_t most) {
    return value >= 1 && value <= most;
}

/* Which heads a model has; nobody knows those of an unknown task. */
static int heads_fit_task(const eb_config *c) {
    switch (c->task) {
    case EB_TASK_CLASSIFICATION:
        return c->num_labels > 0;
    case EB_TASK_REGRESSION:
        return c->num_labels == 1;
    case EB_TASK_EMBEDDING:
        return c->num_labels == 0 && c->num_tags == 0;
    case EB_TASK_TAGGING:
        return c->num_labels == 0 && c->num_tags > 0;
    }
    return 1;
}

static eb_status check_config(const eb_config *c) {
    const int sane = in_range(c->hidden_size, EB_MAX_HIDDEN_SIZE) &&
                     in_range(c->num_hidden_layers, MAX_LAYERS) &&
                     in_range(c->num_attention_heads, c->hidden_size) &&
                     c->hidden_size % c->num_attention_heads == 0 &&
                     in_range(c->intermediate_size, 4 * EB_MAX_HIDDEN_SIZE) &&
                     in_range(c->max_position_embeddings, MAX_TOKENS) &&
                     c->max_position_embeddings >= 2 && in_range(c->type_vocab_size, 256) &&
                     c->num_labels <= MAX_LABELS && c->num_tags <= EB_MAX_TAGS &&
                     heads_fit_task(c) && c->layer_norm_eps >= 0.0f && c->layer_norm_eps < 1.0f;
    if (!sane)
        return EB_ERROR_CORRUPT;
#ifdef EB_LABELS_ONLY
    if (c->num_labels == 0 || c->num_tags)
        return EB_ERROR_UNSUPPORTED;
#endif
    if (c->task > EB_TASK_TAGGING || c->activation != EB_ACTIVATION_GELU || c->dtype > EB_DTYPE_I4)
        return EB_ERROR_UNSUPPORTED;
    const uint32_t head_size = c->hidden_size / c->num_attention_heads;
    const uint32_t group = c->dtype == EB_DTYPE_I4 ? EB_I4_GROUP : EB_BLOCK;
    if (c->dtype != EB_DTYPE_F32 &&
        (head_size % EB_BLOCK || c->hidden_size % group || c->intermediate_size % group))
        return EB_ERROR_CORRUPT;
    return EB_OK;
}

/* What must be known before the size of a handle can be told. The checksum is not: it takes longer
 * than all else, so eb_model_open alone looks at it, before it trusts anything. */
static eb_status check_header(const void *file, size_t file_size) {
    const eb_file_header *header = file;
    if (!file || !eb_is_aligned(file))
        return EB_ERROR_ARGUMENT;
    if (eb_is_big_endian())
        return EB_ERROR_UNSUPPORTED;
    if (file_size < sizeof header->magic || header->magic != EB_FILE_MAGIC)
        return EB_ERROR_FOREIGN;
    if (file_size < sizeof *header)
        return EB_ERROR_TRUNCATED;
    if (header->version != EB_FILE_VERSION)
        return header->version ? EB_ERROR_VERSION : EB_ERROR_CORRUPT;
    if (file_size < header->file_size)
        return EB_ERROR_TRUNCATED;
    if (header->file_size < sizeof *header)
        return EB_ERROR_CORRUPT;
    return EB_OK;
}

static eb_status check_params(const eb_file_header *header) {
    if (header->hash.family > EB_HASH_MURMUR3)
        return EB_ERROR_UNSUPPORTED;
    if (header->hash.dimension != header->config.hidden_size)
        return EB_ERROR_CORRUPT;
    return check_config(&header->config);
}

static int is_within(int32_t value, int32_t least, int32_t most) {
    return value >= least && value <= most;
}

/* A shift of sums, and how many bits of the int16 that is left are rounded away. */
static int are_shifts(int32_t shift, int32_t bits) {
    return is_within(shift, 0, 31) && is_within(bits, 0, EB_MOST_BITS);
}

static int is_norm(const eb_norm_scales *scales) {
    return is_within(scales->bits, 0, EB_MOST_BITS) && is_within(scales->epsilon, 0, INT16_MAX);
}

/* The shift of a head's sums, 0 if the model does not have that head. */
static int is_head_shift(int32_t shift, uint32_t outputs) {
    return outputs ? is_within(shift, 1, EB_MAX_SHIFT) : shift == 0;
}

/* The numbers of an int8 model that integer kernels shift and divide by. */
static eb_status check_scales(const eb_config *config, const void *const *tensors) {
    if (config->dtype == EB_DTYPE_F32)
        return EB_OK;
    const eb_model_scales *m = tensors[EB_MODEL_SCALES];
    int sane = is_within(m->position_multiplier, 0, INT16_MAX) && is_norm(&m->embeddings_norm) &&
               is_head_shift(m->pooler_shift, config->num_labels) &&
               is_head_shift(m->classifier_shift, config->num_labels) &&
               is_head_shift(m->tagger_shift, config->num_tags);
    for (uint32_t layer = 0; layer < config->num_hidden_layers; layer++) {
        const eb_layer_scales *l = tensors[layer * EB_NUM_ROLES + EB_LAYER_SCALES];
        sane = sane && are_shifts(l->qkv_shift, l->qkv_bits) &&
               is_within(l->softmax_multiplier, 0, INT16_MAX) &&
               is_within(l->softmax_shift, 0, 30) &&
               is_within(l->context_multiplier, 0, 127 * INT16_MAX) &&
               is_within(l->context_bits, 0, EB_MOST_BITS) &&
               are_shifts(l->attention_output_shift, 0) && is_within(l->attention_factor, 0, 256) &&
               is_norm(&l->attention_norm) &&
               are_shifts(l->intermediate_shift, l->intermediate_bits) &&
               are_shifts(l->output_shift, 0) && is_within(l->output_factor, 0, 256) &&
               is_norm(&l->output_norm);
    }
    return sane ? EB_OK : EB_ERROR_CORRUPT;
}

/* Name i of a list of labels or tags. */
static const char *name_of(const eb_file_header *header, eb_span list, uint32_t i, size_t *size) {
    const uint8_t *file = (const uint8_t *)header;
    const eb_span name = ((const eb_span *)(const void *)(file + list.offset))[i];
    *size = name.size;
    return (const char *)file + name.offset;
}

static eb_status check_names(const eb_file_header *header, eb_span list, uint32_t count) {
    if (!eb_span_is_inside(header, list, sizeof(uint32_t)) || list.size != count * sizeof(eb_span))
        return EB_ERROR_CORRUPT;
    const void *names = (const uint8_t *)header + list.offset;
    uint64_t bytes = 0; /* names may overlap, but a small file must not make a huge list */
    for (uint32_t i = 0; i < count; i++) {
        const eb_span name = ((const eb_span *)names)[i];
        if (!eb_span_is_inside(header, name, 1))
            return EB_ERROR_CORRUPT;
        bytes += name.size;
    }
    return bytes > header->file_size ? EB_ERROR_CORRUPT : EB_OK;
}

static eb_status check_tags(const eb_file_header *header) {
    for (uint32_t i = 0; i < header->config.num_tags; i++) {
        eb_name tag;
        tag.text = name_of(header, header->tags, i, &tag.size);
        if (!eb_is_tag(tag))
            return EB_ERROR_CORRUPT;
    }
    return EB_OK;
}

/* A handle is the struct with its tensor pointers, then the hash, then the tokenizer. */
typedef struct handle_layout {
    uint64_t hash, tokenizer, end; /* offsets */
    size_t hash_size, tokenizer_size;
} handle_layout;

static eb_status lay_out_handle(const eb_file_header *header, handle_layout *layout) {
    eb_status status = eb_hash_size(&header->hash, &layout->hash_size);
    if (status == EB_OK)
        status = eb_tokenizer_size(&layout->tokenizer_size);
    if (status != EB_OK)
        return EB_ERROR_CORRUPT;
    const uint64_t pointers = (uint64_t)header->config.num_hidden_layers * EB_NUM_ROLES;
    layout->hash = eb_align(sizeof(eb_model) + pointers * sizeof(void *));
    layout->tokenizer = eb_align(layout->hash + layout->hash_size);
    layout->end = eb_align(layout->tokenizer + layout->tokenizer_size);
    return EB_OK;
}

eb_status eb_model_size(const void *file, size_t file_size, size_t *bytes) {
    handle_layout layout;
    eb_status status = bytes ? check_header(file, file_size) : EB_ERROR_ARGUMENT;
    if (status == EB_OK)
        status = check_params(file);
    if (status == EB_OK)
        status = lay_out_handle(file, &layout);
    if (status == EB_OK)
        *bytes = (size_t)layout.end;
    return status;
}

eb_status eb_model_open(const void *file, size_t file_size, void *memory, size_t memory_size,
                        eb_model **model) {
    const eb_file_header *header = file;
    handle_layout layout;
    eb_status status = check_header(file, file_size);
    if (status == EB_OK && header->checksum != eb_file_checksum(file, header->file_size))
        status = EB_ERROR_CHECKSUM;
    if (status == EB_OK)
        status = check_params(header);
    if (status == EB_OK)
        status = lay_out_handle(header, &layout);
    if (status != EB_OK)
        return status;
    if (!memory || !model || !eb_is_aligned(memory))
        return EB_ERROR_ARGUMENT;
    if (memory_size < layout.end)
        return EB_ERROR_MEMORY;

    uint8_t *base = memory;
    eb_model *m = memory;
    memset(m, 0, (size_t)layout.hash);
    m->file = header;
    m->kernels = eb_kernels_best();
    m->encoder = eb_encoder_of(header->config.dtype);
    if (!m->encoder)
        return EB_ERROR_UNSUPPORTED;
    status = eb_tensors_read(header, m->tensors);
    if (status == EB_OK)
        status = check_scales(&header->config, m->tensors);
    if (status == EB_OK)
        status = check_names(header, header->labels, header->config.num_labels);
    if (status == EB_OK)
        status = check_names(header, header->tags, header->config.num_tags);
    if (status == EB_OK && eb_has_tags(&header->config))
        status = check_tags(header);
    if (status == EB_OK && !eb_span_is_inside(header, header->tokenizer, sizeof(uint32_t)))
        status = EB_ERROR_CORRUPT;
    if (status == EB_OK)
        status = eb_tokenizer_open((const uint8_t *)file + header->tokenizer.offset,
                                   header->tokenizer.size, base + layout.tokenizer,
                                   layout.tokenizer_size, &m->tokenizer);
    if (status == EB_ERROR_TRUNCATED)
        status = EB_ERROR_CORRUPT; /* the section is too short, not the file */
    if (status == EB_OK)
        status = eb_hash_open(&header->hash, base + layout.hash, layout.hash_size, &m->hash);
    if (status == EB_OK)
        *model = m;
    return status;
}

const eb_config *eb_model_config(const eb_model *model) {
    return &model->file->config;
}

const eb_hash *eb_model_hash(const eb_model *model) {
    return model->hash;
}

const eb_hash_params *eb_model_hash_params(const eb_model *model) {
    return &model->file->hash;
}

const eb_tokenizer *eb_model_tokenizer(const eb_model *model) {
    return model->tokenizer;
}

eb_status eb_model_use_isa(eb_model *model, const char *isa) {
    if (!model || !isa)
        return EB_ERROR_ARGUMENT;
    for (size_t i = 0; i < eb_kernels_count(); i++) {
        const eb_kernels *kernels = eb_kernels_get(i);
        size_t same = 0; /* bytes; strcmp would be one more function to need */
        while (kernels && isa[same] && isa[same] == kernels->name[same])
            same++;
        if (kernels && isa[same] == kernels->name[same]) {
            model->kernels = model->hash->kernels = kernels;
            return EB_OK;
        }
    }
    return EB_ERROR_UNSUPPORTED;
}

const char *eb_model_isa(const eb_model *model) {
    return model->kernels->name;
}

const char *eb_model_label(const eb_model *model, uint32_t i, size_t *label_size) {
    if (i >= model->file->config.num_labels)
        return NULL;
    return name_of(model->file, model->file->labels, i, label_size);
}

const int8_t *eb_model_transitions(const eb_model *model) {
    return eb_tensor_of(model, 0, EB_TAG_TRANSITIONS);
}

const char *eb_model_tag(const eb_model *model, uint32_t i, size_t *tag_size) {
    if (i >= model->file->config.num_tags)
        return NULL;
    return name_of(model->file, model->file->tags, i, tag_size);
}

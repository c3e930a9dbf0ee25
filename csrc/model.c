/* Opens an .ebm file: checks every value in it once, so that nothing has to be checked later. */
#include "model.h"

#include "hash.h"

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

eb_status eb_tensor_shape(const eb_config *config, uint32_t role, uint32_t *rows, uint32_t *cols) {
    const uint32_t h = config->hidden_size;
    *rows = 1; /* vectors */
    *cols = h;
    switch (role) {
    case EB_POSITION_EMBEDDINGS:
        *rows = config->max_position_embeddings;
        break;
    case EB_TOKEN_TYPE_EMBEDDINGS:
        *rows = config->type_vocab_size;
        break;
    case EB_QKV_WEIGHT:
        *rows = h;
        *cols = 3 * h;
        break;
    case EB_QKV_BIAS:
        *cols = 3 * h;
        break;
    case EB_ATTENTION_OUTPUT_WEIGHT:
    case EB_POOLER_WEIGHT:
        *rows = h;
        break;
    case EB_INTERMEDIATE_WEIGHT:
        *rows = h;
        *cols = config->intermediate_size;
        break;
    case EB_INTERMEDIATE_BIAS:
        *cols = config->intermediate_size;
        break;
    case EB_OUTPUT_WEIGHT:
        *rows = config->intermediate_size;
        break;
    case EB_CLASSIFIER_WEIGHT:
        *rows = h;
        *cols = config->num_labels;
        break;
    case EB_CLASSIFIER_BIAS:
        *cols = config->num_labels;
        break;
    default:
        if (role >= EB_NUM_ROLES)
            return EB_ERROR_ARGUMENT;
    }
    return EB_OK;
}

static int in_range(uint32_t value, uint32_t most) {
    return value >= 1 && value <= most;
}

static eb_status check_config(const eb_config *c) {
    const int sane = in_range(c->hidden_size, EB_MAX_HIDDEN_SIZE) &&
                     in_range(c->num_hidden_layers, MAX_LAYERS) &&
                     in_range(c->num_attention_heads, c->hidden_size) &&
                     c->hidden_size % c->num_attention_heads == 0 &&
                     in_range(c->intermediate_size, 4 * EB_MAX_HIDDEN_SIZE) &&
                     in_range(c->max_position_embeddings, MAX_TOKENS) &&
                     c->max_position_embeddings >= 2 && in_range(c->type_vocab_size, 256) &&
                     in_range(c->num_labels, MAX_LABELS) && c->layer_norm_eps >= 0.0f &&
                     c->layer_norm_eps < 1.0f &&
                     (c->task != EB_TASK_REGRESSION || c->num_labels == 1);
    if (!sane)
        return EB_ERROR_CORRUPT;
    if (c->task > EB_TASK_REGRESSION || c->activation != EB_ACTIVATION_GELU)
        return EB_ERROR_UNSUPPORTED;
    return EB_OK;
}

/* Header, checksum, config: what must be known before the size of a handle can be told. */
static eb_status check_header(const void *file, size_t file_size) {
    const eb_file_header *header = file;
    const uint32_t one = 1;
    if (!file || !eb_is_aligned(file))
        return EB_ERROR_ARGUMENT;
    if (*(const uint8_t *)&one != 1)
        return EB_ERROR_UNSUPPORTED; /* big-endian machine */
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
    if (header->checksum != eb_file_checksum(file, header->file_size))
        return EB_ERROR_CHECKSUM;
    if (header->hash.family > EB_HASH_MURMUR3)
        return EB_ERROR_UNSUPPORTED;
    if (header->hash.dimension != header->config.hidden_size)
        return EB_ERROR_CORRUPT;
    return check_config(&header->config);
}

static int span_is_inside(const eb_file_header *header, eb_span span, uint32_t alignment) {
    return span.offset >= sizeof *header && span.offset % alignment == 0 &&
           span.offset <= header->file_size && span.size <= header->file_size - span.offset;
}

/* The directory must list exactly the tensors of this config, in order. */
static eb_status read_tensors(const eb_file_header *header, const float **tensors) {
    const uint32_t before = EB_QKV_WEIGHT, in_layer = EB_POOLER_WEIGHT - EB_QKV_WEIGHT;
    const uint32_t layers = header->config.num_hidden_layers;
    const uint32_t count = EB_NUM_ROLES + (layers - 1) * in_layer;
    const uint8_t *file = (const uint8_t *)header;

    if (!span_is_inside(header, header->tensors, sizeof(uint32_t)) ||
        header->tensors.size != count * sizeof(eb_tensor))
        return EB_ERROR_CORRUPT;
    const eb_tensor *tensor = (const eb_tensor *)(const void *)(file + header->tensors.offset);
    for (uint32_t i = 0; i < count; i++, tensor++) {
        uint32_t role = i, layer = 0, rows, cols;
        if (i >= before && i < before + layers * in_layer) {
            role = before + (i - before) % in_layer;
            layer = (i - before) / in_layer;
        } else if (i >= before) {
            role = i - (layers - 1) * in_layer;
        }
        if (tensor->role != role || tensor->layer != layer)
            return EB_ERROR_CORRUPT;
        if (tensor->dtype != EB_DTYPE_F32)
            return EB_ERROR_UNSUPPORTED;
        eb_tensor_shape(&header->config, role, &rows, &cols);
        if (tensor->rows != rows || tensor->cols != cols ||
            tensor->data.size != (uint64_t)rows * cols * sizeof(float) ||
            !span_is_inside(header, tensor->data, EB_ALIGNMENT))
            return EB_ERROR_CORRUPT;
        tensors[layer * EB_NUM_ROLES + role] =
            (const float *)(const void *)(file + tensor->data.offset);
    }
    return EB_OK;
}

static eb_status check_labels(const eb_file_header *header) {
    if (!span_is_inside(header, header->labels, sizeof(uint32_t)) ||
        header->labels.size != header->config.num_labels * sizeof(eb_span))
        return EB_ERROR_CORRUPT;
    const void *labels = (const uint8_t *)header + header->labels.offset;
    uint64_t bytes = 0; /* labels may overlap, but a small file must not make a huge list */
    for (uint32_t i = 0; i < header->config.num_labels; i++) {
        const eb_span label = ((const eb_span *)labels)[i];
        if (!span_is_inside(header, label, 1))
            return EB_ERROR_CORRUPT;
        bytes += label.size;
    }
    return bytes > header->file_size ? EB_ERROR_CORRUPT : EB_OK;
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
    layout->hash = eb_align(sizeof(eb_model) + pointers * sizeof(float *));
    layout->tokenizer = eb_align(layout->hash + layout->hash_size);
    layout->end = eb_align(layout->tokenizer + layout->tokenizer_size);
    return EB_OK;
}

eb_status eb_model_size(const void *file, size_t file_size, size_t *bytes) {
    handle_layout layout;
    eb_status status = bytes ? check_header(file, file_size) : EB_ERROR_ARGUMENT;
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
    status = read_tensors(header, m->tensors);
    if (status == EB_OK)
        status = check_labels(header);
    if (status == EB_OK && !span_is_inside(header, header->tokenizer, sizeof(uint32_t)))
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

const char *eb_model_isa(const eb_model *model) {
    return model->kernels->name;
}

const char *eb_model_label(const eb_model *model, uint32_t i, size_t *label_size) {
    const uint8_t *file = (const uint8_t *)model->file;
    if (i >= model->file->config.num_labels)
        return NULL;
    const eb_span *label = (const eb_span *)(const void *)(file + model->file->labels.offset) + i;
    *label_size = label->size;
    return (const char *)file + label->offset;
}

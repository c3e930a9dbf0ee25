/* Which tensors a model has, and where in its file they lie. */
#include "model.h"

/* Where the tensors of a role stand in a file: once before the layers, in each, or once behind, if
 * the model has labels or tags. */
enum { EMBEDDINGS, LAYER, LABEL_HEAD, TAG_HEAD };
enum {
    ONE,
    HIDDEN,
    THREE_HIDDEN,
    INNER,
    POSITIONS,
    TYPES,
    LABELS,
    TAGS,
    TAGS_AND_START,
    BYTES,
    LAYER_I8,
    MODEL_I8
};
#define NONE 255 /* no such tensor in models of this dtype */
#define F32 EB_DTYPE_F32
#define I8 EB_DTYPE_I8
#define I4 EB_DTYPE_I4
#define I16 EB_DTYPE_I16
#define I32 EB_DTYPE_I32

static const struct {
    uint8_t place, rows, cols, is_matrix;
    uint8_t dtypes[3]; /* in models of EB_DTYPE_F32, EB_DTYPE_I8 and EB_DTYPE_I4 */
} roles[EB_NUM_ROLES] = {
    [EB_POSITION_EMBEDDINGS] = {EMBEDDINGS, POSITIONS, HIDDEN, 0, {F32, I8, I4}},
    [EB_TOKEN_TYPE_EMBEDDINGS] = {EMBEDDINGS, TYPES, HIDDEN, 0, {F32, I16, I16}},
    [EB_EMBEDDINGS_NORM_WEIGHT] = {EMBEDDINGS, ONE, HIDDEN, 0, {F32, I16, I16}},
    [EB_EMBEDDINGS_NORM_BIAS] = {EMBEDDINGS, ONE, HIDDEN, 0, {F32, I16, I16}},
    [EB_QKV_WEIGHT] = {LAYER, HIDDEN, THREE_HIDDEN, 1, {F32, I8, I4}},
    [EB_QKV_BIAS] = {LAYER, ONE, THREE_HIDDEN, 0, {F32, I32, I32}},
    [EB_ATTENTION_OUTPUT_WEIGHT] = {LAYER, HIDDEN, HIDDEN, 1, {F32, I8, I4}},
    [EB_ATTENTION_OUTPUT_BIAS] = {LAYER, ONE, HIDDEN, 0, {F32, I32, I32}},
    [EB_ATTENTION_NORM_WEIGHT] = {LAYER, ONE, HIDDEN, 0, {F32, I16, I16}},
    [EB_ATTENTION_NORM_BIAS] = {LAYER, ONE, HIDDEN, 0, {F32, I16, I16}},
    [EB_INTERMEDIATE_WEIGHT] = {LAYER, HIDDEN, INNER, 1, {F32, I8, I4}},
    [EB_INTERMEDIATE_BIAS] = {LAYER, ONE, INNER, 0, {F32, I32, I32}},
    [EB_OUTPUT_WEIGHT] = {LAYER, INNER, HIDDEN, 1, {F32, I8, I4}},
    [EB_OUTPUT_BIAS] = {LAYER, ONE, HIDDEN, 0, {F32, I32, I32}},
    [EB_OUTPUT_NORM_WEIGHT] = {LAYER, ONE, HIDDEN, 0, {F32, I16, I16}},
    [EB_OUTPUT_NORM_BIAS] = {LAYER, ONE, HIDDEN, 0, {F32, I16, I16}},
    [EB_POOLER_WEIGHT] = {LABEL_HEAD, HIDDEN, HIDDEN, 1, {F32, I8, I4}},
    [EB_POOLER_BIAS] = {LABEL_HEAD, ONE, HIDDEN, 0, {F32, I32, I32}},
    [EB_CLASSIFIER_WEIGHT] = {LABEL_HEAD, HIDDEN, LABELS, 1, {F32, I8, I4}},
    [EB_CLASSIFIER_BIAS] = {LABEL_HEAD, ONE, LABELS, 0, {F32, I32, I32}},
    [EB_QKV_MULTIPLIER] = {LAYER, ONE, THREE_HIDDEN, 0, {NONE, I16, I16}},
    [EB_ATTENTION_OUTPUT_MULTIPLIER] = {LAYER, ONE, HIDDEN, 0, {NONE, I16, I16}},
    [EB_INTERMEDIATE_MULTIPLIER] = {LAYER, ONE, INNER, 0, {NONE, I16, I16}},
    [EB_OUTPUT_MULTIPLIER] = {LAYER, ONE, HIDDEN, 0, {NONE, I16, I16}},
    [EB_POOLER_MULTIPLIER] = {LABEL_HEAD, ONE, HIDDEN, 0, {NONE, I32, I32}},
    [EB_CLASSIFIER_MULTIPLIER] = {LABEL_HEAD, ONE, LABELS, 0, {NONE, I32, I32}},
    [EB_GELU_TABLE] = {LAYER, ONE, BYTES, 0, {NONE, I8, I8}},
    [EB_LAYER_SCALES] = {LAYER, ONE, LAYER_I8, 0, {NONE, I32, I32}},
    [EB_MODEL_SCALES] = {EMBEDDINGS, ONE, MODEL_I8, 0, {NONE, I32, I32}},
    [EB_TAGGER_WEIGHT] = {TAG_HEAD, HIDDEN, TAGS, 1, {F32, I8, I4}},
    [EB_TAGGER_BIAS] = {TAG_HEAD, ONE, TAGS, 0, {F32, I32, I32}},
    [EB_TAGGER_MULTIPLIER] = {TAG_HEAD, ONE, TAGS, 0, {NONE, I32, I32}},
    [EB_TAG_TRANSITIONS] = {TAG_HEAD, TAGS, TAGS_AND_START, 0, {I8, I8, I8}},
};

static int is_in_model(const eb_config *config, uint32_t role) {
    const uint8_t place = roles[role].place;
    return roles[role].dtypes[config->dtype] != NONE &&
           (place != LABEL_HEAD || config->num_labels) && (place != TAG_HEAD || config->num_tags);
}

static uint32_t extent(const eb_config *config, int dimension) {
    const uint32_t extents[] = {
        [ONE] = 1,
        [HIDDEN] = config->hidden_size,
        [THREE_HIDDEN] = 3 * config->hidden_size,
        [INNER] = config->intermediate_size,
        [POSITIONS] = config->max_position_embeddings,
        [TYPES] = config->type_vocab_size,
        [LABELS] = config->num_labels,
        [TAGS] = config->num_tags,
        [TAGS_AND_START] = config->num_tags + 1,
        [BYTES] = 256,
        [LAYER_I8] = sizeof(eb_layer_scales) / sizeof(int32_t),
        [MODEL_I8] = sizeof(eb_model_scales) / sizeof(int32_t),
    };
    return extents[dimension];
}

eb_status eb_tensor_of_role(const eb_config *config, uint32_t role, eb_tensor *tensor) {
    static const uint8_t sizes[] = {[F32] = 4, [I8] = 1, [I4] = 0, [I16] = 2, [I32] = 4};
    if (role >= EB_NUM_ROLES || !is_in_model(config, role))
        return EB_ERROR_ARGUMENT;
    tensor->role = (uint16_t)role;
    tensor->dtype = roles[role].dtypes[config->dtype];
    tensor->rows = extent(config, roles[role].rows);
    tensor->cols = extent(config, roles[role].cols);
    const uint32_t stored = roles[role].is_matrix ? EB_ROUND_UP(tensor->cols) : tensor->cols;
    tensor->data.size = tensor->rows * stored * sizes[tensor->dtype]; /* below 2^31 */
    if (tensor->dtype == I4) /* positions are columns there, of hidden_size inputs */
        tensor->data.size = roles[role].is_matrix
                                ? EB_I4_SIZE(tensor->rows, stored)
                                : EB_I4_SIZE(tensor->cols, EB_ROUND_UP(tensor->rows));
    return EB_OK;
}

/* The directory must list exactly the tensors of this config: those of the embeddings, of each
 * layer, of the heads; everywhere in the order of their roles. */
eb_status eb_tensors_read(const eb_file_header *header, const void **tensors) {
    const eb_config *config = &header->config;
    const eb_span directory = header->tensors;
    const uint8_t *file = (const uint8_t *)header;
    if (!eb_span_is_inside(header, directory, sizeof(uint32_t)) ||
        directory.size % sizeof(eb_tensor))
        return EB_ERROR_CORRUPT;
    const eb_tensor *tensor = (const eb_tensor *)(const void *)(file + directory.offset);
    const eb_tensor *end = tensor + directory.size / sizeof(eb_tensor);
    for (int place = EMBEDDINGS; place <= TAG_HEAD; place++)
        for (uint32_t layer = 0; layer < (place == LAYER ? config->num_hidden_layers : 1); layer++)
            for (uint32_t role = 0; role < EB_NUM_ROLES; role++) {
                eb_tensor expected;
                if (roles[role].place != place ||
                    eb_tensor_of_role(config, role, &expected) != EB_OK)
                    continue;
                if (tensor == end || tensor->role != role || tensor->layer != layer ||
                    tensor->dtype != expected.dtype || tensor->rows != expected.rows ||
                    tensor->cols != expected.cols || tensor->data.size != expected.data.size ||
                    !eb_span_is_inside(header, tensor->data, EB_ALIGNMENT))
                    return EB_ERROR_CORRUPT;
                tensors[layer * EB_NUM_ROLES + role] = file + tensor->data.offset;
                tensor++;
            }
    return tensor == end ? EB_OK : EB_ERROR_CORRUPT;
}

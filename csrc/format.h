/* Layout of an .ebm file; docs/format.md tells the same in words. The loader (model.c) and the
 * Python writer (through cffi) both use these structs: the layout is written down only here.
 *
 * Little-endian; every offset counts from the start of the file. Sections may come in any order
 * after the header. Weights are aligned to EB_ALIGNMENT so that they are used where they lie. */
#ifndef EB_FORMAT_H
#define EB_FORMAT_H

#include "edgebert.h"

#define EB_FILE_MAGIC 0x314d4245 /* "EBM1" */
#define EB_FILE_VERSION 1

typedef struct eb_span {
    uint32_t offset;
    uint32_t size; /* bytes */
} eb_span;

typedef struct eb_file_header {
    uint32_t magic;
    uint32_t version;
    uint32_t file_size;
    uint32_t checksum; /* eb_file_checksum */
    eb_config config;
    eb_hash_params hash;
    eb_span tokenizer; /* the tokenizer section */
    eb_span labels;    /* num_labels eb_span, each of one label's UTF-8 */
    eb_span tags;      /* num_tags eb_span, each of one tag's: O, B-type or I-type */
    eb_span tensors;   /* eb_tensor records, ordered by role within layer */
} eb_file_header;

/* What a tensor is for. The numbers stand in files: append, never renumber. tensors.c has a table
 * of them: where each belongs, its shape, and its type in a model of each dtype.
 *
 * Matrices, [in, out] with y = x W + b, are stored in blocks of EB_BLOCK output columns, the last
 * one filled up with zeros, so that kernels read them from front to back whatever their vectors'
 * width: float32 as [out / 16][in][16], int8 as [out / 16][in / 4][16][4]. */
#define EB_BLOCK 16
#define EB_ROUND_UP(n) (((n) + EB_BLOCK - 1) / EB_BLOCK * EB_BLOCK)

/* Four-bit matrices: blocks of [in / 32][16] scales and [in / 4][32] bytes (kernels/i4.h). So are
 * four-bit position embeddings, of which each is a column. */
#define EB_I4_GROUP 32
#define EB_I4_SIZE(in, out) ((out) / EB_BLOCK * ((in) / EB_I4_GROUP * EB_BLOCK + (in) * 8))

#define EB_POSITION_EMBEDDINGS 0
#define EB_TOKEN_TYPE_EMBEDDINGS 1
#define EB_EMBEDDINGS_NORM_WEIGHT 2
#define EB_EMBEDDINGS_NORM_BIAS 3
#define EB_QKV_WEIGHT 4 /* query, key and value side by side */
#define EB_QKV_BIAS 5
#define EB_ATTENTION_OUTPUT_WEIGHT 6
#define EB_ATTENTION_OUTPUT_BIAS 7
#define EB_ATTENTION_NORM_WEIGHT 8
#define EB_ATTENTION_NORM_BIAS 9
#define EB_INTERMEDIATE_WEIGHT 10
#define EB_INTERMEDIATE_BIAS 11
#define EB_OUTPUT_WEIGHT 12
#define EB_OUTPUT_BIAS 13
#define EB_OUTPUT_NORM_WEIGHT 14
#define EB_OUTPUT_NORM_BIAS 15
#define EB_POOLER_WEIGHT 16
#define EB_POOLER_BIAS 17
#define EB_CLASSIFIER_WEIGHT 18
#define EB_CLASSIFIER_BIAS 19
/* Of int8 models only; docs/numerics.md says what they mean. */
#define EB_QKV_MULTIPLIER 20
#define EB_ATTENTION_OUTPUT_MULTIPLIER 21
#define EB_INTERMEDIATE_MULTIPLIER 22
#define EB_OUTPUT_MULTIPLIER 23
#define EB_POOLER_MULTIPLIER 24
#define EB_CLASSIFIER_MULTIPLIER 25
#define EB_GELU_TABLE 26
#define EB_LAYER_SCALES 27 /* one eb_layer_scales */
#define EB_MODEL_SCALES 28 /* one eb_model_scales */
/* Of models with tags. */
#define EB_TAGGER_WEIGHT 29
#define EB_TAGGER_BIAS 30
#define EB_TAGGER_MULTIPLIER 31 /* int8 */
#define EB_TAG_TRANSITIONS 32   /* int8 in all models; as eb_model_transitions tells */
#define EB_NUM_ROLES 33

/* Largest shift of a 64-bit product of a sum and its multiplier. */
#define EB_MAX_SHIFT 62

/* Most bits of an int16 that are rounded away to make it an int8. */
#define EB_MOST_BITS 8

/* A LayerNorm in integers: bits of its outputs that are rounded away, and the square root of its
 * epsilon in units of its input. */
typedef struct eb_norm_scales {
    int32_t bits;
    int32_t epsilon;
} eb_norm_scales;

typedef struct eb_layer_scales {
    int32_t qkv_shift;
    int32_t qkv_bits;
    int32_t softmax_multiplier;
    int32_t softmax_shift;
    int32_t context_multiplier;
    int32_t context_bits;
    int32_t attention_output_shift;
    int32_t attention_factor; /* of the residual */
    eb_norm_scales attention_norm;
    int32_t intermediate_shift;
    int32_t intermediate_bits;
    int32_t output_shift;
    int32_t output_factor;
    eb_norm_scales output_norm;
} eb_layer_scales;

typedef struct eb_model_scales {
    int32_t position_multiplier;
    eb_norm_scales embeddings_norm;
    int32_t pooler_shift; /* 0 in models without labels, as the next one */
    int32_t classifier_shift;
    int32_t tagger_shift; /* 0 in models without tags */
} eb_model_scales;

typedef struct eb_tensor {
    uint16_t role;
    uint16_t layer; /* encoder layer; 0 for the tensors outside the encoder */
    uint32_t dtype; /* EB_DTYPE_* */
    uint32_t rows;
    uint32_t cols;
    eb_span data; /* aligned to EB_ALIGNMENT */
} eb_tensor;

/* Head of a tokenizer section, which .ebm files and the metadata of .onnx files hold alike. The
 * vocabulary (docs/format.md) follows; it is empty for EB_TOKENIZER_WORD. */
typedef struct eb_tokenizer_header {
    uint32_t kind;      /* EB_TOKENIZER_* */
    uint32_t lowercase; /* 1: uncased, accents stripped too; 0: cased */
    uint32_t vocabulary_size;
} eb_tokenizer_header;

/* MurmurHash3 (x86, 32 bit, seed EB_FILE_VERSION) of every byte behind the checksum field. A
 * change within one aligned 32-bit word is always found, any other with odds of 2^32 to 1. */
uint32_t eb_file_checksum(const void *file, size_t file_size);

/* What the tensor of a role must be in a model of this config: rows x cols, type and bytes. offset
 * and layer are left alone. EB_ERROR_ARGUMENT: such a model has no tensor of this role. */
eb_status eb_tensor_of_role(const eb_config *config, uint32_t role, eb_tensor *tensor);

#endif

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
    eb_span tensors;   /* eb_tensor records, ordered by role within layer */
} eb_file_header;

/* What a tensor is for. The numbers stand in files: append, never renumber. `rows` x `cols` of
 * each is in tensor_shape() of model.c. Matrices are stored [in, out], the transpose of PyTorch's
 * nn.Linear.weight, so that a row of weights meets one input value and is read in order. */
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
#define EB_NUM_ROLES 20

#define EB_DTYPE_F32 0

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

/* rows x cols that `role` must have in a model of this config. EB_ERROR_ARGUMENT: no such role. */
eb_status eb_tensor_shape(const eb_config *config, uint32_t role, uint32_t *rows, uint32_t *cols);

#endif

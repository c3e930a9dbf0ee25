/* What litert.c needs of LiteRT's C API, whose headers no Python wheel has.
 *
 * Names, types and the order of the fields are those of litert/c/litert_*.h (Apache 2.0 licence,
 * copyright Google LLC), version 2. Define EB_LITERT_HEADER to compile with the real ones. */
#ifndef EB_LITERT_API_H
#define EB_LITERT_API_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum {
    kLiteRtStatusOk = 0,
    kLiteRtStatusErrorInvalidArgument = 1,
    kLiteRtStatusErrorMemoryAllocationFailure = 2
} LiteRtStatus;

typedef enum {
    kLiteRtElementTypeFloat32 = 1,
    kLiteRtElementTypeInt32 = 2,
    kLiteRtElementTypeUInt8 = 3
} LiteRtElementType;

#define LITERT_TENSOR_MAX_RANK 8

typedef struct {
    unsigned int rank : 7;
    bool has_strides : 1;
    int32_t dimensions[LITERT_TENSOR_MAX_RANK];
    uint32_t strides[LITERT_TENSOR_MAX_RANK];
} LiteRtLayout;

typedef struct {
    LiteRtElementType element_type;
    LiteRtLayout layout;
} LiteRtRankedTensorType;

typedef struct LiteRtOptionsT *LiteRtOptions;
typedef struct LiteRtTensorBufferT *LiteRtTensorBuffer;

typedef enum {
    kLiteRtTensorBufferLockModeRead = 0,
    kLiteRtTensorBufferLockModeWrite = 1
} LiteRtTensorBufferLockMode;

typedef struct {
    LiteRtStatus (*Init)(void *user_data, const void *init_data, size_t init_data_size);
    LiteRtStatus (*GetOutputLayouts)(void *user_data, size_t num_inputs,
                                     const LiteRtLayout *input_layouts, size_t num_outputs,
                                     LiteRtLayout *output_layouts);
    LiteRtStatus (*Run)(void *user_data, size_t num_inputs, const LiteRtTensorBuffer *inputs,
                        size_t num_outputs, LiteRtTensorBuffer *outputs);
    LiteRtStatus (*Destroy)(void *user_data);
} LiteRtCustomOpKernel;

#endif

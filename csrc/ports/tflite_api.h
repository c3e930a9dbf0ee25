/* What tflite.c needs of TensorFlow Lite's C types, whose header no Python wheel has.
 *
 * Names, types and the order of the fields are those of tensorflow/lite/core/c/common.h (Apache 2.0
 * licence, copyright The TensorFlow Authors), from version 2.3 on, built without
 * TF_LITE_STATIC_MEMORY, as Python's wheels are. Later versions only added to the ends, of what
 * is not declared here or is zero. Define EB_TFLITE_HEADER to compile with the real header. */
#ifndef EB_TFLITE_API_H
#define EB_TFLITE_API_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

typedef enum TfLiteStatus { kTfLiteOk = 0, kTfLiteError = 1 } TfLiteStatus;
typedef enum { kTfLiteFloat32 = 1, kTfLiteInt32 = 2, kTfLiteUInt8 = 3 } TfLiteType;

typedef struct TfLiteIntArray {
    int size;
    int data[];
} TfLiteIntArray;

typedef struct TfLiteTensor {
    TfLiteType type;
    union {
        void *data;
        uint8_t *uint8;
        int32_t *i32;
        float *f;
    } data;
    TfLiteIntArray *dims;
    struct {
        float scale;
        int32_t zero_point;
    } params;
    int allocation_type;
    size_t bytes;
    const void *allocation;
    const char *name;
    void *delegate;
    int buffer_handle;
    bool data_is_stale;
    bool is_variable;
    struct {
        int type;
        void *params;
    } quantization;
    void *sparsity;
    const TfLiteIntArray *dims_signature;
} TfLiteTensor;

typedef struct TfLiteNode {
    TfLiteIntArray *inputs, *outputs, *intermediates, *temporaries;
    void *user_data;
} TfLiteNode;

typedef struct TfLiteContext TfLiteContext;
struct TfLiteContext {
    size_t tensors_size;
    TfLiteStatus (*GetExecutionPlan)(TfLiteContext *context, TfLiteIntArray **plan);
    TfLiteTensor *tensors;
    void *impl_;
    TfLiteStatus (*ResizeTensor)(TfLiteContext *context, TfLiteTensor *tensor,
                                 TfLiteIntArray *size); /* frees size with free() */
    void (*ReportError)(TfLiteContext *context, const char *format, ...);
};

typedef struct TfLiteRegistration {
    void *(*init)(TfLiteContext *context, const char *options, size_t size);
    void (*free)(TfLiteContext *context, void *user_data);
    TfLiteStatus (*prepare)(TfLiteContext *context, TfLiteNode *node);
    TfLiteStatus (*invoke)(TfLiteContext *context, TfLiteNode *node);
    const char *(*profiling_string)(const TfLiteContext *context, const TfLiteNode *node);
    int32_t builtin_code;
    const char *custom_name;
    int version;
    void *later_versions[8]; /* all NULL: nothing of what they added */
} TfLiteRegistration;

static inline TfLiteIntArray *TfLiteIntArrayCreate(int size) {
    TfLiteIntArray *array =
        (TfLiteIntArray *)malloc(sizeof *array + (size_t)size * sizeof array->data[0]);
    if (array)
        array->size = size;
    return array;
}

#endif

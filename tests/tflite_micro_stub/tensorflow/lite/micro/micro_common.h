/* Plays TensorFlow Lite Micro, in its headers' names, as far as csrc/ports/tflite_micro.cc needs
 * it; tests/tflite_micro_stub/main.cc runs the operator. */
#ifndef STUB_MICRO_COMMON_H
#define STUB_MICRO_COMMON_H

#include <stddef.h>
#include <stdint.h>

typedef enum { kTfLiteOk = 0, kTfLiteError = 1 } TfLiteStatus;
typedef enum { kTfLiteFloat32 = 1, kTfLiteInt32 = 2, kTfLiteUInt8 = 3 } TfLiteType;

struct TfLiteIntArray {
    int size;
    int data[4];
};

struct TfLiteEvalTensor {
    union {
        char *raw;
    } data;
    TfLiteIntArray *dims;
    TfLiteType type;
};

struct TfLiteContext {
    TfLiteEvalTensor *tensors;
    void *(*AllocatePersistentBuffer)(TfLiteContext *context, size_t bytes);
};

struct TfLiteNode {
    TfLiteIntArray *inputs, *outputs;
    void *user_data;
};

struct TFLMRegistration {
    void *(*init)(TfLiteContext *context, const char *buffer, size_t length);
    void (*free)(TfLiteContext *context, void *buffer);
    TfLiteStatus (*prepare)(TfLiteContext *context, TfLiteNode *node);
    TfLiteStatus (*invoke)(TfLiteContext *context, TfLiteNode *node);
    void (*reset)(TfLiteContext *context, void *buffer);
    int32_t builtin_code;
    const char *custom_name;
};

#endif

#ifndef STUB_KERNEL_UTIL_H
#define STUB_KERNEL_UTIL_H

#include "tensorflow/lite/micro/micro_common.h"

namespace tflite {
namespace micro {

inline const TfLiteEvalTensor *GetEvalInput(const TfLiteContext *context, const TfLiteNode *node,
                                            int index) {
    const int tensor = node->inputs->data[index];
    return tensor < 0 ? nullptr : &context->tensors[tensor];
}

inline TfLiteEvalTensor *GetEvalOutput(const TfLiteContext *context, const TfLiteNode *node,
                                       int index) {
    return &context->tensors[node->outputs->data[index]];
}

template <typename T> const T *GetTensorData(const TfLiteEvalTensor *tensor) {
    return reinterpret_cast<const T *>(tensor->data.raw);
}

template <typename T> T *GetTensorData(TfLiteEvalTensor *tensor) {
    return reinterpret_cast<T *>(tensor->data.raw);
}

} // namespace micro
} // namespace tflite

#endif

/* HashEmbedding for TensorFlow Lite's interpreter (LiteRT's Interpreter too), from C and C++:
 *
 *     tflite::ops::builtin::BuiltinOpResolver resolver;
 *     resolver.AddCustom("edgebert.HashEmbedding", edgebert_tflite_registration());
 *
 * Compile the C library, ports/op.c, ports/op_memory.c and ports/tflite.c, the last with
 * -DEB_TFLITE_HEADER='"tensorflow/lite/core/c/common.h"' and the same TensorFlow Lite on its path.
 * docs/custom-op.md has more. */
#ifndef EDGEBERT_TFLITE_H
#define EDGEBERT_TFLITE_H

#ifdef EB_TFLITE_HEADER
#include EB_TFLITE_HEADER
#else
#include "tflite_api.h"
#endif

#ifdef __cplusplus
extern "C" {
#endif

const TfLiteRegistration *edgebert_tflite_registration(void);

#ifdef __cplusplus
}
#endif

#endif

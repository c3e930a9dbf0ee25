/* HashEmbedding for TensorFlow Lite Micro, from C++:
 *
 *     tflite::MicroMutableOpResolver<16> resolver;
 *     resolver.AddCustom("edgebert.HashEmbedding", edgebert_tflite_micro_registration());
 *
 * Compile the C library, ports/op.c and ports/tflite_micro.cc with TensorFlow Lite Micro on the
 * path. The operator's memory, some 48 bytes and 8 for each column, comes from the
 * arena. */
#ifndef EDGEBERT_TFLITE_MICRO_H
#define EDGEBERT_TFLITE_MICRO_H

#include "tensorflow/lite/micro/micro_common.h"

TFLMRegistration *edgebert_tflite_micro_registration();

#endif

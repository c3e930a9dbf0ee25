/* Runs the operator as TensorFlow Lite Micro does: default parameters, four columns, two tokens of
 * three bytes. Arguments: the tokens' lengths, the output's columns, the bytes of a token, and
 * which tensor the node is to lack, or 3. Prints the vectors' bits. */
#include <stdlib.h>
#include <string.h>

#include "edgebert.h"
#include "tensorflow/lite/micro/micro_log.h"
#include "tflite_micro.h"

alignas(EB_ALIGNMENT) static char arena[128];

static void *allocate(TfLiteContext *, size_t bytes) {
    return bytes <= sizeof arena ? arena : nullptr;
}

int main(int argc, char **argv) {
    const unsigned char options[28] = {0,    0,    0,  0, 4, 0, 0,  0, 3, 0, 0, 0, 0x07, 0xca,
                                       0x9a, 0x3b, 31, 0, 0, 0, 42, 0, 0, 0, 0, 0, 0,    0};
    unsigned char bytes[] = {'a', 'b', 'c', 'x', 'y', 0};
    int32_t lengths[2];
    uint32_t vectors[8];
    if (argc != 6)
        return 2;
    lengths[0] = atoi(argv[1]);
    lengths[1] = atoi(argv[2]);
    TfLiteIntArray shapes[] = {{3, {1, 2, atoi(argv[4])}}, {2, {1, 2}}, {3, {1, 2, atoi(argv[3])}}};
    TfLiteEvalTensor tensors[] = {
        {{reinterpret_cast<char *>(bytes)}, &shapes[0], kTfLiteUInt8},
        {{reinterpret_cast<char *>(lengths)}, &shapes[1], kTfLiteInt32},
        {{reinterpret_cast<char *>(vectors)}, &shapes[2], kTfLiteFloat32}};
    TfLiteIntArray inputs = {2, {0, 1}}, outputs = {1, {2}};
    const int lacking = atoi(argv[5]);
    if (lacking < 3)
        (lacking < 2 ? inputs.data[lacking] : outputs.data[0]) = -1;
    TfLiteContext context = {tensors, allocate};
    const TFLMRegistration *op = edgebert_tflite_micro_registration();
    TfLiteNode node = {&inputs, &outputs, nullptr};
    node.user_data = op->init(&context, reinterpret_cast<const char *>(options), sizeof options);
    if (op->prepare(&context, &node) != kTfLiteOk || op->invoke(&context, &node) != kTfLiteOk)
        return 1;
    for (uint32_t value : vectors)
        printf("%08x\n", static_cast<unsigned>(value));
    return 0;
}

/* HashEmbedding for TensorFlow Lite Micro, whose interpreter and kernels are C++. Shapes are fixed
 * there: prepare checks that the graph's are right. */
#include "tflite_micro.h"

#include "op.h"
#include "tensorflow/lite/micro/kernels/kernel_util.h"
#include "tensorflow/lite/micro/micro_log.h"

namespace {

TfLiteStatus Fail(const char *why) {
    MicroPrintf(EB_OP_NAME ": %s", why);
    return kTfLiteError;
}

void *Init(TfLiteContext *context, const char *options, size_t size) {
    eb_hash_params params;
    eb_hash *hash = nullptr;
    size_t needed;
    if (eb_op_params(options, size, &params) != EB_OK || eb_hash_size(&params, &needed) != EB_OK)
        return nullptr;
    eb_hash_open(&params, context->AllocatePersistentBuffer(context, needed), needed, &hash);
    return hash;
}

bool ShapesMatch(const TfLiteIntArray *bytes, const TfLiteIntArray *lengths,
                 const TfLiteIntArray *vectors, uint32_t dimension) {
    const int rank = lengths->size;
    if (bytes->size != rank + 1 || vectors->size != rank + 1)
        return false;
    for (int i = 0; i < rank; i++)
        if (bytes->data[i] != lengths->data[i] || vectors->data[i] != lengths->data[i])
            return false;
    return bytes->data[rank] >= 0 && vectors->data[rank] == static_cast<int>(dimension);
}

TfLiteStatus Prepare(TfLiteContext *context, TfLiteNode *node) {
    const eb_hash *hash = static_cast<const eb_hash *>(node->user_data);
    if (hash == nullptr)
        return Fail("the custom options are no possible hash parameters");
    if (node->inputs->size != 2 || node->outputs->size != 1 || node->inputs->data[0] < 0 ||
        node->inputs->data[1] < 0 || node->outputs->data[0] < 0) /* -1: a tensor left out */
        return Fail("needs two inputs and one output");
    const TfLiteEvalTensor *bytes = tflite::micro::GetEvalInput(context, node, 0);
    const TfLiteEvalTensor *lengths = tflite::micro::GetEvalInput(context, node, 1);
    const TfLiteEvalTensor *vectors = tflite::micro::GetEvalOutput(context, node, 0);
    if (bytes->type != kTfLiteUInt8 || lengths->type != kTfLiteInt32 ||
        vectors->type != kTfLiteFloat32)
        return Fail("token_bytes must be uint8, token_lengths int32, the output float32");
    if (!ShapesMatch(bytes->dims, lengths->dims, vectors->dims, eb_op_dimension(hash)))
        return Fail("token_bytes and the output must have the dimensions of token_lengths, and "
                    "one more");
    return kTfLiteOk;
}

TfLiteStatus Invoke(TfLiteContext *context, TfLiteNode *node) {
    const eb_hash *hash = static_cast<const eb_hash *>(node->user_data);
    const TfLiteEvalTensor *bytes = tflite::micro::GetEvalInput(context, node, 0);
    const TfLiteEvalTensor *lengths = tflite::micro::GetEvalInput(context, node, 1);
    TfLiteEvalTensor *vectors = tflite::micro::GetEvalOutput(context, node, 0);
    const size_t width = static_cast<size_t>(bytes->dims->data[lengths->dims->size]);
    size_t count = 1;
    for (int i = 0; i < lengths->dims->size; i++)
        count *= static_cast<size_t>(lengths->dims->data[i]);
    const size_t done = eb_op_embed(hash, tflite::micro::GetTensorData<uint8_t>(bytes), width,
                                    tflite::micro::GetTensorData<int32_t>(lengths), count,
                                    tflite::micro::GetTensorData<float>(vectors));
    return done == count ? kTfLiteOk : Fail("a token's length is negative or too large");
}

} // namespace

TFLMRegistration *edgebert_tflite_micro_registration() {
    static TFLMRegistration registration = {Init, nullptr, Prepare, Invoke, nullptr, 0, EB_OP_NAME};
    return &registration;
}

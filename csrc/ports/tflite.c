/* HashEmbedding for TensorFlow Lite's interpreter. */
#include "tflite.h"

#include "op.h"

#define EXPORT __attribute__((visibility("default")))

static void *init(TfLiteContext *context, const char *options, size_t size) {
    eb_hash_params params;
    (void)context;
    return eb_op_params(options, size, &params) == EB_OK ? eb_op_open(&params) : NULL;
}

static void release(TfLiteContext *context, void *user_data) {
    (void)context;
    eb_op_close(user_data);
}

static TfLiteStatus fail(TfLiteContext *context, const char *why) {
    context->ReportError(context, EB_OP_NAME ": %s", why);
    return kTfLiteError;
}

static int exists(const TfLiteContext *context, int index) {
    return index >= 0 && (size_t)index < context->tensors_size; /* -1: a tensor left out */
}

static TfLiteTensor *tensor(TfLiteContext *context, const TfLiteIntArray *indices, int i) {
    return &context->tensors[indices->data[i]];
}

/* Also whether the runtime lays its tensors out as this file thinks: a tensor with another layout
 * would hardly have a size that agrees with its shape. */
static int is_of(const TfLiteTensor *t, TfLiteType type, size_t item) {
    size_t size = item;
    for (int i = 0; i < t->dims->size; i++)
        size *= (size_t)t->dims->data[i];
    return t->type == type && t->bytes == size;
}

static TfLiteStatus prepare(TfLiteContext *context, TfLiteNode *node) {
    const eb_hash *hash = node->user_data;
    if (!hash)
        return fail(context, "the custom options are no possible hash parameters");
    if (node->inputs->size != 2 || node->outputs->size != 1 ||
        !exists(context, node->inputs->data[0]) || !exists(context, node->inputs->data[1]) ||
        !exists(context, node->outputs->data[0]))
        return fail(context, "needs two inputs and one output");
    const TfLiteTensor *bytes = tensor(context, node->inputs, 0);
    const TfLiteTensor *lengths = tensor(context, node->inputs, 1);
    TfLiteTensor *vectors = tensor(context, node->outputs, 0);
    if (!is_of(bytes, kTfLiteUInt8, 1) || !is_of(lengths, kTfLiteInt32, 4) ||
        vectors->type != kTfLiteFloat32)
        return fail(context, "token_bytes must be uint8, token_lengths int32, the output float32");

    const int rank = lengths->dims->size;
    int matches = bytes->dims->size == rank + 1;
    for (int i = 0; matches && i < rank; i++)
        matches = bytes->dims->data[i] == lengths->dims->data[i];
    if (!matches)
        return fail(context, "token_bytes must have the dimensions of token_lengths and one more");
    TfLiteIntArray *dims = TfLiteIntArrayCreate(rank + 1);
    if (!dims)
        return fail(context, "out of memory");
    for (int i = 0; i < rank; i++)
        dims->data[i] = lengths->dims->data[i];
    dims->data[rank] = (int)eb_op_dimension(hash);
    return context->ResizeTensor(context, vectors, dims);
}

static TfLiteStatus invoke(TfLiteContext *context, TfLiteNode *node) {
    const TfLiteTensor *bytes = tensor(context, node->inputs, 0);
    const TfLiteTensor *lengths = tensor(context, node->inputs, 1);
    const TfLiteTensor *vectors = tensor(context, node->outputs, 0);
    const size_t count = lengths->bytes / sizeof(int32_t);
    const size_t width = (size_t)bytes->dims->data[bytes->dims->size - 1];
    const size_t done = eb_op_embed(node->user_data, bytes->data.uint8, width, lengths->data.i32,
                                    count, vectors->data.f);
    if (done == count)
        return kTfLiteOk;
    context->ReportError(context, EB_OP_NAME ": token %d has length %d, but room for %d bytes",
                         (int)done, (int)lengths->data.i32[done], (int)width);
    return kTfLiteError;
}

EXPORT const TfLiteRegistration *edgebert_tflite_registration(void) {
    static const TfLiteRegistration registration = {
        .init = init,
        .free = release,
        .prepare = prepare,
        .invoke = invoke,
        .custom_name = EB_OP_NAME,
        .version = 1,
    };
    return &registration;
}

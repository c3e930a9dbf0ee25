/* HashEmbedding for LiteRT's CompiledModel. LiteRT 2.3 does not look at what operators return:
 * after a failure it goes on to the next step, which therefore checks all that it needs itself. */
#include "litert.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "op.h"

#define EXPORT __attribute__((visibility("default")))

struct edgebert_litert_op {
    edgebert_litert_functions litert;
    eb_hash_params params;
    eb_hash *hash;   /* NULL until the first node */
    bool is_useless; /* for good: a node has impossible attributes */
    bool is_kept;    /* the error: a node's that ran, until somebody asks for it */
    char error[128];
};

static LiteRtStatus fail(edgebert_litert_op *op, const char *why) {
    if (!op->is_kept)
        snprintf(op->error, sizeof op->error, EB_OP_NAME ": %s", why);
    return kLiteRtStatusErrorInvalidArgument;
}

static LiteRtStatus fail_for_good(edgebert_litert_op *op, const char *why) {
    op->is_useless = true;
    return fail(op, why);
}

/* Whether to begin a call. It forgets the last one's error, unless that is of another node of the
 * same run: its output is not written, whatever becomes of this node's. */
static bool is_ready(edgebert_litert_op *op) {
    if (!op->hash || op->is_useless)
        return false;
    if (!op->is_kept)
        op->error[0] = 0;
    return true;
}

/* Called for every node, all of which share one user_data: signatures have a node each. */
static LiteRtStatus init(void *user_data, const void *options, size_t size) {
    edgebert_litert_op *op = user_data;
    eb_hash_params params;
    size_t needed;
    if (eb_op_params(options, size, &params) != EB_OK || eb_hash_size(&params, &needed) != EB_OK)
        return fail_for_good(op, "the custom options are no possible hash parameters");
    if (!op->hash) {
        op->params = params;
        op->hash = eb_op_open(&params);
        return op->hash ? kLiteRtStatusOk : fail_for_good(op, "out of memory");
    }
    if (memcmp(&params, &op->params, sizeof params) != 0)
        return fail_for_good(op, "the model has nodes with different attributes");
    return kLiteRtStatusOk;
}

/* The output's layout; false if the inputs' layouts do not go together. */
static bool output_layout(const edgebert_litert_op *op, const LiteRtLayout *bytes,
                          const LiteRtLayout *lengths, LiteRtLayout *vectors) {
    if (bytes->rank != lengths->rank + 1u || bytes->has_strides || lengths->has_strides)
        return false;
    for (unsigned i = 0; i < lengths->rank; i++)
        if (bytes->dimensions[i] != lengths->dimensions[i])
            return false;
    *vectors = *bytes;
    vectors->dimensions[lengths->rank] = (int32_t)op->params.dimension;
    return true;
}

static LiteRtStatus output_layouts(void *user_data, size_t num_inputs, const LiteRtLayout *inputs,
                                   size_t num_outputs, LiteRtLayout *outputs) {
    edgebert_litert_op *op = user_data;
    if (!is_ready(op))
        return kLiteRtStatusErrorInvalidArgument;
    if (num_inputs != 2 || num_outputs != 1)
        return fail(op, "needs two inputs and one output");
    if (!output_layout(op, &inputs[0], &inputs[1], &outputs[0]))
        return fail(op, "token_bytes must have the dimensions of token_lengths and one more");
    return kLiteRtStatusOk;
}

static LiteRtStatus check_tensors(edgebert_litert_op *op, const LiteRtRankedTensorType types[3]) {
    LiteRtLayout expected;
    const LiteRtLayout *output = &types[2].layout;
    if (types[0].element_type != kLiteRtElementTypeUInt8 ||
        types[1].element_type != kLiteRtElementTypeInt32 ||
        types[2].element_type != kLiteRtElementTypeFloat32)
        return fail(op, "token_bytes must be uint8, token_lengths int32, the output float32");
    if (!output_layout(op, &types[0].layout, &types[1].layout, &expected) || output->has_strides ||
        output->rank != expected.rank ||
        memcmp(output->dimensions, expected.dimensions,
               expected.rank * sizeof expected.dimensions[0]) != 0)
        return fail(op, "token_bytes must have the dimensions of token_lengths and one more");
    return kLiteRtStatusOk;
}

static LiteRtStatus embed(edgebert_litert_op *op, const LiteRtLayout *shape, const uint8_t *bytes,
                          const int32_t *lengths, float *vectors) {
    const unsigned last = shape->rank - 1u;
    const size_t width = (size_t)shape->dimensions[last];
    size_t count = 1;
    for (unsigned i = 0; i < last; i++)
        count *= (size_t)shape->dimensions[i];
    const size_t done = eb_op_embed(op->hash, bytes, width, lengths, count, vectors);
    if (done == count)
        return kLiteRtStatusOk;
    char why[96];
    snprintf(why, sizeof why, "token %zu has length %ld, but room for %zu bytes", done,
             (long)lengths[done], width);
    return fail(op, why);
}

static LiteRtStatus run_node(edgebert_litert_op *op, size_t num_inputs,
                             const LiteRtTensorBuffer *inputs, size_t num_outputs,
                             const LiteRtTensorBuffer *outputs) {
    const edgebert_litert_functions *litert = &op->litert;
    LiteRtRankedTensorType types[3];
    void *memory[3];
    unsigned locked = 0;
    if (!is_ready(op))
        return kLiteRtStatusErrorInvalidArgument;
    if (num_inputs != 2 || num_outputs != 1)
        return fail(op, "needs two inputs and one output");

    const LiteRtTensorBuffer buffers[3] = {inputs[0], inputs[1], outputs[0]};
    LiteRtStatus status = kLiteRtStatusOk;
    for (unsigned i = 0; i < 3 && status == kLiteRtStatusOk; i++)
        status = litert->tensor_type(buffers[i], &types[i]);
    if (status == kLiteRtStatusOk)
        status = check_tensors(op, types);
    while (locked < 3 && status == kLiteRtStatusOk) {
        status = litert->lock(buffers[locked], &memory[locked],
                              locked < 2 ? kLiteRtTensorBufferLockModeRead
                                         : kLiteRtTensorBufferLockModeWrite);
        locked += status == kLiteRtStatusOk;
    }
    if (status == kLiteRtStatusOk)
        status = embed(op, &types[0].layout, memory[0], memory[1], memory[2]);
    else if (!op->error[0])
        fail(op, "LiteRT does not give access to a tensor");
    while (locked > 0)
        litert->unlock(buffers[--locked]);
    return status;
}

static LiteRtStatus run(void *user_data, size_t num_inputs, const LiteRtTensorBuffer *inputs,
                        size_t num_outputs, LiteRtTensorBuffer *outputs) {
    edgebert_litert_op *op = user_data;
    const LiteRtStatus status = run_node(op, num_inputs, inputs, num_outputs, outputs);
    op->is_kept = op->is_kept || status != kLiteRtStatusOk;
    return status;
}

/* Nodes end with the compiled model, and the operator after it. */
static LiteRtStatus destroy(void *user_data) {
    (void)user_data;
    return kLiteRtStatusOk;
}

EXPORT edgebert_litert_op *edgebert_litert_add(LiteRtOptions options,
                                               const edgebert_litert_functions *functions) {
    static const LiteRtCustomOpKernel kernel = {init, output_layouts, run, destroy};
    edgebert_litert_op *op = calloc(1, sizeof *op);
    if (!op)
        return NULL;
    op->litert = *functions;
    if (functions->add_custom_op(options, EB_OP_NAME, 1, &kernel, op) != kLiteRtStatusOk) {
        free(op);
        return NULL;
    }
    return op;
}

EXPORT void edgebert_litert_free(edgebert_litert_op *op) {
    if (op)
        eb_op_close(op->hash);
    free(op);
}

EXPORT const char *edgebert_litert_error(edgebert_litert_op *op) {
    op->is_kept = false;
    return op->error;
}

/* HashEmbedding for LiteRT's CompiledModel, from C and C++:
 *
 *     edgebert_litert_functions functions = {LiteRtAddCustomOpKernelOption,
 *         LiteRtGetTensorBufferTensorType, LiteRtLockTensorBuffer, LiteRtUnlockTensorBuffer};
 *     edgebert_litert_op *op = edgebert_litert_add(options, &functions);
 *     LiteRtCreateCompiledModel(environment, model, options, &compiled);
 *     LiteRtRunCompiledModel(compiled, ...);
 *     if (edgebert_litert_error(op)[0]) ...
 *     LiteRtDestroyCompiledModel(compiled);
 *     edgebert_litert_free(op);
 *
 * Compile the C library, ports/op.c, ports/op_memory.c and ports/litert.c, the last with
 * -DEB_LITERT_HEADER='"litert/c/litert_options.h"' and LiteRT on its path. docs/custom-op.md has
 * more. The functions are handed over so that the library need not be linked with LiteRT. */
#ifndef EDGEBERT_LITERT_H
#define EDGEBERT_LITERT_H

#ifdef EB_LITERT_HEADER
#include EB_LITERT_HEADER
#else
#include "litert_api.h"
#endif

#ifdef __cplusplus
extern "C" {
#endif

typedef struct edgebert_litert_functions {
    LiteRtStatus (*add_custom_op)(LiteRtOptions options, const char *name, int version,
                                  const LiteRtCustomOpKernel *kernel, void *user_data);
    LiteRtStatus (*tensor_type)(LiteRtTensorBuffer buffer, LiteRtRankedTensorType *type);
    LiteRtStatus (*lock)(LiteRtTensorBuffer buffer, void **memory, LiteRtTensorBufferLockMode mode);
    LiteRtStatus (*unlock)(LiteRtTensorBuffer buffer);
} edgebert_litert_functions;

typedef struct edgebert_litert_op edgebert_litert_op;

/* Adds the operator to the options of one compiled model, which must not outlive it; NULL if there
 * is no memory. All HashEmbedding nodes of the model must have the same attributes. */
edgebert_litert_op *edgebert_litert_add(LiteRtOptions options,
                                        const edgebert_litert_functions *functions);
void edgebert_litert_free(edgebert_litert_op *op);

/* One sentence on why the operator failed, empty if it did not: of the first node that did in a run
 * since this was last asked, else of the last call. LiteRT 2.3 does not look at what operators
 * return: ask once the model is compiled, and after each run. */
const char *edgebert_litert_error(edgebert_litert_op *op);

#ifdef __cplusplus
}
#endif

#endif

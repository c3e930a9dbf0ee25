/* HashEmbedding for ONNX Runtime 1.16 and later: a library of custom operators, in the domain
 * "edgebert". A kernel is not written after its creation, so that runs may be concurrent. */
#include "onnxruntime_api.h"

#include <stdio.h>
#include <stdlib.h>

#include "op.h"

#define MAX_RANK 8

/* Returns from the function with the status, unless it is success. */
#define TRY(call)                                                                                  \
    do {                                                                                           \
        OrtStatus *status_ = (call);                                                               \
        if (status_)                                                                               \
            return status_;                                                                        \
    } while (0)

typedef struct {
    const OrtApi *api;
    eb_hash *hash;
} kernel;

typedef struct {
    const OrtValue *value;
    int64_t dims[MAX_RANK];
    size_t rank;
} tensor;

static OrtStatus *fail(const OrtApi *api, const char *why) {
    return api->CreateStatus(ORT_INVALID_ARGUMENT, why);
}

static OrtStatus *read_params(const OrtApi *api, const OrtKernelInfo *info,
                              eb_hash_params *params) {
    const struct {
        const char *name;
        uint32_t *field;
    } attributes[] = {
        {"family", &params->family},
        {"dimension", &params->dimension},
        {"max_ngram", &params->max_ngram},
        {"modulus", &params->modulus},
        {"base", &params->base},
        {"seed", &params->seed},
        {"boundary_marks", &params->boundary_marks},
    };
    for (size_t i = 0; i < sizeof attributes / sizeof attributes[0]; i++) {
        int64_t value;
        TRY(api->KernelInfoGetAttribute_int64(info, attributes[i].name, &value));
        if (value < 0 || value > UINT32_MAX)
            return fail(api, EB_OP_NAME ": an attribute is not a 32-bit unsigned integer");
        *attributes[i].field = (uint32_t)value;
    }
    return NULL;
}

static OrtStatus *create_kernel(const OrtCustomOp *op, const OrtApi *api, const OrtKernelInfo *info,
                                void **out) {
    eb_hash_params params;
    size_t size;
    (void)op;
    TRY(read_params(api, info, &params));
    if (eb_hash_size(&params, &size) != EB_OK)
        return fail(api, EB_OP_NAME ": the attributes are no possible hash parameters");
    kernel *k = malloc(sizeof *k);
    eb_hash *hash = eb_op_open(&params);
    if (!k || !hash) {
        free(k);
        eb_op_close(hash);
        return api->CreateStatus(ORT_FAIL, EB_OP_NAME ": out of memory");
    }
    *k = (kernel){api, hash};
    *out = k;
    return NULL;
}

static void destroy_kernel(void *memory) {
    kernel *k = memory;
    eb_op_close(k->hash);
    free(k);
}

static OrtStatus *read_shape(const OrtApi *api, tensor *t) {
    OrtTensorTypeAndShapeInfo *info;
    TRY(api->GetTensorTypeAndShape(t->value, &info));
    OrtStatus *status = api->GetDimensionsCount(info, &t->rank);
    if (!status && t->rank > MAX_RANK)
        status = fail(api, EB_OP_NAME ": an input has more than 8 dimensions");
    if (!status)
        status = api->GetDimensions(info, t->dims, t->rank);
    api->ReleaseTensorTypeAndShapeInfo(info);
    return status;
}

static OrtStatus *input(const OrtApi *api, const OrtKernelContext *context, size_t i, tensor *t,
                        const void **data) {
    void *memory;
    TRY(api->KernelContext_GetInput(context, i, &t->value));
    TRY(read_shape(api, t));
    TRY(api->GetTensorMutableData((OrtValue *)t->value, &memory));
    *data = memory;
    return NULL;
}

static OrtStatus *compute(void *memory, OrtKernelContext *context) {
    const kernel *k = memory;
    const OrtApi *api = k->api;
    const void *token_bytes, *token_lengths;
    void *vectors;
    OrtValue *output;
    tensor bytes, lengths;
    size_t count = 1;

    TRY(input(api, context, 0, &bytes, &token_bytes));
    TRY(input(api, context, 1, &lengths, &token_lengths));
    int matches = bytes.rank == lengths.rank + 1;
    for (size_t i = 0; matches && i < lengths.rank; i++) {
        matches = bytes.dims[i] == lengths.dims[i];
        count *= (size_t)lengths.dims[i];
    }
    if (!matches)
        return fail(api, EB_OP_NAME
                    ": token_bytes must have the dimensions of token_lengths and one more");

    const size_t width = (size_t)bytes.dims[lengths.rank];
    bytes.dims[lengths.rank] = eb_op_dimension(k->hash);
    TRY(api->KernelContext_GetOutput(context, 0, bytes.dims, bytes.rank, &output));
    TRY(api->GetTensorMutableData(output, &vectors));
    const size_t done = eb_op_embed(k->hash, token_bytes, width, token_lengths, count, vectors);
    if (done < count) {
        char why[128];
        snprintf(why, sizeof why, EB_OP_NAME ": token %zu has length %ld, but room for %zu bytes",
                 done, (long)((const int32_t *)token_lengths)[done], width);
        return fail(api, why);
    }
    return NULL;
}

static const char *name(const OrtCustomOp *op) {
    (void)op;
    return "HashEmbedding";
}

static const char *any_cpu(const OrtCustomOp *op) {
    (void)op;
    return NULL;
}

static size_t two(const OrtCustomOp *op) {
    (void)op;
    return 2;
}

static size_t one(const OrtCustomOp *op) {
    (void)op;
    return 1;
}

static ONNXTensorElementDataType input_type(const OrtCustomOp *op, size_t index) {
    (void)op;
    return index == 0 ? ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT8 : ONNX_TENSOR_ELEMENT_DATA_TYPE_INT32;
}

static ONNXTensorElementDataType output_type(const OrtCustomOp *op, size_t index) {
    (void)op;
    (void)index;
    return ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT;
}

static OrtCustomOpInputOutputCharacteristic required(const OrtCustomOp *op, size_t index) {
    (void)op;
    (void)index;
    return INPUT_OUTPUT_REQUIRED;
}

static OrtMemType host_memory(const OrtCustomOp *op, size_t index) {
    (void)op;
    (void)index;
    return OrtMemTypeDefault;
}

static const OrtCustomOp hash_embedding = {
    .version = ORT_API_VERSION,
    .GetName = name,
    .GetExecutionProviderType = any_cpu,
    .GetInputType = input_type,
    .GetInputTypeCount = two,
    .GetOutputType = output_type,
    .GetOutputTypeCount = one,
    .KernelDestroy = destroy_kernel,
    .GetInputCharacteristic = required,
    .GetOutputCharacteristic = required,
    .GetInputMemoryType = host_memory,
    .CreateKernelV2 = create_kernel,
    .KernelComputeV2 = compute,
};

/* A domain must outlive all sessions that were given it, and nobody says when these end: there is
 * one for the whole process. */
static OrtStatus *shared_domain(const OrtApi *api, OrtCustomOpDomain **out) {
    static OrtCustomOpDomain *shared;
    OrtCustomOpDomain *domain = __atomic_load_n(&shared, __ATOMIC_ACQUIRE), *none = NULL;
    if (!domain) {
        TRY(api->CreateCustomOpDomain("edgebert", &domain));
        OrtStatus *status = api->CustomOpDomain_Add(domain, &hash_embedding);
        if (status) {
            api->ReleaseCustomOpDomain(domain);
            return status;
        }
        if (!__atomic_compare_exchange_n(&shared, &none, domain, 0, __ATOMIC_ACQ_REL,
                                         __ATOMIC_ACQUIRE)) {
            api->ReleaseCustomOpDomain(domain); /* another thread was faster */
            domain = none;
        }
    }
    *out = domain;
    return NULL;
}

/* What ONNX Runtime looks for in a library of custom operators. */
__attribute__((visibility("default"))) OrtStatus *RegisterCustomOps(OrtSessionOptions *options,
                                                                    const OrtApiBase *base);

OrtStatus *RegisterCustomOps(OrtSessionOptions *options, const OrtApiBase *base) {
    OrtCustomOpDomain *domain;
    const OrtApi *api = base->GetApi(ORT_API_VERSION);
    if (!api)
        return base->GetApi(1)->CreateStatus(
            ORT_FAIL, "edgebert's operators need ONNX Runtime 1.16 or later: update it");
    TRY(shared_domain(api, &domain));
    return api->AddCustomOpDomain(options, domain);
}

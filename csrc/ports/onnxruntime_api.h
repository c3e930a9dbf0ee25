/* What onnxruntime.c needs of ONNX Runtime's C API, whose header no Python wheel has.
 *
 * Names, types and the order of the functions are those of onnxruntime_c_api.h
 * (include/onnxruntime/ core/session, MIT licence, copyright Microsoft Corporation). Its tables
 * only ever grow at the end, so that a runtime of version 1.n serves what was written for any
 * version up to n. */
#ifndef EB_ONNXRUNTIME_API_H
#define EB_ONNXRUNTIME_API_H

#include <stddef.h>
#include <stdint.h>

/* The version that first had CreateKernelV2 and KernelComputeV2, which may fail with a status. */
#define ORT_API_VERSION 16

typedef struct OrtStatus OrtStatus; /* NULL is success */
typedef struct OrtValue OrtValue;
typedef struct OrtTensorTypeAndShapeInfo OrtTensorTypeAndShapeInfo;
typedef struct OrtSessionOptions OrtSessionOptions;
typedef struct OrtCustomOpDomain OrtCustomOpDomain;
typedef struct OrtKernelInfo OrtKernelInfo;
typedef struct OrtKernelContext OrtKernelContext;
typedef struct OrtCustomOp OrtCustomOp;

typedef enum OrtErrorCode { ORT_OK, ORT_FAIL, ORT_INVALID_ARGUMENT } OrtErrorCode;

typedef enum ONNXTensorElementDataType {
    ONNX_TENSOR_ELEMENT_DATA_TYPE_UNDEFINED = 0,
    ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT = 1,
    ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT8 = 2,
    ONNX_TENSOR_ELEMENT_DATA_TYPE_INT32 = 6
} ONNXTensorElementDataType;

typedef enum OrtCustomOpInputOutputCharacteristic {
    INPUT_OUTPUT_REQUIRED
} OrtCustomOpInputOutputCharacteristic;

typedef enum OrtMemType { OrtMemTypeDefault = 0 } OrtMemType;

typedef void (*OrtUnused)(void);

/* The functions of version 1; slot numbers count from 0. */
typedef struct OrtApi {
    OrtStatus *(*CreateStatus)(OrtErrorCode code, const char *message);
    OrtUnused slots_1_to_25[25];
    OrtStatus *(*CreateCustomOpDomain)(const char *domain, OrtCustomOpDomain **out);
    OrtStatus *(*CustomOpDomain_Add)(OrtCustomOpDomain *domain, const OrtCustomOp *op);
    OrtStatus *(*AddCustomOpDomain)(OrtSessionOptions *options, OrtCustomOpDomain *domain);
    OrtUnused slots_29_to_50[22];
    OrtStatus *(*GetTensorMutableData)(OrtValue *value, void **out);
    OrtUnused slots_52_to_60[9];
    OrtStatus *(*GetDimensionsCount)(const OrtTensorTypeAndShapeInfo *info, size_t *out);
    OrtStatus *(*GetDimensions)(const OrtTensorTypeAndShapeInfo *info, int64_t *values,
                                size_t length);
    OrtUnused slots_63_to_64[2];
    OrtStatus *(*GetTensorTypeAndShape)(const OrtValue *value, OrtTensorTypeAndShapeInfo **out);
    OrtUnused slots_66_to_85[20];
    OrtStatus *(*KernelInfoGetAttribute_int64)(const OrtKernelInfo *info, const char *name,
                                               int64_t *out);
    OrtUnused slots_87_to_89[3];
    OrtStatus *(*KernelContext_GetInput)(const OrtKernelContext *context, size_t index,
                                         const OrtValue **out);
    OrtStatus *(*KernelContext_GetOutput)(OrtKernelContext *context, size_t index,
                                          const int64_t *dims, size_t num_dims, OrtValue **out);
    OrtUnused slots_92_to_98[7];
    void (*ReleaseTensorTypeAndShapeInfo)(OrtTensorTypeAndShapeInfo *info);
    OrtUnused slot_100;
    void (*ReleaseCustomOpDomain)(OrtCustomOpDomain *domain);
} OrtApi;

/* The official source asserts the same of its own table. */
typedef char eb_last_function_of_version_1
    [offsetof(OrtApi, ReleaseCustomOpDomain) == 101 * sizeof(OrtUnused) ? 1 : -1];

typedef struct OrtApiBase {
    const OrtApi *(*GetApi)(uint32_t version); /* NULL: the runtime is older */
    const char *(*GetVersionString)(void);
} OrtApiBase;

struct OrtCustomOp {
    uint32_t version; /* ORT_API_VERSION: which of the fields there are */
    void *(*CreateKernel)(const OrtCustomOp *op, const OrtApi *api, const OrtKernelInfo *info);
    const char *(*GetName)(const OrtCustomOp *op);
    const char *(*GetExecutionProviderType)(const OrtCustomOp *op);
    ONNXTensorElementDataType (*GetInputType)(const OrtCustomOp *op, size_t index);
    size_t (*GetInputTypeCount)(const OrtCustomOp *op);
    ONNXTensorElementDataType (*GetOutputType)(const OrtCustomOp *op, size_t index);
    size_t (*GetOutputTypeCount)(const OrtCustomOp *op);
    void (*KernelCompute)(void *kernel, OrtKernelContext *context);
    void (*KernelDestroy)(void *kernel);
    OrtCustomOpInputOutputCharacteristic (*GetInputCharacteristic)(const OrtCustomOp *op,
                                                                   size_t index);
    OrtCustomOpInputOutputCharacteristic (*GetOutputCharacteristic)(const OrtCustomOp *op,
                                                                    size_t index);
    OrtMemType (*GetInputMemoryType)(const OrtCustomOp *op, size_t index);
    int (*GetVariadicInputMinArity)(const OrtCustomOp *op);
    int (*GetVariadicInputHomogeneity)(const OrtCustomOp *op);
    int (*GetVariadicOutputMinArity)(const OrtCustomOp *op);
    int (*GetVariadicOutputHomogeneity)(const OrtCustomOp *op);
    OrtStatus *(*CreateKernelV2)(const OrtCustomOp *op, const OrtApi *api,
                                 const OrtKernelInfo *info, void **kernel);
    OrtStatus *(*KernelComputeV2)(void *kernel, OrtKernelContext *context);
};

#endif

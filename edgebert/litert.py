"""Graphs with the operator HashEmbedding in ai-edge-litert, through LiteRT's C API.

Its Python classes offer no way to add an operator, but the library behind them does.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from cffi import FFI

from edgebert.errors import MissingPackageError, ModelError
from edgebert.ort import library_path
from edgebert.tflite import Signature, Tensor, without_reports

# Of litert/c/litert_*.h (Apache 2.0 licence, copyright Google LLC), version 2.1 to 2.3.
_DECLARATIONS = """
typedef struct {
    unsigned int rank : 7;
    _Bool has_strides : 1;
    int32_t dimensions[8];
    uint32_t strides[8];
} LiteRtLayout;
typedef struct { int element_type; LiteRtLayout layout; } LiteRtRankedTensorType;
typedef struct { float scale; int64_t zero_point; } LiteRtQuantizationPerTensor;
typedef void *LiteRtEnvironment, *LiteRtModel, *LiteRtSignature, *LiteRtTensor;
typedef void *LiteRtOptions, *LiteRtCompiledModel, *LiteRtTensorBuffer;
int LiteRtCreateEnvironment(int, const void *, LiteRtEnvironment *);
int LiteRtCreateModelFromFile(LiteRtEnvironment, const char *, LiteRtModel *);
int LiteRtGetNumModelSignatures(LiteRtModel, size_t *);
int LiteRtGetModelSignature(LiteRtModel, size_t, LiteRtSignature *);
int LiteRtGetSignatureKey(LiteRtSignature, const char **);
int LiteRtGetNumSignatureInputs(LiteRtSignature, size_t *);
int LiteRtGetNumSignatureOutputs(LiteRtSignature, size_t *);
int LiteRtGetSignatureInputName(LiteRtSignature, size_t, const char **);
int LiteRtGetSignatureOutputName(LiteRtSignature, size_t, const char **);
int LiteRtGetSignatureInputTensorByIndex(LiteRtSignature, size_t, LiteRtTensor *);
int LiteRtGetSignatureOutputTensorByIndex(LiteRtSignature, size_t, LiteRtTensor *);
int LiteRtGetRankedTensorType(LiteRtTensor, LiteRtRankedTensorType *);
int LiteRtGetQuantizationTypeId(LiteRtTensor, int *);
int LiteRtGetPerTensorQuantization(LiteRtTensor, LiteRtQuantizationPerTensor *);
int LiteRtCreateOptions(LiteRtOptions *);
int LiteRtSetOptionsHardwareAccelerators(LiteRtOptions, int);
int LiteRtCreateCompiledModel(LiteRtEnvironment, LiteRtModel, LiteRtOptions,
                              LiteRtCompiledModel *);
int LiteRtCompiledModelResizeInputTensor(LiteRtCompiledModel, size_t, size_t, const int *, size_t);
int LiteRtGetCompiledModelOutputTensorLayouts(LiteRtCompiledModel, size_t, size_t, LiteRtLayout *,
                                              _Bool);
int LiteRtCreateTensorBufferFromHostMemory(const LiteRtRankedTensorType *, void *, size_t,
                                           void (*)(void *), LiteRtTensorBuffer *);
int LiteRtRunCompiledModel(LiteRtCompiledModel, size_t, size_t, LiteRtTensorBuffer *, size_t,
                           LiteRtTensorBuffer *);
void LiteRtDestroyTensorBuffer(LiteRtTensorBuffer);
void LiteRtDestroyCompiledModel(LiteRtCompiledModel);
void LiteRtDestroyOptions(LiteRtOptions);
void LiteRtDestroyModel(LiteRtModel);
void LiteRtDestroyEnvironment(LiteRtEnvironment);
"""
# Of csrc/ports/litert.h: the operator takes the addresses of four of LiteRT's functions.
_OPERATOR = """
typedef struct { void *functions[4]; } edgebert_litert_functions;
void *edgebert_litert_add(void *options, const edgebert_litert_functions *);
void edgebert_litert_free(void *op);
const char *edgebert_litert_error(void *op);
"""
_FUNCTIONS = (
    "LiteRtAddCustomOpKernelOption",
    "LiteRtGetTensorBufferTensorType",
    "LiteRtLockTensorBuffer",
    "LiteRtUnlockTensorBuffer",
)
_CPU = 1
_PER_TENSOR = 1
_ALIGNMENT = 64  # of memory that tensor buffers are made of
_NAMES = {
    1: "float32",
    2: "int32",
    3: "uint8",
    4: "int64",
    6: "bool",
    7: "int16",
    9: "int8",
    10: "float16",
}
_TYPES = {code: np.dtype(name) for code, name in _NAMES.items()}
_CODES = {dtype: code for code, dtype in _TYPES.items()}

ffi = FFI()
ffi.cdef(_DECLARATIONS)
ffi.cdef("".join(f"void {name}(void);\n" for name in _FUNCTIONS))
ffi.cdef(_OPERATOR)


@cache
def _libraries() -> tuple[Any, Any]:
    """LiteRT's library and ours."""
    import ai_edge_litert

    path = Path(ai_edge_litert.__file__).with_name("libLiteRt.so")
    try:
        litert = ffi.dlopen(str(path))
        for name in _FUNCTIONS:
            getattr(litert, name)
    except (OSError, AttributeError) as error:
        raise MissingPackageError(
            "this ai-edge-litert takes no custom operators: pip install 'ai-edge-litert>=2.1.6'"
        ) from error
    return litert, ffi.dlopen(library_path())


class CompiledGraph:
    """A graph that LiteRT compiled for the CPU."""

    def __init__(self, path: Path) -> None:
        self._litert, operators = _libraries()
        self._lock = threading.Lock()
        with ExitStack() as stack:
            environment = self._create(stack, "Environment", 0, ffi.NULL)
            try:
                model = self._create(stack, "ModelFromFile", environment, bytes(path))
            except ModelError as error:
                raise ModelError(f"LiteRT cannot load {path.name}") from error
            options = self._create(stack, "Options")
            self._check(self._litert.LiteRtSetOptionsHardwareAccelerators(options, _CPU))
            functions = ffi.new("edgebert_litert_functions *")
            functions.functions = [ffi.addressof(self._litert, name) for name in _FUNCTIONS]
            self._operator = operators.edgebert_litert_add(options, functions)
            if not self._operator:
                raise MemoryError
            stack.callback(operators.edgebert_litert_free, self._operator)
            self._why = operators.edgebert_litert_error
            self._compiled = self._create(stack, "CompiledModel", environment, model, options)
            self._check_operator()
            self.signatures = dict(self._signatures(model))
            self._resources = stack.pop_all()
        self._index = {key: i for i, key in enumerate(self.signatures)}
        self._shapes = {
            key: [tensor.shape for tensor in signature.inputs.values()]
            for key, signature in self.signatures.items()
        }
        self._output_shapes: dict[str, list[tuple[int, ...]]] = {}

    def __del__(self) -> None:
        if hasattr(self, "_resources"):
            with without_reports():
                self._resources.close()

    def run(
        self, inputs: Mapping[str, np.ndarray], signature: str | None = None
    ) -> dict[str, np.ndarray]:
        """As :meth:`edgebert.tflite.Graph.run` says."""
        key = signature or next(iter(self.signatures))
        arrays = []
        for name, tensor in self.signatures[key].inputs.items():
            if name not in inputs or inputs[name].dtype != tensor.dtype:
                raise ModelError(f"needs the input {name} as {tensor.dtype}")
            arrays.append(_aligned(inputs[name].shape, tensor.dtype))
            arrays[-1][...] = inputs[name]
        outputs = self.signatures[key].outputs
        with self._lock, ExitStack() as stack:
            shapes = self._resize(key, [array.shape for array in arrays])
            results = [
                _aligned(shape, tensor.dtype)
                for tensor, shape in zip(outputs.values(), shapes, strict=True)
            ]
            buffers = [self._buffers(stack, group) for group in (arrays, results)]
            status = self._litert.LiteRtRunCompiledModel(
                self._compiled, self._index[key], len(arrays), buffers[0], len(results), buffers[1]
            )
            self._check_operator()
            self._check(status)
        return dict(zip(outputs, results, strict=True))

    def _resize(self, key: str, shapes: list[tuple[int, ...]]) -> list[tuple[int, ...]]:
        """Gives the inputs their shapes; the shapes that the outputs have then."""
        if key in self._output_shapes and shapes == self._shapes[key]:
            return self._output_shapes[key]
        self._output_shapes.pop(key, None)
        for i, shape in enumerate(shapes):
            if shape != self._shapes[key][i]:
                self._check(
                    self._litert.LiteRtCompiledModelResizeInputTensor(
                        self._compiled, self._index[key], i, ffi.new("int[]", shape), len(shape)
                    )
                )
                self._shapes[key][i] = shape
        count = len(self.signatures[key].outputs)
        layouts = ffi.new("LiteRtLayout[]", count)
        status = self._litert.LiteRtGetCompiledModelOutputTensorLayouts(
            self._compiled, self._index[key], count, layouts, True
        )
        self._check_operator()
        self._check(status)
        self._output_shapes[key] = [_shape(layout) for layout in layouts]
        return self._output_shapes[key]

    def _buffers(self, stack: ExitStack, arrays: list[np.ndarray]) -> Any:
        """The arrays as an array of tensor buffers, which end with the stack."""
        buffers = ffi.new("LiteRtTensorBuffer[]", len(arrays))
        for i, array in enumerate(arrays):
            tensor_type = ffi.new("LiteRtRankedTensorType *")
            tensor_type.element_type = _CODES[array.dtype]
            tensor_type.layout.rank = array.ndim
            tensor_type.layout.dimensions = array.shape
            memory = ffi.cast("void *", array.ctypes.data)
            self._check(
                self._litert.LiteRtCreateTensorBufferFromHostMemory(
                    tensor_type, memory, array.nbytes, ffi.NULL, buffers + i
                )
            )
            stack.callback(self._litert.LiteRtDestroyTensorBuffer, buffers[i])
        return buffers

    def _signatures(self, model: Any) -> Iterator[tuple[str, Signature]]:
        for i in range(self._get("NumModelSignatures", model, type="size_t")):
            signature = self._get("ModelSignature", model, i)
            key = self._get("SignatureKey", signature, type="const char *")
            tensors = [dict(self._tensors(signature, kind)) for kind in ("Input", "Output")]
            yield ffi.string(key).decode(), Signature(*tensors)

    def _tensors(self, signature: Any, kind: str) -> Iterator[tuple[str, Tensor]]:
        """What goes into the signature ("Input") or comes out of it ("Output")."""
        for i in range(self._get(f"NumSignature{kind}s", signature, type="size_t")):
            name = self._get(f"Signature{kind}Name", signature, i, type="const char *")
            tensor = self._get(f"Signature{kind}TensorByIndex", signature, i)
            ranked = ffi.new("LiteRtRankedTensorType *")
            self._check(self._litert.LiteRtGetRankedTensorType(tensor, ranked))
            quantisation: tuple[float, int] = (0.0, 0)
            if self._get("QuantizationTypeId", tensor, type="int") == _PER_TENSOR:
                found = ffi.new("LiteRtQuantizationPerTensor *")
                self._check(self._litert.LiteRtGetPerTensorQuantization(tensor, found))
                quantisation = (found.scale, found.zero_point)
            label, dtype = ffi.string(name).decode(), _TYPES.get(ranked.element_type)
            if dtype is None:
                raise ModelError(
                    f"LiteRT: {label} is of a type ({ranked.element_type}) that edgebert lacks"
                )
            yield label, Tensor(dtype, _shape(ranked.layout), *quantisation)

    def _create(self, stack: ExitStack, what: str, *arguments: Any) -> Any:
        """A new object, which ends with the stack."""
        out = ffi.new("void **")
        self._check(getattr(self._litert, f"LiteRtCreate{what}")(*arguments, out))
        stack.callback(getattr(self._litert, f"LiteRtDestroy{what.split('From')[0]}"), out[0])
        return out[0]

    def _get(self, what: str, *arguments: Any, type: str = "void *") -> Any:
        out = ffi.new(f"{type}[1]")
        self._check(getattr(self._litert, f"LiteRtGet{what}")(*arguments, out))
        return out[0]

    def _check(self, status: int) -> None:
        if status:
            raise ModelError(
                f"LiteRT failed with status {status}: pip install --upgrade ai-edge-litert, or "
                "export the model again"
            )

    def _check_operator(self) -> None:
        """Raise why the operator failed, where it may have run: LiteRT does not look at it."""
        why = ffi.string(self._why(self._operator)).decode()
        if why:
            raise ModelError(f"LiteRT: {why}")


def _shape(layout: Any) -> tuple[int, ...]:
    return tuple(layout.dimensions[0 : layout.rank])


def _aligned(shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """An uninitialised array that a tensor buffer can be made of."""
    size = math.prod(shape) * dtype.itemsize
    memory = np.empty(size + _ALIGNMENT, np.uint8)
    start = -memory.ctypes.data % _ALIGNMENT
    return memory[start : start + size].view(dtype).reshape(shape)

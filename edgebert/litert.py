"""Graphs with the operator HashEmbedding in ai-edge-litert, through LiteRT's C API.

Its Python classes offer no way to add an operator, but the library behind them does.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from cffi import FFI

from edgebert.errors import MissingPackageError, ModelError
from edgebert.ort import library_path

# Of litert/c/litert_*.h (Apache 2.0 licence, copyright Google LLC), version 2.1 to 2.3.
_DECLARATIONS = """
typedef struct {
    unsigned int rank : 7;
    _Bool has_strides : 1;
    int32_t dimensions[8];
    uint32_t strides[8];
} LiteRtLayout;
typedef struct { int element_type; LiteRtLayout layout; } LiteRtRankedTensorType;
typedef void *LiteRtEnvironment, *LiteRtModel, *LiteRtSignature, *LiteRtTensor;
typedef void *LiteRtOptions, *LiteRtCompiledModel, *LiteRtTensorBuffer;
int LiteRtCreateEnvironment(int, const void *, LiteRtEnvironment *);
int LiteRtCreateModelFromFile(LiteRtEnvironment, const char *, LiteRtModel *);
int LiteRtGetModelSignature(LiteRtModel, size_t, LiteRtSignature *);
int LiteRtGetNumSignatureInputs(LiteRtSignature, size_t *);
int LiteRtGetNumSignatureOutputs(LiteRtSignature, size_t *);
int LiteRtGetSignatureInputName(LiteRtSignature, size_t, const char **);
int LiteRtGetSignatureOutputName(LiteRtSignature, size_t, const char **);
int LiteRtGetSignatureInputTensorByIndex(LiteRtSignature, size_t, LiteRtTensor *);
int LiteRtGetSignatureOutputTensorByIndex(LiteRtSignature, size_t, LiteRtTensor *);
int LiteRtGetRankedTensorType(LiteRtTensor, LiteRtRankedTensorType *);
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
const char *edgebert_litert_error(const void *op);
"""
_FUNCTIONS = (
    "LiteRtAddCustomOpKernelOption",
    "LiteRtGetTensorBufferTensorType",
    "LiteRtLockTensorBuffer",
    "LiteRtUnlockTensorBuffer",
)
_CPU = 1
_ALIGNMENT = 64  # of memory that tensor buffers are made of
_NAMES = {1: "float32", 2: "int32", 3: "uint8", 4: "int64", 9: "int8", 10: "float16"}
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
            signature = self._get("ModelSignature", model, 0)
            self._inputs = self._tensors(signature, "Input")
            self._outputs = self._tensors(signature, "Output")
            self._resources = stack.pop_all()
        self._shapes = [tensor.shape for tensor in self._inputs]
        self._output_shapes: list[tuple[int, ...]] = []

    def __del__(self) -> None:
        if hasattr(self, "_resources"):
            self._resources.close()

    def run(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """As :meth:`edgebert.tflite.Graph.run` says."""
        arrays = []
        for tensor in self._inputs:
            if tensor.name not in inputs or inputs[tensor.name].dtype != tensor.dtype:
                raise ModelError(f"needs the input {tensor.name} as {tensor.dtype}")
            array = inputs[tensor.name]
            arrays.append(_aligned(array.shape, array.dtype))
            arrays[-1][...] = array
        with self._lock, ExitStack() as stack:
            self._resize([array.shape for array in arrays])
            results = [
                _aligned(shape, tensor.dtype)
                for tensor, shape in zip(self._outputs, self._output_shapes, strict=True)
            ]
            buffers = [self._buffers(stack, group) for group in (arrays, results)]
            status = self._litert.LiteRtRunCompiledModel(
                self._compiled, 0, len(arrays), buffers[0], len(results), buffers[1]
            )
            self._check_operator()
            self._check(status)
        return {tensor.name: array for tensor, array in zip(self._outputs, results, strict=True)}

    def _resize(self, shapes: list[tuple[int, ...]]) -> None:
        if self._output_shapes and shapes == self._shapes:
            return
        self._output_shapes = []
        for i, shape in enumerate(shapes):
            if shape != self._shapes[i]:
                self._check(
                    self._litert.LiteRtCompiledModelResizeInputTensor(
                        self._compiled, 0, i, ffi.new("int[]", shape), len(shape)
                    )
                )
                self._shapes[i] = shape
        layouts = ffi.new("LiteRtLayout[]", len(self._outputs))
        status = self._litert.LiteRtGetCompiledModelOutputTensorLayouts(
            self._compiled, 0, len(self._outputs), layouts, True
        )
        self._check_operator()
        self._check(status)
        self._output_shapes = [_shape(layout) for layout in layouts]

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

    def _tensors(self, signature: Any, kind: str) -> list[_Tensor]:
        """What goes into the signature ("Input") or comes out of it ("Output")."""
        tensors = []
        for i in range(self._get(f"NumSignature{kind}s", signature, type="size_t")):
            name = self._get(f"Signature{kind}Name", signature, i, type="const char *")
            tensor = self._get(f"Signature{kind}TensorByIndex", signature, i)
            ranked = ffi.new("LiteRtRankedTensorType *")
            self._check(self._litert.LiteRtGetRankedTensorType(tensor, ranked))
            dtype = _TYPES[ranked.element_type]
            tensors.append(_Tensor(ffi.string(name).decode(), dtype, _shape(ranked.layout)))
        return tensors

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
            raise ModelError(f"LiteRT: status {status}")

    def _check_operator(self) -> None:
        """Raise why the operator failed, where it may have run: LiteRT does not look at it."""
        why = ffi.string(self._why(self._operator)).decode()
        if why:
            raise ModelError(f"LiteRT: {why}")


@dataclass(frozen=True)
class _Tensor:
    """An input or output; a dimension of -1 may be of any size."""

    name: str
    dtype: np.dtype
    shape: tuple[int, ...]


def _shape(layout: Any) -> tuple[int, ...]:
    return tuple(layout.dimensions[0 : layout.rank])


def _aligned(shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """An uninitialised array that a tensor buffer can be made of."""
    size = math.prod(shape) * dtype.itemsize
    memory = np.empty(size + _ALIGNMENT, np.uint8)
    start = -memory.ctypes.data % _ALIGNMENT
    return memory[start : start + size].view(dtype).reshape(shape)

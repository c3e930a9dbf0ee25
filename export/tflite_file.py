"""The flatbuffer of a .tflite file: subgraphs, tensors and operators become bytes.

The layout is TensorFlow Lite's schema (tensorflow/compiler/mlir/lite/schema/schema.fbs), through
the package tflite. Tables that are equal are written once: subgraphs for several lengths then
differ in the shapes of their activations alone.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from edgebert.errors import MissingPackageError

try:
    import flatbuffers
    import tflite
except ImportError as error:
    raise MissingPackageError(
        "writing .tflite files needs the packages tflite and flatbuffers: "
        "pip install 'edgebert[export]'"
    ) from error

_TYPES = {
    np.dtype(np.float32): tflite.TensorType.FLOAT32,
    np.dtype(np.float16): tflite.TensorType.FLOAT16,
    np.dtype(np.int8): tflite.TensorType.INT8,
    np.dtype(np.uint8): tflite.TensorType.UINT8,
    np.dtype(np.int16): tflite.TensorType.INT16,
    np.dtype(np.int32): tflite.TensorType.INT32,
    np.dtype(np.int64): tflite.TensorType.INT64,
    np.dtype(np.bool_): tflite.TensorType.BOOL,
}
_ALIGNMENT = 16  # of buffers: the schema's
_PLACEHOLDER = 127  # deprecated_builtin_code of operators beyond it
_SCHEMA_VERSION = 3


@dataclass(frozen=True)
class Quantisation:
    """Real value = scale * (integer - zero_point), with one of each or one for each row.

    Attributes:
        scale: one, or one for each index of ``axis``.
        zero_point: of all.
        axis: along which scales differ.
    """

    scale: tuple[float, ...]
    zero_point: int = 0
    axis: int = 0


@dataclass(frozen=True)
class Tensor:
    """A tensor of a subgraph: a constant if it has data.

    Attributes:
        resizable: the shape with -1 for dimensions that callers may change; None if there is none.
    """

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    data: bytes | None = None
    quantisation: Quantisation | None = None
    resizable: tuple[int, ...] | None = None


@dataclass(frozen=True)
class Operator:
    """An operator: its name in the schema, or a custom one's; tensors by index.

    Attributes:
        options: the schema's table, such as AddOptions, and its fields.
        custom_options: bytes, of a custom operator.
    """

    name: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    version: int = 1
    options: tuple[str, tuple[tuple[str, Any], ...]] | None = None
    custom_options: bytes | None = None


@dataclass
class Subgraph:
    """Tensors and operators in order of execution; inputs and outputs by their public names."""

    name: str
    tensors: list[Tensor] = field(default_factory=list)
    operators: list[Operator] = field(default_factory=list)
    inputs: dict[str, int] = field(default_factory=dict)
    outputs: dict[str, int] = field(default_factory=dict)


def type_code(dtype: Any) -> int:
    """The schema's number of a type."""
    return _TYPES[np.dtype(dtype)]


def tflite_bytes(
    subgraphs: Sequence[Subgraph], description: str, metadata: Mapping[str, bytes]
) -> bytes:
    """The whole file; the last of the metadata are its last bytes."""
    return _Writer().model(subgraphs, description, metadata)


class _Writer:
    def __init__(self) -> None:
        self.builder = flatbuffers.Builder(1 << 20)
        self.buffers: dict[bytes, int] = {b"": 0}  # the first one is empty, by convention
        self.buffer_tables: list[int] = []
        self.codes: dict[tuple[str, int], int] = {}
        self.written: dict[Hashable, int] = {}

    def model(
        self, subgraphs: Sequence[Subgraph], description: str, metadata: Mapping[str, bytes]
    ) -> bytes:
        # Files grow from their end, so what shall be last comes first.
        entries = [
            self.table("Metadata", Buffer=self.buffer(data, alignment=1), Name=self.string(name))
            for name, data in reversed(list(metadata.items()))
        ]
        graphs = [self.subgraph(graph) for graph in subgraphs]
        fields = {
            "Version": _SCHEMA_VERSION,
            "OperatorCodes": self.vector([self.code(*key) for key in self.codes]),
            "Subgraphs": self.vector(graphs),
            "Description": self.string(description),
            "Buffers": self.vector([self.table("Buffer"), *self.buffer_tables]),
            "Metadata": self.vector(entries[::-1]),
            "SignatureDefs": self.vector(
                [self.signature(graph, i) for i, graph in enumerate(subgraphs)]
            ),
        }
        self.builder.Finish(self.table("Model", **fields), b"TFL3")
        return bytes(self.builder.Output())

    def signature(self, graph: Subgraph, index: int) -> int:
        inputs, outputs = (
            self.vector(
                [
                    self.table("TensorMap", Name=self.string(name), TensorIndex=tensor)
                    for name, tensor in tensors.items()
                ]
            )
            for tensors in (graph.inputs, graph.outputs)
        )
        return self.table(
            "SignatureDef",
            Inputs=inputs,
            Outputs=outputs,
            SignatureKey=self.string(graph.name),
            SubgraphIndex=index,
        )

    def subgraph(self, graph: Subgraph) -> int:
        tensors = [self.tensor(tensor) for tensor in graph.tensors]
        operators = [self.operator(operator) for operator in graph.operators]
        return self.table(
            "SubGraph",
            Tensors=self.vector(tensors),
            Inputs=self.int32s(tuple(graph.inputs.values())),
            Outputs=self.int32s(tuple(graph.outputs.values())),
            Operators=self.vector(operators),
            Name=self.string(graph.name),
        )

    def tensor(self, tensor: Tensor) -> int:
        def write() -> int:
            fields = {
                "Shape": self.int32s(tensor.shape),
                "Type": type_code(tensor.dtype),
                "Buffer": 0 if tensor.data is None else self.buffer(tensor.data),
                "Name": self.string(tensor.name),
            }
            if tensor.resizable is not None:
                fields["ShapeSignature"] = self.int32s(tensor.resizable)
            if tensor.quantisation is not None:
                fields["Quantization"] = self.quantisation(tensor.quantisation)
            return self.table("Tensor", **fields)

        return self.once(tensor, write)

    def quantisation(self, q: Quantisation) -> int:
        def write() -> int:
            zero_points = (q.zero_point,) * len(q.scale)
            fields = {
                "Scale": self.numbers(np.array(q.scale, np.float32)),
                "ZeroPoint": self.numbers(np.array(zero_points, np.int64)),
            }
            if q.axis:
                fields["QuantizedDimension"] = q.axis
            return self.table("QuantizationParameters", **fields)

        return self.once(q, write)

    def operator(self, operator: Operator) -> int:
        def write() -> int:
            key = (operator.name, operator.version)
            fields: dict[str, int] = {
                "OpcodeIndex": self.codes.setdefault(key, len(self.codes)),
                "Inputs": self.int32s(operator.inputs),
                "Outputs": self.int32s(operator.outputs),
            }
            if operator.custom_options is not None:
                data = np.frombuffer(operator.custom_options, np.uint8)
                fields["CustomOptions"] = self.numbers(data)
            elif operator.options is not None:
                kind, values = operator.options
                fields["BuiltinOptionsType"] = getattr(tflite.BuiltinOptions, kind)
                fields["BuiltinOptions"] = self.options(kind, values)
            return self.table("Operator", **fields)

        return self.once(operator, write)

    def options(self, kind: str, values: tuple[tuple[str, Any], ...]) -> int:
        def write() -> int:
            return self.table(kind, **dict(values))

        return self.once((kind, values), write)

    def code(self, name: str, version: int) -> int:
        builtin = getattr(tflite.BuiltinOperator, name, None)
        if builtin is None:
            custom = tflite.BuiltinOperator.CUSTOM
            fields = {"BuiltinCode": custom, "CustomCode": self.string(name)}
            return self.table(
                "OperatorCode", DeprecatedBuiltinCode=custom, Version=version, **fields
            )
        old = min(builtin, _PLACEHOLDER)
        return self.table(
            "OperatorCode", DeprecatedBuiltinCode=old, BuiltinCode=builtin, Version=version
        )

    def buffer(self, data: bytes, alignment: int = _ALIGNMENT) -> int:
        """Index of a buffer; equal ones are one."""
        if data not in self.buffers:
            self.buffers[data] = len(self.buffers)
            vector = self.numbers(np.frombuffer(data, np.uint8), alignment)
            self.buffer_tables.append(self.table("Buffer", Data=vector))
        return self.buffers[data]

    def table(self, name: str, **fields: int) -> int:
        getattr(tflite, f"{name}Start")(self.builder)
        for key, value in fields.items():
            getattr(tflite, f"{name}Add{key}")(self.builder, value)
        return getattr(tflite, f"{name}End")(self.builder)

    def vector(self, tables: Sequence[int]) -> int:
        self.builder.StartVector(4, len(tables), 4)
        for offset in reversed(tables):
            self.builder.PrependUOffsetTRelative(offset)
        return self.builder.EndVector()

    def int32s(self, values: tuple[int, ...]) -> int:
        return self.numbers(np.array(values, np.int32))

    def numbers(self, values: np.ndarray, alignment: int = 1) -> int:
        data = values.tobytes()

        def write() -> int:
            self.builder.StartVector(values.itemsize, len(values), alignment)
            self.builder.head -= len(data)
            self.builder.Bytes[self.builder.head : self.builder.head + len(data)] = data
            return self.builder.EndVector()

        return self.once((values.dtype.str, alignment, data), write)

    def string(self, text: str) -> int:
        return self.once(text, lambda: self.builder.CreateString(text))

    def once(self, key: Hashable, write: Callable[[], int]) -> int:
        """What ``write`` wrote for this key the first time."""
        if key not in self.written:
            self.written[key] = write()
        return self.written[key]

"""Graphs of one node, HashEmbedding, as ONNX and as TFLite files."""

from __future__ import annotations

import struct
from typing import Any

from edgebert.config import HASH_FAMILIES, HashParams
from edgebert.tflite import OPERATOR


def attributes(params: HashParams) -> dict[str, int]:
    """The node's attributes, in the order of ``eb_hash_params``."""
    values = {**vars(params), "family": HASH_FAMILIES.index(params.family)}
    return {name: int(value) for name, value in values.items()}


def onnx_model(attributes: dict[str, int], lengths: tuple[str, ...], **types: str) -> bytes:
    """An ONNX file; ``lengths`` are the names of the dimensions of token_lengths."""
    from onnx import TensorProto, helper

    def tensor(name: str, default: str, *dimensions: str) -> Any:
        kind = getattr(TensorProto, types.get(name, default))
        return helper.make_tensor_value_info(name, kind, dimensions)

    inputs = [
        tensor("token_bytes", "UINT8", *lengths, "bytes"),
        tensor("token_lengths", "INT32", *lengths),
    ]
    outputs = [tensor("vectors", "FLOAT", *lengths, "dimension")]
    names = [value.name for value in inputs]
    node = helper.make_node("HashEmbedding", names, ["vectors"], domain="edgebert")
    node.attribute.extend(helper.make_attribute(name, attributes[name]) for name in attributes)
    graph = helper.make_graph([node], "one_op", inputs, outputs)
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("edgebert", 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8).SerializeToString()


def tflite_model(options: bytes, *shapes: tuple[int, ...], resizable: bool = True) -> bytes:
    """A TFLite file with a signature ``tokens_N`` for each shape of token_bytes [..., N, bytes]."""
    import flatbuffers
    import tflite

    builder = flatbuffers.Builder(1024)

    def offsets(items: list[int]) -> int:
        builder.StartVector(4, len(items), 4)
        for item in reversed(items):
            builder.PrependUOffsetTRelative(item)
        return builder.EndVector()

    def integers(items: list[int]) -> int:
        builder.StartVector(4, len(items), 4)
        for item in reversed(items):
            builder.PrependInt32(item)
        return builder.EndVector()

    def table(name: str, **fields: int) -> int:
        getattr(tflite, f"{name}Start")(builder)
        for field, value in fields.items():
            getattr(tflite, f"{name}Add{field}")(builder, value)
        return int(getattr(tflite, f"{name}End")(builder))

    def tensor(name: str, kind: int, shape: tuple[int, ...]) -> int:
        name_offset = builder.CreateString(name)
        fields = {"Shape": integers(list(shape)), "Type": kind, "Name": name_offset}
        if resizable:
            fields["ShapeSignature"] = integers([-1] * len(shape))
        return table("Tensor", **fields)

    def graph(shape: tuple[int, ...]) -> int:
        tensors = [
            tensor("token_bytes", tflite.TensorType.UINT8, shape),
            tensor("token_lengths", tflite.TensorType.INT32, shape[:-1]),
            tensor("vectors", tflite.TensorType.FLOAT32, (*shape[:-1], 1)),
        ]
        operator = table(
            "Operator",
            Inputs=integers([0, 1]),
            Outputs=integers([2]),
            CustomOptions=builder.CreateByteVector(options),
        )
        return table(
            "SubGraph",
            Tensors=offsets(tensors),
            Inputs=integers([0, 1]),
            Outputs=integers([2]),
            Operators=offsets([operator]),
        )

    def signature(key: str, index: int) -> int:
        maps = [
            table("TensorMap", Name=builder.CreateString(name), TensorIndex=i)
            for i, name in enumerate(("token_bytes", "token_lengths", "vectors"))
        ]
        return table(
            "SignatureDef",
            Inputs=offsets(maps[:2]),
            Outputs=offsets(maps[2:]),
            SignatureKey=builder.CreateString(key),
            SubgraphIndex=index,
        )

    code = table(
        "OperatorCode",
        DeprecatedBuiltinCode=tflite.BuiltinOperator.CUSTOM,
        BuiltinCode=tflite.BuiltinOperator.CUSTOM,
        CustomCode=builder.CreateString("edgebert.HashEmbedding"),
        Version=1,
    )
    model = table(
        "Model",
        Version=3,
        OperatorCodes=offsets([code]),
        Subgraphs=offsets([graph(shape) for shape in shapes]),
        Buffers=offsets([table("Buffer")]),
        SignatureDefs=offsets([signature(f"tokens_{s[-2]}", i) for i, s in enumerate(shapes)]),
    )
    builder.Finish(model, b"TFL3")
    return bytes(builder.Output())


def nodes_model(*nodes: tuple[tuple[int, int], int], other: Any = None) -> bytes:
    """A TFLite file with these nodes' inputs and outputs in one signature, dimension 8.

    The i-th node's own are the tensors 3 i to 3 i + 2. ``other``: the type of a further input.
    """
    import numpy as np

    from edgebert.export.tflite_file import Operator, Subgraph, Tensor, tflite_bytes

    graph, options = Subgraph("g"), custom_options(attributes(HashParams(dimension=8)))
    for i, (inputs, output) in enumerate(nodes):
        graph.tensors += [
            Tensor(f"token_bytes_{i}", (1, 2, 4), np.dtype(np.uint8)),
            Tensor(f"token_lengths_{i}", (1, 2), np.dtype(np.int32)),
            Tensor(f"vectors_{i}", (1, 2, 8), np.dtype(np.float32)),
        ]
        graph.operators.append(Operator(OPERATOR, inputs, (output,), custom_options=options))
        graph.inputs |= {f"token_bytes_{i}": 3 * i, f"token_lengths_{i}": 3 * i + 1}
        graph.outputs[f"vectors_{i}"] = 3 * i + 2
    if other is not None:
        graph.inputs["other"] = len(graph.tensors)
        graph.tensors.append(Tensor("other", (1,), np.dtype(other)))
    return tflite_bytes([graph], "", {"name": b"value"})


def custom_options(attributes: dict[str, int]) -> bytes:
    """The attributes as a TFLite node has them."""
    return struct.pack("<7I", *attributes.values())

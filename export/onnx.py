"""Writes .onnx: the encoder and its head in standard operators, starting at the hash vectors.

Opset 17 is the first with LayerNormalization; every runtime since 2022 reads it. ONNX Runtime fuses
the rest when it loads the file: bias and GELU, scale and product, product and Tanh.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from edgebert.config import ModelConfig
from edgebert.errors import MissingPackageError
from edgebert.export.recipe import STANDARD, Recipe
from edgebert.export.spec import ModelSpec
from edgebert.files import write_atomically
from edgebert.metadata import encode_metadata, seal
from edgebert.version import __version__

try:
    import onnx
    from onnx import TensorProto, helper, numpy_helper
except ImportError as error:
    raise MissingPackageError(
        "writing .onnx files needs the package onnx: pip install 'edgebert[export]'"
    ) from error

OPSET = 17
IR_VERSION = 8  # the one that came with opset 17

_DOC = """\
A text classifier of edgebert. Its inputs_embeds are the hash vectors of the tokens, which
edgebert computes from their bytes; edgebert.config in the metadata has the hash's parameters.

inputs_embeds   float [batch, tokens, {c.hidden_size}]  hash vector of each token
attention_mask  int64 [batch, tokens]       1 for a token, 0 for padding
token_type_ids  int64 [batch, tokens]       0; 1 in the second text of a pair
logits          float [batch, {c.num_labels}]         one number for each label
pooled          float [batch, {c.hidden_size}]       vector of the whole text

At most {c.max_position_embeddings} tokens, [CLS] and [SEP] included."""


def onnx_bytes(spec: ModelSpec) -> bytes:
    """The whole file."""
    model = helper.make_model(
        _Graph(spec).build(),
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="edgebert",
        producer_version=__version__,
        doc_string=_DOC.format(c=spec.config),
    )
    metadata = onnx.ModelProto()
    for key, value in encode_metadata(spec.config, spec.tokenizer).items():
        metadata.metadata_props.add(key=key, value=value)
    # Two serialised messages in a row are their union: so the checksum stands at the very end.
    return seal(model.SerializeToString() + metadata.SerializeToString())


def write_onnx(spec: ModelSpec, path: Path, recipe: Recipe = STANDARD) -> None:
    """Write ``spec`` to ``path``, or nothing if that fails."""
    write_atomically(path, onnx_bytes(spec))


class _Graph:
    """Nodes and constants of one model; each method adds a part and returns its output's name."""

    def __init__(self, spec: ModelSpec) -> None:
        self.spec = spec
        self.config: ModelConfig = spec.config
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[str, onnx.TensorProto] = {}

    def build(self) -> onnx.GraphProto:
        c = self.config
        hidden = self.embeddings()
        mask = self.attention_bias()
        for layer in range(c.num_hidden_layers):
            hidden = self.encoder_layer(hidden, mask, layer)
        self.head(hidden)
        tokens = ["batch", "tokens"]
        return helper.make_graph(
            self.nodes,
            "edgebert",
            inputs=[
                _value("inputs_embeds", TensorProto.FLOAT, [*tokens, c.hidden_size]),
                _value("attention_mask", TensorProto.INT64, tokens),
                _value("token_type_ids", TensorProto.INT64, tokens),
            ],
            outputs=[
                _value("logits", TensorProto.FLOAT, ["batch", c.num_labels]),
                _value("pooled", TensorProto.FLOAT, ["batch", c.hidden_size]),
            ],
            initializer=list(self.constants.values()),
        )

    def embeddings(self) -> str:
        length = self.node("Shape", ["inputs_embeds"], "embeddings/length", start=1, end=2)
        zero = self.constant("zero", np.array([0], np.int64))
        # That this slice has "tokens" rows is left unsaid. Knowing it, ONNX Runtime 1.31 would fuse
        # residuals into SkipLayerNormalization, with which the CPU took 12 to 26 % longer.
        positions = self.node(
            "Slice",
            [self.weight("position_embeddings"), zero, length, zero],
            "embeddings/positions",
        )
        types = self.node(
            "Gather", [self.weight("token_type_embeddings"), "token_type_ids"], "embeddings/types"
        )
        typed = self.node("Add", ["inputs_embeds", types], "embeddings/add_types")
        placed = self.node("Add", [typed, positions], "embeddings/add_positions")
        return self.layer_norm(placed, "embeddings_norm", "embeddings/norm")

    def attention_bias(self) -> str:
        """What is added to attention scores, [batch, 1, 1, tokens]: 0, or for padding the least."""
        axes = self.constant("attention_bias/axes", np.array([1, 2], np.int64))
        mask = self.node("Unsqueeze", ["attention_mask", axes], "attention_bias/mask")
        is_token = self.node("Cast", [mask], "attention_bias/is_token", to=TensorProto.BOOL)
        keep = self.constant("attention_bias/keep", np.float32(0))
        drop = self.constant("attention_bias/drop", np.finfo(np.float32).min)
        return self.node("Where", [is_token, keep, drop], "attention_bias")

    def encoder_layer(self, hidden: str, mask: str, layer: int) -> str:
        name = f"layer.{layer}"
        context = self.attention(hidden, mask, layer)
        if self.is_last(layer):
            hidden = self.first_token(hidden, f"{name}/first")
        attended = self.linear(context, "attention_output", layer)
        residual = self.node("Add", [attended, hidden], f"{name}/attention/residual")
        hidden = self.layer_norm(residual, "attention_norm", f"{name}/attention/norm", layer)
        inner = self.gelu(self.linear(hidden, "intermediate", layer), f"{name}/gelu")
        outer = self.linear(inner, "output", layer)
        residual = self.node("Add", [outer, hidden], f"{name}/output/residual")
        return self.layer_norm(residual, "output_norm", f"{name}/output/norm", layer)

    def attention(self, hidden: str, mask: str, layer: int) -> str:
        c = self.config
        name = f"layer.{layer}/attention"
        head_size = c.hidden_size // c.num_attention_heads
        by_head = self.constant(
            "attention/by_head", np.array([0, 0, c.num_attention_heads, head_size], np.int64)
        )
        qkv = self.linear(hidden, "qkv", layer)
        parts = [f"{name}/{part}" for part in ("query", "key", "value")]
        self.nodes.append(helper.make_node("Split", [qkv], parts, f"{name}/split", axis=-1))
        if self.is_last(layer):
            parts[0] = self.first_token(parts[0], f"{name}/query/first")
        heads = [
            self.node(
                "Transpose",
                [self.node("Reshape", [part, by_head], f"{part}/by_head")],
                f"{part}/heads",
                perm=order,
            )
            for part, order in zip(parts, ([0, 2, 1, 3], [0, 2, 3, 1], [0, 2, 1, 3]), strict=True)
        ]
        query, key, value = heads
        product = self.node("MatMul", [query, key], f"{name}/product")
        scale = self.constant("attention/scale", np.float32(head_size**-0.5))
        scores = self.node("Mul", [product, scale], f"{name}/scores")
        masked = self.node("Add", [scores, mask], f"{name}/masked")
        weights = self.node("Softmax", [masked], f"{name}/softmax", axis=-1)
        context = self.node("MatMul", [weights, value], f"{name}/context")
        by_token = self.node("Transpose", [context], f"{name}/by_token", perm=[0, 2, 1, 3])
        joined = self.constant("attention/joined", np.array([0, 0, c.hidden_size], np.int64))
        return self.node("Reshape", [by_token, joined], f"{name}/joined")

    def is_last(self, layer: int) -> bool:
        """Of the last layer the head reads the first token alone, so no other is computed."""
        return layer + 1 == self.config.num_hidden_layers

    def first_token(self, x: str, name: str) -> str:
        """[batch, tokens, h] becomes [batch, 1, h]."""
        zero = self.constant("zero", np.array([0], np.int64))
        one = self.constant("one", np.array([1], np.int64))
        return self.node("Slice", [x, zero, one, one], name)

    def gelu(self, x: str, name: str) -> str:
        """``x * (1 + erf(x / sqrt(2))) / 2``, in the form that runtimes recognise and fuse."""
        root = self.constant("gelu/root_of_two", np.float32(2**0.5))
        one = self.constant("gelu/one", np.float32(1))
        half = self.constant("gelu/half", np.float32(0.5))
        erf = self.node("Erf", [self.node("Div", [x, root], f"{name}/div")], f"{name}/erf")
        product = self.node("Mul", [x, self.node("Add", [erf, one], f"{name}/add")], f"{name}/mul")
        return self.node("Mul", [product, half], name)

    def head(self, hidden: str) -> None:
        first = self.constant("pooler/first", np.int64(0))
        cls = self.node("Gather", [hidden, first], "pooler/cls", axis=1)
        weights = [self.weight("pooler_weight"), self.weight("pooler_bias")]
        dense = self.node("Gemm", [cls, *weights], "pooler/dense", transB=1)
        pooled = self.node("Tanh", [dense], "pooled")
        weights = [self.weight("classifier_weight"), self.weight("classifier_bias")]
        self.node("Gemm", [pooled, *weights], "logits", transB=1)

    def linear(self, x: str, role: str, layer: int) -> str:
        name = f"layer.{layer}/{role}"
        weight = self.constant(
            f"layer.{layer}.{role}_weight",
            np.ascontiguousarray(self.spec.weight(f"{role}_weight", layer).T),
        )
        product = self.node("MatMul", [x, weight], f"{name}/product")
        bias = self.constant(f"layer.{layer}.{role}_bias", self.spec.weight(f"{role}_bias", layer))
        return self.node("Add", [product, bias], name)

    def layer_norm(self, x: str, role: str, name: str, layer: int | None = None) -> str:
        weights = [self.weight(f"{role}_weight", layer), self.weight(f"{role}_bias", layer)]
        epsilon = self.config.layer_norm_eps
        return self.node("LayerNormalization", [x, *weights], name, axis=-1, epsilon=epsilon)

    def weight(self, role: str, layer: int | None = None) -> str:
        """A weight of the spec as it is; ``layer`` is None outside the encoder."""
        name = role if layer is None else f"layer.{layer}.{role}"
        return self.constant(name, self.spec.weight(role, layer or 0))

    def constant(self, name: str, values: np.ndarray | np.generic) -> str:
        """A constant; one that several nodes share is stored once."""
        if name not in self.constants:
            self.constants[name] = numpy_helper.from_array(np.asarray(values), name)
        return name

    def node(self, operator: str, inputs: list[str], name: str, **attributes: Any) -> str:
        """A node with one output, which has the node's name."""
        self.nodes.append(helper.make_node(operator, inputs, [name], name, **attributes))
        return name


def _value(name: str, kind: int, shape: Sequence[str | int]) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, kind, shape)

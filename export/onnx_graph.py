"""The ONNX graph of a model: the encoder and its head in standard operators."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx
from onnx import TensorProto, helper

from edgebert.config import ModelConfig
from edgebert.export.heads import reads_all_tokens
from edgebert.export.onnx_hash import HASHES
from edgebert.export.onnx_nodes import Nodes
from edgebert.export.spec import ModelSpec


class Graph(Nodes):
    """Nodes and constants of one model; each method adds a part and returns its output's name."""

    def __init__(self, spec: ModelSpec, variant: str = "") -> None:
        super().__init__()
        self.spec = spec
        self.config: ModelConfig = spec.config
        self.variant = variant

    def build(self) -> onnx.GraphProto:
        """The whole graph."""
        c = self.config
        inputs = self.inputs()
        hidden = self.embeddings()
        mask = self.attention_bias()
        for layer in range(c.num_hidden_layers):
            hidden = self.encoder_layer(hidden, mask, layer)
        self.heads(hidden)
        return helper.make_graph(
            self.nodes,
            "edgebert",
            inputs=inputs,
            outputs=self.outputs(),
            initializer=list(self.constants.values()),
        )

    def inputs(self) -> list[onnx.ValueInfoProto]:
        """Those of the variant; where they are tokens, their hash vectors are added first."""
        c = self.config
        tokens: list[str | int] = ["batch", "tokens"]
        others = [
            _value("attention_mask", TensorProto.INT64, tokens),
            _value("token_type_ids", TensorProto.INT64, tokens),
        ]
        if not self.variant:
            shape = [*tokens, c.hidden_size]
            return [_value("inputs_embeds", TensorProto.FLOAT, shape), *others]
        HASHES[self.variant](self, c.hash, "inputs_embeds")
        return [
            _value("token_bytes", TensorProto.UINT8, [*tokens, "bytes"]),
            _value("token_lengths", TensorProto.INT32, tokens),
            *others,
        ]

    def outputs(self) -> list[onnx.ValueInfoProto]:
        """Those of the heads that the model has."""
        c = self.config
        logits = _value("logits", TensorProto.FLOAT, ["batch", c.num_labels])
        pooled = _value("pooled", TensorProto.FLOAT, ["batch", c.hidden_size])
        tags = _value("tag_logits", TensorProto.FLOAT, ["batch", "tokens", c.num_tags])
        return [*([logits] if c.labels else ()), pooled, *([tags] if c.tags else ())]

    def embeddings(self) -> str:
        """Hash vectors, positions and types, normalised."""
        types = self.node(
            "Gather", [self.weight("token_type_embeddings"), "token_type_ids"], "embeddings/types"
        )
        typed = self.node("Add", ["inputs_embeds", types], "embeddings/add_types")
        placed = self.node("Add", [typed, self.positions()], "embeddings/add_positions")
        return self.layer_norm(placed, "embeddings_norm", "embeddings/norm")

    def positions(self) -> str:
        """Position embeddings of the tokens."""
        return self.first_positions(self.weight("position_embeddings"))

    def first_positions(self, table: str) -> str:
        """As many rows of a table as there are tokens."""
        length = self.node("Shape", ["inputs_embeds"], "embeddings/length", start=1, end=2)
        zero = self.constant("zero", np.array([0], np.int64))
        # That this slice has "tokens" rows is left unsaid. Knowing it, ONNX Runtime 1.31 would fuse
        # residuals into SkipLayerNormalization, with which the CPU took 12 to 26 % longer.
        return self.node("Slice", [table, zero, length, zero], "embeddings/positions")

    def attention_bias(self) -> str:
        """What is added to attention scores, [batch, 1, 1, tokens]: 0, or for padding the least."""
        axes = self.constant("attention_bias/axes", np.array([1, 2], np.int64))
        mask = self.node("Unsqueeze", ["attention_mask", axes], "attention_bias/mask")
        is_token = self.node("Cast", [mask], "attention_bias/is_token", to=TensorProto.BOOL)
        keep = self.constant("attention_bias/keep", np.float32(0))
        drop = self.constant("attention_bias/drop", np.finfo(np.float32).min)
        return self.node("Where", [is_token, keep, drop], "attention_bias")

    def encoder_layer(self, hidden: str, mask: str, layer: int) -> str:
        """Hidden states behind a layer."""
        context = self.attention(hidden, mask, layer)
        if self.reads_first(layer):
            hidden = self.first_token(hidden, scope("first", layer))
        attended = self.linear(context, "attention_output", layer)
        residual = self.node("Add", [attended, hidden], scope("attention/residual", layer))
        hidden = self.layer_norm(residual, "attention_norm", scope("attention/norm", layer), layer)
        inner = self.gelu(self.linear(hidden, "intermediate", layer), scope("gelu", layer))
        outer = self.linear(inner, "output", layer)
        residual = self.node("Add", [outer, hidden], scope("output/residual", layer))
        return self.layer_norm(residual, "output_norm", scope("output/norm", layer), layer)

    def attention(self, hidden: str, mask: str, layer: int) -> str:
        """What the heads of a layer made, side by side."""
        c = self.config
        name = scope("attention", layer)
        head_size = c.hidden_size // c.num_attention_heads
        by_head = self.constant(
            "attention/by_head", np.array([0, 0, 3 * c.num_attention_heads, head_size], np.int64)
        )
        qkv = self.node("Reshape", [self.linear(hidden, "qkv", layer), by_head], f"{name}/by_head")
        heads = self.node("Transpose", [qkv], f"{name}/heads", perm=[0, 2, 1, 3])
        query, key, value = (f"{name}/{part}" for part in ("query", "key", "value"))
        split = helper.make_node("Split", [heads], [query, key, value], f"{name}/split", axis=1)
        self.nodes.append(split)
        if self.reads_first(layer):
            query = self.first_token(query, f"{query}/first", axis=2)
        key = self.node("Transpose", [key], f"{key}/transposed", perm=[0, 1, 3, 2])
        product = self.node("MatMul", [query, key], f"{name}/product")
        scale = self.constant("attention/scale", np.float32(head_size**-0.5))
        scores = self.node("Mul", [product, scale], f"{name}/scores")
        masked = self.node("Add", [scores, mask], f"{name}/masked")
        weights = self.node("Softmax", [masked], f"{name}/softmax", axis=-1)
        context = self.node("MatMul", [weights, value], f"{name}/context")
        by_token = self.node("Transpose", [context], f"{name}/by_token", perm=[0, 2, 1, 3])
        joined = self.constant("attention/joined", np.array([0, 0, c.hidden_size], np.int64))
        return self.node("Reshape", [by_token, joined], f"{name}/joined")

    def reads_first(self, layer: int) -> bool:
        """Whether what follows reads the first token alone, so that no other is computed."""
        last = layer + 1 == self.config.num_hidden_layers
        return last and not reads_all_tokens(self.config)

    def first_token(self, x: str, name: str, axis: int = 1) -> str:
        """One in place of all tokens, on the axis where they are."""
        zero = self.constant("zero", np.array([0], np.int64))
        one = self.constant("one", np.array([1], np.int64))
        axes = self.constant(f"axes/{axis}", np.array([axis], np.int64))
        return self.node("Slice", [x, zero, one, axes], name)

    def gelu(self, x: str, name: str) -> str:
        """``x * (1 + erf(x / sqrt(2))) / 2``, in the form that runtimes recognise and fuse."""
        root = self.constant("gelu/root_of_two", np.float32(2**0.5))
        one = self.constant("gelu/one", np.float32(1))
        half = self.constant("gelu/half", np.float32(0.5))
        erf = self.node("Erf", [self.node("Div", [x, root], f"{name}/div")], f"{name}/erf")
        product = self.node("Mul", [x, self.node("Add", [erf, one], f"{name}/add")], f"{name}/mul")
        return self.node("Mul", [product, half], name)

    def heads(self, hidden: str) -> None:
        """All outputs."""
        if self.config.labels:
            self.label_head(hidden)
        else:
            self.mean(hidden)
        if self.config.tags:
            self.tag_head(hidden)

    def mean(self, hidden: str) -> None:
        """The tokens' mean, of length 1: their sum has the same direction."""
        axis = self.constant("pooled/axis", np.array([1], np.int64))
        mask = self.node("Unsqueeze", ["attention_mask", axis], "pooled/mask")
        weights = self.node("Cast", [mask], "pooled/weights", to=TensorProto.FLOAT)
        total = self.first_state(self.node("MatMul", [weights, hidden], "pooled/sum"), "pooled/row")
        length = self.node("ReduceL2", [total], "pooled/length", axes=[-1], keepdims=1)
        least = self.constant("pooled/least", np.finfo(np.float32).tiny)
        divisor = self.node("Max", [length, least], "pooled/divisor")
        self.node("Div", [total, divisor], "pooled")

    def tag_head(self, hidden: str) -> None:
        """Of each token."""
        product = self.node("MatMul", self.factors(hidden, "tagger", None), "tagger/product")
        self.node("Add", [product, self.weight("tagger_bias")], "tag_logits")

    def label_head(self, hidden: str) -> None:
        """Pooled vector and logits."""
        dense = self.dense(self.first_state(hidden, "pooler/cls"), "pooler", "pooler")
        self.classify(self.node("Tanh", [dense], "pooled"))

    def first_state(self, hidden: str, name: str) -> str:
        """The first of [batch, tokens, h]: [batch, h]."""
        first = self.constant("first", np.int64(0))
        return self.node("Gather", [hidden, first], name, axis=1)

    def classify(self, pooled: str) -> None:
        """The output behind the other."""
        self.dense(pooled, "classifier", "logits")

    def dense(self, x: str, role: str, name: str) -> str:
        """A linear layer of [batch, in]."""
        weights = [self.weight(f"{role}_weight"), self.weight(f"{role}_bias")]
        return self.node("Gemm", [x, *weights], name, transB=1)

    def linear(self, x: str, role: str, layer: int | None) -> str:
        """A product with a matrix, and a bias; ``layer`` is None outside the encoder."""
        product = self.node("MatMul", self.factors(x, role, layer), f"{scope(role, layer)}/product")
        return self.node("Add", [product, self.weight(f"{role}_bias", layer)], scope(role, layer))

    def factors(self, x: str, role: str, layer: int | None) -> list[str]:
        """What is to be multiplied."""
        name = f"{role}_weight"
        transposed = np.ascontiguousarray(self.spec.weight(name, layer or 0).T)
        return [x, self.constant(scope(name, layer), transposed)]

    def layer_norm(self, x: str, role: str, name: str, layer: int | None = None) -> str:
        """A LayerNorm; ``layer`` is None outside the encoder."""
        weights = [self.weight(f"{role}_weight", layer), self.weight(f"{role}_bias", layer)]
        epsilon = self.config.layer_norm_eps
        return self.node("LayerNormalization", [x, *weights], name, axis=-1, epsilon=epsilon)

    def weight(self, role: str, layer: int | None = None) -> str:
        """A weight of the spec as it is; ``layer`` is None outside the encoder."""
        return self.constant(scope(role, layer), self.spec.weight(role, layer or 0))


def scope(name: str, layer: int | None) -> str:
    """The name of what belongs to an encoder layer, or to none."""
    return name if layer is None else f"{layer}/{name}"


def _value(name: str, kind: int, shape: Sequence[str | int]) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, kind, shape)

"""The encoder as a graph of TensorFlow Lite's builtin operators, in float32.

Other types of arithmetic are subclasses that override what differs.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from edgebert.config import ModelConfig
from edgebert.export.heads import reads_all_tokens
from edgebert.export.spec import ModelSpec
from edgebert.export.tflite_file import Operator, Quantisation, Subgraph, Tensor, type_code
from edgebert.export.tflite_hash import HASHES

_MASKED = 1e9  # taken from the attention scores of padding

# The version of an operator by its first input's type, where it is not 1.
_VERSIONS = {
    "ADD": {"int8": 2, "int64": 4},
    "BATCH_MATMUL": {"int8": 2},
    "DEQUANTIZE": {"float16": 3},
    "FULLY_CONNECTED": {"float32": 5, "int8": 5},
    "GATHER": {"int8": 2},
    "GELU": {"int8": 2},
    "L2_NORMALIZATION": {"int8": 2},
    "LOGISTIC": {"int8": 2},
    "MEAN": {"int8": 2},
    "MUL": {"int8": 2, "int64": 5},
    "RSQRT": {"int8": 2},
    "SLICE": {"int8": 2},
    "SOFTMAX": {"int8": 2},
    "SUB": {"int8": 2, "int64": 4},
    "TANH": {"int8": 2},
    "TRANSPOSE": {"int8": 2},
}
_OPTIONS = {
    "ADD": "AddOptions",
    "BATCH_MATMUL": "BatchMatMulOptions",
    "CAST": "CastOptions",
    "CONCATENATION": "ConcatenationOptions",
    "CUMSUM": "CumsumOptions",
    "DIV": "DivOptions",
    "FULLY_CONNECTED": "FullyConnectedOptions",
    "GATHER": "GatherOptions",
    "GELU": "GeluOptions",
    "L2_NORMALIZATION": "L2NormOptions",
    "MEAN": "ReducerOptions",
    "MUL": "MulOptions",
    "SLICE": "SliceOptions",
    "SOFTMAX": "SoftmaxOptions",
    "STRIDED_SLICE": "StridedSliceOptions",
    "SUB": "SubOptions",
    "SUM": "ReducerOptions",
    "TRANSPOSE": "TransposeOptions",
}


class Graph:
    """Tensors and operators of one model for one length.

    Each method adds a part and returns the index of its output, whose name is that of the
    activation in float_reference.py wherever that has one. All lengths add the same tensors in the
    same order, so that their operators are equal and written once.
    """

    dtype: Any = np.float32  # of activations
    scaled_softmax = False  # whether softmax scales the scores, not the query's weights

    def __init__(self, spec: ModelSpec, tokens: int, variant: str = "") -> None:
        self.spec, self.tokens, self.variant = spec, tokens, variant
        self.config: ModelConfig = spec.config
        self.graph = Subgraph(f"tokens_{tokens}")
        self.constants: dict[str, int] = {}
        head_size = self.config.hidden_size // self.config.num_attention_heads
        self.attention_scale = head_size**-0.5

    def build(self) -> Subgraph:
        """The whole graph."""
        tokens = (1, self.tokens)
        vectors = self.hash() if self.variant in HASHES else self.vectors()
        mask = self.mask(tokens)
        types = self.input("token_type_ids", tokens, np.int32)
        hidden, bias = self.embeddings(vectors, types), self.attention_bias(mask)
        for layer in range(self.config.num_hidden_layers):
            hidden = self.encoder_layer(hidden, bias, layer)
        self.graph.outputs = self.heads(hidden, bias)
        return self.graph

    # ---- inputs ----

    def vectors(self) -> int:
        """The tokens' hash vectors."""
        shape = (1, self.tokens, self.config.hidden_size)
        return self.input("inputs_embeds", shape, self.dtype)

    def hash(self) -> int:
        """The same, made of the tokens' bytes."""
        token_bytes = self.input("token_bytes", (1, self.tokens, 1), np.uint8, (1, self.tokens, -1))
        token_lengths = self.input("token_lengths", (1, self.tokens), np.int32)
        return HASHES[self.variant](self, token_bytes, token_lengths)

    def mask(self, shape: tuple[int, ...]) -> int:
        """The attention mask: 1 for a token, 0 for padding."""
        return self.input("attention_mask", shape, np.int32)

    def input(
        self,
        name: str,
        shape: tuple[int, ...],
        dtype: Any,
        resizable: tuple[int, ...] | None = None,
        quantisation: Quantisation | None = None,
    ) -> int:
        """An input; dimensions that callers may change are -1 in ``resizable``."""
        index = self.tensor(name, shape, dtype, quantisation, resizable)
        self.graph.inputs[name] = index
        return index

    # ---- parts of the encoder ----

    def embeddings(self, vectors: int, types: int) -> int:
        """Hash vectors, token types and positions, added and normalised."""
        h = self.config.hidden_size
        shape = (1, self.tokens, h)
        type_vectors = (self.table("token_type_embeddings"), types)
        added = self.op("GATHER", type_vectors, "embeddings/types", shape)
        typed = self.op("ADD", (vectors, added), "embeddings/typed", shape)
        table = self.table("position_embeddings")
        positions = self.first(table, (self.tokens, h), "embeddings/positions")
        placed = self.op("ADD", (typed, positions), "embeddings_norm/input", shape)
        return self.layer_norm(placed, "embeddings_norm", 0)

    def attention_bias(self, mask: int) -> int:
        """What is added to attention scores, [1, 1, 1, tokens]: 0, or for padding very little."""
        shape = (1, 1, 1, self.tokens)
        mask = self.reshape(mask, shape, "attention_bias/mask")
        kinds = {"InDataType": type_code(np.int32), "OutDataType": type_code(np.float32)}
        floats = self.op("CAST", (mask,), "attention_bias/floats", shape, **kinds)
        most = self.constant("attention_bias/most", np.array([_MASKED], np.float32))
        scaled = self.op("MUL", (floats, most), "attention_bias/scaled", shape)
        return self.op("SUB", (scaled, most), "attention_bias", shape)

    def encoder_layer(self, hidden: int, bias: int, layer: int) -> int:
        """One layer of the encoder."""
        name, h = f"layer.{layer}/", self.config.hidden_size
        states = hidden
        if layer + 1 == self.config.num_hidden_layers and not reads_all_tokens(self.config):
            # What follows reads the first token alone, so no other is computed.
            states = self.first(hidden, (1, 1, h), f"{name}first")
        shape = self.shape(states)
        context = self.attention(states, hidden, bias, layer)
        update = self.linear(context, "attention_output", layer)
        residual = self.op("ADD", (update, states), f"{name}attention_norm/input", shape)
        hidden = self.layer_norm(residual, "attention_norm", layer)
        inner = self.gelu(self.linear(hidden, "intermediate", layer), f"{name}gelu")
        update = self.linear(inner, "output", layer)
        residual = self.op("ADD", (update, hidden), f"{name}output_norm/input", shape)
        return self.layer_norm(residual, "output_norm", layer)

    def attention(self, states: int, hidden: int, bias: int, layer: int) -> int:
        """Attention of ``states``, which are ``hidden`` or its first rows, to all of ``hidden``."""
        name, h = f"layer.{layer}/", self.config.hidden_size
        heads = self.config.num_attention_heads
        query, key, value = (
            self.by_head(self.linear(x, part, layer), f"{name}{part}")
            for x, part in ((states, "query"), (hidden, "key"), (hidden, "value"))
        )
        rows = self.shape(states)[1]
        shape = (1, heads, rows, self.tokens)
        scores = self.op("BATCH_MATMUL", (query, key), f"{name}scores", shape, AdjY=True)
        masked = self.op("ADD", (scores, bias), f"{name}masked", shape)
        beta = self.attention_scale if self.scaled_softmax else 1.0
        weights = self.op("SOFTMAX", (masked,), f"{name}softmax", shape, Beta=beta)
        shape = (1, heads, rows, h // heads)
        context = self.op("BATCH_MATMUL", (weights, value), f"{name}context", shape)
        by_token = self.transpose(context, f"{name}context/by_token")
        return self.reshape(by_token, (1, rows, h), f"{name}context/joined")

    def by_head(self, x: int, name: str) -> int:
        """[1, rows, h] becomes [1, heads, rows, h / heads]."""
        _, rows, h = self.shape(x)
        heads = self.config.num_attention_heads
        split = self.reshape(x, (1, rows, heads, h // heads), f"{name}/split")
        return self.transpose(split, f"{name}/by_head")

    def heads(self, hidden: int, bias: int) -> dict[str, int]:
        """All outputs, by name."""
        if self.config.labels:
            pooled = self.pooler(hidden)
            outputs = {"logits": self.linear(pooled, "logits", 0), "pooled": pooled}
        else:
            outputs = {"pooled": self.mean_of_tokens(hidden, bias)}
        if self.config.tags:
            outputs["tag_logits"] = self.linear(hidden, "tag_logits", 0)
        return outputs

    def pooler(self, hidden: int) -> int:
        """The pooled vector of a model with labels."""
        if reads_all_tokens(self.config):
            hidden = self.first(hidden, (1, 1, self.config.hidden_size), "pooler/cls")
        first = self.reshape(hidden, (1, self.config.hidden_size), "pooler/first")
        dense = self.linear(first, "pooler", 0)
        return self.op("TANH", (dense,), "pooled", self.shape(dense))

    def mean_of_tokens(self, hidden: int, bias: int) -> int:
        """That of a model without: the tokens' mean, of length 1.

        It is what attention makes of equal scores.
        """
        h = self.config.hidden_size
        by_head = self.reshape(hidden, (1, 1, self.tokens, h), "pooled/states")
        inputs = (self.token_weights(bias), by_head)
        mean = self.op("BATCH_MATMUL", inputs, "pooled/mean", (1, 1, 1, h))
        row = self.reshape(mean, (1, h), "pooled/row")
        return self.op("L2_NORMALIZATION", (row,), "pooled", (1, h))

    def token_weights(self, bias: int) -> int:
        """Of each token in the mean."""
        return self.op("SOFTMAX", (bias,), "pooled/weights", self.shape(bias), Beta=1.0)

    # ---- parts of these ----

    def linear(self, x: int, role: str, layer: int) -> int:
        """A dense layer: query, key, value, (tag_)logits or one of the roles of roles.py."""
        weight, bias = self.weights(role, layer)
        name = self.name(role, layer)
        constants = self.linear_constants(x, name, weight, bias)
        shape = (*self.shape(x)[:-1], len(bias))
        return self.op("FULLY_CONNECTED", (x, *constants), name, shape, KeepNumDims=True)

    def weights(self, name: str, layer: int) -> tuple[np.ndarray, np.ndarray]:
        """Weight [out, in] and bias of a dense layer."""
        kinds, parts = ("weight", "bias"), ("query", "key", "value")
        if name not in parts:
            role = {"logits": "classifier", "tag_logits": "tagger"}.get(name, name)
            weight, bias = (self.spec.weight(f"{role}_{kind}", layer) for kind in kinds)
            return weight, bias
        scaled = name == "query" and not self.scaled_softmax
        scale = np.float32(self.attention_scale if scaled else 1)
        weight, bias = (
            np.split(self.spec.weight(f"qkv_{kind}", layer), 3)[parts.index(name)] * scale
            for kind in kinds
        )
        return weight, bias

    def linear_constants(
        self, x: int, name: str, weight: np.ndarray, bias: np.ndarray
    ) -> tuple[int, int]:
        """Weight and bias as tensors, for the input ``x``."""
        return self.matrix(f"{name}.weight", weight), self.constant(f"{name}.bias", bias)

    def layer_norm(self, x: int, role: str, layer: int) -> int:
        """LayerNorm over the last dimension, whose mean square is taken as it stands."""
        name, shape = self.name(role, layer), self.shape(x)
        mean = self.mean(x, f"{name}/mean")
        centred = self.op("SUB", (x, mean), f"{name}/centred", shape)
        squared = self.op("MUL", (centred, centred), f"{name}/squared", shape)
        variance = self.add_epsilon(self.mean(squared, f"{name}/variance"), name)
        inverse = self.op("RSQRT", (variance,), f"{name}/inverse", self.shape(variance))
        normal = self.op("MUL", (centred, inverse), f"{name}/normal", shape)
        weight, bias = (
            self.vector(f"{name}.{kind}", self.spec.weight(f"{role}_{kind}", layer))
            for kind in ("weight", "bias")
        )
        scaled = self.op("MUL", (normal, weight), f"{name}/scaled", shape)
        return self.op("ADD", (scaled, bias), name, shape)

    def add_epsilon(self, variance: int, name: str) -> int:
        """So that rows of equal numbers have an inverse deviation."""
        epsilon = self.constant("epsilon", np.array([self.config.layer_norm_eps], np.float32))
        shape = self.shape(variance)
        return self.op("ADD", (variance, epsilon), f"{name}/variance+epsilon", shape)

    def gelu(self, x: int, name: str) -> int:
        """The activation, x * Phi(x)."""
        return self.op("GELU", (x,), name, self.shape(x))

    def mean(self, x: int, name: str) -> int:
        """Mean over the last dimension, which becomes 1."""
        axis = self.constant("mean/axis", np.array([len(self.shape(x)) - 1], np.int32))
        return self.op("MEAN", (x, axis), name, (*self.shape(x)[:-1], 1), KeepDims=True)

    def first(self, x: int, shape: tuple[int, ...], name: str) -> int:
        """The first rows of a tensor."""
        begin = self.constant(f"slice/begin{len(shape)}", np.zeros(len(shape), np.int32))
        size = self.constant(f"{name}/size", np.array(shape, np.int32))
        return self.op("SLICE", (x, begin, size), name, shape)

    def reshape(self, x: int, shape: tuple[int, ...], name: str) -> int:
        """The same numbers in another shape."""
        size = self.constant(
            f"reshape/{'x'.join(map(self.symbol, shape))}", np.array(shape, np.int32)
        )
        return self.op("RESHAPE", (x, size), name, shape)

    def symbol(self, length: int) -> str:
        """A length as it is called in names, which are the same in all subgraphs."""
        return "tokens" if length == self.tokens else str(length)

    def transpose(self, x: int, name: str) -> int:
        """Swaps the second and the third dimension."""
        order = self.constant("transpose/order", np.array([0, 2, 1, 3], np.int32))
        n, a, b, d = self.shape(x)
        return self.op("TRANSPOSE", (x, order), name, (n, b, a, d))

    def table(self, role: str) -> int:
        """A table of embeddings."""
        return self.matrix(role, self.spec.weight(role))

    def matrix(self, name: str, values: np.ndarray) -> int:
        """A constant of two dimensions."""
        return self.constant(name, values)

    def vector(self, name: str, values: np.ndarray) -> int:
        """A constant of one dimension, for LayerNorms."""
        return self.constant(name, values)

    def name(self, role: str, layer: int) -> str:
        """The name of an activation."""
        outside = role.startswith(("embeddings", "pooler", "logits", "tag_logits"))
        return role if outside else f"layer.{layer}/{role}"

    # ---- tensors and operators ----

    def shape(self, index: int) -> tuple[int, ...]:
        """Shape of a tensor."""
        return self.graph.tensors[index].shape

    def type(self, index: int) -> np.dtype[Any]:
        """Type of a tensor's numbers."""
        return self.graph.tensors[index].dtype

    def tensor(
        self,
        name: str,
        shape: tuple[int, ...],
        dtype: Any,
        quantisation: Quantisation | None = None,
        resizable: tuple[int, ...] | None = None,
    ) -> int:
        """A tensor without data."""
        tensor = Tensor(name, shape, np.dtype(dtype), None, quantisation, resizable)
        self.graph.tensors.append(tensor)
        return len(self.graph.tensors) - 1

    def constant(
        self, name: str, values: np.ndarray, quantisation: Quantisation | None = None
    ) -> int:
        """A constant; one that several operators share is stored once."""
        if name not in self.constants:
            data = np.ascontiguousarray(values).tobytes()
            tensor = Tensor(name, values.shape, values.dtype, data, quantisation)
            self.graph.tensors.append(tensor)
            self.constants[name] = len(self.graph.tensors) - 1
        return self.constants[name]

    def op(
        self,
        operator: str,
        inputs: tuple[int, ...],
        name: str,
        shape: tuple[int, ...],
        **options: Any,
    ) -> int:
        """An operator with one output, which has the name; options as the schema calls them."""
        output = self.tensor(name, shape, *self.result(operator, inputs, name))
        return self.add(operator, inputs, output, **options)

    def add(self, operator: str, inputs: tuple[int, ...], output: int, **options: Any) -> int:
        """An operator that writes a tensor."""
        version = _VERSIONS.get(operator, {}).get(self.type(inputs[0]).name, 1)
        kind = _OPTIONS.get(operator)
        table = None if kind is None else (kind, tuple(options.items()))
        self.graph.operators.append(Operator(operator, inputs, (output,), version, table))
        return output

    def result(
        self, operator: str, inputs: tuple[int, ...], name: str
    ) -> tuple[Any, Quantisation | None]:
        """Type and quantisation of an operator's output."""
        if operator in ("RESHAPE", "TRANSPOSE", "SLICE", "GATHER"):  # which move numbers about
            moved = self.graph.tensors[inputs[0]]
            return moved.dtype, moved.quantisation
        return self.dtype, None

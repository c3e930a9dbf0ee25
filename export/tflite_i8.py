"""The .tflite graph in int8 from end to end, by what calibration saw of each activation.

Weights are symmetric with a scale for each output channel, biases int32; activations have one scale
and zero point. What TensorFlow Lite's operators then compute is defined by its 8-bit quantisation
specification, not by docs/numerics.md.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from edgebert.errors import ModelError
from edgebert.export.activations import Activations
from edgebert.export.quantise import channel_scales
from edgebert.export.spec import ModelSpec
from edgebert.export.tflite_file import Quantisation
from edgebert.export.tflite_graph import Graph

_VECTORS = Quantisation((1 / 127,))  # the hash's values are within [-1, 1]
_MASKED = 6.0  # how far below the least score padding is: with what it loses to the largest, enough
_LEAST_SCALE = 1e-20  # so that products of scales are float32
_MOST_RATIO = 2.0**18  # of scales that are added: a kernel that gets more aborts the process
_PADDING_WEIGHT = 16.0  # minus the logarithm of padding's weight in a mean beside a token's
MOST_AVERAGED = 511  # tokens: of more, 1/n is less than half a step of int8's softmax
_FIXED = {  # what the kernels of these demand
    "L2_NORMALIZATION": Quantisation((1 / 128,)),
    "LOGISTIC": Quantisation((1 / 256,), -128),
    "SOFTMAX": Quantisation((1 / 256,), -128),
    "TANH": Quantisation((1 / 128,)),
}


class Int8Graph(Graph):
    """int8 in and out, and in between."""

    dtype = np.int8
    scaled_softmax = True

    def __init__(self, spec: ModelSpec, tokens: int, variant: str = "") -> None:
        super().__init__(spec, tokens, variant)
        if spec.activations is None:
            raise ModelError(
                "an int8 graph needs activations: replace(spec, activations=observe(spec, texts))"
            )
        self.seen: Activations = spec.activations
        self.between: dict[str, Quantisation] = {}  # of tensors that calibration did not see

    def vectors(self) -> int:
        """The tokens' hash vectors."""
        shape = (1, self.tokens, self.config.hidden_size)
        return self.input("inputs_embeds", shape, np.int8, quantisation=_VECTORS)

    def hash(self) -> int:
        """The same, made of the tokens' bytes."""
        vectors = super().hash()
        self.between["hash/i8"] = _VECTORS
        return self.op("QUANTIZE", (vectors,), "hash/i8", self.shape(vectors))

    def mask(self, shape: tuple[int, ...]) -> int:
        """1 for a token, 0 for padding: their real values are those to add to scores."""
        layers = range(self.config.num_hidden_layers)
        reach = max(high - low for low, high in map(self.masked_scores, layers))
        quantisation = Quantisation((reach,), zero_point=1)
        return self.input("attention_mask", shape, np.int8, quantisation=quantisation)

    def attention_bias(self, mask: int) -> int:
        """The mask itself."""
        return self.reshape(mask, (1, 1, 1, self.tokens), "attention_bias")

    def token_weights(self, bias: int) -> int:
        """1/n in steps of 1/256: the mean's range holds what that makes of n/n.

        It is the same for all tokens, and so nothing to the mean's direction.
        """
        counts = np.arange(1, self.tokens + 1)
        most = float((np.rint(256 / counts) * counts / 256).max())
        low, high = self.seen.ranges["pooled/mean", 0]
        self.between["pooled/mean"] = between(most * low, most * high)
        beta = _PADDING_WEIGHT / self.scale(bias)
        return self.op("SOFTMAX", (bias,), "pooled/weights", self.shape(bias), Beta=beta)

    def add_epsilon(self, variance: int, name: str) -> int:
        """Beside a step of int8 epsilon is nothing; of 0, RSQRT makes the largest integer."""
        return variance

    def op(
        self,
        operator: str,
        inputs: tuple[int, ...],
        name: str,
        shape: tuple[int, ...],
        **options: Any,
    ) -> int:
        """An operator with one output, if its kernel takes these scales."""
        output = super().op(operator, inputs, name, shape, **options)
        if operator in ("ADD", "SUB") and self.graph.tensors[output].quantisation:
            *added, result = map(self.scale, (*inputs, output))
            if max(added) > _MOST_RATIO * result:
                raise ModelError(f"{name} is too small for int8 beside what it adds: export f16")
        return output

    def scale(self, tensor: int) -> float:
        """The value of one step."""
        quantisation = self.graph.tensors[tensor].quantisation
        assert quantisation is not None
        return quantisation.scale[0]

    def result(
        self, operator: str, inputs: tuple[int, ...], name: str
    ) -> tuple[Any, Quantisation | None]:
        """Type and quantisation of an operator's output."""
        dtype, quantisation = super().result(operator, inputs, name)
        if quantisation is None:
            quantisation = _FIXED.get(operator) or self.between.get(name) or self.activation(name)
        return dtype, quantisation

    def activation(self, name: str) -> Quantisation:
        """Of an activation, by its name."""
        layer, _, role = name.rpartition("layer.")[2].partition("/")
        key = (role, int(layer)) if name.startswith("layer.") else (name, 0)
        if key in self.seen.scales:
            return Quantisation((max(self.seen.scales[key], _LEAST_SCALE),))
        low, high = self.seen.ranges[key] if key[0] != "masked" else self.masked_scores(key[1])
        if key[0] == "scores":
            low, high = low / self.attention_scale, high / self.attention_scale
        return between(low, high)

    def masked_scores(self, layer: int) -> tuple[float, float]:
        """The range of scores in which softmax finds them, those of padding lowest."""
        low, high = self.seen.ranges["scores", layer]
        return (low - _MASKED) / self.attention_scale, high / self.attention_scale

    def linear_constants(
        self, x: int, name: str, weight: np.ndarray, bias: np.ndarray
    ) -> tuple[int, int]:
        """Weight, int8 by output channel, and bias, int32 in units of the sums."""
        scales = self.scales(name, weight)
        sums = scales * self.scale(x)
        integers = np.rint(weight / scales[:, None]).astype(np.int8)
        biases = np.clip(np.rint(bias / sums), -(2**30), 2**30).astype(np.int32)
        return (
            self.constant(f"{name}.weight", integers, Quantisation(tuple(scales.tolist()))),
            self.constant(f"{name}.bias", biases, Quantisation(tuple(sums.tolist()))),
        )

    def scales(self, name: str, weight: np.ndarray) -> np.ndarray:
        """The scale of each output channel; query, key and value share theirs, to save 4 KB."""
        layer, _, part = name.rpartition("layer.")[2].partition("/")
        if part not in ("query", "key", "value"):
            return channel_scales(weight)
        parts = [self.weights(p, int(layer))[0] for p in ("query", "key", "value")]
        return channel_scales(np.concatenate(parts, axis=1))

    def matrix(self, name: str, values: np.ndarray) -> int:
        """Symmetric, with one scale: a table, or what is multiplied by element."""
        scale = max(float(np.abs(values).max()) / 127, _LEAST_SCALE)
        integers = np.rint(values / scale).astype(np.int8)
        return self.constant(name, integers, Quantisation((scale,)))

    vector = matrix


def between(low: float, high: float) -> Quantisation:
    """The quantisation of numbers from low to high; 0 is one of its steps."""
    low, high = min(low, 0.0), max(high, 0.0)
    scale = max((high - low) / 255, _LEAST_SCALE)
    return Quantisation((scale,), round(-128 - low / scale))

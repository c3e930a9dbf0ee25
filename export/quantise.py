"""Static post-training quantisation to int8: a float32 model and some texts become an int8 model.

Weights are symmetric, one scale for each output channel. Activations are symmetric with one scale,
chosen to make the squared error smallest on the calibration texts; what feeds a LayerNorm, and what
comes out, keeps 16 bits. docs/numerics.md defines how the integers are used.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from edgebert._native import lib
from edgebert.errors import ModelError
from edgebert.export.float_reference import forward, gelu
from edgebert.export.four_bits import MOST, SCALES, to_four_bits
from edgebert.export.spec import ModelSpec, Weight
from edgebert.hash import HashEmbedding
from edgebert.int8_reference import (
    EMBEDDING_BITS,
    LAYER_SCALES,
    LOGIT_BITS,
    MODEL_SCALES,
    NARROW_BITS,
)
from edgebert.sequence import Text, from_texts
from edgebert.tokenizer import Tokenizer

_SAMPLE = 1 << 17  # values of an activation that are kept to choose its scale by
_EXP_UNIT = 2.0**-15 * np.log(2)  # of the softmax's exponents, over the 64 of its shift
_POOLER_UNIT, _POOLED_UNIT = 2.0**-12, 2.0**-11


def quantise(
    spec: ModelSpec,
    texts: Sequence[Text],
    dtype: str = "i8",
    progress: Callable[[Sequence[int]], Sequence[int]] = lambda rows: rows,
) -> ModelSpec:
    """The integer model of a float32 model.

    Args:
        spec: model of float32.
        texts: what the model will read, a few hundred.
        dtype: ``i8``, or ``i4`` for weights of four bits (four_bits.py).
        progress: wraps the sequence of texts' indices, to show how far it got.

    Raises:
        ModelError: the model's shape has no integer kernels, or its weights no integer scales.
    """
    config = spec.config
    head_size = config.hidden_size // config.num_attention_heads
    group = lib.EB_I4_GROUP if dtype == "i4" else lib.EB_BLOCK
    inner = config.intermediate_size
    if head_size % lib.EB_BLOCK or config.hidden_size % group or inner % group:
        raise ModelError(
            f"{dtype} needs heads in multiples of {lib.EB_BLOCK}, hidden_size and "
            f"intermediate_size of {group}; this model has {head_size}, {config.hidden_size} and "
            f"{inner}: train another shape, or export f32"
        )
    scales = _Calibration(spec, texts, progress).scales()
    return replace(spec, weights=tuple(_Quantiser(spec, scales, dtype).weights()), dtype=dtype)


class _Calibration:
    """Watches a model at work, and chooses the scale of each activation."""

    def __init__(
        self,
        spec: ModelSpec,
        texts: Sequence[Text],
        progress: Callable[[Sequence[int]], Sequence[int]],
    ) -> None:
        config = spec.config
        self._seen: dict[tuple[str, int], list[np.ndarray]] = defaultdict(list)
        self._rng = np.random.default_rng(0)
        self._share = min(1.0, _SAMPLE / (64 * config.hidden_size * max(1, len(texts))))
        hash_embedding = HashEmbedding(config.hash)
        sequences = from_texts(
            Tokenizer(spec.tokenizer), texts, config.max_position_embeddings, config.type_vocab_size
        )
        for i in progress(range(len(texts))):
            vectors = hash_embedding.embed(sequences.bytes[i], sequences.ends[i])
            forward(spec, vectors, sequences.types[i], self._watch)

    def _watch(self, name: str, layer: int, values: np.ndarray) -> None:
        values = values.ravel()
        kept = self._rng.random(values.size) < self._share
        extremes = [values.min(), values.max()]
        self._seen[name, layer].append(np.concatenate([values[kept], extremes]))

    def scales(self) -> dict[tuple[str, int], float]:
        """The value of one step of int8 for each activation."""
        return {
            key: _best_scale(np.concatenate(seen), gelu if key[0] == "intermediate" else np.array)
            for key, seen in self._seen.items()
        }


def _best_scale(values: np.ndarray, use: Callable[[np.ndarray], np.ndarray]) -> float:
    """The scale with the smallest squared error of ``use``: to clip a little, or to round finely.

    What is far below 0 is nothing behind a GELU, and may be clipped.
    """
    largest = float(np.abs(values).max()) or 1.0
    candidates = largest * np.linspace(1, 0.3, 36) / 127
    exact = use(values)
    errors = [
        ((use(np.clip(np.rint(values / scale), -127, 127) * scale) - exact) ** 2).sum()
        for scale in candidates
    ]
    return float(candidates[int(np.argmin(errors))])


class _Quantiser:
    """Turns the weights of a model into integers, given the scales of its activations."""

    def __init__(self, spec: ModelSpec, scales: dict[tuple[str, int], float], dtype: str) -> None:
        self.spec, self.config, self.scales = spec, spec.config, dict(scales)
        self.four_bits = dtype == "i4"
        self.tensors: dict[tuple[str, int], np.ndarray] = {}

    def weights(self) -> list[Weight]:
        """All tensors of the int8 model, in the order of files."""
        layers = self.config.num_hidden_layers
        residual = self._embeddings()
        for layer in range(layers):
            residual = self._layer(layer, residual)
        self._head(residual)
        return [Weight(role, layer, self.tensors[role, layer]) for role, layer in self._order()]

    def _order(self) -> list[tuple[str, int]]:
        def number(key: tuple[str, int]) -> int:
            return int(getattr(lib, f"EB_{key[0].upper()}"))

        def place(role: str) -> int:
            first = ("position", "token_type", "embeddings_norm", "model_scales")
            return 0 if role.startswith(first) else 2 if role.startswith(("pool", "class")) else 1

        return sorted(self.tensors, key=lambda key: (place(key[0]), key[1], number(key)))

    def _embeddings(self) -> float:
        """Returns the scale of the hidden states as int8; as int16 it is 2^-NARROW_BITS of that."""
        unit = 2.0**-EMBEDDING_BITS
        positions = self.spec.weight("position_embeddings").astype(np.float64)
        step = float(np.abs(positions).max()) / 127 or unit
        multiplier = round(step / unit * 16)
        self._put("position_embeddings", 0, np.rint(positions / (multiplier * unit / 16)), 127)
        types = self.spec.weight("token_type_embeddings").astype(np.float64)
        self._put("token_type_embeddings", 0, np.rint(types / unit), 32767)
        scale, shift, epsilon = self._norm("embeddings_norm", 0, unit)
        self.model_scales = {
            "position_multiplier": multiplier,
            "embeddings_norm_shift": shift,
            "embeddings_norm_epsilon": epsilon,
        }
        return scale

    def _layer(self, layer: int, scale: float) -> float:
        step = {name: self.scales[name, layer] for name in ("query", "key", "value", "context")}
        config = self.config
        head_size = config.hidden_size // config.num_attention_heads
        s: dict[str, int] = {}
        outputs = np.repeat([step["query"], step["key"], step["value"]], config.hidden_size)
        s["qkv_shift"] = self._linear("qkv", layer, scale, outputs)
        exponent = step["query"] * step["key"] / np.sqrt(head_size) / _EXP_UNIT / 64
        multiplier, s["softmax_shift"] = _fixed_point(np.array([exponent]))
        s["softmax_multiplier"] = int(multiplier[0])
        multiplier, shift = _fixed_point(np.array([step["value"] / step["context"] / 128]), 30)
        s["context_multiplier"], s["context_shift"] = int(multiplier[0]), shift
        unit = scale / 2**NARROW_BITS
        s["attention_output_shift"] = self._linear(
            "attention_output", layer, step["context"], np.full(config.hidden_size, unit)
        )
        scale, s["attention_norm_shift"], s["attention_norm_epsilon"] = self._norm(
            "attention_norm", layer, unit
        )
        inner = self.scales["intermediate", layer]
        s["intermediate_shift"] = self._linear(
            "intermediate", layer, scale, np.full(config.intermediate_size, inner)
        )
        gelu_scale, zero_point = self._gelu(layer, inner)
        unit = scale / 2**NARROW_BITS
        s["output_shift"] = self._linear(
            "output", layer, gelu_scale, np.full(config.hidden_size, unit), zero_point
        )
        scale, s["output_norm_shift"], s["output_norm_epsilon"] = self._norm(
            "output_norm", layer, unit
        )
        self._put("layer_scales", layer, np.array([s[name] for name in LAYER_SCALES]), 2**31 - 1)
        return scale

    def _head(self, scale: float) -> None:
        s = self.model_scales
        s["pooler_shift"] = self._linear(
            "pooler", 0, scale, np.full(self.config.hidden_size, _POOLER_UNIT)
        )
        s["classifier_shift"] = self._linear(
            "classifier", 0, _POOLED_UNIT, np.full(self.config.num_labels, 2.0**-LOGIT_BITS)
        )
        self._put("model_scales", 0, np.array([s[name] for name in MODEL_SCALES]), 2**31 - 1)

    def _linear(
        self, name: str, layer: int, input_scale: float, outputs: np.ndarray, zero_point: int = 0
    ) -> int:
        """Weights, bias and multipliers of y = x W + b; returns the shift."""
        weight = self.spec.weight(f"{name}_weight", layer).astype(np.float64)
        bias = self.spec.weight(f"{name}_bias", layer).astype(np.float64)
        most = MOST * SCALES[-1] if self.four_bits else 127
        channels = np.maximum(np.abs(weight).max(axis=1), 1e-9) / most
        integers = weight / channels[:, None]
        integers = to_four_bits(integers) if self.four_bits else np.rint(integers)
        multiplier, shift = _fixed_point(input_scale * channels / outputs)
        self._put(f"{name}_weight", layer, integers, 127)
        self._put(
            f"{name}_bias",
            layer,
            np.rint(bias / (input_scale * channels)) - zero_point * integers.sum(axis=1),
            2**31 - 1,
        )
        self._put(f"{name}_multiplier", layer, multiplier, 2**31 - 1)
        return shift

    def _norm(self, name: str, layer: int, input_unit: float) -> tuple[float, int, int]:
        """Weight and bias of a LayerNorm; returns its output's scale, its shift and its epsilon."""
        h = self.config.hidden_size
        scale = self.scales[name, layer]
        unit = scale / 2**NARROW_BITS
        weight = self.spec.weight(f"{name}_weight", layer).astype(np.float64) / unit / 2**10
        bias = self.spec.weight(f"{name}_bias", layer).astype(np.float64) / unit
        shift = 0
        while shift < 20 and (
            np.abs(weight).max() * 2 ** (shift + 1) < 2**14
            and np.abs(bias).max() * 2 ** (shift + 1) < 2**29
        ):
            shift += 1
        self._put(f"{name}_weight", layer, np.rint(weight * 2**shift), 32767)
        self._put(f"{name}_bias", layer, np.rint(bias * 2**shift), 2**29)
        drop = max(0, (h - 1).bit_length() - 3)
        epsilon = self.config.layer_norm_eps * (h / 2**drop / input_unit) ** 2
        return scale, shift, min(round(epsilon), 2**31 - 1)

    def _gelu(self, layer: int, scale: float) -> tuple[float, int]:
        """The table of GELU from int8 to int8; returns the scale and zero point of its values."""
        values = gelu(np.arange(-128, 128) * scale)
        low, high = float(values.min()), float(values.max())
        step = (high - low) / 254
        zero_point = round(-127 - low / step)
        table = np.clip(np.rint(values / step) + zero_point, -128, 127)
        self._put("gelu_table", layer, table, 128)
        return step, zero_point

    def _put(self, role: str, layer: int, values: np.ndarray, limit: int) -> None:
        if not np.abs(values).max() <= limit:
            raise ModelError(f"{role} of layer {layer} does not fit into integers: export f32")
        smallest = np.int8 if limit <= 128 else np.int16 if limit <= 32767 else np.int32
        self.tensors[role, layer] = values.astype(smallest)


def _fixed_point(ratios: np.ndarray, bits: int = 31) -> tuple[np.ndarray, int]:
    """Multipliers below 2^bits and a shift: ratio = multiplier / 2^(24 + shift)."""
    exponent = int(np.floor(np.log2(ratios.max()))) + 1
    shift = min(bits - 24 - exponent, lib.EB_MAX_SHIFT)
    if np.rint(np.ldexp(ratios.max(), 24 + shift)) >= 2**bits:
        shift -= 1
    if shift < 0:
        raise ModelError(f"a ratio of scales of {ratios.max():.3g} is beyond int8: export f32")
    return np.rint(np.ldexp(ratios, 24 + shift)), shift

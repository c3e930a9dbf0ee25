"""Static post-training quantisation to int8: a float32 model and some texts become an int8 model.

Weights are symmetric, one scale for each output channel. Activations are symmetric with one scale,
chosen to make the squared error smallest on the calibration texts; what feeds a LayerNorm keeps 16
bits. docs/numerics.md defines how the integers are used.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from edgebert._native import lib
from edgebert.errors import ModelError
from edgebert.export.activations import Activations, observe
from edgebert.export.float_reference import gelu
from edgebert.export.four_bits import MOST, SCALES, to_four_bits
from edgebert.export.spec import ModelSpec, Weight
from edgebert.int8_reference import (
    EMBEDDING_BITS,
    LAYER_SCALES,
    LOGIT_BITS,
    MODEL_SCALES,
    POOLED_BITS,
    POOLER_BITS,
)
from edgebert.sequence import Text

_EXP_UNIT = 2.0**-11 * np.log(2)  # of the softmax's exponents
_MOST = 32767  # of an int16
_MOST_BITS = lib.EB_MOST_BITS
_FLOOR = 2**-12  # of columns whose multipliers have 31 bits
_FLOORS = (0.0, _FLOOR, 1 / 64, 1 / 16, 1 / 4, 1.0)  # tried until they fit 16, and biases 31


def quantise(spec: ModelSpec, texts: Sequence[Text] = (), dtype: str = "i8") -> ModelSpec:
    """The integer model of a float32 model.

    Args:
        spec: model of float32.
        texts: what the model will read, a few hundred; not needed if the spec has activations.
        dtype: ``i8``, or ``i4`` for weights of four bits (four_bits.py).

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
    seen = spec.activations or observe(spec, texts)
    weights = _Quantiser(spec, seen, dtype).weights()
    return replace(spec, weights=tuple(weights), dtype=dtype, activations=None)


class _Quantiser:
    """Turns the weights of a model into integers, given the scales of its activations."""

    def __init__(self, spec: ModelSpec, activations: Activations, dtype: str) -> None:
        self.spec, self.config = spec, spec.config
        self.scales, self.updates = activations.scales, activations.updates
        self.four_bits = dtype == "i4"
        self.most = MOST * SCALES[-1] if self.four_bits else 127  # of a weight
        self.tensors: dict[tuple[str, int], np.ndarray] = {}

    def weights(self) -> list[Weight]:
        """All tensors of the int8 model, in the order of files."""
        layers = self.config.num_hidden_layers
        residual = self._embeddings()
        for layer in range(layers):
            residual = self._layer(layer, residual)
        self._head(residual)
        return [Weight(role, layer, self.tensors[role, layer]) for role, layer in self._order()]

    def _integers(self, weights: np.ndarray) -> np.ndarray:
        """Weights in units of int8, rounded to what the type can hold."""
        return to_four_bits(weights) if self.four_bits else np.rint(weights)

    def _order(self) -> list[tuple[str, int]]:
        def number(key: tuple[str, int]) -> int:
            return int(getattr(lib, f"EB_{key[0].upper()}"))

        def place(role: str) -> int:
            first = ("position", "token_type", "embeddings_norm", "model_scales")
            heads = ("pooler", "classifier", "tag")
            return 0 if role.startswith(first) else 2 if role.startswith(heads) else 1

        return sorted(self.tensors, key=lambda key: (place(key[0]), key[1], number(key)))

    def _embeddings(self) -> float:
        """Returns the scale of the hidden states."""
        unit = 2.0**-EMBEDDING_BITS
        positions = self.spec.weight("position_embeddings").astype(np.float64)
        types = self.spec.weight("token_type_embeddings").astype(np.float64)
        multiplier = max(1, round(float(np.abs(positions).max()) / self.most / unit * 2**7))
        if multiplier > _MOST or 1 + np.abs(positions).max() + np.abs(types).max() > _MOST * unit:
            raise ModelError("position embeddings are beyond int8: export f32")
        integers = self._integers(positions / (multiplier * unit / 2**7))
        integers = np.clip(integers, -127, 127)  # cuts at most the multiplier's rounding: unit / 2
        self._put("position_embeddings", 0, integers, 127)
        self._put("token_type_embeddings", 0, np.rint(types / unit), _MOST)
        scale, bits, epsilon = self._norm("embeddings_norm", 0, unit)
        self.model_scales = {
            "position_multiplier": multiplier,
            "embeddings_norm_bits": bits,
            "embeddings_norm_epsilon": epsilon,
        }
        return scale

    def _layer(self, layer: int, scale: float) -> float:
        step = {name: self.scales[name, layer] for name in ("query", "key", "value", "context")}
        config = self.config
        head_size = config.hidden_size // config.num_attention_heads
        s: dict[str, int] = {}
        outputs = np.repeat([step["query"], step["key"], step["value"]], config.hidden_size)
        s["qkv_shift"], s["qkv_bits"] = self._linear("qkv", layer, scale, outputs, 127)
        ratio = step["query"] * step["key"] / np.sqrt(head_size) / _EXP_UNIT
        s["softmax_multiplier"], s["softmax_shift"] = _softmax_scales(ratio)
        s["context_multiplier"], s["context_bits"] = _context_scales(step["value"], step["context"])
        s["attention_output_shift"], s["attention_factor"], unit = self._residual(
            "attention_output", layer, step["context"], scale
        )
        scale, s["attention_norm_bits"], s["attention_norm_epsilon"] = self._norm(
            "attention_norm", layer, unit
        )
        inner = self.scales["intermediate", layer]
        s["intermediate_shift"], s["intermediate_bits"] = self._linear(
            "intermediate", layer, scale, np.full(config.intermediate_size, inner), 128
        )
        gelu_scale, zero_point = self._gelu(layer, inner)
        s["output_shift"], s["output_factor"], unit = self._residual(
            "output", layer, gelu_scale, scale, zero_point
        )
        scale, s["output_norm_bits"], s["output_norm_epsilon"] = self._norm(
            "output_norm", layer, unit
        )
        self._put("layer_scales", layer, np.array([s[name] for name in LAYER_SCALES]), 2**31 - 1)
        return scale

    def _head(self, scale: float) -> None:
        s = self.model_scales
        s["pooler_shift"] = s["classifier_shift"] = s["tagger_shift"] = 0
        if self.config.num_labels:
            s["pooler_shift"] = self._wide("pooler", 127, scale, 2.0**-POOLER_BITS)
            s["classifier_shift"] = self._wide(
                "classifier", 2**POOLED_BITS, 2.0**-POOLED_BITS, 2.0**-LOGIT_BITS
            )
        if self.config.num_tags:
            s["tagger_shift"] = self._wide("tagger", 127, scale, 2.0**-LOGIT_BITS)
            self._put("tag_transitions", 0, self.spec.weight("tag_transitions"), 128)
        self._put("model_scales", 0, np.array([s[name] for name in MODEL_SCALES]), 2**31 - 1)

    def _wide(self, name: str, most_input: int, input_scale: float, unit: float) -> int:
        """Tensors of y = x W + b with multipliers of 31 bits; returns the shift."""
        sums = self._sums(name, 0, input_scale, floor=_FLOOR, most_input=most_input)
        ratios = sums.scales / unit
        if max(sums.most.max(), (sums.most * ratios).max()) > 2**31 - 1:
            raise ModelError(f"{name} may give numbers beyond 32 bits: export f32")
        shift = min(31 - math.floor(math.log2(ratios.max()) + 1), lib.EB_MAX_SHIFT)
        if shift < 1:
            raise ModelError(f"{name} gives steps of {ratios.max():.3g}: export f32")
        self._put(f"{name}_bias", 0, sums.bias, 2**31 - 1)
        self._put(f"{name}_multiplier", 0, np.rint(np.ldexp(ratios, shift)), 2**31 - 1)
        return shift

    def _sums(
        self,
        name: str,
        layer: int,
        input_scale: float,
        zero_point: int = 0,
        *,
        floor: float,
        most_input: int = 128,
    ) -> _Sums:
        """Puts the integer weights of y = x W + b; no column is below floor of the largest."""
        weight = self.spec.weight(f"{name}_weight", layer).astype(np.float64)
        bias = self.spec.weight(f"{name}_bias", layer).astype(np.float64)
        channels = channel_scales(weight, floor, self.most)
        integers = self._integers(weight / channels[:, None])
        self._put(f"{name}_weight", layer, integers, 127)
        scales = input_scale * channels
        bias = np.rint(bias / scales) - zero_point * integers.sum(axis=1)
        return _Sums(scales, bias, np.abs(integers).sum(axis=1) * most_input + np.abs(bias))

    def _linear(
        self, name: str, layer: int, input_scale: float, outputs: np.ndarray, limit: int
    ) -> tuple[int, int]:
        """Tensors of y = x W + b in given units, clipped to a limit; returns shift and bits."""
        for floor in _FLOORS:
            sums = self._sums(name, layer, input_scale, floor=floor)
            ratios = sums.scales / outputs
            shift = _shift(np.minimum(sums.most, (limit + 1) / ratios))
            bits = min(math.floor(-math.log2(ratios.max() * 2**shift) - 1e-4), _MOST_BITS)
            if bits >= 0 and sums.biases_fit():
                self._put_rescaled(name, layer, sums, ratios * 2.0**bits, shift)
                return shift, bits
        raise ModelError(f"{name} of layer {layer} is beyond int8: export f32")

    def _residual(
        self, name: str, layer: int, input_scale: float, scale: float, zero_point: int = 0
    ) -> tuple[int, int, float]:
        """Tensors of y = factor x + (z W + b), x in units of scale, with the greatest factor.

        Returns shift, factor, and the unit of y: the finest in which nothing is beyond int16 until
        sums are twice as large as any that was seen.
        """
        for floor in _FLOORS:
            sums = self._sums(name, layer, input_scale, zero_point, floor=floor)
            most = np.minimum(sums.most * sums.scales, 2 * self.updates[name, layer])
            shift = _shift(most / sums.scales)
            unit = max(
                float(sums.scales.max()) * 2**shift * (1 + 2**-15),
                (127 * scale + float(most.max())) / (_MOST - 1),
            )
            factor = min(int(scale / unit), 256)
            if factor and sums.biases_fit():
                self._put_rescaled(name, layer, sums, sums.scales / (scale / factor), shift)
                return shift, factor, scale / factor
        raise ModelError(f"{name} of layer {layer} is too large to be added: export f32")

    def _put_rescaled(
        self, name: str, layer: int, sums: _Sums, ratios: np.ndarray, shift: int
    ) -> None:
        bias = sums.bias + (1 << shift >> 1)  # so that >> shift rounds
        self._put(f"{name}_bias", layer, bias, 2**31 - 1)
        self._put(f"{name}_multiplier", layer, np.rint(np.ldexp(ratios, 15 + shift)), _MOST)

    def _norm(self, name: str, layer: int, input_unit: float) -> tuple[float, int, int]:
        """Weight and bias of a LayerNorm; returns its output's scale, its bits and its epsilon."""
        scale = self.scales[name, layer]
        weight = self.spec.weight(f"{name}_weight", layer).astype(np.float64) / scale * 2**5
        bias = self.spec.weight(f"{name}_bias", layer).astype(np.float64) / scale
        bits = _MOST_BITS
        while bits and max(np.abs(weight).max(), np.abs(bias).max()) * 2**bits > _MOST:
            bits -= 1
        self._put(f"{name}_weight", layer, np.rint(weight * 2**bits), _MOST)
        self._put(f"{name}_bias", layer, np.rint(bias * 2**bits), _MOST)
        epsilon = round(math.sqrt(self.config.layer_norm_eps) / input_unit)
        return scale, bits, min(epsilon, _MOST)

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


def channel_scales(weight: np.ndarray, floor: float = 2**-12, most: int = 127) -> np.ndarray:
    """The value of one step for each output channel of a weight [out, in]: float64 [out].

    No channel is finer than ``floor`` of the coarsest: beside it nothing would be lost.
    """
    largest = np.abs(weight).max(axis=1).astype(np.float64)
    return np.maximum(largest, max(floor * (largest.max() or 1.0), 1e-9)) / most


class _Sums(NamedTuple):
    """What a matrix product with integers gives."""

    scales: np.ndarray  # of its sums, [out]
    bias: np.ndarray  # in these units
    most: np.ndarray  # that a sum can be

    def biases_fit(self) -> bool:
        """Whether int32 holds them and what rounds sums."""
        return bool(np.abs(self.bias).max() < 2**30)


def _shift(most: np.ndarray) -> int:
    """The fewest bits to drop so that numbers up to these fit int16."""
    return max(0, math.ceil(math.log2(max(float(most.max()), 1.0) / (_MOST - 1))))


def _softmax_scales(ratio: float) -> tuple[int, int]:
    """Multiplier below 2^15 and shift: ratio = multiplier / 2^15 * 2^6 / 2^shift.

    The multiplier is 2^14 or more, unless scores are so small that all tokens weigh the same.
    """
    shift = min(5 - math.floor(math.log2(ratio)), 30)
    multiplier = min(round(ratio * 2.0 ** (shift + 9)), _MOST)
    if shift < 0:
        raise ModelError(f"attention scores in steps of {ratio:.3g} are beyond int8: export f32")
    return multiplier, shift


def _context_scales(value: float, context: float) -> tuple[int, int]:
    """Multiplier, below 127 * 2^15, and bits: value / context = multiplier / 2^(15 + bits)."""
    bits = min(math.floor(math.log2(127 * _MOST / 2**15 / (value / context))), _MOST_BITS)
    if bits < 0:
        raise ModelError("attention's contexts are too small beside its values: export f32")
    return round(value / context * 2 ** (15 + bits)), bits

"""The integer encoder in NumPy: docs/numerics.md line by line, the judge of the C kernels.

It takes the tensors of an int8 model as export/quantise.py makes them, and gives the bytes that
every other implementation must give.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from edgebert.config import HashParams, ModelConfig
from edgebert.hash_reference import hash_sums
from edgebert.sequence import Text, from_texts
from edgebert.tokenizer import Tokenizer

Tensors = Mapping[tuple[str, int], np.ndarray]
"""Tensors by role and layer; matrices are [out, in]."""


class Spec(Protocol):
    """What is needed of an int8 ModelSpec (export/spec.py)."""

    @property
    def config(self) -> ModelConfig:
        """Shape, labels and hash."""

    @property
    def tokenizer(self) -> bytes:
        """The tokenizer section."""

    @property
    def weights(self) -> Sequence[Any]:
        """Tensors with a role, a layer and values."""


LAYER_SCALES = (
    "qkv_shift",
    "softmax_multiplier",
    "softmax_shift",
    "context_multiplier",
    "context_shift",
    "attention_output_shift",
    "attention_norm_shift",
    "attention_norm_epsilon",
    "intermediate_shift",
    "output_shift",
    "output_norm_shift",
    "output_norm_epsilon",
)
MODEL_SCALES = (
    "position_multiplier",
    "embeddings_norm_shift",
    "embeddings_norm_epsilon",
    "pooler_shift",
    "classifier_shift",
)
EMBEDDING_BITS = 13  # hash vectors and their sums are in units of 2^-13
NARROW_BITS = 7  # hidden states, int16, have so many bits below the int8 that matrices take
LOGIT_BITS = 16  # logits are in units of 2^-16
TANH = np.round(2048 * np.tanh(np.arange(-128, 129) / 16)).astype(np.int64)


def round_shift(x: np.ndarray, shift: int) -> np.ndarray:
    """X / 2^shift, halves rounded up."""
    return (x + (1 << (shift - 1))) >> shift if shift else x


def requantise(x: np.ndarray, multiplier: np.ndarray | int, shift: int) -> np.ndarray:
    """X * multiplier / 2^(24 + shift), halves rounded up."""
    return round_shift(x * multiplier, 24 + shift)


def hash_embed_i16(token: bytes, params: HashParams) -> np.ndarray:
    """A token's hash vector in units of 2^-13, int64 [dimension]."""
    vector = []
    for sums, num_grams in hash_sums(token, params):
        divisor = num_grams * params.modulus
        shift = divisor.bit_length() - 31
        d = divisor >> shift if shift >= 0 else divisor << -shift
        scaled = sums >> shift if shift >= 0 else sums << -shift
        vector.append(round_shift(scaled * ((1 << 60) // max(d, 1)), 46))
    return np.concatenate(vector)


def layer_norm(
    y: np.ndarray, weight: np.ndarray, bias: np.ndarray, shift: int, epsilon: int
) -> np.ndarray:
    """Rows of y, normalised: int16 values."""
    h = y.shape[-1]
    y = np.clip(y, -(1 << 17) + 1, (1 << 17) - 1)
    drop = max(0, (h - 1).bit_length() - 3)
    d = (y * h - y.sum(axis=-1, keepdims=True)) >> drop
    rows = []
    for row in d:
        deviation = max(1, math.isqrt(int((row * row).sum()) // h + epsilon))
        excess = max(0, deviation.bit_length() - 10)
        z = round_shift(round_shift(row, excess) * ((1 << (23 + excess)) // deviation), 13)
        rows.append(np.clip(round_shift(z * weight + bias, shift), -32767, 32767))
    return np.array(rows)


def narrow(x: np.ndarray) -> np.ndarray:
    """Hidden states as int8."""
    return np.clip(round_shift(x, NARROW_BITS), -127, 127)


def exp2_i8(x: np.ndarray) -> np.ndarray:
    """127 * 2^-x for x in units of 2^-15."""
    n, f = np.minimum(x >> 15, 16), x & 0x7FFF
    p = 32768 - (f * 21975 >> 15) + (f * (f * 5591 >> 15) >> 15)
    return round_shift(p * 127 >> n, 15)


def encode(
    config: ModelConfig,
    tensors: Tensors,
    hashes: np.ndarray,
    types: np.ndarray,
    watch: Callable[[str, int, np.ndarray], None] = lambda *_: None,
) -> np.ndarray:
    """Last hidden states, int16 values [n, hidden_size].

    Args:
        config: the model's.
        tensors: the model's.
        hashes: rows of hash_embed_i16, [n, hidden_size].
        types: token type ids, [n].
        watch: is shown the hidden states behind each LayerNorm: name, layer, values.
    """
    n, h, heads = len(hashes), config.hidden_size, config.num_attention_heads
    d = h // heads
    t = {key: values.astype(np.int64) for key, values in tensors.items()}
    m = dict(zip(MODEL_SCALES, t["model_scales", 0].ravel().tolist(), strict=True))

    def linear(x: np.ndarray, name: str, layer: int, shift: int) -> np.ndarray:
        sums = x @ t[f"{name}_weight", layer].T + t[f"{name}_bias", layer]
        return requantise(sums, t[f"{name}_multiplier", layer], shift)

    def norm(y: np.ndarray, name: str, layer: int, scales: dict[str, int]) -> np.ndarray:
        weight, bias = t[f"{name}_weight", layer], t[f"{name}_bias", layer]
        x = layer_norm(y, weight, bias, scales[f"{name}_shift"], scales[f"{name}_epsilon"])
        watch(name, layer, x)
        return x

    positions = round_shift(t["position_embeddings", 0][:n] * m["position_multiplier"], 4)
    x = norm(hashes + positions + t["token_type_embeddings", 0][types], "embeddings_norm", 0, m)
    for layer in range(config.num_hidden_layers):
        s = dict(zip(LAYER_SCALES, t["layer_scales", layer].ravel().tolist(), strict=True))
        qkv = np.clip(linear(narrow(x), "qkv", layer, s["qkv_shift"]), -127, 127)
        context = np.empty((n, h), np.int64)
        for columns in (slice(c, c + d) for c in range(0, h, d)):
            q, k, v = (part[:, columns] for part in np.split(qkv, 3, axis=1))
            scores = q @ k.T
            below = np.minimum(scores.max(axis=1, keepdims=True) - scores, 1 << 24)
            p = exp2_i8(requantise(below * 64, s["softmax_multiplier"], s["softmax_shift"]))
            scale = (s["context_multiplier"] << 7) // p.sum(axis=1, keepdims=True)
            context[:, columns] = np.clip(requantise(p @ v, scale, s["context_shift"]), -127, 127)
        y = x + linear(context, "attention_output", layer, s["attention_output_shift"])
        x = norm(y, "attention_norm", layer, s)
        inner = linear(narrow(x), "intermediate", layer, s["intermediate_shift"])
        inner = t["gelu_table", layer].ravel()[np.clip(inner, -128, 127) + 128]
        x = norm(x + linear(inner, "output", layer, s["output_shift"]), "output_norm", layer, s)
    return x


def head(config: ModelConfig, tensors: Tensors, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Logits in units of 2^-16 and the pooled vector in units of 2^-11, from hidden states."""
    t = {key: values.astype(np.int64) for key, values in tensors.items() if key[1] == 0}
    m = dict(zip(MODEL_SCALES, t["model_scales", 0].ravel().tolist(), strict=True))
    sums = t["pooler_weight", 0] @ narrow(x[0]) + t["pooler_bias", 0]
    p = np.clip(requantise(sums, t["pooler_multiplier", 0], m["pooler_shift"]), -32768, 32767)
    at, rest = (p + 32768) >> 8, (p + 32768) & 255
    pooled = TANH[at] + round_shift((TANH[at + 1] - TANH[at]) * rest, 8)
    sums = t["classifier_weight", 0] @ pooled + t["classifier_bias", 0]
    return requantise(sums, t["classifier_multiplier", 0], m["classifier_shift"]), pooled


def classify(
    spec: Spec, text: Text, watch: Callable[[str, int, np.ndarray], None] = lambda *_: None
) -> np.ndarray:
    """Logits of a text in units of 2^-16, int64 [num_labels]."""
    config = spec.config
    sequences = from_texts(
        Tokenizer(spec.tokenizer), [text], config.max_position_embeddings, config.type_vocab_size
    )
    data, ends, types = sequences.bytes[0], sequences.ends[0], sequences.types[0]
    tokens = [part.tobytes() for part in np.split(data, ends[:-1])]
    hashes = np.array([hash_embed_i16(token, config.hash) for token in tokens])
    tensors = {(weight.role, weight.layer): weight.values for weight in spec.weights}
    return head(config, tensors, encode(config, tensors, hashes, types, watch))[0]

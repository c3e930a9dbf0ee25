"""The integer encoder in NumPy: docs/numerics.md line by line, the judge of the C kernels.

It takes the tensors of an int8 model as export/quantise.py makes them, and gives the bytes that
every other implementation must give.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

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
    "qkv_bits",
    "softmax_multiplier",
    "softmax_shift",
    "context_multiplier",
    "context_bits",
    "attention_output_shift",
    "attention_factor",
    "attention_norm_bits",
    "attention_norm_epsilon",
    "intermediate_shift",
    "intermediate_bits",
    "output_shift",
    "output_factor",
    "output_norm_bits",
    "output_norm_epsilon",
)
MODEL_SCALES = (
    "position_multiplier",
    "embeddings_norm_bits",
    "embeddings_norm_epsilon",
    "pooler_shift",
    "classifier_shift",
    "tagger_shift",
)
EMBEDDING_BITS = 13  # hash vectors and their sums are in units of 2^-13
POOLER_BITS = 12  # the pooler's sums are in units of 2^-12
POOLED_BITS = 11  # what tanh makes of them, in 2^-11
LOGIT_BITS = 16  # logits, and means of length 1, in 2^-16
TANH = np.round(2048 * np.tanh(np.arange(-128, 129) / 16)).astype(np.int64)


def round_shift(x: np.ndarray, shift: int) -> np.ndarray:
    """X / 2^shift, halves rounded up."""
    return (x + (1 << (shift - 1))) >> shift if shift else x


def i8(x: np.ndarray, least: int = -127) -> np.ndarray:
    """Limits x to int8."""
    return np.clip(x, least, 127)


def i16(x: np.ndarray) -> np.ndarray:
    """Limits x to int16."""
    return np.clip(x, -32768, 32767)


def multiply(x: np.ndarray, y: np.ndarray | int) -> np.ndarray:
    """X * y / 2^15, halves rounded up: of int16, one instruction of most processors."""
    return (x * y + (1 << 14)) >> 15


def rescale(sums: np.ndarray, multiplier: np.ndarray | int, shift: int) -> np.ndarray:
    """Sums of a product in another unit, int16 values."""
    return multiply(i16(sums >> shift), multiplier)


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
    y: np.ndarray, weight: np.ndarray, bias: np.ndarray, bits: int, epsilon: int
) -> np.ndarray:
    """Rows of y, int16 values, normalised: int8 values."""
    h = y.shape[-1]
    rows = []
    for row in y:
        d = i16(row - (int(row.sum()) + h // 2) // h)
        shift = max(int(np.abs(d).max()), epsilon).bit_length() - 10
        if shift > 0:
            d, least = round_shift(d, shift), epsilon >> shift
        else:
            d, least = d << -shift, epsilon << -shift
        deviation = max(1, math.isqrt((int((d * d).sum()) // h + least * least) << 6))
        length = deviation.bit_length()
        z = round_shift(d * (((1 << (length + 14)) - 1) // deviation), length + 1)
        z = np.clip(z, -32767, 32767)
        rows.append(i8(round_shift(i16(multiply(z, weight) + bias), bits)))
    return np.array(rows)


def exp2_i8(x: np.ndarray) -> np.ndarray:
    """127 * 2^-x for x in units of 2^-11, below 2^15."""
    f = (x & 2047) << 4
    p = 32767 - multiply(f, 21975 - multiply(f, 5591))
    return multiply(multiply(p, 127 << 8), 128 >> (x >> 11))


def encode(
    config: ModelConfig,
    tensors: Tensors,
    hashes: np.ndarray,
    types: np.ndarray,
    watch: Callable[[str, int, np.ndarray], None] = lambda *_: None,
) -> np.ndarray:
    """Last hidden states, int8 values [n, hidden_size].

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
        return rescale(sums, t[f"{name}_multiplier", layer], shift)

    def norm(y: np.ndarray, name: str, layer: int, scales: dict[str, int]) -> np.ndarray:
        weight, bias = t[f"{name}_weight", layer], t[f"{name}_bias", layer]
        x = layer_norm(i16(y), weight, bias, scales[f"{name}_bits"], scales[f"{name}_epsilon"])
        watch(name, layer, x)
        return x

    positions = round_shift(t["position_embeddings", 0][:n] * m["position_multiplier"], 7)
    x = norm(hashes + positions + t["token_type_embeddings", 0][types], "embeddings_norm", 0, m)
    for layer in range(config.num_hidden_layers):
        s = dict(zip(LAYER_SCALES, t["layer_scales", layer].ravel().tolist(), strict=True))
        qkv = i8(round_shift(linear(x, "qkv", layer, s["qkv_shift"]), s["qkv_bits"]))
        context = np.empty((n, h), np.int64)
        for columns in (slice(c, c + d) for c in range(0, h, d)):
            q, k, v = (part[:, columns] for part in np.split(qkv, 3, axis=1))
            scores = q @ k.T
            below = np.minimum(scores.max(axis=1, keepdims=True) - scores, 1 << 24)
            below = np.minimum((below << 6) >> s["softmax_shift"], 32767)
            p = exp2_i8(multiply(below, s["softmax_multiplier"]))
            for row, total in enumerate(p.sum(axis=1).tolist()):
                excess = max(0, total.bit_length() - 8)
                scale = min((s["context_multiplier"] << excess) // total, 32767)
                values = rescale(p[row] @ v, scale, excess)
                context[row, columns] = i8(round_shift(values, s["context_bits"]))
        y = linear(context, "attention_output", layer, s["attention_output_shift"])
        x = norm(x * s["attention_factor"] + y, "attention_norm", layer, s)
        inner = linear(x, "intermediate", layer, s["intermediate_shift"])
        inner = i8(round_shift(inner, s["intermediate_bits"]), -128)
        inner = t["gelu_table", layer].ravel()[inner + 128]
        y = linear(inner, "output", layer, s["output_shift"])
        x = norm(x * s["output_factor"] + y, "output_norm", layer, s)
    return x


class Answer(NamedTuple):
    """What a model says of a text.

    Attributes:
        logits: in units of 2^-16, int64 [num_labels].
        pooled: in units of 2^-11, or of 2^-16 without labels, int64 [hidden_size].
        tag_logits: of each token, in units of 2^-16, int64 [num_tokens, num_tags].
    """

    logits: np.ndarray
    pooled: np.ndarray
    tag_logits: np.ndarray


def tag_scores(answer: Answer) -> np.ndarray:
    """The tags' logits in units of 2^-8, at most 8191: int64 [num_tokens, num_tags]."""
    return np.clip(round_shift(answer.tag_logits, LOGIT_BITS - 8), -8191, 8191)


def mean(x: np.ndarray) -> np.ndarray:
    """The mean of hidden states, scaled to length 1: int64 [hidden_size] in units of 2^-16."""
    sums = x.sum(axis=0)
    squares = int((sums * sums).sum())
    shift = 0
    while squares and squares < 1 << 60:
        squares, shift = squares << 2, shift + 1
    reciprocal = (1 << 60) // math.isqrt(squares) if squares else 0
    return round_shift((sums << shift) * reciprocal, 60 - LOGIT_BITS)


def head(config: ModelConfig, tensors: Tensors, x: np.ndarray) -> Answer:
    """What follows from the last hidden states of all tokens."""
    t = {key: values.astype(np.int64) for key, values in tensors.items() if key[1] == 0}
    m = dict(zip(MODEL_SCALES, t["model_scales", 0].ravel().tolist(), strict=True))

    def linear(x: np.ndarray, name: str) -> np.ndarray:
        sums = x @ t[f"{name}_weight", 0].T + t[f"{name}_bias", 0]
        return round_shift(sums * t[f"{name}_multiplier", 0], m[f"{name}_shift"])

    tag_logits = linear(x, "tagger") if config.num_tags else np.empty((len(x), 0), np.int64)
    if not config.num_labels:
        return Answer(np.empty(0, np.int64), mean(x), tag_logits)
    p = i16(linear(x[0], "pooler")) + 32768
    at, rest = p >> 8, p & 255
    pooled = TANH[at] + round_shift((TANH[at + 1] - TANH[at]) * rest, 8)
    return Answer(linear(pooled, "classifier"), pooled, tag_logits)


def answer(
    spec: Spec, text: Text, watch: Callable[[str, int, np.ndarray], None] = lambda *_: None
) -> Answer:
    """What the model says of a text."""
    config = spec.config
    sequences = from_texts(
        Tokenizer(spec.tokenizer), [text], config.max_position_embeddings, config.type_vocab_size
    )
    data, ends, types = sequences.bytes[0], sequences.ends[0], sequences.types[0]
    tokens = [part.tobytes() for part in np.split(data, ends[:-1])]
    hashes = np.array([hash_embed_i16(token, config.hash) for token in tokens])
    tensors = {(weight.role, weight.layer): weight.values for weight in spec.weights}
    return head(config, tensors, encode(config, tensors, hashes, types, watch))

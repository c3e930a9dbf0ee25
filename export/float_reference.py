"""The float encoder in NumPy: what a quantiser watches to learn the range of every activation."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from edgebert.export.spec import ModelSpec

Watch = Callable[[str, int, np.ndarray], None]
"""Called with the name of an activation, its layer and its values."""

ERF_SLOPE = 0.3275911
ERF_COEFFICIENTS = (1.061405429, -1.453152027, 1.421413741, -0.284496736, 0.254829592, 0.0)


def erf(x: np.ndarray) -> np.ndarray:
    """Error function, absolute error below 1.5e-7 (Abramowitz & Stegun 7.1.26)."""
    t = 1 / (1 + ERF_SLOPE * np.abs(x))
    return np.sign(x) * (1 - np.polyval(ERF_COEFFICIENTS, t) * np.exp(-x * x))


def gelu(x: np.ndarray) -> np.ndarray:
    """X * Phi(x)."""
    return x * 0.5 * (1 + erf(x / np.sqrt(2)))


class Answer(NamedTuple):
    """What a model says of a sequence, in float64.

    Attributes:
        logits: [num_labels].
        pooled: [hidden_size].
        tag_logits: of each token, [num_tokens, num_tags].
    """

    logits: np.ndarray
    pooled: np.ndarray
    tag_logits: np.ndarray


def forward(
    spec: ModelSpec, hashes: np.ndarray, types: np.ndarray, watch: Watch = lambda *_: None
) -> Answer:
    """What the model says of one sequence.

    Args:
        spec: a float32 model.
        hashes: hash vectors [n, hidden_size].
        types: token type ids [n].
        watch: is shown every activation that a model of integers may store.
    """
    config = spec.config
    n, h, heads = len(hashes), config.hidden_size, config.num_attention_heads
    weights = {(w.role, w.layer): w.values.astype(np.float64) for w in spec.weights}

    def see(name: str, layer: int, x: np.ndarray) -> np.ndarray:
        watch(name, layer, x)
        return x

    def linear(x: np.ndarray, name: str, layer: int) -> np.ndarray:
        return x @ weights[f"{name}_weight", layer].T + weights[f"{name}_bias", layer]

    def norm(x: np.ndarray, name: str, layer: int) -> np.ndarray:
        x = see(f"{name}/input", layer, x)
        mean = see(f"{name}/mean", layer, x.mean(axis=-1, keepdims=True))
        centred = see(f"{name}/centred", layer, x - mean)
        squared = see(f"{name}/squared", layer, centred**2)
        variance = see(f"{name}/variance", layer, squared.mean(axis=-1, keepdims=True))
        inverse = see(f"{name}/inverse", layer, (variance + config.layer_norm_eps) ** -0.5)
        normal = see(f"{name}/normal", layer, centred * inverse)
        scaled = see(f"{name}/scaled", layer, normal * weights[f"{name}_weight", layer])
        return see(name, layer, scaled + weights[f"{name}_bias", layer])

    x = see("embeddings/typed", 0, hashes + weights["token_type_embeddings", 0][types])
    x = norm(x + weights["position_embeddings", 0][:n], "embeddings_norm", 0)
    for layer in range(config.num_hidden_layers):
        query, key, value = np.split(linear(x, "qkv", layer), 3, axis=1)
        for name, part in (("query", query), ("key", key), ("value", value)):
            see(name, layer, part)
        q, k, v = (part.reshape(n, heads, -1).swapaxes(0, 1) for part in (query, key, value))
        scores = see("scores", layer, q @ k.swapaxes(1, 2) / np.sqrt(h // heads))
        p = np.exp(scores - scores.max(axis=-1, keepdims=True))
        context = (p / p.sum(axis=-1, keepdims=True)) @ v
        context = see("context", layer, context.swapaxes(0, 1).reshape(n, h))
        update = see("attention_output", layer, linear(context, "attention_output", layer))
        x = norm(x + update, "attention_norm", layer)
        inner = see("intermediate", layer, linear(x, "intermediate", layer))
        outer = see("gelu", layer, gelu(inner))
        update = see("output", layer, linear(outer, "output", layer))
        x = norm(x + update, "output_norm", layer)
    tag_logits = np.empty((n, 0))
    if config.num_tags:
        tag_logits = see("tag_logits", 0, linear(x, "tagger", 0))
    if not config.num_labels:
        mean = see("pooled/mean", 0, x.mean(axis=0))
        return Answer(np.empty(0), mean / (np.linalg.norm(mean) or 1.0), tag_logits)
    pooled = np.tanh(see("pooler", 0, linear(x[:1], "pooler", 0)))
    return Answer(see("logits", 0, linear(pooled, "classifier", 0))[0], pooled[0], tag_logits)

"""What the activations of a float32 model are like on some texts: integers are chosen by it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from edgebert.errors import DataError
from edgebert.export.float_reference import forward, gelu
from edgebert.hash import HashEmbedding
from edgebert.sequence import Text, from_texts
from edgebert.tokenizer import Tokenizer

if TYPE_CHECKING:
    from edgebert.export.spec import ModelSpec

_SAMPLE = 1 << 17  # values of an activation that are kept to choose its scale by
_SYMMETRIC = (  # activations that are symmetric wherever they are int8
    "embeddings_norm",
    "query",
    "key",
    "value",
    "context",
    "attention_norm",
    "intermediate",
    "output_norm",
)
_WHOLE = ("scores", "tag_logits")  # whose ranges nothing is cut off
_SHRINK = np.linspace(1, 0.3, 36)  # of ranges, tried

Key = tuple[str, int]
"""An activation's name (float_reference.py) and its layer."""


@dataclass(frozen=True)
class Activations:
    """What was seen.

    Attributes:
        scales: of activations that become symmetric int8, the value of one step with the smallest
            squared error.
        ranges: of the others, the range that 255 steps should span for the smallest one; scores
            and tag logits, whose largest count most, have all of theirs.
        updates: the largest of each column that was added to hidden states, float64
            [hidden_size], of attention_output and output in each layer.
    """

    scales: dict[Key, float]
    ranges: dict[Key, tuple[float, float]]
    updates: dict[Key, np.ndarray]


def observe(
    spec: ModelSpec,
    texts: Sequence[Text],
    progress: Callable[[Sequence[int]], Sequence[int]] = lambda rows: rows,
) -> Activations:
    """Watch a model of float32 at work.

    Args:
        spec: the model.
        texts: what it will read, a few hundred.
        progress: wraps the sequence of texts' indices, to show how far it got.

    Raises:
        DataError: there are no texts.
    """
    if not texts:
        raise DataError("no texts to calibrate on: give a few hundred like those to come")
    config = spec.config
    seen: dict[Key, list[np.ndarray]] = defaultdict(list)
    updates: dict[Key, np.ndarray] = {}
    rng = np.random.default_rng(0)
    share = min(1.0, _SAMPLE / (64 * config.hidden_size * max(1, len(texts))))

    def watch(name: str, layer: int, values: np.ndarray) -> None:
        key = (name, layer)
        if name in ("attention_output", "output"):
            updates[key] = np.maximum(updates.get(key, 0), np.abs(values).max(axis=0))
        values = values.ravel()
        kept = rng.random(values.size) < share
        seen[key].append(np.concatenate([values[kept], [values.min(), values.max()]]))

    hash_embedding = HashEmbedding(config.hash)
    sequences = from_texts(
        Tokenizer(spec.tokenizer), texts, config.max_position_embeddings, config.type_vocab_size
    )
    for i in progress(range(len(texts))):
        vectors = hash_embedding.embed(sequences.bytes[i], sequences.ends[i])
        forward(spec, vectors, sequences.types[i], watch)
    scales, ranges = {}, {}
    for key, parts in seen.items():
        values = np.concatenate(parts)
        if key[0] in _SYMMETRIC:
            scales[key] = _best_scale(values, gelu if key[0] == "intermediate" else np.array)
        elif key[0] in _WHOLE:
            ranges[key] = (float(values.min()), float(values.max()))
        else:
            ranges[key] = _best_range(values)
    return Activations(scales, ranges, updates)


def _best_scale(values: np.ndarray, use: Callable[[np.ndarray], np.ndarray]) -> float:
    """The scale with the smallest squared error of ``use``: to clip a little, or to round finely.

    What is far below 0 is nothing behind a GELU, and may be clipped.
    """
    largest = float(np.abs(values).max()) or 1.0
    candidates = largest * _SHRINK / 127
    exact = use(values)
    errors = [
        ((use(np.clip(np.rint(values / scale), -127, 127) * scale) - exact) ** 2).sum()
        for scale in candidates
    ]
    return float(candidates[int(np.argmin(errors))])


def _best_range(values: np.ndarray) -> tuple[float, float]:
    """The range with the smallest squared error, 0 included."""
    low, high = min(float(values.min()), 0.0), max(float(values.max()), 0.0)

    def error(shrink: float) -> float:
        step = shrink * (high - low) / 255 or 1.0
        steps = np.clip(np.rint(values / step), np.rint(shrink * low / step), shrink * high / step)
        return float(((steps * step - values) ** 2).sum())

    best = min(_SHRINK[::3].tolist(), key=error)
    return best * low, best * high

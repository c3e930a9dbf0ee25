"""What the activations of a float32 model are like on some texts: integers are chosen by it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from edgebert.export.float_reference import forward, gelu
from edgebert.hash import HashEmbedding
from edgebert.sequence import Text, from_texts
from edgebert.tokenizer import Tokenizer

if TYPE_CHECKING:
    from edgebert.export.spec import ModelSpec

_SAMPLE = 1 << 17  # values of an activation that are kept to choose its scale by

Key = tuple[str, int]
"""An activation's name (float_reference.py) and its layer."""


@dataclass(frozen=True)
class Activations:
    """What was seen.

    Attributes:
        scales: the value of one step of int8 with the smallest squared error, symmetric.
        ranges: the least and the largest value.
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
    """
    config = spec.config
    seen: dict[Key, list[np.ndarray]] = defaultdict(list)
    updates: dict[Key, np.ndarray] = {}
    rng = np.random.default_rng(0)
    share = min(1.0, _SAMPLE / (64 * config.hidden_size * max(1, len(texts))))

    def watch(name: str, layer: int, values: np.ndarray) -> None:
        if name in ("attention_output", "output"):
            largest = np.abs(values).max(axis=0)
            updates[name, layer] = np.maximum(updates.get((name, layer), 0), largest)
            return
        values = values.ravel()
        kept = rng.random(values.size) < share
        seen[name, layer].append(np.concatenate([values[kept], [values.min(), values.max()]]))

    hash_embedding = HashEmbedding(config.hash)
    sequences = from_texts(
        Tokenizer(spec.tokenizer), texts, config.max_position_embeddings, config.type_vocab_size
    )
    for i in progress(range(len(texts))):
        vectors = hash_embedding.embed(sequences.bytes[i], sequences.ends[i])
        forward(spec, vectors, sequences.types[i], watch)
    samples = {key: np.concatenate(values) for key, values in seen.items()}
    return Activations(
        {key: _best_scale(x, _uses.get(key[0], np.array)) for key, x in samples.items()},
        {key: (float(x.min()), float(x.max())) for key, x in samples.items()},
        updates,
    )


_uses: dict[str, Callable[[np.ndarray], np.ndarray]] = {"intermediate": gelu}


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

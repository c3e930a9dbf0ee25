"""ModelSpec: a trained model as plain arrays, the one thing that every writer takes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from edgebert.config import ModelConfig
from edgebert.export.roles import all_roles

if TYPE_CHECKING:
    from edgebert.export.checkpoint import Checkpoint


@dataclass(frozen=True)
class Weight:
    """One weight: its role (see roles.py), its encoder layer and its values.

    Attributes:
        role: ``qkv_weight``, ``pooler_bias``, ...
        layer: encoder layer; 0 for the weights outside the encoder.
        values: float32, or integers; C-contiguous. Matrices are [out, in], as in PyTorch; query,
            key and value are stacked to [3 * hidden_size, hidden_size].
    """

    role: str
    layer: int
    values: np.ndarray


@dataclass(frozen=True)
class ModelSpec:
    """Config, tokenizer and weights of a model; writers know nothing of where it came from.

    Attributes:
        config: shape of the encoder, its head, the labels and the hash.
        tokenizer: the tokenizer section (docs/format.md).
        weights: in canonical order: embeddings, each layer, head.
        dtype: ``f32``; ``i8`` or ``i4`` for the integers of quantise.py.
    """

    config: ModelConfig
    tokenizer: bytes
    weights: tuple[Weight, ...]
    dtype: str = "f32"

    @classmethod
    def from_checkpoint(cls, checkpoint: Checkpoint) -> ModelSpec:
        """Rearrange a checkpoint's Hugging Face tensors, which its reader has checked."""
        return cls(checkpoint.config, checkpoint.tokenizer, tuple(_weights(checkpoint)))

    def weight(self, role: str, layer: int = 0) -> np.ndarray:
        """Values of one weight."""
        return next(w.values for w in self.weights if (w.role, w.layer) == (role, layer))

    @property
    def weight_bytes(self) -> int:
        """Size of all weights, but for what a format fills up."""
        return sum(self._bytes(weight) for weight in self.weights)

    def _bytes(self, weight: Weight) -> int:
        size = weight.values.nbytes
        if self.dtype == "i4" and weight.role.endswith("_weight") and weight.values.ndim == 2:
            return size // 2 + size // 32  # halves of bytes, and a scale for each 32 weights
        return size


def _weights(checkpoint: Checkpoint) -> Iterator[Weight]:
    for role, layer in all_roles(checkpoint.config):
        parts = [checkpoint.state[source.format(layer=layer)] for source in role.sources]
        values = np.concatenate(parts, dtype=np.float32)
        values.flags.writeable = False
        yield Weight(role.name, layer, values)

"""ModelSpec: a trained model as plain arrays, the one thing that every writer takes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from edgebert.config import ModelConfig
from edgebert.entities import quantise_transitions
from edgebert.export.roles import all_roles

if TYPE_CHECKING:
    from edgebert.export.activations import Activations
    from edgebert.export.checkpoint import Checkpoint


@dataclass(frozen=True)
class Weight:
    """One weight: its role (see roles.py), its encoder layer and its values.

    Attributes:
        role: ``qkv_weight``, ``pooler_bias``, ...
        layer: encoder layer; 0 for the weights outside the encoder.
        values: float32, or integers; C-contiguous. Matrices are [out, in], as in PyTorch; query,
            key and value are stacked to [3 * hidden_size, hidden_size]. Transitions of tags are
            int8 in models of any dtype.
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
        activations: what calibration saw of them; None unless calibrated.
    """

    config: ModelConfig
    tokenizer: bytes
    weights: tuple[Weight, ...]
    dtype: str = "f32"
    activations: Activations | None = None

    @classmethod
    def from_checkpoint(cls, checkpoint: Checkpoint) -> ModelSpec:
        """Rearrange a checkpoint's Hugging Face tensors, which its reader has checked."""
        return cls(checkpoint.config, checkpoint.tokenizer, tuple(_weights(checkpoint)))

    def weight(self, role: str, layer: int = 0) -> np.ndarray:
        """Values of one weight."""
        return next(w.values for w in self.weights if (w.role, w.layer) == (role, layer))

    @property
    def tag_transitions(self) -> bytes:
        """The transitions of tags; none without tags."""
        return self.weight("tag_transitions").tobytes() if self.config.tags else b""

    def weight_bytes(self, dtype: str | None = None) -> int:
        """Size of all weights, but for what a format fills up, as they are or as a dtype."""
        return sum(_bytes(weight, self.dtype, dtype or self.dtype) for weight in self.weights)


def _bytes(weight: Weight, dtype: str, wanted: str) -> int:
    values = weight.values
    is_matrix = weight.role.endswith(("_weight", "_embeddings")) and values.ndim == 2
    if dtype == wanted == "i4" and is_matrix:
        return values.nbytes // 2 + values.nbytes // 32  # a scale for each 32 halves of bytes
    if dtype == wanted or not is_matrix:
        return values.nbytes
    return values.size * {"f16": 2, "i8": 1}[wanted]


def _weights(checkpoint: Checkpoint) -> Iterator[Weight]:
    for role, layer in all_roles(checkpoint.config):
        parts = [checkpoint.state[source.format(layer=layer)] for source in role.sources]
        values = np.concatenate(parts, dtype=np.float32)
        if role.name == "tag_transitions":
            values = quantise_transitions(values)
        values.flags.writeable = False
        yield Weight(role.name, layer, values)

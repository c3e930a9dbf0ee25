"""The sizes of model that ``edgebert train --preset`` knows. Needs no torch."""

from __future__ import annotations

import math

from edgebert.config import HashParams, ModelConfig
from edgebert.export.roles import state_shapes


def _preset(layers: int, hidden: int, heads: int, intermediate: int, positions: int) -> ModelConfig:
    return ModelConfig(
        hidden_size=hidden,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        intermediate_size=intermediate,
        max_position_embeddings=positions,
        hash=HashParams(dimension=hidden),
    )


PRESETS = {
    "base": _preset(12, 768, 12, 3072, 512),
    "mini": _preset(4, 256, 4, 1024, 512),
    "tiny": _preset(2, 128, 2, 512, 512),
    "uno": _preset(2, 128, 2, 256, 128),
    "narrow": _preset(4, 96, 3, 144, 128),  # as many bytes as uno: docs/accuracy.md compares them
    "nano": _preset(2, 64, 2, 128, 64),
}


def num_parameters(config: ModelConfig) -> int:
    """Weights of a model; the hash has none."""
    return sum(math.prod(shape) for shape in state_shapes(config).values())

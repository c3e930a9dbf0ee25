"""Models made of random weights, for tests that need a model but no sense."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from edgebert.config import HashParams, ModelConfig
from edgebert.entities import quantise_transitions
from edgebert.export.roles import all_roles
from edgebert.export.spec import ModelSpec, Weight
from edgebert.tokenizer import Tokenizer

SMALL = ModelConfig(
    hidden_size=24,
    num_hidden_layers=2,
    num_attention_heads=3,
    intermediate_size=40,
    max_position_embeddings=20,
    labels=("no", "maybe", "yes"),
    hash=HashParams(dimension=24),
)

# Of a shape that has integer kernels.
SMALL_I8 = replace(
    SMALL,
    hidden_size=64,
    num_attention_heads=2,
    intermediate_size=96,
    max_position_embeddings=40,
    hash=HashParams(dimension=64),
)


def random_spec(config: ModelConfig = SMALL, seed: int = 0, tokenizer: str = "word") -> ModelSpec:
    """A model of this shape with weights that keep activations at a natural size."""
    rng = np.random.default_rng(seed)
    weights = []
    for role, layer in all_roles(config):
        rows, *rest = role.shape(config)
        shape = (rows * len(role.sources), *rest)
        values = rng.normal(0, 0.3 if rest else 0.1, shape)
        if role.name.endswith("norm_weight"):
            values += 1
        values = values.astype(np.float32)
        if role.name == "tag_transitions":
            values = quantise_transitions(4 * values)  # so that they matter beside the logits
        weights.append(Weight(role.name, layer, values))
    blob = (Tokenizer.word() if tokenizer == "word" else Tokenizer.wordpiece()).blob
    return ModelSpec(config, blob, tuple(weights))

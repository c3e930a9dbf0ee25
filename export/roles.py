"""The weights of a model: role, Hugging Face name and shape of each, written down once.

A role's name in capitals after ``EB_`` is its constant in csrc/format.h, and the order is the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from edgebert.config import ModelConfig


class Role(NamedTuple):
    """What a weight is for.

    Attributes:
        name: ``qkv_weight``, ``pooler_bias``, ...
        sources: names in ``BertForSequenceClassification``'s state dict (``tag…``: our own),
            ``{layer}`` to be filled in; several are stacked along the first axis.
        dimensions: shape of each source, as names of ModelConfig's attributes.
    """

    name: str
    sources: tuple[str, ...]
    dimensions: tuple[str, ...]

    def shape(self, config: ModelConfig) -> tuple[int, ...]:
        """Shape of each source in a model of this config."""
        return tuple(getattr(config, dimension) for dimension in self.dimensions)


WORD_EMBEDDINGS = "bert.embeddings.word_embeddings.weight"  # the table that the hash replaces

_LAYER = "bert.encoder.layer.{layer}."
_ATTENTION = _LAYER + "attention.self."


def _linear(name: str, rows: str, columns: str, *modules: str) -> tuple[Role, Role]:
    return (
        Role(f"{name}_weight", tuple(f"{module}.weight" for module in modules), (rows, columns)),
        Role(f"{name}_bias", tuple(f"{module}.bias" for module in modules), (rows,)),
    )


def _norm(name: str, module: str) -> tuple[Role, Role]:
    return (
        Role(f"{name}_weight", (f"{module}.weight",), ("hidden_size",)),
        Role(f"{name}_bias", (f"{module}.bias",), ("hidden_size",)),
    )


EMBEDDING_ROLES = (
    Role(
        "position_embeddings",
        ("bert.embeddings.position_embeddings.weight",),
        ("max_position_embeddings", "hidden_size"),
    ),
    Role(
        "token_type_embeddings",
        ("bert.embeddings.token_type_embeddings.weight",),
        ("type_vocab_size", "hidden_size"),
    ),
    *_norm("embeddings_norm", "bert.embeddings.LayerNorm"),
)
LAYER_ROLES = (
    *_linear(
        "qkv",
        "hidden_size",
        "hidden_size",
        _ATTENTION + "query",
        _ATTENTION + "key",
        _ATTENTION + "value",
    ),
    *_linear("attention_output", "hidden_size", "hidden_size", _LAYER + "attention.output.dense"),
    *_norm("attention_norm", _LAYER + "attention.output.LayerNorm"),
    *_linear("intermediate", "intermediate_size", "hidden_size", _LAYER + "intermediate.dense"),
    *_linear("output", "hidden_size", "intermediate_size", _LAYER + "output.dense"),
    *_norm("output_norm", _LAYER + "output.LayerNorm"),
)
LABEL_ROLES = (
    *_linear("pooler", "hidden_size", "hidden_size", "bert.pooler.dense"),
    *_linear("classifier", "num_labels", "hidden_size", "classifier"),
)
TAG_ROLES = (
    *_linear("tagger", "num_tags", "hidden_size", "tagger"),
    Role("tag_transitions", ("tag_transitions",), ("num_tags", "num_tags_and_start")),
)


def all_roles(config: ModelConfig) -> Iterator[tuple[Role, int]]:
    """Every (role, layer) of a model in canonical order; layer 0 for those outside the encoder."""
    yield from ((role, 0) for role in EMBEDDING_ROLES)
    for layer in range(config.num_hidden_layers):
        yield from ((role, layer) for role in LAYER_ROLES)
    yield from ((role, 0) for role in _head_roles(config))


def _head_roles(config: ModelConfig) -> tuple[Role, ...]:
    labels = LABEL_ROLES if config.num_labels else ()
    return (*labels, *(TAG_ROLES if config.num_tags else ()))


def state_shapes(config: ModelConfig) -> dict[str, tuple[int, ...]]:
    """Shape of every tensor that a state dict must have, by its Hugging Face name."""
    return {
        source.format(layer=layer): role.shape(config)
        for role, layer in all_roles(config)
        for source in role.sources
    }


def encoder_shapes(config: ModelConfig) -> dict[str, tuple[int, ...]]:
    """The same without the head: what pretraining learns."""
    head = {source for role in (*LABEL_ROLES, *TAG_ROLES) for source in role.sources}
    return {name: shape for name, shape in state_shapes(config).items() if name not in head}

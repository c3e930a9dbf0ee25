"""What a model is, apart from its weights: shared by engines, exporters and training.

Names are Hugging Face's (``BertConfig``) wherever that has one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from edgebert.errors import ModelError

HASH_FAMILIES = ("poly", "murmur3")  # position = EB_HASH_* in edgebert.h
# What a model is for, position = EB_TASK_*. Those of LABELLED have a pooler and a classifier; the
# others have none, and pool by the mean of the last hidden states, scaled to length 1.
TASKS = ("classification", "regression", "embedding", "tagging")
LABELLED = ("classification", "regression")
MAX_TAGS = 4096  # = EB_MAX_TAGS
ACTIVATIONS = ("gelu",)  # position = EB_ACTIVATION_*
DTYPES = ("f32", "i8", "i4")  # of models; position = EB_DTYPE_*

# The fields of ModelConfig that Hugging Face's BertConfig has too, under the same names.
BERT_FIELDS = (
    "hidden_size",
    "num_hidden_layers",
    "num_attention_heads",
    "intermediate_size",
    "max_position_embeddings",
    "type_vocab_size",
    "layer_norm_eps",
    "hidden_act",
)


@dataclass(frozen=True)
class HashParams:
    """Parameters of the hash embedding; docs/design.md defines each."""

    family: str = "poly"
    dimension: int = 128
    max_ngram: int = 3
    modulus: int = 1_000_000_007
    base: int = 31
    seed: int = 42
    boundary_marks: bool = False


@dataclass(frozen=True)
class ModelConfig:
    """Shape of the encoder and its heads, and the hash in front of it.

    ``labels`` are those of a whole text, ``tags`` those of its words, in the BIO scheme: ``O``,
    ``B-city``, ``I-city`` ... A model may have both, as one that finds intent and slots.
    """

    hidden_size: int = 128
    num_hidden_layers: int = 2
    num_attention_heads: int = 2
    intermediate_size: int = 512
    max_position_embeddings: int = 512
    type_vocab_size: int = 2
    layer_norm_eps: float = 1e-12
    hidden_act: str = "gelu"
    task: str = "classification"
    labels: tuple[str, ...] = ("0", "1")
    tags: tuple[str, ...] = ()
    hash: HashParams = field(default_factory=HashParams)

    @property
    def num_labels(self) -> int:
        """Number of logits: one for regression, whatever the label is called."""
        return len(self.labels)

    @property
    def num_tags(self) -> int:
        """Number of tag logits of each token; 0: the model has no tagging head."""
        return len(self.tags)

    @property
    def num_tags_and_start(self) -> int:
        """What a tag may follow: a tag, or nothing at the start of a text."""
        return self.num_tags + 1

    def to_dict(self) -> dict[str, Any]:
        """A document of plain JSON types, which :meth:`from_dict` reads back."""
        document = asdict(self)
        document["labels"], document["tags"] = list(self.labels), list(self.tags)
        return document

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> ModelConfig:
        """Read :meth:`to_dict`'s document; raise ModelError on anything else."""
        try:
            known = {f.name for f in fields(cls)}
            values = {k: v for k, v in document.items() if k in known}
            if not isinstance(document["labels"], (list, tuple)):
                raise ModelError("the model's config is invalid: labels must be a list")
            if not isinstance(document["hash"], Mapping):
                raise ModelError("the model's config is invalid: hash must be an object")
            values["labels"] = tuple(document["labels"])
            values["tags"] = _tags(document.get("tags", ()))
            values["hash"] = HashParams(**document["hash"])
            config = cls(**values)
        except (AttributeError, KeyError, TypeError) as error:
            raise ModelError(f"the model's config is incomplete: {error}") from error
        _check(config)
        return config


# Least and largest values; model.c and hash.c check the same on their side.
_RANGES: dict[str, tuple[int, int]] = {
    "hidden_size": (1, 4096),
    "num_hidden_layers": (1, 64),
    "num_attention_heads": (1, 4096),
    "intermediate_size": (1, 16384),
    "max_position_embeddings": (2, 65536),
    "type_vocab_size": (1, 256),
    "max_ngram": (1, 16),
    "modulus": (3, 2**31 - 1),
    "base": (1, 2**31 - 2),
    "seed": (0, 2**32 - 1),
}


def _check(config: ModelConfig) -> None:
    """Raise ModelError for a value that no model can have, as damaged or hostile files hold."""

    def must(condition: bool, rule: str) -> None:
        if not condition:
            raise ModelError(f"the model's config is invalid: {rule}")

    for name, (least, most) in _RANGES.items():
        value = getattr(config.hash if hasattr(config.hash, name) else config, name)
        must(type(value) is int and least <= value <= most, f"{name} must be {least} to {most}")
    eps = config.layer_norm_eps
    must(type(eps) is float and 0.0 <= eps < 1.0, "layer_norm_eps must be from 0.0 to below 1.0")
    must(config.hidden_size % config.num_attention_heads == 0, "heads must divide hidden_size")
    must(config.hidden_act in ACTIVATIONS, f"hidden_act must be one of {ACTIVATIONS}")
    must(config.task in TASKS, f"task must be one of {TASKS}")
    must(
        len(config.labels) <= 65536 and all(_is_text(label) for label in config.labels),
        "labels must be at most 65536 texts",
    )
    must(
        bool(config.labels) == (config.task in LABELLED),
        f"{' and '.join(LABELLED)} have labels, other tasks have none",
    )
    must(
        len(config.tags) <= MAX_TAGS and all(map(is_tag, config.tags)),
        f"tags must be at most {MAX_TAGS} of the form O, B-name or I-name",
    )
    must(len(set(config.tags)) == len(config.tags), "no tag may come twice")
    must(config.task != "tagging" or config.num_tags > 0, "tagging has tags")
    must(config.task != "embedding" or config.num_tags == 0, "embedding has no tags")
    must(config.task != "regression" or config.num_labels == 1, "regression has one label")
    params = config.hash
    must(params.family in HASH_FAMILIES, f"hash family must be one of {HASH_FAMILIES}")
    must(
        params.dimension == config.hidden_size and type(params.dimension) is int,
        "the hash dimension must be hidden_size",
    )
    must(params.modulus % 2 == 1, "the hash modulus must be odd")
    must(params.base < params.modulus, "the hash base must be below its modulus")
    must(type(params.boundary_marks) is bool, "boundary_marks must be true or false")


def _tags(value: object) -> tuple[str, ...]:
    if not isinstance(value, list | tuple):
        raise ModelError("the model's config is invalid: tags must be a list")
    return tuple(value)


def is_tag(value: object) -> bool:
    """Whether it is a tag of the BIO scheme: ``O``, ``B-name`` or ``I-name``."""
    return _is_text(value) and (value == "O" or bool(re.fullmatch(r"[BI]-.+", str(value))))


def _is_text(value: object) -> bool:
    """Whether it is a str that UTF-8 can write: one without lone surrogates."""
    return isinstance(value, str) and value == value.encode(errors="ignore").decode()

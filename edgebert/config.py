"""What a model is, apart from its weights: shared by engines, exporters and training.

Names are Hugging Face's (``BertConfig``) wherever that has one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from edgebert.errors import ModelError

HASH_FAMILIES = ("poly", "murmur3")  # position = EB_HASH_* in edgebert.h
TASKS = ("classification", "regression")  # position = EB_TASK_*
ACTIVATIONS = ("gelu",)  # position = EB_ACTIVATION_*


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
    """Shape of the encoder and its head, and the hash in front of it."""

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
    hash: HashParams = field(default_factory=HashParams)

    @property
    def num_labels(self) -> int:
        """Number of logits: one for regression, whatever the label is called."""
        return len(self.labels)

    def to_dict(self) -> dict[str, Any]:
        """A document of plain JSON types, which :meth:`from_dict` reads back."""
        document = asdict(self)
        document["labels"] = list(self.labels)
        return document

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> ModelConfig:
        """Read :meth:`to_dict`'s document; raise ModelError on anything else."""
        try:
            known = {f.name for f in fields(cls)}
            values = {k: v for k, v in document.items() if k in known}
            values["labels"] = tuple(str(label) for label in document["labels"])
            values["hash"] = HashParams(**document["hash"])
            return cls(**values)
        except (KeyError, TypeError) as error:
            raise ModelError(f"the model's config is incomplete: {error}") from error

"""Engines run an artifact. Each is one file and one row of ENGINES; all obey one protocol.

An engine gets texts or tokens and gives numbers. Windows, warnings and labels are the same for all
of them and live in :mod:`edgebert.model`.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from edgebert.config import ModelConfig
from edgebert.errors import EdgebertError, ModelError
from edgebert.sequence import Sequences, Text
from edgebert.tokenizer import Tokenizer


@dataclass(frozen=True)
class Outputs:
    """What a model says of n texts.

    Attributes:
        logits: float32 [n, num_labels].
        pooled: float32 [n, hidden_size]; of length 1 in models without labels.
        tag_scores: for each text, int16 [num_tokens, num_tags]: logits of each token's tags in
            units of 1 / 256, at most 8191 either way; [CLS] and [SEP] included. None if the model
            has no tags.
    """

    logits: np.ndarray
    pooled: np.ndarray
    tag_scores: list[np.ndarray] | None = None


class Engine(Protocol):
    """What :class:`edgebert.Model` needs of an engine; many threads may run it at once.

    Attributes:
        name: its key in ENGINES.
        dtype: arithmetic of the open artifact: ``f32``, ``i8``, ...
        config: the artifact's.
        tokenizer: the artifact's.
        tag_transitions: the artifact's, as :func:`edgebert.entities.best_tags` takes them; empty
            if it has no tags.
        threads: as it was opened with.
    """

    name: str
    dtype: str
    config: ModelConfig
    tokenizer: Tokenizer
    tag_transitions: np.ndarray
    threads: int | None

    def __init__(self, path: Path, threads: int | None = None) -> None:
        """Open an artifact; raise ModelError if it is not one of this engine's.

        Args:
            path: the file.
            threads: most threads that a run may use; None leaves it to the engine.
        """

    def file(self) -> bytes:
        """The artifact."""

    def run(self, sequences: Sequences) -> Outputs:
        """Run the sequences."""

    def run_texts(self, texts: Sequence[Text]) -> tuple[Outputs, list[int]]:
        """The same of texts or pairs, and how many tokens of each were beyond the limit."""


# name -> (file name suffix, class). A class is imported when it is used: most need optional
# packages.
ENGINES = {
    "native": (".ebm", "edgebert.engines.native:NativeEngine"),
    "onnx": (".onnx", "edgebert.engines.onnx:OnnxEngine"),
    "tflite": (".tflite", "edgebert.engines.tflite:TfliteEngine"),
    "torch": (".pt", "edgebert.train.engine:TorchEngine"),
}


def open_engine(path: Path, threads: int | None = None) -> Engine:
    """Open ``path`` with the engine that its suffix names; ``threads`` as in :class:`Engine`."""
    if not path.is_file():
        what = "is not a file" if path.exists() else "does not exist"
        raise ModelError(f"{path} {what}")
    for suffix, target in ENGINES.values():
        if path.suffix == suffix:
            module, name = target.split(":")
            engine: type[Engine] = getattr(importlib.import_module(module), name)
            try:
                return engine(path, threads)
            except ModelError as error:
                raise ModelError(f"{path.name}: {error}") from error
            except OSError as error:
                raise EdgebertError(f"cannot read {path}: {error.strerror or error}") from error
    suffixes = ", ".join(suffix for suffix, _ in ENGINES.values())
    raise ModelError(f"{path.name} has none of the known suffixes {suffixes}")

"""The Python API: ``load`` a model, ``infer`` labels, ``encode`` vectors, ``tokenize``."""

from __future__ import annotations

import functools
import math
import operator
import os
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import cast, overload

import numpy as np

from edgebert.builtin import model_path
from edgebert.config import ModelConfig
from edgebert.engines import Engine, open_engine
from edgebert.errors import DataError, ModelError
from edgebert.sequence import Text, windows


class TruncationWarning(UserWarning):
    """A text was longer than the model's limit and its end was not read."""


@dataclass(frozen=True)
class Result:
    """What a model says of one text.

    Attributes:
        label: the most probable label; for regression, the name of the quantity.
        score: its probability; for regression, the value.
        probabilities: every label's probability; empty for regression.
        logits: float32 [num_labels], as they left the model.
        num_dropped: tokens beyond the model's limit, which were not read.
    """

    label: str
    score: float
    probabilities: dict[str, float] = field(hash=False)
    logits: np.ndarray = field(compare=False)
    num_dropped: int = 0

    def __str__(self) -> str:
        return f"{self.label} {self.score:.3f}"


class Model:
    """A classifier or regressor; open it with :func:`edgebert.load`.

    One Model may be used by many threads at once.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.config: ModelConfig = engine.config
        self.tokenizer = engine.tokenizer

    @property
    def engine(self) -> str:
        """Name of the engine that runs the model: ``native``, ``onnx``, ``torch``."""
        return self._engine.name

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels, in the order of the logits."""
        return self.config.labels

    @property
    def max_tokens(self) -> int:
        """Most tokens in one run, [CLS] and [SEP] included."""
        return self.config.max_position_embeddings

    @overload
    def infer(  # type: ignore[overload-overlap]  # a str is an Iterable[str] too; Text comes first
        self, texts: Text, *, stride: int | None = None
    ) -> Result: ...
    @overload
    def infer(self, texts: Iterable[Text], *, stride: int | None = None) -> list[Result]: ...
    def infer(
        self, texts: Text | Iterable[Text], *, stride: int | None = None
    ) -> Result | list[Result]:
        """Classify a text, a pair ``(text, text_b)``, or a list of either.

        A text with more tokens than :attr:`max_tokens` is cut, with a TruncationWarning and
        ``num_dropped`` in its result. With ``stride`` it is read in windows instead, of which
        neighbours share ``stride`` tokens; the logits are the windows' mean.
        """
        single, batch = _as_batch(texts)
        if stride is None:
            logits, _, dropped = self._run(batch)
        else:
            logits, dropped = self._logits_by_windows(batch, stride), [0] * len(batch)
        results = [self._result(row, n) for row, n in zip(logits, dropped, strict=True)]
        return results[0] if single else results

    def logits(self, texts: Text | Iterable[Text]) -> np.ndarray:
        """Raw logits, float32 [n, num_labels]; a single text gives one row."""
        return self._run(_as_batch(texts)[1])[0]

    def encode(self, texts: Text | Iterable[Text]) -> np.ndarray:
        """Pooled vectors, float32 [n, hidden_size]; [hidden_size] for a single text."""
        single, batch = _as_batch(texts)
        pooled = self._run(batch)[1]
        return pooled[0] if single else pooled

    def tokenize(self, text: str) -> list[str]:
        """The text's tokens, without [CLS] and [SEP]."""
        if not isinstance(text, str):
            raise DataError(f"tokenize takes one text, a str, not {type(text).__name__}")
        return self.tokenizer.tokenize(text)

    def _run(self, texts: Sequence[Text]) -> tuple[np.ndarray, np.ndarray, list[int]]:
        outputs = self._engine.run_texts(texts)
        num_cut = sum(n > 0 for n in outputs[2])
        if num_cut:
            warnings.warn(
                f"{num_cut} of {len(texts)} texts are longer than the model's "
                f"{self.max_tokens} tokens and were cut; pass stride= to read them in windows",
                TruncationWarning,
                stacklevel=3,
            )
        return outputs

    def _logits_by_windows(self, texts: Sequence[Text], stride: int) -> np.ndarray:
        try:
            stride = operator.index(stride)
        except TypeError:
            raise DataError(f"stride is a whole number, not {type(stride).__name__}") from None
        if not 0 <= stride <= self.max_tokens - 3:
            raise DataError(f"stride must be 0 to {self.max_tokens - 3} for this model")
        rows = []
        for text in texts:
            if not isinstance(text, str):
                raise DataError("stride works on single texts, not on pairs")
            logits, _ = self._engine.run(windows(self.tokenizer, text, self.max_tokens, stride))
            rows.append(logits.mean(axis=0))
        return np.array(rows, np.float32).reshape(len(texts), self.config.num_labels)

    def _result(self, logits: np.ndarray, num_dropped: int) -> Result:
        values = logits.tolist()  # a few numbers: NumPy's calls would take ten times as long
        if not math.isfinite(sum(values)):
            raise ModelError(
                f"the engine {self.engine} gives {values}: upgrade its package, or export the "
                "model again, which compares it with PyTorch"
            )
        if self.config.task == "regression":
            return Result(self.labels[0], values[0], {}, logits, num_dropped)
        highest = max(values)
        powers = [math.exp(value - highest) for value in values]
        total = sum(powers)
        probabilities = [power / total for power in powers]
        best = values.index(highest)
        return Result(
            self.labels[best],
            probabilities[best],
            dict(zip(self.labels, probabilities, strict=True)),
            logits,
            num_dropped,
        )


def _as_batch(texts: Text | Iterable[Text]) -> tuple[bool, list[Text]]:
    """(is it a single text, the list of texts), with wrong types refused."""
    single = isinstance(texts, str | bytes) or _is_pair(texts) or not isinstance(texts, Iterable)
    batch = cast("list[Text]", [texts] if single else list(texts))
    for text in batch:
        if not isinstance(text, str) and not _is_pair(text):
            raise DataError(
                f"a text is a str or a pair (str, str), not {type(text).__name__}: {text!r:.60}"
            )
    return single, batch


def _is_pair(text: object) -> bool:
    return isinstance(text, tuple) and len(text) == 2 and all(isinstance(t, str) for t in text)


def load(path: str | os.PathLike[str] | None = None, *, threads: int | None = None) -> Model:
    """Open an artifact (.ebm, .onnx, .tflite), a checkpoint (.pt) or a model in the wheel.

    Args:
        path: the file; or the name of a model in the wheel (``edgebert models`` lists them), which
            has no suffix: ``"home"``. By default ``"sentiment"``.
        threads: most threads that a call may use (default: one for .ebm, all cores for others; in
            PyTorch it is one number for the process).

    Raises:
        ModelError: the file is missing, damaged, foreign or too new, or no model has this name.
        MissingPackageError: its engine is not installed.
    """
    return Model(open_engine(model_path(path), threads))


@functools.cache
def _default_model() -> Model:
    return load()


@overload
def infer(  # type: ignore[overload-overlap]
    texts: Text, *, stride: int | None = None
) -> Result: ...
@overload
def infer(texts: Iterable[Text], *, stride: int | None = None) -> list[Result]: ...
def infer(texts: Text | Iterable[Text], *, stride: int | None = None) -> Result | list[Result]:
    """Classify with the wheel's default model, ``"sentiment"``; see :meth:`Model.infer`."""
    return _default_model().infer(texts, stride=stride)

"""The Python API: ``load`` a model, ``infer`` labels and entities, ``encode`` vectors."""

from __future__ import annotations

import functools
import math
import operator
import os
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import cast, overload

import numpy as np

from edgebert.builtin import model_path
from edgebert.config import ModelConfig
from edgebert.engines import ENGINES, Engine, Outputs, open_engine
from edgebert.entities import Entity, EntityFinder
from edgebert.errors import DataError, ModelError
from edgebert.files import temporary_file
from edgebert.sequence import Text, from_texts, join_windows, windows


class TruncationWarning(UserWarning):
    """A text was longer than the model's limit and its end was not read."""


@dataclass(frozen=True)
class Result:
    """What a model says of one text.

    Attributes:
        label: the most probable label; for regression, the name of the quantity; "" for a model
            that has tags alone.
        score: its probability; for regression, the value; 0.0 without labels.
        probabilities: every label's probability; empty for regression.
        logits: float32 [num_labels], as they left the model.
        num_dropped: tokens beyond the model's limit, which were not read.
        entities: what a model with tags found in the text, in its order; of a pair, in the first.
    """

    label: str
    score: float
    probabilities: dict[str, float] = field(hash=False)
    logits: np.ndarray = field(compare=False)
    num_dropped: int = 0
    entities: tuple[Entity, ...] = ()

    def __str__(self) -> str:
        label = [f"{self.label} {self.score:.3f}"] if self.logits.size else []
        return " ".join([*label, *map(str, self.entities)])


class Model:
    """A model of any task; open it with :func:`edgebert.load`.

    One Model may be used by many threads at once, and by processes that fork makes. Pickled, it is
    its file, whole: it travels to other processes and machines and is opened there again.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.config: ModelConfig = engine.config
        self.tokenizer = engine.tokenizer
        self._find_entities = EntityFinder(self.config.tags, engine.tag_transitions)

    def __reduce__(self) -> tuple[Callable[..., Model], tuple[bytes, str, int | None]]:
        return _unpickle, (self._engine.file(), self.engine, self._engine.threads)

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
        """Classify a text, a pair ``(text, text_b)``, or a list of either; find entities in it.

        A text with more tokens than :attr:`max_tokens` is cut, with a TruncationWarning and
        ``num_dropped`` in its result. With ``stride`` it is read in windows instead, of which
        neighbours share ``stride`` tokens; the logits are the windows' mean.

        Raises:
            DataError: a text is of a wrong type, or the model has neither labels nor tags.
        """
        if not self.config.labels and not self.config.tags:
            raise DataError("this model has no labels: encode gives the vectors of texts")
        single, batch = _as_batch(texts)
        if stride is not None:
            results = self._infer_windows(batch, stride)
        elif self.config.tags:
            results = self._infer_tags(batch)
        else:
            outputs, dropped = self._run(batch)
            results = [self._result(row, n) for row, n in zip(outputs.logits, dropped, strict=True)]
        return results[0] if single else results

    def logits(self, texts: Text | Iterable[Text]) -> np.ndarray:
        """Raw logits, float32 [n, num_labels]; a single text gives one row."""
        return self._run(_as_batch(texts)[1])[0].logits

    def encode(self, texts: Text | Iterable[Text]) -> np.ndarray:
        """Vectors of whole texts, float32 [n, hidden_size]; [hidden_size] for a single text.

        Those of a model without labels have length 1: the dot product of two is their cosine.
        Others are what the classifier takes, each number from -1 to 1.
        """
        single, batch = _as_batch(texts)
        pooled = self._run(batch)[0].pooled
        return pooled[0] if single else pooled

    def tokenize(self, text: str) -> list[str]:
        """The text's tokens, without [CLS] and [SEP]."""
        if not isinstance(text, str):
            raise DataError(f"tokenize takes one text, a str, not {type(text).__name__}")
        return self.tokenizer.tokenize(text)

    def _run(self, texts: Sequence[Text]) -> tuple[Outputs, list[int]]:
        outputs, dropped = self._engine.run_texts(texts)
        self._warn_of_cut(dropped)
        return outputs, dropped

    def _infer_tags(self, texts: Sequence[Text]) -> list[Result]:
        limit, types = self.max_tokens, self.config.type_vocab_size
        sequences = from_texts(self.tokenizer, texts, limit, types, words=True)
        outputs = self._engine.run(sequences)
        self._warn_of_cut(sequences.num_dropped)
        assert outputs.tag_scores is not None
        return [
            self._result(
                outputs.logits[i],
                sequences.num_dropped[i],
                self._find_entities(_first(text), sequences.words[i], outputs.tag_scores[i]),
            )
            for i, text in enumerate(texts)
        ]

    def _warn_of_cut(self, dropped: Sequence[int]) -> None:
        num_cut = sum(n > 0 for n in dropped)
        if num_cut:
            warnings.warn(
                f"{num_cut} of {len(dropped)} texts are longer than the model's "
                f"{self.max_tokens} tokens and were cut; pass stride= to read them in windows",
                TruncationWarning,
                stacklevel=4,
            )

    def _infer_windows(self, texts: Sequence[Text], stride: int) -> list[Result]:
        try:
            stride = operator.index(stride)
        except TypeError:
            raise DataError(f"stride is a whole number, not {type(stride).__name__}") from None
        if not 0 <= stride <= self.max_tokens - 3:
            raise DataError(f"stride must be 0 to {self.max_tokens - 3} for this model")
        results = []
        for text in texts:
            if not isinstance(text, str):
                raise DataError("stride works on single texts, not on pairs")
            sequences = windows(self.tokenizer, text, self.max_tokens, stride)
            outputs = self._engine.run(sequences)
            entities: tuple[Entity, ...] = ()
            if outputs.tag_scores is not None:
                columns = sequences.words, outputs.tag_scores
                words, scores = (join_windows(column, stride) for column in columns)
                entities = self._find_entities(text, words, scores)
            results.append(self._result(outputs.logits.mean(axis=0), 0, entities))
        return results

    def _result(
        self, logits: np.ndarray, num_dropped: int, entities: tuple[Entity, ...] = ()
    ) -> Result:
        values = logits.tolist()  # a few numbers: NumPy's calls would take ten times as long
        if not math.isfinite(sum(values)):
            raise ModelError(
                f"the engine {self.engine} gives {values}: upgrade its package, or export the "
                "model again, which compares it with PyTorch"
            )
        if self.config.task == "regression":
            return Result(self.labels[0], values[0], {}, logits, num_dropped, entities)
        if not values:
            return Result("", 0.0, {}, logits, num_dropped, entities)
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
            entities,
        )


def _unpickle(file: bytes, engine: str, threads: int | None) -> Model:
    with temporary_file(file, ENGINES[engine][0]) as path:
        return Model(open_engine(path, threads))


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


def _first(text: Text) -> str:
    return text if isinstance(text, str) else text[0]


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

"""Measures an artifact on labelled texts: how right it is, and how fast."""

from __future__ import annotations

import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np

from edgebert.config import ModelConfig
from edgebert.errors import DataError, MissingPackageError, ModelError
from edgebert.metrics import score, span_scores, spans
from edgebert.model import Model, Result, TruncationWarning, load
from edgebert.sequence import Text
from edgebert.tsv import Dataset, read_tsv, split_words

BATCH_SIZE = 512  # texts between two steps of the progress bar


def evaluate(path: Path, data: Path) -> dict[str, Any]:
    """Run the artifact at ``path`` over the file ``data``; return one document.

    Labels and tags are compared with those of the data. A model that gives vectors alone is
    measured by how the cosines of pairs of texts go with their numbers.

    Raises:
        DataError: the data is malformed, or does not fit the model: other labels, no tags, pairs
            for a model of single texts.
        ModelError: the artifact is damaged or foreign.
    """
    model = load(path)
    dataset = read_tsv(data)
    _check(model.config, dataset, path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", TruncationWarning)  # counted below
        start = time.perf_counter()
        results: list[Any] = []
        with _progress(path.name, len(dataset)) as bar:
            for first in range(0, len(dataset), BATCH_SIZE):
                batch = dataset.texts[first : first + BATCH_SIZE]
                results += _cosines(model, batch) if _embeds(model.config) else model.infer(batch)
                bar.update(len(results) - bar.n)
        seconds = time.perf_counter() - start
    return {
        "file": str(path),
        "engine": model.engine,
        "bytes": path.stat().st_size,
        "examples": len(dataset),
        "truncated": _count_truncated(model, dataset, results),
        "metrics": _metrics(model.config, dataset, results),
        "us_per_text": 1e6 * seconds / len(dataset),
        "texts_per_second": len(dataset) / seconds,
    }


def _embeds(config: ModelConfig) -> bool:
    return config.task == "embedding"


def _check(config: ModelConfig, dataset: Dataset, path: Path) -> None:
    """Raise DataError if the data are not of the model's kind."""
    if _embeds(config) and not dataset.pairs:
        raise DataError(
            f"{dataset.path}: holds single texts, but {path} gives vectors: it is measured on "
            "text<TAB>text_b<TAB>label, where labels are numbers that tell how alike the two are"
        )
    if dataset.pairs and config.type_vocab_size < 2 and not _embeds(config):
        raise DataError(f"{dataset.path}: holds pairs of texts, but {path} reads single texts")
    if config.task == "classification":
        dataset.check_labels(config.labels)
    elif config.task != "tagging":
        dataset.values()
    elif dataset.tags is None:
        raise DataError(f"{dataset.path}: has no column tags, which {path} is measured by")


def _cosines(model: Model, pairs: Sequence[Text]) -> list[float]:
    """Of the vectors of both texts of each pair."""
    a, b = (model.encode([pair[side] for pair in pairs]) for side in (0, 1))
    cosines = (a * b).sum(axis=1)
    if not np.isfinite(cosines).all():
        raise ModelError(
            f"the engine {model.engine} gives vectors that are not finite: upgrade its package, or "
            "export the model again, which compares it with PyTorch"
        )
    return cosines.tolist()


def _metrics(config: ModelConfig, dataset: Dataset, results: list[Any]) -> dict[str, float]:
    if _embeds(config):
        return score("regression", dataset.values(), results)
    scores = {}
    if config.task == "regression":
        scores = score(config.task, dataset.values(), [result.score for result in results])
    elif config.labels:
        scores = score(config.task, dataset.labels, [result.label for result in results])
    if config.tags and dataset.tags is not None:
        found = [[(e.type, e.begin, e.end) for e in result.entities] for result in results]
        scores |= span_scores(_entities(dataset), found)
    return scores


def _entities(dataset: Dataset) -> list[list[tuple[str, int, int]]]:
    """The entities of each text: type, and its first character and the one behind its last."""
    result = []
    for text, tags in zip(dataset.texts, dataset.tags or [], strict=True):
        words, begins, begin = split_words(cast("str", text)), [], 0
        for word in words:
            begins.append(begin)
            begin += len(word) + 1
        result.append(
            [(kind, begins[i], begins[j - 1] + len(words[j - 1])) for kind, i, j in spans(tags)]
        )
    return result


def _count_truncated(model: Model, dataset: Dataset, results: list[Any]) -> int:
    """How many texts, or pairs, were longer than the model's limit."""
    if not _embeds(model.config):
        return sum(cast("Result", result).num_dropped > 0 for result in results)
    room = model.max_tokens - 2
    return sum(any(len(model.tokenize(t)) > room for t in pair) for pair in dataset.texts)


def _progress(name: str, total: int) -> Any:
    try:
        from tqdm.auto import tqdm
    except ImportError as error:
        raise MissingPackageError(
            "measuring needs the package tqdm: pip install 'edgebert[eval]'"
        ) from error
    # disable=None: no bar where there is no terminal to show it on
    return tqdm(total=total, desc=name, unit=" texts", leave=False, disable=None)

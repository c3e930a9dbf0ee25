"""Measures an artifact on labelled texts: how right it is, and how fast."""

from __future__ import annotations

import time
import warnings
from pathlib import Path
from typing import Any

from edgebert.errors import DataError, MissingPackageError
from edgebert.metrics import score
from edgebert.model import Result, TruncationWarning, load
from edgebert.tsv import read_tsv

BATCH_SIZE = 512  # texts between two steps of the progress bar


def evaluate(path: Path, data: Path) -> dict[str, Any]:
    """Run the artifact at ``path`` over the file ``data``; return one document.

    Raises:
        DataError: the data is malformed, or does not fit the model: other labels, pairs for a
            model of single texts.
        ModelError: the artifact is damaged or foreign.
    """
    model = load(path)
    config = model.config
    dataset = read_tsv(data)
    if dataset.pairs and config.type_vocab_size < 2:
        raise DataError(f"{data}: holds pairs of texts, but {path} reads single texts")
    if config.task == "regression":
        references: list[Any] = dataset.values()
    else:
        dataset.check_labels(model.labels)
        references = dataset.labels
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", TruncationWarning)  # counted below
        start = time.perf_counter()
        results: list[Result] = []
        with _progress(path.name, len(dataset)) as bar:
            for first in range(0, len(dataset), BATCH_SIZE):
                results += model.infer(dataset.texts[first : first + BATCH_SIZE])
                bar.update(len(results) - bar.n)
        seconds = time.perf_counter() - start
    predictions = [r.score if config.task == "regression" else r.label for r in results]
    return {
        "file": str(path),
        "engine": model.engine,
        "bytes": path.stat().st_size,
        "examples": len(dataset),
        "truncated": sum(result.num_dropped > 0 for result in results),
        "metrics": score(config.task, references, predictions),
        "us_per_text": 1e6 * seconds / len(dataset),
        "texts_per_second": len(dataset) / seconds,
    }


def _progress(name: str, total: int) -> Any:
    try:
        from tqdm.auto import tqdm
    except ImportError as error:
        raise MissingPackageError(
            "measuring needs the package tqdm: pip install 'edgebert[eval]'"
        ) from error
    # disable=None: no bar where there is no terminal to show it on
    return tqdm(total=total, desc=name, unit=" texts", leave=False, disable=None)

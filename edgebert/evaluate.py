"""Measures an artifact on labelled texts: how right it is, and how fast."""

from __future__ import annotations

import time
import warnings
from pathlib import Path
from typing import Any

from edgebert.errors import DataError
from edgebert.metrics import score
from edgebert.model import TruncationWarning, load
from edgebert.tsv import read_tsv


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
        results = model.infer(dataset.texts)
        seconds = time.perf_counter() - start
    predictions = [r.score if config.task == "regression" else r.label for r in results]
    return {
        "file": str(path),
        "engine": model.engine,
        "bytes": path.stat().st_size,
        "examples": len(dataset),
        "truncated": sum(result.num_dropped > 0 for result in results),
        "metrics": score(config.task, references, predictions),
        "texts_per_second": len(dataset) / seconds,
    }

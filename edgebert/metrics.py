"""The figures by which classifiers and regressors are judged."""

from __future__ import annotations

import warnings
from collections.abc import Collection, Hashable, Iterator, Sequence
from typing import Any

import numpy as np

from edgebert.errors import MissingPackageError

METRICS = {
    "classification": ("accuracy", "f1", "matthews"),
    "regression": ("pearson", "spearman"),
    "tagging": ("span_f1",),
}


def metrics_of(task: str, tagged: bool) -> tuple[str, ...]:
    """Scores that may decide which of several models is best, the usual one first.

    With labels and tags that is the mean of the usual ones of both.
    """
    names = METRICS[task]
    if not tagged or task == "tagging":
        return names
    return f"{names[0]}+span_f1", *names, "span_f1"


def score(task: str, references: Sequence[Any], predictions: Sequence[Any]) -> dict[str, float]:
    """Compare predictions with what is true.

    Args:
        task: ``classification``: labels are compared; ``regression``: numbers.
        references: what is true.
        predictions: what the model said, as long.

    Returns:
        For classification ``accuracy``, ``f1`` (mean over the labels), ``matthews``, and with two
        labels the F1 of each as ``f1_LABEL``. For regression ``pearson`` and ``spearman``; 0 where
        they are undefined because one side is constant.

    Raises:
        MissingPackageError: scikit-learn and SciPy are not installed.
    """
    try:
        import scipy.stats
        import sklearn.metrics as sk
    except ImportError as error:
        raise MissingPackageError(
            f"metrics need the package {error.name}: pip install 'edgebert[eval]'"
        ) from error
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of few examples, or all of one label
        return _score(task, references, predictions, scipy.stats, sk)


def _score(
    task: str, references: Sequence[Any], predictions: Sequence[Any], stats: Any, sk: Any
) -> dict[str, float]:
    if task == "regression":
        if len(set(references)) < 2 or len(set(predictions)) < 2:
            return {"pearson": 0.0, "spearman": 0.0}
        return {
            "pearson": float(stats.pearsonr(references, predictions)[0]),
            "spearman": float(stats.spearmanr(references, predictions)[0]),
        }
    labels = sorted({*references, *predictions})
    f1 = sk.f1_score(references, predictions, labels=labels, average=None, zero_division=0.0)
    scores = {
        "accuracy": float(sk.accuracy_score(references, predictions)),
        "f1": float(np.mean(f1)),
        "matthews": float(sk.matthews_corrcoef(references, predictions)),
    }
    if len(labels) == 2:
        scores |= {f"f1_{label}": float(value) for label, value in zip(labels, f1, strict=True)}
    return scores


def spans(tags: Sequence[str]) -> Iterator[tuple[str, int, int]]:
    """Entities of one text's tags: (type, first word, word behind the last).

    ``B-x`` starts an entity; ``I-x`` goes on with one of type x, else it starts one; ``O`` ends it.
    """
    kind, begin = "", 0
    for i, tag in enumerate((*tags, "O")):
        prefix, _, name = tag.partition("-")
        if kind and (prefix != "I" or name != kind):
            yield kind, begin, i
            kind = ""
        if prefix != "O" and not kind:
            kind, begin = name, i


def span_scores(
    references: Sequence[Collection[Hashable]], predictions: Sequence[Collection[Hashable]]
) -> dict[str, float]:
    """``span_f1``, ``span_precision`` and ``span_recall`` of all entities, as CoNLL counts.

    An entity is right if its type and both its ends are. Scores of nothing are 0.

    Args:
        references: the entities of each text.
        predictions: what the model found in each text.
    """
    right = sum(len(set(a) & set(b)) for a, b in zip(references, predictions, strict=True))
    true, found = sum(map(len, references)), sum(map(len, predictions))
    return {
        "span_f1": 2 * right / (true + found) if right else 0.0,
        "span_precision": right / found if right else 0.0,
        "span_recall": right / true if right else 0.0,
    }

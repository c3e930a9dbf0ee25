"""The figures by which classifiers and regressors are judged."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from edgebert.errors import MissingPackageError

DEFAULT_METRIC = {"classification": "accuracy", "regression": "pearson"}
METRICS = {"classification": ("accuracy", "f1", "matthews"), "regression": ("pearson", "spearman")}


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

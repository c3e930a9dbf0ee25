"""Scores against values worked out by hand."""

from __future__ import annotations

import sys

import pytest

from edgebert.errors import MissingPackageError
from edgebert.metrics import METRICS, score

pytest.importorskip("sklearn", reason="metrics need scikit-learn: pip install 'edgebert[eval]'")


def test_two_labels() -> None:
    # one true "yes", one missed, one false alarm, three true "no"
    scores = score("classification", list("yynnnn"), list("ynynnn"))
    assert scores == pytest.approx(
        {"accuracy": 4 / 6, "f1": 0.625, "matthews": 0.25, "f1_n": 0.75, "f1_y": 0.5}
    )


def test_many_labels_have_no_f1_of_each() -> None:
    scores = score("classification", ["a", "b", "c"], ["a", "b", "b"])
    assert set(scores) == set(METRICS["classification"])
    assert scores["f1"] == pytest.approx((1 + 2 / 3 + 0) / 3)


def test_numbers() -> None:
    scores = score("regression", [1.0, 2.0, 3.0, 4.0], [1.0, 4.0, 9.0, 16.0])
    assert scores["spearman"] == pytest.approx(1)
    assert scores["pearson"] == pytest.approx(0.98437, abs=1e-5)


def test_a_constant_side_scores_zero_not_nan() -> None:
    assert score("regression", [1.0, 2.0], [3.0, 3.0]) == {"pearson": 0.0, "spearman": 0.0}


def test_examples_of_one_label_score_without_a_warning(recwarn: pytest.WarningsRecorder) -> None:
    assert score("classification", ["a"], ["a"])["accuracy"] == 1
    assert not recwarn.list


def test_without_scikit_learn_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn.metrics", None)
    with pytest.raises(MissingPackageError, match=r"edgebert\[eval\]"):
        score("classification", ["a"], ["a"])

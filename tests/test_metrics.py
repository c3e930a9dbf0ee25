"""Scores against values worked out by hand."""

from __future__ import annotations

import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgebert.errors import MissingPackageError
from edgebert.metrics import METRICS, metrics_of, score, span_scores, spans

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


def test_spans_follow_from_tags() -> None:
    tags = ["I-a", "I-a", "B-a", "O", "B-b", "I-a", "I-a-b", "B-a-b"]
    assert list(spans(tags)) == [
        ("a", 0, 2),
        ("a", 2, 3),
        ("b", 4, 5),
        ("a", 5, 6),
        ("a-b", 6, 7),
        ("a-b", 7, 8),
    ]
    assert list(spans([])) == []


_TEXTS = st.lists(
    st.lists(
        st.tuples(*[st.sampled_from(["O", "B-x", "I-x", "B-y", "I-y", "I-y-z"])] * 2), min_size=1
    ),
    min_size=1,
)


@given(_TEXTS)
def test_span_scores_are_those_of_seqeval(texts: list[list[tuple[str, str]]]) -> None:
    """Its default, which is what conlleval computes, of true and predicted tags."""
    pytest.importorskip("seqeval", reason="needs seqeval: edgebert[test]")
    from seqeval.metrics.sequence_labeling import precision_recall_fscore_support

    true, found = ([[pair[side] for pair in text] for text in texts] for side in (0, 1))
    precision, recall, f1, _ = precision_recall_fscore_support(
        true, found, average="micro", zero_division=0
    )
    ours = span_scores([list(spans(t)) for t in true], [list(spans(t)) for t in found])
    assert ours == pytest.approx(
        {"span_f1": f1, "span_precision": precision, "span_recall": recall}
    )


def test_with_labels_and_tags_the_mean_of_both_decides() -> None:
    assert metrics_of("classification", False)[0] == "accuracy"
    assert metrics_of("classification", True)[0] == "accuracy+span_f1"
    assert metrics_of("tagging", True) == ("span_f1",)

"""Distillation: a student learns from any teacher that fits, or says why not."""

from __future__ import annotations

import json
import lzma
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgebert.cli import main
from edgebert.errors import DataError, ModelError

torch = pytest.importorskip("torch", reason="training needs torch: pip install 'edgebert[train]'")

from transformers import (  # noqa: E402
    BertForSequenceClassification,
    DistilBertConfig,
    DistilBertForSequenceClassification,
)

from edgebert.train import augment, bert, distill_loss, finetune  # noqa: E402
from edgebert.train.checkpoint import load_torch  # noqa: E402
from edgebert.train.distill import Lesson, distill  # noqa: E402
from edgebert.train.distill_loss import Weights  # noqa: E402
from edgebert.train.run import Job, train  # noqa: E402
from edgebert.train.teacher import open_teacher  # noqa: E402
from tests import test_train  # noqa: E402
from tests.teachers import (  # noqa: E402
    LABELS,
    PIECES,
    WORDPIECE,
    WORDS,
    bert_config,
    save,
    warm_bert,
)
from tests.test_train import CONFIG, RECIPE, Interrupted, assert_same, color_rows, weights  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Knows warm from cold: a model.pt trained on the labels, and so quick to make."""
    folder = tmp_path_factory.mktemp("teacher")
    config = replace(CONFIG, intermediate_size=40)
    train(job(folder, config=config, recipe=replace(RECIPE, epochs=5, patience=5)))
    return folder / "model.pt"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return warm_bert(tmp_path_factory.mktemp("bert") / "teacher")


def job(tmp_path: Path, **changes: Any) -> Job:
    return test_train.job(tmp_path, **{"tokenizer": WORDPIECE, **changes})


@pytest.mark.parametrize("kind", ["model.pt", "folder"])
def test_a_student_learns_from_the_teacher_alone(
    tmp_path: Path, kind: str, request: pytest.FixtureRequest
) -> None:
    """The labels say nothing here, and dev is judged by the right ones."""
    rng = random.Random(0)
    rows = [f"{row.split(chr(9))[0]}\t{rng.choice(['cold', 'warm'])}" for row in color_rows(160, 0)]
    noise = test_train.write(tmp_path / "noise.tsv", "text\tlabel", rows)
    path = request.getfixturevalue("teacher" if kind == "model.pt" else "folder")
    epochs: list[finetune.Epoch] = []
    recipe = replace(RECIPE, epochs=5, patience=5)
    options = job(tmp_path, train=noise, recipe=recipe)
    document = distill(options, Lesson(path, Weights(hard=0.0, soft=1.0)), epochs.append)
    assert document["teacher"]["dev"]["accuracy"] == 1
    assert document["dev"]["accuracy"] > 0.9
    assert epochs[-1].loss < epochs[0].loss / 2


def test_a_student_of_numbers_learns_them_from_the_teacher(tmp_path: Path) -> None:
    rows = [row.replace("warm", "1300.5").replace("cold", "700.0") for row in color_rows(200, 0)]
    options = job(
        tmp_path,
        train=test_train.write(tmp_path / "numbers.tsv", "text\tlabel", rows[:160]),
        dev=test_train.write(tmp_path / "numbers-dev.tsv", "text\tlabel", rows[160:]),
        output=tmp_path / "teacher.pt",
        recipe=replace(RECIPE, epochs=6, patience=6),
    )
    train(options)
    student = replace(options, output=tmp_path / "student.pt")
    document = distill(student, Lesson(options.output, Weights(hard=0.0), augment=1))
    assert document["dev"]["pearson"] > 0.9
    answers = bert.logits(*load_torch(student.output), ["a red car", "a blue car"])
    assert answers[:, 0] == pytest.approx([1300.5, 700], abs=200)


def test_a_student_of_pairs_has_the_teachers_tokens(tmp_path: Path) -> None:
    rows = [f"{row.split(chr(9))[0]}\tthe {row}" for row in color_rows(80, 0)]
    pairs = test_train.write(tmp_path / "pairs.tsv", "text\ttext_b\tlabel", rows)
    other = save(BertForSequenceClassification(bert_config()), tmp_path / "bert")
    said: list[str] = []
    options = job(tmp_path, train=pairs, dev=pairs, recipe=replace(RECIPE, epochs=1))
    distill(options, Lesson(other, Weights(relations=1.0), augment=1), say=said.append)
    (tmp_path / "more.txt").write_text("a dog")
    with pytest.raises(DataError, match="single texts cannot join pairs"):
        distill(options, Lesson(other, unlabelled=[tmp_path / "more.txt"]))


def test_a_teacher_of_another_architecture(tmp_path: Path) -> None:
    """It has no token types, and other names for queries, keys and values."""
    config = DistilBertConfig(
        vocab_size=len(PIECES), dim=24, n_layers=2, n_heads=2, hidden_dim=24, id2label=LABELS
    )
    other = save(DistilBertForSequenceClassification(config), tmp_path / "distilbert")
    lesson = Lesson(other, Weights(hidden=1.0, relations=1.0))
    epochs: list[finetune.Epoch] = []
    distill(job(tmp_path), lesson, epochs.append)
    assert epochs[-1].loss < epochs[0].loss


@pytest.mark.parametrize("part", ["hidden", "relations"])
def test_what_runs_in_the_layers_is_learned(tmp_path: Path, folder: Path, part: str) -> None:
    epochs: list[finetune.Epoch] = []
    parts = Weights(hard=0.0, soft=1e-9, **{part: 1.0})
    distill(job(tmp_path, recipe=replace(RECIPE, epochs=5)), Lesson(folder, parts), epochs.append)
    assert epochs[-1].loss < 0.8 * epochs[0].loss


def test_relations_of_the_same_model_do_not_diverge() -> None:
    torch.manual_seed(0)
    x, mask = torch.randn(2, 5, 12), torch.tensor([[True] * 5, [True] * 3 + [False] * 2])
    y = x.clone()
    y[1, 3:] = 9  # padding
    assert distill_loss.relation_divergence(y, x, mask, 3) == pytest.approx(0, abs=1e-6)
    assert distill_loss.relation_divergence(-2 * y, x, mask, 3) > 0.01
    assert distill_loss.relation_heads(128, 384) == 16
    assert distill_loss.relation_heads(32, 48) == 16
    assert distill_loss.relation_heads(33, 48) == 3


def test_soft_logits_are_learned_at_the_temperature() -> None:
    """As Hinton et al. have it; checked by NumPy."""
    logits, soft = torch.tensor([[1.0, -1.0]]), torch.tensor([[0.5, 2.0]])
    objective = distill_loss.Distillation(
        Weights(hard=0.25, soft=0.5, temperature=2.0), soft, torch.tensor([1])
    )
    p, q = np.exp([0.25, 1.0]), np.exp([0.5, -0.5])
    p, q = p / p.sum(), q / q.sum()
    right = 0.5 * 4 * (p * np.log(p / q)).sum() - 0.25 * np.log(np.exp(-1) / np.exp([1, -1]).sum())
    assert float(objective._of_logits(logits, [0])) == pytest.approx(right, rel=1e-5)


def test_texts_without_labels_count_by_the_teacher_alone() -> None:
    logits = torch.tensor([[1.0, -1.0], [3.0, 0.0]])
    objective = distill_loss.Distillation(Weights(), logits, torch.tensor([0]))
    assert float(objective._of_logits(logits[1:], [1])) == pytest.approx(0, abs=1e-6)
    assert float(objective._of_logits(logits[:1], [0])) > 0.01


@pytest.mark.parametrize("parts", [Weights(), Weights(hidden=0.5, relations=1.0)])
def test_an_interrupted_run_goes_on_and_ends_the_same(
    tmp_path: Path, folder: Path, parts: Weights, monkeypatch: pytest.MonkeyPatch
) -> None:
    lesson, recipe = Lesson(folder, parts, augment=1), replace(RECIPE, epochs=2)
    distill(job(tmp_path, recipe=recipe), lesson)
    whole = weights(tmp_path / "model.pt")
    for name in ("model.pt", "model.pt.teacher"):
        (tmp_path / name).unlink()

    def stop(epoch: finetune.Epoch) -> None:
        raise Interrupted

    with pytest.raises(Interrupted):
        distill(job(tmp_path, recipe=recipe), lesson, stop)
    monkeypatch.setattr("edgebert.train.distill.predict", None)  # the teacher is not asked again
    document = distill(job(tmp_path, recipe=recipe), lesson)
    assert document["epochs_run"] == 2
    assert_same(whole, weights(tmp_path / "model.pt"))


def test_a_teacher_that_was_interrupted_answers_the_rest(
    tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = job(tmp_path, recipe=replace(RECIPE, epochs=1))
    answers = tmp_path / "model.pt.teacher"
    monkeypatch.setattr("edgebert.train.answers.ASKED", 16)
    distill(options, Lesson(folder))
    whole = torch.load(answers, weights_only=True)["values"]
    answers.unlink()
    asked: list[int] = []

    def ask(model: Any, inputs: Any, pad: int) -> Any:
        asked.append(len(inputs))
        if len(asked) == 2:
            raise Interrupted
        return bert.predict(model, inputs, pad)

    monkeypatch.setattr("edgebert.train.distill.predict", ask)
    with pytest.raises(Interrupted):
        distill(options, Lesson(folder))
    distill(options, Lesson(folder))
    assert asked == [16, 16, 16, 4]  # the second time not answered; texts that come twice are one
    assert torch.equal(torch.load(answers, weights_only=True)["values"], whole)


def test_another_teacher_is_asked_anew_and_the_same_one_what_is_new(
    tmp_path: Path, folder: Path, teacher: Path
) -> None:
    kept = tmp_path / "answers"
    answers = []
    recipe = replace(RECIPE, epochs=1)
    for path, copies in ((folder, 0), (teacher, 0), (teacher, 1)):
        distill(job(tmp_path, recipe=recipe), Lesson(path, augment=copies, logits=kept))
        answers.append(torch.load(kept, weights_only=True)["values"])
    assert answers[0].shape == answers[1].shape and not torch.equal(answers[0], answers[1])
    assert len(answers[2]) > len(answers[1])
    assert torch.equal(answers[2][: len(answers[1])], answers[1])
    kept.write_bytes(b"damaged")
    distill(job(tmp_path, recipe=recipe), Lesson(teacher, augment=1, logits=kept))
    assert torch.load(kept, weights_only=True)["values"].shape == answers[2].shape


def test_what_would_fail_later_fails_before_the_teacher_is_asked(
    tmp_path: Path, folder: Path, teacher: Path
) -> None:
    with pytest.raises(DataError, match="create it first"):
        distill(job(tmp_path), Lesson(folder, logits=tmp_path / "none" / "answers"))
    with pytest.raises(DataError, match="is the teacher"):
        distill(job(tmp_path, output=teacher), Lesson(teacher))
    model = BertForSequenceClassification(bert_config())
    model.classifier.bias.data[0] = torch.nan
    with pytest.raises(ModelError, match="not finite"):
        distill(job(tmp_path), Lesson(save(model, tmp_path / "nan")))


def test_variants_drop_words_and_replace_them_by_like_ones(folder: Path) -> None:
    opened = open_teacher(folder)
    texts = [row.split("\t")[0] for row in color_rows(100, 0)]
    varied = augment.variants(texts, 3, opened, seed=1)
    assert len(varied) == 300
    assert varied == augment.variants(texts, 3, opened, seed=1)
    assert varied != augment.variants(texts, 3, opened, seed=2)
    changed = [a != b for a, b in zip(texts * 3, varied, strict=True)]
    assert 100 < sum(changed) < 250
    assert all(text and set(str(text).split()) <= set(WORDS) for text in varied)
    pairs = augment.variants([("a red car", "a dog")] * 20, 1, opened, seed=1)
    assert {len(pair) for pair in pairs} == {2}


@pytest.mark.parametrize("name", ["lines.txt", "lines.txt.xz"])
def test_unlabelled_text_is_sampled_evenly(tmp_path: Path, name: str) -> None:
    text = "".join(f"line {i}\n\n" for i in range(1000)).encode()
    (tmp_path / name).write_bytes(lzma.compress(text) if name.endswith("xz") else text)
    drawn = [int(line.split()[1]) for line in augment.sample_lines([tmp_path / name], 200, 0)]
    assert drawn == sorted(set(drawn))
    assert len(drawn) == 200
    assert np.mean(drawn) == pytest.approx(500, abs=80)
    assert len(augment.sample_lines([tmp_path / name], 5000, 0)) == 1000


def test_unlabelled_lines_are_cut_into_sentences(tmp_path: Path) -> None:
    (tmp_path / "more.txt").write_text('He said "no." Then (so it was) he went! Why? 3.5 times.\n')
    drawn = augment.sample_lines([tmp_path / "more.txt"], 9, 0, sentences=True)
    assert drawn == ['He said "no."', "Then (so it was) he went!", "Why?", "3.5 times."]


def test_unlabelled_text_joins_the_data(tmp_path: Path, folder: Path) -> None:
    (tmp_path / "more.txt").write_text("the yellow dog\none green house\n" * 50)
    recipe = replace(RECIPE, epochs=1)
    lesson = Lesson(folder, unlabelled=[tmp_path / "more.txt"], unlabelled_lines=70)
    document = distill(job(tmp_path, recipe=recipe), lesson)
    assert (document["texts"], document["unlabelled"], document["examples"]) == (230, 70, 160)
    (tmp_path / "more.txt").write_text("\n")
    with pytest.raises(DataError, match=r"more.txt.*no text"):
        distill(job(tmp_path, recipe=recipe), lesson)


def test_command_line(tmp_path: Path, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = job(tmp_path)
    files = ["--data", str(options.train), "--dev", str(options.dev), "-o", str(options.output)]
    arguments = ["distill", "--teacher", str(folder), *files, "--preset", "nano", "--epochs", "1"]
    assert main([*arguments, "--augment", "1", "--temperature", "3", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["weight_temperature"], document["texts"]) == (3, 320)
    assert main([*arguments, "--hard", "0", "--soft", "0"]) == 2
    assert main([*arguments, "--temperature", "0"]) == 2
    with pytest.raises(SystemExit):
        main([*arguments, "--hidden", "-1"])

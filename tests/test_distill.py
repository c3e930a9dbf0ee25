"""Distillation: a student learns from any teacher that fits, or says why not."""

from __future__ import annotations

import json
import lzma
import random
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgebert.cli import main
from edgebert.errors import DataError, ModelError
from edgebert.export.roles import WORD_EMBEDDINGS
from edgebert.tokenizer import Tokenizer

torch = pytest.importorskip("torch", reason="training needs torch: pip install 'edgebert[train]'")

from transformers import (  # noqa: E402
    BertForSequenceClassification,
    BertModel,
    DistilBertConfig,
    DistilBertForSequenceClassification,
)

from edgebert.export.vocabulary import build_tokenizer  # noqa: E402
from edgebert.train import augment, bert, distill_loss, finetune  # noqa: E402
from edgebert.train.checkpoint import load_torch  # noqa: E402
from edgebert.train.distill import Lesson, distill  # noqa: E402
from edgebert.train.distill_loss import Weights  # noqa: E402
from edgebert.train.run import Job, train  # noqa: E402
from edgebert.train.teacher import open_teacher  # noqa: E402
from edgebert.train.teacher_head import TeacherRecipe  # noqa: E402
from tests import test_train  # noqa: E402
from tests.teachers import LABELS, PIECES, WORDPIECE, WORDS, bert_config, copy, edit_config, save  # noqa: E402
from tests.test_train import CONFIG, RECIPE, Interrupted, assert_same, color_rows, weights  # noqa: E402

HOT = {"red", "yellow"}


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Knows warm from cold: a model.pt trained on the labels, and so quick to make."""
    folder = tmp_path_factory.mktemp("teacher")
    config = replace(CONFIG, intermediate_size=40)
    train(job(folder, config=config, recipe=replace(RECIPE, epochs=5, patience=5)))
    return folder / "model.pt"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A BERT of Hugging Face, random but for what tells warm from cold."""
    torch.manual_seed(0)
    model = BertForSequenceClassification(bert_config())
    optimizer = torch.optim.Adam(model.parameters(), 5e-3)
    for _ in range(30):
        ids = torch.tensor([[2, 6, i, 13, 3] for i in range(8, 12)])
        labels = torch.tensor([int(PIECES[i] in HOT) for i in range(8, 12)])
        loss = model(input_ids=ids, labels=labels).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return save(model, tmp_path_factory.mktemp("bert") / "teacher")


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


def swapped(folder: Path, to: Path, names: list[str]) -> Path:
    """The teacher with its logits in the other order, under these names."""
    model = BertForSequenceClassification.from_pretrained(folder)
    with torch.no_grad():
        for values in (model.classifier.weight, model.classifier.bias):
            values.copy_(values.flip(0))
    model.config.id2label = dict(enumerate(names))
    return save(model, to)


def test_labels_are_matched_by_name(tmp_path: Path, folder: Path) -> None:
    other = swapped(folder, tmp_path / "swapped", ["WARM", "Cold"])
    document = distill(job(tmp_path, recipe=replace(RECIPE, epochs=1)), Lesson(other))
    assert document["teacher"]["dev"]["accuracy"] == 1


def test_labels_without_names_are_taken_in_order_and_said_so(tmp_path: Path, folder: Path) -> None:
    other = copy(folder, tmp_path / "nameless")
    edit_config(other, lambda c: c.update(id2label={"0": "LABEL_0", "1": "LABEL_1"}))
    said: list[str] = []
    document = distill(
        job(tmp_path, recipe=replace(RECIPE, epochs=1)), Lesson(other), say=said.append
    )
    assert "taken in sorted order: LABEL_0 = cold, LABEL_1 = warm" in said[0]
    assert document["teacher"]["dev"]["accuracy"] == 1


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["LABEL_0", "LABEL_1"], r"agrees with only 0% of the labels .*id2label"),
        (["cold", "hot"], r"does not know the label\(s\) warm .*only cold, hot: rename"),
    ],
)
def test_labels_that_do_not_fit_are_refused(
    tmp_path: Path, folder: Path, names: list[str], message: str
) -> None:
    other = swapped(folder, tmp_path / "swapped", names)
    with pytest.raises(ModelError, match=message):
        distill(job(tmp_path), Lesson(other))


def test_another_number_of_labels_is_refused(tmp_path: Path) -> None:
    three = {i: name for i, name in enumerate(["a", "b", "c"])}
    other = save(BertForSequenceClassification(bert_config(id2label=three)), tmp_path / "three")
    with pytest.raises(ModelError, match=r"knows 3 .*the data 2 \(cold, warm\).*--fine-tune"):
        distill(job(tmp_path), Lesson(other))


def test_a_teacher_of_the_same_shape_hands_over_its_weights(tmp_path: Path) -> None:
    torch.manual_seed(0)
    config = bert_config(
        hidden_size=32, num_hidden_layers=1, intermediate_size=48, id2label={0: "warm", 1: "cold"}
    )
    model = BertForSequenceClassification(config)
    other = save(model, tmp_path / "same")
    said: list[str] = []
    options = job(tmp_path, recipe=replace(RECIPE, epochs=1, lr=1e-9))
    lesson = Lesson(other)
    distill(options, lesson, say=said.append)
    assert "fresh: none" in said[2]
    got, given = weights(options.output), model.state_dict()
    positions = "bert.embeddings.position_embeddings.weight"
    for name, values in got.items():
        expected = given[name]
        if name == positions:
            expected = expected[:16]
        elif name.startswith("classifier"):
            expected = expected.flip(0)
        torch.testing.assert_close(values, expected, atol=1e-6, rtol=0)
    assert WORD_EMBEDDINGS not in got


def test_an_encoder_without_a_head_is_fine_tuned_and_kept(tmp_path: Path) -> None:
    torch.manual_seed(0)
    bare = save(BertModel(bert_config()), tmp_path / "bare")
    with pytest.raises(ModelError, match=r"BertModel has no head .*--fine-tune-teacher"):
        distill(job(tmp_path), Lesson(bare))
    head, recipe = tmp_path / "head", TeacherRecipe(epochs=12, lr=5e-3)
    lesson = Lesson(bare, head=head, teacher_recipe=recipe)
    document = distill(job(tmp_path, recipe=replace(RECIPE, epochs=1)), lesson)
    assert document["teacher"]["dev"]["accuracy"] > 0.9
    assert open_teacher(head).labels == ("cold", "warm")
    before = (head / "model.safetensors").stat().st_mtime_ns
    distill(job(tmp_path, recipe=replace(RECIPE, epochs=1)), lesson)
    assert (head / "model.safetensors").stat().st_mtime_ns == before
    other = replace(lesson, teacher_recipe=TeacherRecipe(epochs=5))
    with pytest.raises(ModelError, match=r"was not fine-tuned from .*remove it or name another"):
        distill(job(tmp_path), other)
    assert sorted(p.name for p in tmp_path.iterdir() if "head" in p.name) == ["head"]


def test_a_teacher_whose_fine_tuning_was_interrupted_ends_the_same(tmp_path: Path) -> None:
    torch.manual_seed(0)
    bare = save(BertModel(bert_config()), tmp_path / "bare")
    options = job(tmp_path, recipe=replace(RECIPE, epochs=1))

    def lesson(name: str) -> Lesson:
        return Lesson(bare, head=tmp_path / name, teacher_recipe=TeacherRecipe(epochs=2))

    def stop(line: str) -> None:
        if line.startswith("teacher 1/2"):
            raise Interrupted

    distill(options, lesson("whole"))
    with pytest.raises(Interrupted):
        distill(options, lesson("stopped"), say=stop)
    assert not (tmp_path / "stopped").exists()
    distill(options, lesson("stopped"))
    states = [open_teacher(tmp_path / name).state_dict() for name in ("whole", "stopped")]
    assert_same(*states)


def test_weights_in_a_bin_file_are_read_but_never_run(tmp_path: Path, folder: Path) -> None:
    model = BertForSequenceClassification.from_pretrained(folder)
    old = copy(folder, tmp_path / "old")
    (old / "model.safetensors").unlink()
    torch.save(model.state_dict(), old / "pytorch_model.bin")
    document = distill(job(tmp_path, recipe=replace(RECIPE, epochs=1)), Lesson(old))
    assert document["teacher"]["dev"]["accuracy"] == 1

    class Hostile:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path.touch, (tmp_path / "ran",))

    torch.save({**model.state_dict(), "x": Hostile()}, old / "pytorch_model.bin")
    with pytest.raises(ModelError, match=r"old: Transformers cannot read it"):
        distill(job(tmp_path), Lesson(old))
    assert not (tmp_path / "ran").exists()


def test_code_in_a_folder_is_not_run(tmp_path: Path, folder: Path) -> None:
    other = copy(folder, tmp_path / "code")
    (other / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\nclass Config: pass\n")
    kinds = {"AutoConfig": "evil.Config", "AutoModelForSequenceClassification": "evil.Config"}
    edit_config(other, lambda c: c.update(auto_map=kinds, model_type="of-its-own"))
    with pytest.raises(ModelError, match="Transformers cannot read it"):
        distill(job(tmp_path), Lesson(other))
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        ("missing", "does not exist"),
        ("no config", r"no config.json"),
        ("no weights", r"holds none of \*.safetensors"),
        ("no tokenizer", r"holds none of tokenizer.json"),
        ("truncated", "Transformers cannot read it"),
        ("config", "Transformers cannot read it"),
        ("a layer less", r"not whole: .*layer.2"),
    ],
)
def test_a_bad_folder_is_one_line(
    tmp_path: Path, folder: Path, damage: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = tmp_path / "bad"
    if damage != "missing":
        copy(folder, bad)
    if damage == "no config":
        (bad / "config.json").unlink()
    elif damage == "no weights":
        (bad / "model.safetensors").unlink()
    elif damage == "no tokenizer":
        (bad / "vocab.txt").unlink()
        (bad / "tokenizer.json").unlink()
    elif damage == "truncated":
        data = (bad / "model.safetensors").read_bytes()
        (bad / "model.safetensors").write_bytes(data[:-100])
    elif damage == "config":
        (bad / "config.json").write_text("{")
    elif damage == "a layer less":
        smaller = BertForSequenceClassification(bert_config(num_hidden_layers=2))
        smaller.save_pretrained(bad)
        edit_config(bad, lambda c: c.update(num_hidden_layers=3))
    options = job(tmp_path)
    files = ["--data", str(options.train), "--dev", str(options.dev), "-o", str(options.output)]
    capsys.readouterr()
    assert main(["distill", "--teacher", str(bad), *files, "--preset", "nano"]) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    with pytest.raises(ModelError, match=message):
        distill(options, Lesson(bad))


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


def test_layers_need_the_teachers_tokens(tmp_path: Path, folder: Path) -> None:
    options = job(tmp_path, tokenizer=Tokenizer(build_tokenizer("wordpiece", PIECES[:7])))
    with pytest.raises(ModelError, match=r"have the student's tokens.*--vocab"):
        distill(options, Lesson(folder, Weights(relations=1.0)))
    distill(replace(options, recipe=replace(RECIPE, epochs=1)), Lesson(folder))


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

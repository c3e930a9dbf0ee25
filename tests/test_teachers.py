"""Teachers: which are taken, whose logits are which labels, and heads that are trained first."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from edgebert.cli import main
from edgebert.errors import ModelError
from edgebert.export.roles import WORD_EMBEDDINGS
from edgebert.tokenizer import Tokenizer

torch = pytest.importorskip("torch", reason="training needs torch: pip install 'edgebert[train]'")

from transformers import (  # noqa: E402
    BertForSequenceClassification,
    BertModel,
)

from edgebert.export.vocabulary import build_tokenizer  # noqa: E402
from edgebert.train.distill import Lesson, distill  # noqa: E402
from edgebert.train.distill_loss import Weights  # noqa: E402
from edgebert.train.run import Job  # noqa: E402
from edgebert.train.teacher import open_teacher  # noqa: E402
from edgebert.train.teacher_head import TeacherRecipe  # noqa: E402
from tests import test_train  # noqa: E402
from tests.teachers import (  # noqa: E402
    PIECES,
    WORDPIECE,
    bert_config,
    copy,
    edit_config,
    save,
    warm_bert,
)
from tests.test_train import RECIPE, Interrupted, assert_same, weights  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return warm_bert(tmp_path_factory.mktemp("bert") / "teacher")


def job(tmp_path: Path, **changes: Any) -> Job:
    return test_train.job(tmp_path, **{"tokenizer": WORDPIECE, **changes})


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


def test_layers_need_the_teachers_tokens(tmp_path: Path, folder: Path) -> None:
    options = job(tmp_path, tokenizer=Tokenizer(build_tokenizer("wordpiece", PIECES[:7])))
    with pytest.raises(ModelError, match=r"have the student's tokens.*--vocab"):
        distill(options, Lesson(folder, Weights(relations=1.0)))
    distill(replace(options, recipe=replace(RECIPE, epochs=1)), Lesson(folder))

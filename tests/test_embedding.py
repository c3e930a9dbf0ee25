"""Sentence encoders: a student learns the vectors of a teacher, or says why it cannot."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import edgebert
from edgebert.cli import main
from edgebert.errors import DataError, ModelError
from edgebert.export.roles import state_shapes

torch = pytest.importorskip("torch", reason="training needs torch: pip install 'edgebert[train]'")

from transformers import BertModel  # noqa: E402

from edgebert.export.checkpoint import read_checkpoint  # noqa: E402
from edgebert.train import bert, embed, finetune, sentence_teacher  # noqa: E402
from edgebert.train.embed import Job, distill_embedding  # noqa: E402
from edgebert.train.run import train  # noqa: E402
from edgebert.train.sentence_teacher import SentenceTeacher, digest_of, vectors_of  # noqa: E402
from tests import test_train  # noqa: E402
from tests.teachers import WORDPIECE, WORDS, bert_config, copy, save  # noqa: E402
from tests.test_train import CONFIG, RECIPE, Interrupted, assert_same, weights, write  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_thread")

WIDTH = 48  # of the teacher's vectors; the student's are shorter


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random encoder: its vectors tell words apart."""
    torch.manual_seed(0)
    config = bert_config(hidden_size=WIDTH, num_hidden_layers=1, initializer_range=0.3)
    return save(BertModel(config), tmp_path_factory.mktemp("teacher") / "encoder")


def lines(count: int, seed: int = 0) -> list[str]:
    rng = random.Random(seed)
    return [" ".join(rng.choices(WORDS, k=rng.randint(2, 6))) for _ in range(count)]


def job(tmp_path: Path, teacher: Path, **changes: object) -> Job:
    text = tmp_path / "text.txt"
    text.write_text("\n".join(lines(400)) + "\n")
    values: dict[str, Any] = {
        "config": CONFIG,
        "tokenizer": WORDPIECE,
        "output": tmp_path / "model.pt",
        "recipe": replace(RECIPE, dropout=0.0),
        "teacher": teacher,
        "paths": [text],
        "lines": 1000,
    }
    return Job(**{**values, **changes})


@pytest.mark.parametrize("similarity", [0.0, 1.0])
def test_a_student_learns_the_vectors_of_a_teacher(
    tmp_path: Path, teacher: Path, similarity: float
) -> None:
    recipe = replace(RECIPE, epochs=12, patience=12, dropout=0.0)
    document = distill_embedding(job(tmp_path, teacher, recipe=recipe, similarity=similarity))
    assert document["task"] == "embedding" and document["metric"] == "agreement"
    assert document["dev"]["cosine"] > 0.7
    assert document["dev"]["agreement"] > 0.6
    assert document["epochs"][-1]["loss"] < document["epochs"][0]["loss"] / 2


def test_the_checkpoint_is_exported_and_gives_unit_vectors(
    tmp_path: Path, teacher: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = job(tmp_path, teacher, recipe=replace(RECIPE, epochs=1))
    distill_embedding(options)
    config = read_checkpoint(options.output).config
    shapes = {name: tuple(values.shape) for name, values in weights(options.output).items()}
    assert shapes == state_shapes(config)
    assert main(["export", str(options.output), "-o", str(tmp_path), "--to", "ebm", "--json"]) == 0
    (artifact,) = json.loads(capsys.readouterr().out)
    assert artifact["difference"] < 1e-5
    models = [edgebert.load(tmp_path / name) for name in ("model.pt", "model.ebm")]
    a, b = (model.encode(["a red car", "the dog", ""]) for model in models)
    np.testing.assert_allclose(a, b, atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(b, axis=1), 1, atol=1e-5)
    pairs = write(tmp_path / "pairs.tsv", "text\ttext_b\tlabel", ["a dog\ta car\t1", "a\tdog\t2.5"])
    assert main(["eval", str(tmp_path / "model.ebm"), "--data", str(pairs), "--json"]) == 0
    (report,) = json.loads(capsys.readouterr().out)
    assert set(report["metrics"]) == {"pearson", "spearman"}
    write(tmp_path / "single.tsv", "text\tlabel", ["a dog\t1"])
    data = str(tmp_path / "single.tsv")
    assert main(["eval", str(tmp_path / "model.ebm"), "--data", data]) == 1
    assert "single.tsv: holds single texts" in capsys.readouterr().err


def test_others_start_from_it(tmp_path: Path, teacher: Path) -> None:
    options = job(tmp_path, teacher, recipe=replace(RECIPE, epochs=1))
    distill_embedding(options)
    recipe = replace(RECIPE, epochs=1, lr=1e-9)
    labelled = test_train.job(
        tmp_path, tokenizer=WORDPIECE, init=options.output, recipe=recipe, output=tmp_path / "c.pt"
    )
    train(labelled)
    name = "bert.encoder.layer.0.output.dense.weight"
    torch.testing.assert_close(weights(options.output)[name], weights(labelled.output)[name])


def test_an_interrupted_run_goes_on_and_ends_the_same(tmp_path: Path, teacher: Path) -> None:
    options = job(tmp_path, teacher)
    distill_embedding(options)
    whole = weights(options.output)
    options.output.unlink()

    def stop(epoch: finetune.Epoch) -> None:
        if epoch.number == 2:
            raise Interrupted

    with pytest.raises(Interrupted):
        distill_embedding(options, stop)
    distill_embedding(options)
    assert_same(whole, weights(options.output))


def test_the_teacher_is_asked_once_and_goes_on_where_it_was(
    tmp_path: Path, teacher: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sentence_teacher, "ASKED", 8)
    texts, path = lines(20), tmp_path / "vectors"
    model = SentenceTeacher(teacher)
    asked: list[int] = []
    encode = model.encode

    def count(texts: list[str], limit: int) -> list[bert.Encoded]:
        asked.append(len(texts))
        return encode(texts, limit)

    monkeypatch.setattr(model, "encode", count)

    def ask(texts: list[str]) -> Any:
        asked.clear()
        return np.array(vectors_of(model, texts, digest_of(model, texts), path, lambda line: None))

    whole = ask(texts)
    assert asked == [8, 8, 4]
    np.testing.assert_array_equal(ask(texts), whole)
    assert asked == []
    path.write_bytes(path.read_bytes()[: -7 * 2 * WIDTH - 5])  # within the second piece
    np.testing.assert_array_equal(ask(texts), whole)
    assert asked == [8, 4]
    ask(texts[::-1])
    assert asked == [8, 8, 4]


def test_a_teachers_vector_is_the_mean_of_its_tokens_or_that_of_cls(
    tmp_path: Path, teacher: Path
) -> None:
    folder = copy(teacher, tmp_path / "cls")
    mean = SentenceTeacher(folder)
    (folder / "1_Pooling").mkdir()
    modes = {"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False}
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(modes))
    for model, of_cls in ((mean, False), (SentenceTeacher(folder), True)):
        inputs = model.encode(["a red car", "dog"], 16)
        pooled = bert.predict(model, inputs, model.pad).pooled
        hidden = model.network(input_ids=inputs[1].ids[None]).last_hidden_state[0]
        expected = hidden[0] if of_cls else hidden.mean(0)
        torch.testing.assert_close(pooled[1], expected / expected.norm(), atol=1e-5, rtol=0)
    modes = {"pooling_mode_max_tokens": True}
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(modes))
    with pytest.raises(ModelError, match="pools by pooling_mode_max_tokens"):
        SentenceTeacher(folder)


def test_the_projection_keeps_as_much_as_any() -> None:
    """Eckart and Young: what is left out are the smallest singular values."""
    rng = np.random.default_rng(0)
    vectors = (rng.normal(size=(200, 12)) * 2.0 ** -np.arange(12)).astype(np.float16)
    basis, share = embed.principal_directions(vectors, 4)
    np.testing.assert_allclose(basis.T @ basis, np.eye(4), atol=1e-5)
    singular = np.linalg.svd(vectors.astype(np.float64), compute_uv=False) ** 2
    assert share == pytest.approx(singular[:4].sum() / singular.sum(), rel=1e-5)
    kept = np.square(vectors.astype(np.float64) @ basis).sum()
    assert kept == pytest.approx(singular[:4].sum(), rel=1e-4)
    lengths = np.linalg.norm(embed.project(vectors, basis).astype(np.float32), axis=1)
    np.testing.assert_allclose(lengths, 1, atol=2e-3)


def test_dev_pairs_decide_where_they_are_given(tmp_path: Path, teacher: Path) -> None:
    pairs = [f"{a}\t{b}\t{n}.5" for n, (a, b) in enumerate(zip(lines(9), lines(9, 1), strict=True))]
    dev = write(tmp_path / "pairs.tsv", "text\ttext_b\tlabel", pairs)
    document = distill_embedding(job(tmp_path, teacher, dev=dev, recipe=replace(RECIPE, epochs=1)))
    assert document["metric"] == "spearman"
    assert set(document["dev"]) == {"cosine", "agreement", "pearson", "spearman"}


def test_files_that_do_not_fit_are_refused(tmp_path: Path, teacher: Path) -> None:
    single = write(tmp_path / "single.tsv", "text\tlabel", ["a dog\t1.0"])
    with pytest.raises(DataError, match=r"single.tsv: holds single texts: --dev takes pairs"):
        distill_embedding(job(tmp_path, teacher, dev=single))
    words = write(tmp_path / "words.tsv", "text\ttext_b\tlabel", ["a\tb\tsame"])
    with pytest.raises(DataError, match=r"words.tsv:2: the label 'same' is not a number"):
        distill_embedding(job(tmp_path, teacher, dev=words))
    with pytest.raises(DataError, match=r"text.txt: 40 lines are too little text"):
        distill_embedding(job(tmp_path, teacher, lines=40))
    wide = replace(CONFIG, hidden_size=64, hash=replace(CONFIG.hash, dimension=64))
    with pytest.raises(DataError, match=r"have 48 numbers, fewer than the 64 of the student"):
        distill_embedding(job(tmp_path, teacher, config=wide))
    with pytest.raises(ModelError, match=r"none does not exist"):
        distill_embedding(job(tmp_path, tmp_path / "none"))
    with pytest.raises(DataError, match=r"single.tsv holds something else"):
        distill_embedding(job(tmp_path, teacher, vectors=single))
    assert single.exists()
    with pytest.raises(ModelError, match=r"none.pt does not exist"):
        distill_embedding(job(tmp_path, teacher, init=tmp_path / "none.pt"))
    assert not list(tmp_path.glob("*.teacher"))  # nobody was asked before


def test_command_line(tmp_path: Path, teacher: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = job(tmp_path, teacher).paths[0]
    (tmp_path / "vocab.txt").write_text("\n".join(WORDS) + "\n")
    files = ["--teacher", str(teacher), "--data", str(text), "-o", str(tmp_path / "m.pt")]
    options = ["--hidden-size", "32", "--intermediate-size", "32", "--epochs", "1", "--sentences"]
    kept = ["--teacher-vectors", str(tmp_path / "kept"), "--tokenizer", "word"]
    assert main(["distill-embedding", *files, *options, *kept, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["task"] == "embedding" and document["dropout"] == 0.0
    assert (tmp_path / "kept").exists() and edgebert.load(tmp_path / "m.pt").labels == ()

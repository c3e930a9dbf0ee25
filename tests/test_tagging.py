"""Tags of words: they are learned, alone or with labels, and mean the same behind every door."""

from __future__ import annotations

import itertools
import json
import random
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import edgebert
from edgebert.cli import main
from edgebert.errors import DataError
from edgebert.sequence import NO_WORD, from_texts
from edgebert.tokenizer import Tokenizer

torch = pytest.importorskip("torch", reason="training needs torch: pip install 'edgebert[train]'")

from edgebert.export.checkpoint import read_checkpoint  # noqa: E402
from edgebert.export.roles import state_shapes  # noqa: E402
from edgebert.train import augment, bert, finetune, tags, transitions  # noqa: E402
from edgebert.train.checkpoint import load_torch  # noqa: E402
from edgebert.train.run import Job, train  # noqa: E402
from edgebert.train.targets import Targets  # noqa: E402
from edgebert.tsv import Dataset, read_tsv  # noqa: E402
from tests import test_train  # noqa: E402
from tests.test_train import CONFIG, RECIPE, Interrupted, assert_same, weights, write  # noqa: E402

CITIES = ["rome", "oslo", "new york", "los angeles"]
WORDPIECE = Tokenizer.wordpiece()


pytestmark = pytest.mark.usefixtures("one_thread")


def rows(count: int, seed: int, label: bool = True) -> list[str]:
    """Texts with a city, which is an entity of one word or two."""
    rng = random.Random(seed)
    result = []
    for _ in range(count):
        verb, city = rng.choice(["fly", "stay"]), rng.choice(CITIES)
        tagged = " ".join(["B-city", "I-city"][: len(city.split())])
        result.append(f"{verb} in {city} now\t{verb if label else '-'}\tO O {tagged} O")
    return result


def job(tmp_path: Path, label: bool = True, **changes: object) -> Job:
    values = {
        "train": write(tmp_path / "tagged.tsv", "text\tlabel\ttags", rows(160, 0, label)),
        "dev": write(tmp_path / "tagged-dev.tsv", "text\tlabel\ttags", rows(40, 1, label)),
    }
    return test_train.job(tmp_path, **{**values, **changes})


@pytest.mark.parametrize("label", [True, False])
def test_tags_are_learned_with_labels_and_alone(tmp_path: Path, label: bool) -> None:
    document = train(job(tmp_path, label, recipe=replace(RECIPE, epochs=9, patience=9)))
    assert document["task"] == ("classification" if label else "tagging")
    assert document["labels"] == (["fly", "stay"] if label else [])
    assert document["tags"] == ["O", "B-city", "I-city"]
    assert document["dev"]["span_f1"] > 0.9
    assert ("accuracy" in document["dev"]) is label
    assert document["metric"] == ("accuracy+span_f1" if label else "span_f1")
    if label:
        mean = (document["dev"]["accuracy"] + document["dev"]["span_f1"]) / 2
        assert document["dev"]["accuracy+span_f1"] == pytest.approx(mean)


@pytest.mark.parametrize("label", [True, False])
def test_the_checkpoint_is_what_export_expects(tmp_path: Path, label: bool) -> None:
    """Weights by name, and a probe that PyTorch answers again."""
    options = job(tmp_path, label, recipe=replace(RECIPE, epochs=1))
    train(options)
    checkpoint = read_checkpoint(options.output)
    shapes = {name: values.shape for name, values in checkpoint.state.items()}
    assert shapes == state_shapes(checkpoint.config)
    assert ("classifier.weight" in shapes) is label
    probe = checkpoint.probe
    assert probe is not None and probe.tags is not None and probe.pooled is not None
    again = bert.answers(*load_torch(options.output), probe.texts)
    assert again.tag_scores is not None and again.pooled is not None
    np.testing.assert_allclose(again.logits, probe.logits, atol=1e-6)
    np.testing.assert_allclose(again.pooled, probe.pooled, atol=1e-6)
    for scores, expected in zip(again.tag_scores, probe.tags, strict=True):
        assert scores.argmax(1).tolist() == expected[expected >= 0].tolist()


def test_an_interrupted_run_goes_on_and_ends_the_same(tmp_path: Path) -> None:
    options = job(tmp_path)
    train(options)
    whole = weights(options.output)
    options.output.unlink()

    def stop(epoch: finetune.Epoch) -> None:
        if epoch.number == 2:
            raise Interrupted

    with pytest.raises(Interrupted):
        train(options, stop)
    train(options)
    assert_same(whole, weights(options.output))


def test_the_weight_of_tags_is_part_of_what_a_run_depends_on(tmp_path: Path) -> None:
    options = job(tmp_path, recipe=replace(RECIPE, epochs=1))
    states = []
    for weight in (1.0, 0.5):
        train(replace(options, tag_weight=weight))
        states.append(weights(options.output))
    assert not torch.equal(states[0]["tagger.weight"], states[1]["tagger.weight"])


def test_without_a_weight_tags_are_left_out(tmp_path: Path) -> None:
    options = job(tmp_path, tag_weight=0.0, recipe=replace(RECIPE, epochs=1))
    document = train(options)
    assert document["tags"] == [] and document["metric"] == "accuracy"
    assert "tagger.weight" not in weights(options.output)


def dataset(text: str, names: str) -> Dataset:
    return Dataset(Path("data.tsv"), [text], ["-"], [2], [names.split()])


@pytest.mark.parametrize(
    ("tokenizer", "text", "firsts"),
    [
        (Tokenizer.word(), "fly to rome", [1, 2, 3]),
        (WORDPIECE, "unbelievably l.a. rome", [1, 4, 8]),  # un ##bel ... : l . a .
        (Tokenizer.word(), "fly \x07 rome", [1, -1, 2]),  # a word of control characters alone
        (Tokenizer.word(), "a b c d e", [1, 2, -1, -1, -1]),  # cut at four tokens
    ],
)
def test_a_words_tag_is_that_of_its_first_token(
    tokenizer: Tokenizer, text: str, firsts: list[int]
) -> None:
    config = replace(CONFIG, max_position_embeddings=4 if text == "a b c d e" else 16)
    data = dataset(text, " ".join(["B-x"] * len(text.split(" "))))
    (found,) = tags.first_tokens(data, tokenizer, config)
    if tokenizer is WORDPIECE:
        words = text.split(" ")
        counts = [len(tokenizer.tokenize(word)) for word in words]
        firsts = [1 + sum(counts[:i]) for i in range(len(words))]
        assert max(counts) > 1
    assert found.tolist() == firsts
    (target,) = tags.targets(data, [found], ("O", "B-x"))
    asked = [i for i, value in enumerate(target.tolist()) if value != transitions.NO_TARGET]
    assert asked == [i for i in firsts if i >= 0]


def test_other_tokens_tags_change_neither_loss_nor_score() -> None:
    data = dataset("aa bb", "O B-x")
    names, firsts = ("O", "B-x"), [torch.tensor([1, 3])]
    judge = tags.SpanJudge(data, firsts, names)
    free = torch.zeros(2, 3)
    for between in (0, 1):
        scores = np.eye(2, dtype=np.int16)[[between, 0, between, 1, between]]
        assert judge(bert.Predictions(torch.zeros(1, 0), None, [scores], free.numpy()))["span_f1"]

    def says(first: float) -> bert.Output:
        tag_logits = torch.tensor([[[first, 0], [3.0, 0], [first, 0], [0, 2.0], [first, 0]]])
        return bert.Output(torch.zeros(1, 0), torch.zeros(1, 1), tag_logits)

    objective = finetune.Labelled(Targets(None, tags=tags.targets(data, firsts, names)))

    class Says:
        tag_transitions = free

        def __init__(self, first: float) -> None:
            self.first = first

        def __call__(self) -> bert.Output:
            return says(self.first)

    losses = [float(objective(Says(first), {}, [0])) for first in (-5.0, 5.0)]
    expected = (np.log1p(np.exp(-3)) + np.log1p(np.exp(-2))) / 2  # of the two first tokens
    assert losses == pytest.approx([expected] * 2, rel=1e-5)


def test_the_loss_of_tags_is_the_likelihood_among_all_sequences() -> None:
    """Texts of 0 to 3 words, some with tokens between them, against all paths written out."""
    torch.manual_seed(0)
    no = transitions.NO_TARGET
    targets = torch.tensor([[no, 2, no, 0, 1], [no, no, no, no, no], [1, 1, no, no, no]])
    logits = torch.randn(3, 5, 3, dtype=torch.float64, requires_grad=True)
    between = (3 * torch.randn(3, 4, dtype=torch.float64)).requires_grad_()

    def score(row: int, path: tuple[int, ...]) -> Any:
        words = [i for i, target in enumerate(targets[row].tolist()) if target != no]
        befores = (3, *path[:-1])
        return sum(
            logits[row, i, tag] + between[tag, before]
            for i, tag, before in zip(words, path, befores, strict=True)
        )

    expected = 0
    for row in (0, 2):
        right = tuple(target for target in targets[row].tolist() if target != no)
        paths = itertools.product(range(3), repeat=len(right))
        everything = torch.stack([score(row, path) for path in paths]).logsumexp(0)
        expected = expected + (everything - score(row, right)) / 5
    loss = transitions.path_loss(logits, between, targets)
    torch.testing.assert_close(loss, expected)
    found = torch.autograd.grad(loss, (logits, between))
    torch.testing.assert_close(found, torch.autograd.grad(expected, (logits, between)))
    nothing = transitions.path_loss(logits, between, torch.full((3, 5), no))
    assert nothing == 0 and nothing.requires_grad


def test_training_starts_with_what_bio_allows() -> None:
    starts = transitions.first_transitions(("O", "B-x", "I-x", "I-y"))
    least = transitions.LEAST
    assert starts[:2].eq(0).all()
    assert starts[2].tolist() == [least, 0, 0, least, least]
    assert starts[3].tolist() == [least, least, least, 0, least]


def test_tags_that_training_never_saw_count_as_missed(tmp_path: Path) -> None:
    dev = write(tmp_path / "other.tsv", "text\tlabel\ttags", ["fly now\tfly\tO B-time"])
    document = train(job(tmp_path, dev=dev, recipe=replace(RECIPE, epochs=1)))
    assert document["dev"]["span_recall"] == 0


def test_data_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    plain = write(tmp_path / "plain.tsv", "text\tlabel", ["fly now\tfly", "stay\tstay"])
    with pytest.raises(DataError, match=r"plain.tsv: has no column tags"):
        train(job(tmp_path, dev=plain))
    with pytest.raises(DataError, match=r"plain.tsv: nothing to learn: tagging takes"):
        train(job(tmp_path, train=plain, dev=plain, task="tagging"))
    with pytest.raises(DataError, match=r"tagging is measured by span_f1"):
        train(job(tmp_path, label=False, metric="accuracy"))


def test_distillation_says_that_it_leaves_tags_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = job(tmp_path, recipe=replace(RECIPE, epochs=1), tag_weight=0.0)
    train(options)
    files = ["--data", str(options.train), "--dev", str(options.dev)]
    student = str(tmp_path / "student.pt")
    arguments = ["--preset", "nano", "--tokenizer", "word", "--epochs", "1", "-o", student]
    assert main(["distill", "--teacher", str(options.output), *files, *arguments]) == 0
    assert "tagged.tsv: the teacher knows nothing of its tags" in capsys.readouterr().out
    assert read_checkpoint(student).config.tags == ()


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with model.pt, model.ebm and the data: it knows cities and verbs."""
    folder = tmp_path_factory.mktemp("trained")
    options = job(folder, recipe=replace(RECIPE, epochs=9, patience=9))
    train(options)
    assert main(["export", str(options.output), "-o", str(folder), "--to", "ebm"]) == 0
    return folder


def test_pytorch_and_the_c_library_find_the_same(trained: Path) -> None:
    data = read_tsv(trained / "tagged-dev.tsv")
    torch, native = (edgebert.load(trained / name) for name in ("model.pt", "model.ebm"))
    texts = [*data.texts, "", "new york", "stay in " * 9]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", edgebert.TruncationWarning)
        answers = [model.infer(texts) for model in (torch, native)]
        np.testing.assert_allclose(torch.encode(texts), native.encode(texts), atol=2e-5)
    assert [result.entities for result in answers[0]] == [r.entities for r in answers[1]]
    assert any(result.entities for result in answers[0])


def test_evaluation_agrees_with_training_on_every_engine(
    trained: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    models = [str(trained / name) for name in ("model.pt", "model.ebm")]
    assert main(["eval", *models, "--data", str(trained / "tagged-dev.tsv"), "--json"]) == 0
    torch_report, native = json.loads(capsys.readouterr().out)
    assert torch_report["metrics"] == pytest.approx(native["metrics"])
    scores = torch.load(models[0], weights_only=True)["training"]["dev"]
    mean = scores.pop("accuracy+span_f1")  # which only chooses
    assert native["metrics"] == pytest.approx(scores)
    assert mean > 0.9


def test_infer_prints_entities_with_their_place(
    trained: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model, text = str(trained / "model.ebm"), "fly in new york now"
    assert main(["infer", "-m", model, text]) == 0
    label, score, entities, shown = capsys.readouterr().out.rstrip("\n").split("\t")
    assert (label, entities, shown) == ("fly", "city=new york [7:15]", text)
    assert float(score) > 0.5
    assert main(["infer", "-m", model, text, "--json"]) == 0
    (result,) = json.loads(capsys.readouterr().out)["results"]
    assert result["entities"] == [{"type": "city", "text": "new york", "begin": 7, "end": 15}]


def test_a_model_of_tags_alone_prints_no_label(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = job(tmp_path, label=False, recipe=replace(RECIPE, epochs=1))
    train(options)
    assert main(["infer", "-m", str(options.output), "fly now", "--json"]) == 0
    (result,) = json.loads(capsys.readouterr().out)["results"]
    assert set(result) == {"text", "entities", "num_dropped"}
    assert main(["infer", "-m", str(options.output), "fly now"]) == 0
    assert capsys.readouterr().out.count("\t") == 1
    plain = write(tmp_path / "plain.tsv", "text\tlabel", ["fly now\tfly"])
    assert main(["eval", str(options.output), "--data", str(plain)]) == 1
    assert "plain.tsv: has no column tags" in capsys.readouterr().err


@given(st.lists(st.text(min_size=1, max_size=4).filter(lambda w: w.split() == [w]), max_size=5))
def test_words_of_the_data_are_those_of_the_c_library(words: list[str]) -> None:
    """As far as tsv.py takes them: then they are what str.split() finds."""
    text = " ".join(words)
    (rows,) = from_texts(Tokenizer.word(), [text], 64, words=True).words
    utf8 = text.encode(errors="surrogatepass")
    for index, begin, end in rows.tolist():
        if index != NO_WORD:
            assert utf8[begin:end].decode(errors="surrogatepass") == words[index]


def test_words_of_public_data_are_divided_by_spaces_alone(shared_data: Path) -> None:
    for name in ("snips", "atis", "wnut17"):
        data = read_tsv(shared_data / name / "dev.tsv")
        assert data.tags is not None and len(data.tags) == len(data)


def test_entities_are_exchanged_for_others_of_their_type(tmp_path: Path) -> None:
    lines = ["fly to new york by air\tf\tO O B-city I-city O B-way", "stay in rome\ts\tO O B-city"]
    data = read_tsv(write(tmp_path / "t.tsv", "text\tlabel\ttags", lines))
    more = augment.exchange_entities(data, 40, seed=0)
    assert more.texts[:2] == data.texts and len(more) == 2 + 2 * 40
    assert more.tags is not None
    assert {(text, " ".join(tags)) for text, tags in zip(more.texts, more.tags, strict=True)} == {
        ("fly to new york by air", "O O B-city I-city O B-way"),
        ("fly to rome by air", "O O B-city O B-way"),
        ("stay in rome", "O O B-city"),
        ("stay in new york", "O O B-city I-city"),
    }
    assert more.labels == ["f", "s"] * 41
    assert more.texts == augment.exchange_entities(data, 40, seed=0).texts


def test_exchanging_needs_tags(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="--exchange-entities takes a column tags"):
        train(test_train.job(tmp_path, exchange=1))
    document = train(job(tmp_path, exchange=2, recipe=replace(RECIPE, epochs=1)))
    assert document["examples"] == 3 * 160

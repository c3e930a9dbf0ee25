"""The Python API on the native engine: results, batches, pairs, windows, threads, wrong use."""

from __future__ import annotations

import warnings
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import edgebert
from edgebert.engines import Outputs, open_engine
from edgebert.export.ebm import write_ebm
from edgebert.export.float_reference import forward
from edgebert.hash import HashEmbedding
from edgebert.sequence import Text, from_texts, windows
from tests.heads import HEADS, with_heads
from tests.models import SMALL, random_spec


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> edgebert.Model:
    path = tmp_path_factory.mktemp("model") / "small.ebm"
    write_ebm(random_spec(), path)
    return edgebert.load(path)


def test_a_result_names_the_most_probable_label(model: edgebert.Model) -> None:
    result = model.infer("one two three")
    assert result.label == model.labels[int(result.logits.argmax())]
    assert result.score == max(result.probabilities.values())
    assert sum(result.probabilities.values()) == pytest.approx(1)


def test_a_batch_gives_what_single_texts_give(model: edgebert.Model) -> None:
    texts: list[edgebert.sequence.Text] = ["one", "two three four", "", ("five", "six seven")]
    for single, batched in zip(map(model.logits, texts), model.logits(texts), strict=True):
        np.testing.assert_array_equal(single[0], batched)


def test_an_empty_batch_gives_an_empty_list(model: edgebert.Model) -> None:
    assert model.infer([]) == []
    assert model.encode([]).shape == (0, SMALL.hidden_size)


def test_encode_gives_one_pooled_vector_for_each_text(model: edgebert.Model) -> None:
    assert model.encode("one").shape == (SMALL.hidden_size,)
    assert np.abs(model.encode(["one", "two"])).max() <= 1


def test_a_pair_is_not_two_texts(model: edgebert.Model) -> None:
    assert isinstance(model.infer(("one", "two")), edgebert.Result)
    assert len(model.infer(["one", "two"])) == 2


def test_long_text_is_cut_and_says_so(model: edgebert.Model) -> None:
    words = " ".join(f"w{i}" for i in range(30))
    said = "1 of 1 texts are longer than the model's 20 tokens and were cut; pass stride= to read"
    with pytest.warns(edgebert.TruncationWarning, match=said):
        result = model.infer(words)
    assert result.num_dropped == 30 - 18
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        kept = model.infer(" ".join(f"w{i}" for i in range(18)))
    np.testing.assert_array_equal(result.logits, kept.logits)


def test_stride_reads_all_of_a_long_text(model: edgebert.Model) -> None:
    words = [f"w{i}" for i in range(40)]
    result = model.infer(" ".join(words), stride=4)
    parts = [" ".join(words[start : start + 18]) for start in (0, 14, 28)]
    np.testing.assert_allclose(result.logits, model.logits(parts).mean(axis=0), rtol=1e-6)
    assert result.num_dropped == 0


@given(st.integers(0, 60), st.integers(0, 17))
def test_windows_cover_every_token(count: int, stride: int) -> None:
    tokenizer = edgebert.tokenizer.Tokenizer.word()
    words = [f"w{i}" for i in range(count)]
    seen: set[str] = set()
    sequences = windows(tokenizer, " ".join(words), 20, stride)
    for data, ends in zip(sequences.bytes, sequences.ends, strict=True):
        starts = [0, *ends[:-1]]
        tokens = [bytes(data[a:b]).decode() for a, b in zip(starts, ends, strict=True)]
        assert tokens[0] == "[CLS]" and tokens[-1] == "[SEP]" and len(tokens) <= 20
        seen.update(tokens[1:-1])
    assert seen == set(words)


@settings(max_examples=200)
@given(st.integers(0, 25), st.integers(0, 25), st.integers(3, 20))
def test_pairs_are_cut_as_hugging_face_cuts_them(a: int, b: int, max_tokens: int) -> None:
    tokenizers = pytest.importorskip("tokenizers", reason="needs the package tokenizers")
    oracle = tokenizers.Tokenizer(
        tokenizers.models.WordLevel({"[UNK]": 0, "a": 1, "b": 2}, unk_token="[UNK]")
    )
    oracle.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    oracle.enable_truncation(max_tokens - 3, strategy="longest_first")
    texts = (" ".join("a" * a), " ".join("b" * b))
    expected = oracle.encode(*texts).tokens
    sequences = from_texts(edgebert.tokenizer.Tokenizer.word(), [texts], max_tokens)
    data = bytes(sequences.bytes[0]).decode()
    assert data.count("a") == expected.count("a") and data.count("b") == expected.count("b")
    assert sequences.num_dropped[0] == a + b - len(expected)
    assert sequences.types[0].tolist() == [0] * (data.count("a") + 2) + [1] * (data.count("b") + 1)


def test_a_model_of_one_token_type_takes_pairs(tmp_path: Path) -> None:
    write_ebm(random_spec(replace(SMALL, type_vocab_size=1)), tmp_path / "m.ebm")
    assert edgebert.load(tmp_path / "m.ebm").infer(("one", "two")).label


def test_threads_share_a_model(model: edgebert.Model) -> None:
    texts = [f"text number {i} " * (i % 5) for i in range(200)]
    expected = model.logits(texts)
    with ThreadPoolExecutor(8) as pool:
        rows = list(pool.map(model.logits, texts))
    np.testing.assert_array_equal(np.concatenate(rows), expected)


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.text())
def test_any_text_gets_an_answer(model: edgebert.Model, text: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", edgebert.TruncationWarning)
        assert np.isfinite(model.infer(text).logits).all()


@pytest.mark.parametrize("texts", [3, None, b"bytes", b"", [3], [("a", "b", "c")], [("a", None)]])
def test_what_is_no_text_is_refused(model: edgebert.Model, texts: object) -> None:
    with pytest.raises(edgebert.DataError, match="a text is a str or a pair"):
        model.infer(texts)  # type: ignore[call-overload]


@pytest.mark.parametrize("stride", [-1, 18])
def test_an_impossible_stride_is_refused(model: edgebert.Model, stride: int) -> None:
    with pytest.raises(edgebert.DataError, match="stride must be 0 to 17"):
        model.infer("text", stride=stride)


def test_missing_files_and_folders_and_foreign_suffixes_are_refused(tmp_path: Path) -> None:
    (tmp_path / "model.pdf").touch()
    for name, message in [("no.ebm", "does not exist"), (".", "folder"), ("model.pdf", "suffixes")]:
        with pytest.raises(edgebert.ModelError, match=message):
            edgebert.load(tmp_path / name)


def test_wrong_types_are_one_clear_error(model: edgebert.Model) -> None:
    with pytest.raises(edgebert.DataError, match="tokenize takes one text, a str, not bytes"):
        model.tokenize(b"bytes")  # type: ignore[arg-type]
    for stride in (1.5, "3"):
        with pytest.raises(edgebert.DataError, match="stride is a whole number"):
            model.infer("text", stride=stride)  # type: ignore[call-overload]


def test_the_default_model_reads_in_windows_as_its_warning_says() -> None:
    assert edgebert.infer("word " * 500, stride=8).num_dropped == 0


def test_equal_answers_compare_equal(model: edgebert.Model) -> None:
    first, again, other = model.infer(["one", "one", "two"])
    assert first == again and hash(first) == hash(again) and first != other


def test_a_pair_needs_room_for_its_three_special_tokens() -> None:
    with pytest.raises(edgebert.DataError, match="a pair of texts takes 3 tokens or more"):
        from_texts(edgebert.tokenizer.Tokenizer.word(), [("a", "b")], max_tokens=2)


def test_threads_give_the_answers_of_one(tmp_path: Path) -> None:
    write_ebm(random_spec(), tmp_path / "m.ebm")
    texts = ["word " * (i * 7 % 13) + str(i) for i in range(101)]
    one = edgebert.load(tmp_path / "m.ebm")
    many = edgebert.load(tmp_path / "m.ebm", threads=4)
    np.testing.assert_array_equal(many.logits(texts), one.logits(texts))
    np.testing.assert_array_equal(many.encode(texts), one.encode(texts))
    assert many.infer([]) == []


@pytest.mark.parametrize("broken", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("task", ["classification", "regression"])
def test_an_engine_that_gives_no_numbers_is_an_error(
    tmp_path: Path, broken: float, task: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    labels = SMALL.labels if task == "classification" else ("score",)
    write_ebm(random_spec(replace(SMALL, task=task, labels=labels)), tmp_path / "m.ebm")
    model = edgebert.load(tmp_path / "m.ebm")
    logits = np.full((1, len(labels)), broken, np.float32)
    monkeypatch.setattr(model._engine, "run_texts", lambda texts: (Outputs(logits, logits), [0]))
    with pytest.raises(edgebert.ModelError, match=r"engine native gives .*upgrade"):
        model.infer("a text")


@pytest.mark.parametrize("name", ["labels", *HEADS])
def test_the_c_library_gives_what_the_float_reference_gives(name: str, tmp_path: Path) -> None:
    config = SMALL if name == "labels" else with_heads(SMALL, name)
    spec = random_spec(config)
    write_ebm(spec, tmp_path / "m.ebm")
    engine = open_engine(tmp_path / "m.ebm")
    texts: list[Text] = ["", "a gripping film", ("a pair", "of texts"), "long " * 30]
    outputs, _ = engine.run_texts(texts)
    sequences = from_texts(engine.tokenizer, texts, config.max_position_embeddings)
    embedding = HashEmbedding(config.hash)
    for i in range(len(texts)):
        hashes = embedding.embed(sequences.bytes[i], sequences.ends[i])
        answer = forward(spec, hashes, sequences.types[i])
        np.testing.assert_allclose(outputs.logits[i], answer.logits, atol=1e-5)
        np.testing.assert_allclose(outputs.pooled[i], answer.pooled, atol=1e-5)
        assert (outputs.tag_scores is None) == (not config.tags)
        if outputs.tag_scores is not None:
            np.testing.assert_allclose(outputs.tag_scores[i] / 256, answer.tag_logits, atol=0.003)


def test_a_model_of_embeddings_gives_vectors_and_no_labels(tmp_path: Path) -> None:
    write_ebm(random_spec(with_heads(SMALL, "embedding")), tmp_path / "m.ebm")
    model = edgebert.load(tmp_path / "m.ebm")
    vectors = model.encode(["one text", "another", ""])
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)
    np.testing.assert_array_equal(model.encode("another"), vectors[1])
    assert model.logits(["one", "two"]).shape == (2, 0)
    for stride in (None, 1):
        with pytest.raises(edgebert.DataError, match="encode"):
            model.infer("one text", stride=stride)


def test_a_model_of_tags_alone_has_no_label(tmp_path: Path) -> None:
    write_ebm(random_spec(with_heads(SMALL, "tagging")), tmp_path / "m.ebm")
    result = edgebert.load(tmp_path / "m.ebm").infer("some words")
    assert (result.label, result.score, result.probabilities) == ("", 0.0, {})
    assert str(result) == " ".join(f"{e.type}={e.text}" for e in result.entities)


def test_tagged_texts_that_were_cut_are_warned_of_where_they_are_given(tmp_path: Path) -> None:
    write_ebm(random_spec(with_heads(SMALL, "labels and tags")), tmp_path / "m.ebm")
    model = edgebert.load(tmp_path / "m.ebm")
    with pytest.warns(edgebert.TruncationWarning, match="1 of 2") as warned:
        short, long = model.infer(["short", "long " * 30])
    assert warned[0].filename == __file__
    assert (short.num_dropped, long.num_dropped) == (0, 30 + 2 - SMALL.max_position_embeddings)

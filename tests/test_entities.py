"""Tags become entities: as a plain BIO decoder reads them, at the right characters of any text."""

from __future__ import annotations

import copy
import functools
import itertools
import sys
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import edgebert
from edgebert._native import ffi, lib
from edgebert.engines import Outputs
from edgebert.entities import Entity, EntityFinder, best_tags, tag_scores
from edgebert.export.ebm import write_ebm
from edgebert.memory import aligned
from edgebert.native import NativeModel
from edgebert.sequence import NO_WORD, fill_text, from_texts, join_windows, windows
from edgebert.tokenizer import Tokenizer, to_utf8
from tests.heads import TAGS, with_heads
from tests.models import SMALL, random_spec

FREE = np.zeros((len(TAGS), len(TAGS) + 1), np.int8)  # any tag may follow any other
FIND = EntityFinder(TAGS, FREE)


@functools.cache
def white_space() -> str:
    """What separates tokens and leaves none: the code points between which two letters are two."""
    tokenizer, characters = Tokenizer.word(), map(chr, range(sys.maxunicode + 1))
    others = [c for c in characters if c.isspace() or unicodedata.category(c)[0] in "CZ"]
    likely = [c for c in others if unicodedata.category(c) not in ("Cn", "Co", "Cs")]
    return "".join(c for c in likely if tokenizer.tokenize(f"a{c}b") == ["a", "b"])


def words_of(text: str) -> list[tuple[int, int]]:
    """Begin and end, in characters, of what stands between white space."""
    bounds: list[tuple[int, int]] = []
    begin: int | None = None
    for i, character in enumerate([*text, " "]):
        if character in white_space():
            if begin is not None:
                bounds.append((begin, i))
            begin = None
        elif begin is None:
            begin = i
    return bounds


def decode(tags: list[str], words: list[tuple[int, int]]) -> list[tuple[str, int, int]]:
    """Entities as conlleval reads tags: type, and begin and end in characters."""
    entities: list[tuple[str, int, int]] = []
    last = "O"
    for tag, (begin, end) in zip(tags, words, strict=True):
        if tag[0] == "I" and last[1:] == tag[1:]:
            entities[-1] = (*entities[-1][:2], end)
        elif tag != "O":
            entities.append((tag[2:], begin, end))
        last = tag
    return entities


def scores_of(tags: Sequence[int]) -> np.ndarray:
    """Scores that make each token's tag the likeliest by far."""
    return np.eye(len(TAGS), dtype=np.int16)[np.array(tags, int)] * np.int16(4096)


def as_tuples(entities: tuple[Entity, ...]) -> list[tuple[str, int, int]]:
    return [(entity.type, entity.begin, entity.end) for entity in entities]


TEXT = st.text(
    st.one_of(
        st.sampled_from("ab,!  \t\n\u00a0\u2028\u3000\u0085\x00\x0b\u200b\u0301é日\U0001f600"),
        st.characters(exclude_categories=()),  # lone surrogates too
    ),
    max_size=40,
)


def test_white_space_is_what_the_tokenizer_says() -> None:
    assert set(" \t\n\r\u00a0\u3000") < set(white_space())
    assert not set("\x00\x01\u200b\u0301,日") & set(white_space())


@given(text=TEXT, kind=st.sampled_from(["word", "wordpiece"]))
def test_words_are_what_stands_between_white_space(text: str, kind: str) -> None:
    tokenizer = Tokenizer.word() if kind == "word" else Tokenizer.wordpiece()
    _, ends, words = tokenizer.encode_words(text)
    np.testing.assert_array_equal(ends, tokenizer.encode(text)[1])
    bounds, utf8 = words_of(text), to_utf8(text)
    for index, begin, end in words.tolist():
        first, last = bounds[index]
        assert utf8[:begin] == to_utf8(text[:first]) and utf8[:end] == to_utf8(text[:last])
    # Each word gives the tokens that it gives alone, in their order, one or none.
    alone = [tokenizer.tokenize(text[first:last]) for first, last in bounds]
    assert [i for i, tokens in enumerate(alone) for _ in tokens] == words[:, 0].tolist()
    assert [token for tokens in alone for token in tokens] == tokenizer.tokenize(text)


@given(text=TEXT, second=st.none() | TEXT, limit=st.integers(3, 30))
def test_words_of_a_sequence_are_those_of_the_first_text(
    text: str, second: str | None, limit: int
) -> None:
    tokenizer = Tokenizer.word()
    whole = tokenizer.encode_words(text)[2].tolist()
    pair = text if second is None else (text, second)
    sequence = from_texts(tokenizer, [pair], limit, words=True)
    words = sequence.words[0].tolist()
    assert len(words) == len(sequence.ends[0])
    count = sum(index != NO_WORD for index, _, _ in words)
    no_word = [NO_WORD, 0, 0]
    rest = len(words) - 1 - count
    assert words == [no_word, *whole[:count], *[no_word] * rest]
    if second is None:
        assert count == min(len(whole), limit - 2)


@given(data=st.data(), text=TEXT)
def test_entities_are_those_of_a_plain_decoder(data: Any, text: str) -> None:
    words = Tokenizer.word().encode_words(text)[2]
    numbers = st.lists(st.integers(0, len(TAGS) - 1), min_size=len(words), max_size=len(words))
    tags = data.draw(numbers)
    bounds = words_of(text)
    tags_of_words = ["O"] * len(bounds)  # of words without tokens too
    for (index, _, _), tag in reversed(list(zip(words.tolist(), tags, strict=True))):
        tags_of_words[index] = TAGS[tag]
    entities = FIND(text, words, scores_of(tags))
    assert as_tuples(entities) == decode(tags_of_words, bounds)
    assert all(entity.text == text[entity.begin : entity.end] for entity in entities)


def test_a_tag_that_is_not_of_the_scheme_is_refused() -> None:
    word, score = np.array([[0, 0, 1]], np.uint32), np.zeros((1, 1), np.int16)
    with pytest.raises(ValueError, match="BIO"):
        EntityFinder(["city"], np.zeros((1, 2), np.int8))("a", word, score)


def score_of_path(path: Sequence[int], transitions: np.ndarray, scores: np.ndarray) -> int:
    """In units of 1 / 256."""
    befores = [transitions.shape[0], *path[:-1]]
    steps = zip(path, befores, np.clip(scores, -8191, 8191).tolist(), strict=False)
    return sum(row[tag] + 16 * int(transitions[tag, before]) for tag, before, row in steps)


@given(data=st.data(), num_tags=st.integers(1, 3), num_words=st.integers(0, 5))
def test_the_best_tags_are_those_of_all_sequences(data: Any, num_tags: int, num_words: int) -> None:
    def drawn(low: int, high: int, *shape: int) -> np.ndarray:
        count = int(np.prod(shape))
        values = st.lists(st.integers(low, high), min_size=count, max_size=count)
        return np.array(data.draw(values)).reshape(shape)

    most = data.draw(st.sampled_from([3, 600, 32767]))
    scores = drawn(-most, most, num_words, num_tags).astype(np.int16)
    transitions = drawn(-128, 127, num_tags, num_tags + 1).astype(np.int8)
    words = np.zeros((num_words, 3), np.uint32)
    words[:, 0] = np.arange(num_words)
    before = scores.copy()
    tags = best_tags(transitions, words, scores)
    np.testing.assert_array_equal(scores, before)
    paths = itertools.product(range(num_tags), repeat=num_words)
    best = max(score_of_path(path, transitions, scores) for path in paths)
    assert score_of_path(tags.tolist(), transitions, scores) == best


def test_tokens_that_begin_no_word_have_no_say() -> None:
    rng = np.random.default_rng(0)
    transitions = rng.integers(-128, 128, (5, 6)).astype(np.int8)
    firsts = [1, 2, 5, 6]
    words = np.zeros((9, 3), np.uint32)
    words[:, 0] = [NO_WORD, 0, 1, 1, 1, 2, 5, NO_WORD, NO_WORD]
    scores = rng.integers(-900, 900, (9, 5)).astype(np.int16)
    tags = best_tags(transitions, words, scores)
    alone = best_tags(transitions, words[firsts], scores[firsts])
    np.testing.assert_array_equal(tags[firsts], alone)
    assert tags.tolist() == [0, *tags[1:3], tags[2], tags[2], *tags[5:7], 0, 0]


def test_scores_are_logits_in_steps_that_are_rounded_and_cut() -> None:
    logits = np.array([0, 1, -1, 1 / 512, -1 / 512, 0.7, 31.99, 33, -33, np.inf, -np.inf, np.nan])
    expected = [0, 256, -256, 1, 0, 179, 8189, 8191, -8191, 8191, -8191, -8191]
    assert tag_scores(logits.reshape(3, 4)).ravel().tolist() == expected


@pytest.fixture(scope="module", params=["labels and tags", "tagging"])
def file(request: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tags") / "model.ebm"
    write_ebm(random_spec(with_heads(SMALL, request.param)), path)
    return path


@pytest.fixture
def free(model: edgebert.Model) -> edgebert.Model:
    """The model, where any tag may follow any other."""
    free = copy.copy(model)
    free._find_entities = FIND
    return free


@pytest.fixture(scope="module")
def model(file: Path) -> edgebert.Model:
    return edgebert.load(file)


@pytest.fixture(scope="module")
def native(file: Path) -> NativeModel:
    return NativeModel(file)


def tag_by_token(model: edgebert.Model, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the engine tag a token that begins with a tag's second letter by that tag."""
    names = {b"b": 1, b"i": 2, b"d": 3, b"j": 4}

    def run(sequences: edgebert.sequence.Sequences) -> Outputs:
        tags = []
        for data, ends in zip(sequences.bytes, sequences.ends, strict=True):
            tokens = np.split(data, ends[:-1])
            tags.append(scores_of([names.get(t.tobytes()[:1], 0) for t in tokens]))
        n, config = len(sequences), model.config
        zeros = np.zeros((n, config.num_labels), np.float32)
        return Outputs(zeros, np.zeros((n, config.hidden_size), np.float32), tags)

    monkeypatch.setattr(model._engine, "run", run)


def test_results_hold_entities_in_characters_of_the_text(
    free: edgebert.Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    tag_by_token(free, monkeypatch)
    text = "日 béla  iris, x \U0001f600 dora jo\ud800hn. b"
    expected = [("city", 2, 13), ("date", 18, 29), ("city", 30, 31)]
    for result in free.infer([text, (text, "b b b")]):
        assert as_tuples(result.entities) == expected
        assert [e.text for e in result.entities] == [text[a:b] for _, a, b in expected]
    assert str(free.infer(text)).endswith("city=béla  iris, date=dora jo\ud800hn. city=b")


@pytest.mark.parametrize("stride", [0, 1, 4, 7, SMALL.max_position_embeddings - 3])
def test_entities_are_found_across_windows(
    free: edgebert.Model, monkeypatch: pytest.MonkeyPatch, stride: int
) -> None:
    tag_by_token(free, monkeypatch)
    text = "x b i , i " * 20
    entities = free.infer(text, stride=stride).entities
    expected = [(10 * k + a, 10 * k + b) for k in range(20) for a, b in ((2, 5), (8, 9))]
    assert [(entity.begin, entity.end) for entity in entities] == expected


@pytest.mark.parametrize("stride", [0, 1, 4, 7])
def test_windows_joined_are_all_tokens_once(stride: int) -> None:
    tokenizer = Tokenizer.word()
    for count in (0, 1, 8, 9, 10, 50):
        text = " ".join(f"w{i}" for i in range(count))
        parts = windows(tokenizer, text, 10, stride)
        joined = join_windows(parts.words, stride)
        np.testing.assert_array_equal(joined, tokenizer.encode_words(text)[2])


@pytest.mark.filterwarnings("ignore::edgebert.TruncationWarning")
@given(text=TEXT)
def test_c_finds_in_a_text_what_python_finds_by_tokens(
    text: str, model: edgebert.Model, native: NativeModel
) -> None:
    size = native.arena_size(model.max_tokens)
    arena, logits = aligned(size), np.empty(model.config.num_labels, np.float32)
    entities, report = ffi.new("eb_entity[]", model.max_tokens), ffi.new("eb_report *")
    struct = ffi.new("eb_text *")
    utf8, _ = fill_text(struct, text, model.max_tokens)
    status = lib.eb_tag(
        native.handle,
        struct,
        ffi.from_buffer(arena),
        size,
        ffi.from_buffer("float[]", logits),
        ffi.NULL,
        entities,
        model.max_tokens,
        report,
    )
    assert status == lib.EB_OK
    found = [
        (ffi.unpack(entity.type, entity.type_size).decode(), utf8[entity.begin : entity.end])
        for entity in entities[0 : report.num_entities]
    ]
    result = model.infer(text)
    assert found == [(entity.type, to_utf8(entity.text)) for entity in result.entities]
    np.testing.assert_array_equal(result.logits, logits)

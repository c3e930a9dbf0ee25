"""Vocabularies: the one in the package is exact, any other works or is refused."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgebert.errors import ModelError
from edgebert.export.vocabulary import build_tokenizer, decompile_vocabulary, read_vocab_txt
from edgebert.tokenizer import BERT_UNCASED, Tokenizer
from tests.hugging_face import HEADER_SIZE, SPECIALS, uncased_pieces, words


def test_the_vocabulary_in_the_package_is_exact() -> None:
    pieces = uncased_pieces()
    assert len(pieces) == len(set(pieces)) == 30_522
    assert len(BERT_UNCASED.read_bytes()) <= 65_536
    tokenizer, known, rng = Tokenizer.wordpiece(), set(pieces), random.Random(1)
    assert all(piece in tokenizer for piece in pieces)
    letters = sorted(set("".join(pieces)))
    for piece in pieces:
        at = rng.randrange(len(piece))
        for other in (
            piece[:at] + piece[at + 1 :],
            piece[:at] + rng.choice(letters) + piece[at:],
            piece[:at] + rng.choice(letters) + piece[at + 1 :],
            "##" + piece,
            piece.removeprefix("##"),
        ):
            assert (other in tokenizer) == (other in known), other


def test_building_the_vocabulary_again_gives_the_file_in_the_package() -> None:
    pieces = uncased_pieces()
    random.Random(2).shuffle(pieces)
    assert build_tokenizer("wordpiece", pieces) == BERT_UNCASED.read_bytes()


ODD_VOCABULARIES = [
    [],
    [""],
    ["", "a", "a", "a", "##a", ""],
    ["a", "##", "###", "#", "####"],
    ["x" * 100, "##" + "y" * 99, "x", "z" * 5000, "##" + "z" * 5000],
    ["日本", "é", "##é", "##\U0001f600", "e\u0301", "\U0001d49c", "ｶ"],
    ["##only", "##continuations", "##o"],
    ["a b", " ", "\t", "a\0b", "\0"],
    ["[UNK]", "[CLS]", "##[SEP]", "un", "##aff", "##able", "unaff"],
    [bytes([b]).decode("latin1") for b in range(256)],
]


@pytest.mark.parametrize("pieces", ODD_VOCABULARIES, ids=range(len(ODD_VOCABULARIES)))
@pytest.mark.parametrize("lowercase", [True, False])
def test_odd_vocabularies(pieces: list[str], lowercase: bool) -> None:
    section = build_tokenizer("wordpiece", pieces, lowercase)
    tokenizer, known = Tokenizer(section), set(pieces) - {""}
    assert decompile_vocabulary(section[HEADER_SIZE:]) == sorted(known, key=str.encode)
    assert all(piece in tokenizer for piece in known)
    for text in [*pieces, "".join(pieces), " ".join(pieces), "unaffable only é 日本 ## # aaaa"]:
        tokens = tokenizer.tokenize(text)
        assert set(tokens) <= known | set(SPECIALS)
        assert [t for w in words(text, lowercase) for t in greedy(w, known)] == tokens


def greedy(word: str, pieces: set[str]) -> list[str]:
    """WordPiece as the paper has it."""
    tokens: list[str] = []
    rest = word
    while rest and word not in SPECIALS:
        mark = "##" if tokens else ""
        size = next((n for n in range(len(rest), 0, -1) if mark + rest[:n] in pieces), 0)
        if not size:
            return ["[UNK]"]
        tokens.append(mark + rest[:size])
        rest = rest[size:]
    return tokens or [word]


@settings(max_examples=200)
@given(
    st.lists(st.text("abé日#", max_size=6), max_size=30),
    st.text("abé日 .", max_size=30),
    st.booleans(),
)
def test_any_vocabulary(pieces: list[str], text: str, lowercase: bool) -> None:
    tokenizer = Tokenizer(build_tokenizer("wordpiece", pieces, lowercase))
    expected = [t for w in words(text, lowercase) for t in greedy(w, set(pieces) - {""})]
    assert tokenizer.tokenize(text) == expected


def test_what_is_no_vocabulary_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="unknown tokenizer"):
        build_tokenizer("sentencepiece", ["a"])
    with pytest.raises(ModelError, match="surrogate"):
        build_tokenizer("wordpiece", ["a", "\ud800"])
    (tmp_path / "vocab.txt").write_bytes(b"a\n\xff\n")
    with pytest.raises(ModelError, match="UTF-8"):
        read_vocab_txt(tmp_path / "vocab.txt")


def test_vocab_txt_with_any_line_ends(tmp_path: Path) -> None:
    path = tmp_path / "vocab.txt"
    path.write_bytes("a\r\n##b\r\n\u2028\r\né".encode())
    assert read_vocab_txt(path) == ["a", "##b", "\u2028", "é"]

"""Tokenizers: Hugging Face's tokens for any text, any vocabulary; damaged sections are refused."""

from __future__ import annotations

import ast
import functools
import itertools
import lzma
import os
import random
import re
import string
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import BertWordPieceTokenizer, normalizers

from edgebert.errors import ModelError
from edgebert.export.vocabulary import build_tokenizer, read_vocab_txt
from edgebert.tokenizer import Tokenizer
from tests.hugging_face import (
    HEADER_SIZE,
    NORMALIZERS,
    SPECIALS,
    SPLITTER,
    uncased_pieces,
    words,
)

MANUAL = Path(__file__).parent.parent / "docs" / "tokenizers.md"
SURROGATES = range(0xD800, 0xE000)
CODE_POINTS = [chr(c) for c in range(0x110000) if c not in SURROGATES]


def cased_pieces() -> list[str]:
    """A vocabulary with capitals, accents and bare marks; there is no cased one in the package."""
    short = [piece for piece in uncased_pieces() if len(piece) <= 5]
    accented = [unicodedata.normalize("NFC", piece + "\u0301") for piece in short]
    decomposed = ["##\u0301", "##\u0308", "\u00c5", "##\u00c5", "##\u212b", "\u03a3", "##\u03a3"]
    raised = itertools.chain.from_iterable((p.upper(), p.capitalize()) for p in short + accented)
    return sorted({*SPECIALS, *short, *accented, *decomposed, *raised})


@dataclass(frozen=True)
class Case:
    """Our tokenizers, and Hugging Face's over the same vocabulary."""

    lowercase: bool
    vocab_txt: Path
    wordpiece: Tokenizer
    word: Tokenizer
    fast: Any

    @functools.cached_property
    def slow(self) -> Any:
        legacy = pytest.importorskip(
            "transformers.models.bert.tokenization_bert_legacy",
            reason="needs a transformers that has BertTokenizerLegacy",
        )
        return legacy.BertTokenizerLegacy(str(self.vocab_txt), do_lower_case=self.lowercase)

    def fast_tokens(self, texts: Sequence[str]) -> list[list[str]]:
        encodings = self.fast.encode_batch(list(texts), add_special_tokens=False)
        return [encoding.tokens for encoding in encodings]


@pytest.fixture(scope="session", params=[True, False], ids=["uncased", "cased"])
def case(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Case:
    lowercase: bool = request.param
    vocab_txt = tmp_path_factory.mktemp("vocabulary") / "vocab.txt"
    pieces = uncased_pieces() if lowercase else cased_pieces()
    vocab_txt.write_text("".join(f"{piece}\n" for piece in pieces), encoding="utf-8")
    return Case(
        lowercase,
        vocab_txt,
        Tokenizer(build_tokenizer("wordpiece", read_vocab_txt(vocab_txt), lowercase)),
        Tokenizer.word(lowercase),
        BertWordPieceTokenizer(str(vocab_txt), lowercase=lowercase),
    )


def texts_of(characters: Sequence[str], size: int = 64) -> list[str]:
    """Texts with each character by itself and inside a word; long ones, which take less time."""
    return [
        " ".join(f"{c} a{c}b" for c in characters[i : i + size])
        for i in range(0, len(characters), size)
    ]


def differing(ours: Tokenizer, texts: Sequence[str], expected: Iterable[list[str]]) -> list[str]:
    return [t for t, tokens in zip(texts, expected, strict=True) if ours.tokenize(t) != tokens]


# ---- parity with Hugging Face --------------------------------------------------------------------


def test_every_code_point_gives_the_tokens_of_hugging_face(case: Case) -> None:
    texts = texts_of(CODE_POINTS)
    assert not differing(case.wordpiece, texts, case.fast_tokens(texts))


def test_every_plane_in_use_gives_the_words_of_hugging_face(case: Case) -> None:
    empty_planes = range(0x40000, 0xE0000)
    texts = texts_of([c for c in CODE_POINTS if ord(c) not in empty_planes])
    assert not differing(case.word, texts, (words(text, case.lowercase) for text in texts))


def characters(*ranges: tuple[int, int]) -> st.SearchStrategy[str]:
    return st.one_of(*(st.characters(min_codepoint=a, max_codepoint=b) for a, b in ranges))


LETTERS = st.sampled_from("aeinostAEINOST ")
TEXTS = st.one_of(
    st.text(),
    st.text(st.characters(codec="ascii")),
    *(
        st.lists(st.one_of(LETTERS, alphabet), max_size=30).map("".join)
        for alphabet in (
            characters((0xC0, 0x24F), (0x1E00, 0x1EFF), (0x300, 0x36F)),  # accents
            characters((0x370, 0x52F), (0x1F00, 0x1FFF)),  # Greek and Cyrillic
            characters((0x3000, 0x30FF), (0x4E00, 0x4E20), (0xF900, 0xFAFF), (0x2B800, 0x2B930)),
            characters((0xAC00, 0xD7A3), (0x1100, 0x11FF)),  # Hangul
            st.sampled_from([c for c in CODE_POINTS if unicodedata.combining(c)]),
            st.sampled_from([c for c in CODE_POINTS if unicodedata.category(c) in ("Mn", "Mc")]),
            characters((0x591, 0x6ED), (0x900, 0xE4E)),  # scripts rich in marks
            characters(
                (0, 0x20), (0x7F, 0xA0), (0x2000, 0x200F), (0x2028, 0x202F), (0xFFF0, 0xFFFF)
            ),
            characters((0x21, 0x7E), (0x2010, 0x2027), (0x3001, 0x303F), (0xFF00, 0xFF65)),
            characters((0x1F1E6, 0x1F6FF), (0x1F900, 0x1FAFF), (0xFE00, 0xFE0F), (0x200D, 0x200D)),
            st.sampled_from([*SPECIALS, *"[]CLS", "[CL", "S]", "\u0301", "\0"]),
            st.integers(90, 110).map(lambda length: "a" * length),
        )
    ),
)


@settings(max_examples=1000)
@given(text=TEXTS)
def test_any_text_gives_the_tokens_of_hugging_face(case: Case, text: str) -> None:
    assert case.wordpiece.tokenize(text) == case.fast_tokens([text])[0]
    assert case.word.tokenize(text) == words(text, case.lowercase)


@pytest.mark.parametrize("letter", ["a", "é", "e\u0301", "я", "한", "\U0001d49c", "\u0301", "\0"])
@pytest.mark.parametrize("length", [99, 100, 101, 102, 205])
def test_words_around_the_longest(case: Case, letter: str, length: int) -> None:
    for text in (
        letter * length,
        f"a {letter * length}b",
        f"{letter * length}, b",
        "x" + letter * length,
    ):
        assert case.wordpiece.tokenize(text) == case.fast_tokens([text])[0]
        assert case.word.tokenize(text) == words(text, case.lowercase)


def test_a_word_of_100_is_split_and_one_of_101_is_unknown() -> None:
    assert Tokenizer.wordpiece().tokenize("a" * 100) != ["[UNK]"]
    assert Tokenizer.wordpiece().tokenize("a" * 101 + " b") == ["[UNK]", "b"]
    assert Tokenizer.word().tokenize("a" * 100 + " " + "a" * 101) == ["a" * 100, "[UNK]"]


def test_known_texts() -> None:
    wordpiece, word = Tokenizer.wordpiece(), Tokenizer.word()
    text = "Crème brûlée isn't unaffable\u200b [MASK]!"
    pieces = "cr ##eme br ##ule ##e isn ' t una ##ffa ##ble [MASK] !"
    assert " ".join(wordpiece.tokenize(text)) == pieces
    assert " ".join(word.tokenize(text)) == "creme brulee isn ' t unaffable [MASK] !"
    assert Tokenizer.word(lowercase=False).tokenize("Crème 日本") == ["Crème", "日", "本"]
    assert wordpiece.tokenize("") == word.tokenize(" \0\t") == []


@pytest.mark.parametrize(
    "text",
    [
        "[CLS]",
        "a[SEP]b",
        "[cls] [MASK]",
        "[[PAD]]",
        "[UNK][UNK] [UNK",
        "[MASK]ed",
        "e[MASK]\u0301",
        "[CLS\0] [\0SEP]",
        "[ CLS ]",
        "\U0001d15e[SEP]\U0001d165",
    ],
)
def test_special_tokens_written_in_text(case: Case, text: str) -> None:
    assert case.wordpiece.tokenize(text) == case.fast_tokens([text])[0]
    assert case.word.tokenize(text) == words(text, case.lowercase)


def test_a_long_text(case: Case) -> None:
    rng = random.Random(3)
    vocabulary = [p.removeprefix("##") for p in read_vocab_txt(case.vocab_txt)]
    text = " ".join(rng.choice(vocabulary) + rng.choice(vocabulary) for _ in range(10_000))
    assert case.wordpiece.tokenize(text) == case.fast_tokens([text])[0]
    assert case.word.tokenize(text) == words(text, case.lowercase)


@given(st.lists(st.one_of(st.text(max_size=5), st.sampled_from([chr(c) for c in SURROGATES]))))
def test_lone_surrogates_are_as_if_never_written(case: Case, parts: list[str]) -> None:
    clean = "".join(part for part in parts if not (part and ord(part[0]) in SURROGATES))
    for tokenizer in (case.wordpiece, case.word):
        assert tokenizer.tokenize("".join(parts)) == tokenizer.tokenize(clean)
    if clean != "".join(parts):
        with pytest.raises(TypeError):  # so Hugging Face cannot be asked
            case.fast.encode("".join(parts))


# ---- where Hugging Face's slow tokenizer differs from its fast one (docs/tokenizers.md) ----------


def drops(char: str) -> bool:
    """Whether a character vanishes by Python's Unicode data, as in the slow tokenizer."""
    category = unicodedata.category(char)
    return category == "Mn" or char == "\ufffd" or (category[0] == "C" and char not in "\t\n\r")


def stands_alone(char: str) -> bool:
    """Whether it is punctuation in the slow tokenizer."""
    return unicodedata.category(char)[0] == "P" or char in string.punctuation


@functools.cache
def other_unicode(char: str) -> bool:
    """Whether the two, each with its own version of Unicode, take it for different things."""
    decomposed, normal = unicodedata.normalize("NFD", char), NORMALIZERS[True].normalize_str(char)
    kinds = [not normal, " " not in normal and len(SPLITTER.pre_tokenize_str(f"a{normal}a")) == 3]
    return normalizers.NFD().normalize_str(char) != decomposed or kinds != [
        all(map(drops, decomposed)),
        any(map(stands_alone, decomposed)),
    ]


def differs_in_unicode(text: str, lowercase: bool) -> bool:
    return any(map(other_unicode, text))


def has_unlisted_ideograph(text: str, lowercase: bool) -> bool:
    return any(0x2B820 <= ord(char) < 0x2B920 for char in text)


def has_capital_sigma(text: str, lowercase: bool) -> bool:
    return lowercase and "Σ" in text


def is_composed_by_slow(text: str, lowercase: bool) -> bool:
    clean = "".join(c for c in text if unicodedata.category(c)[0] != "C" and c != "\ufffd")
    return not lowercase and not unicodedata.is_normalized("NFC", clean)


def has_interrupted_special(text: str, lowercase: bool) -> bool:
    clean = "".join(c for c in text if unicodedata.category(c)[0] != "C" and c != "\ufffd")
    return any(clean.count(special) > text.count(special) for special in SPECIALS)


# class: (predicate, lowercase, example, fast, slow)
DISAGREEMENTS: dict[str, tuple[Callable[[str, bool], bool], bool, str, str, str]] = {
    "unassigned": (differs_in_unicode, True, "a\u0378b", "[UNK]", "ab"),
    "newer punctuation": (differs_in_unicode, True, "a\u2e43b", "[UNK]", "a [UNK] b"),
    "newer accent": (differs_in_unicode, True, "e\u1df6", "[UNK]", "e"),
    "newer control character": (differs_in_unicode, True, "a\u08e2b", "[UNK]", "ab"),
    "reclassified": (differs_in_unicode, True, "a\u166db", "a [UNK] b", "[UNK]"),
    "ideographs of extension E": (
        has_unlisted_ideograph,
        True,
        "a\U0002b820b",
        "[UNK]",
        "a [UNK] b",
    ),
    "capital sigma": (has_capital_sigma, True, "ΟΔΟΣ", "ο ##δ ##ο ##σ", "ο ##δ ##ος"),
    "composition": (is_composed_by_slow, False, "e\u0301", "e ##\u0301", "é"),
    "interrupted special token": (has_interrupted_special, True, "[CLS\0]", "[ cl ##s ]", "[CLS]"),
}


def agreed(text: str, lowercase: bool) -> bool:
    predicates = {predicate for predicate, *_ in DISAGREEMENTS.values()}
    return not any(predicate(text, lowercase) for predicate in predicates)


@pytest.mark.parametrize("name", DISAGREEMENTS)
def test_where_slow_and_fast_disagree_we_follow_fast(case: Case, name: str) -> None:
    predicate, lowercase, text, fast, slow = DISAGREEMENTS[name]
    if lowercase == case.lowercase:
        assert predicate(text, lowercase) and not predicate("Plain text, é 日本 Σ"[:-1], lowercase)
        assert case.wordpiece.tokenize(text) == case.fast_tokens([text])[0] == fast.split()
        assert case.slow.tokenize(text) == slow.split()


def test_the_manual_lists_these_cases() -> None:
    rows = re.findall(r"^\|.*\| `(.*)` \| `(.*)` \| `(.*)` \|$", MANUAL.read_text("utf-8"), re.M)
    listed = {tuple(ast.literal_eval(f'"{cell}"') for cell in row) for row in rows}
    assert listed == {row[2:] for row in DISAGREEMENTS.values()}


@settings(max_examples=500)
@given(text=TEXTS)
def test_elsewhere_slow_gives_the_same_tokens(case: Case, text: str) -> None:
    if agreed(text, case.lowercase):
        assert case.wordpiece.tokenize(text) == case.slow.tokenize(text)


def test_slow_gives_the_same_tokens_for_each_character_they_agree_on(case: Case) -> None:
    planes = (c for c in CODE_POINTS[:0x20000] if not "\uac80" < c < "\ud7a0")  # one script
    assigned = [c for c in planes if unicodedata.category(c) != "Cn"]
    newer = [c for c in assigned if other_unicode(c)]
    old = {c for c in newer if unicodedata.ucd_3_2_0.category(c) != "Cn"}
    assert old <= set("\u166d\u1734\u1885\u1886")  # all others were not in Unicode 3.2
    common = [c for c in assigned if agreed(f"{c} a{c}b", case.lowercase)]
    assert len(common) > 50_000
    texts = texts_of(common)
    assert not differing(case.wordpiece, texts, map(case.slow.tokenize, texts))


# ---- damaged sections ----------------------------------------------------------------------------


def damaged(section: bytes, rng: random.Random) -> bytes:
    """One way among many to damage a section."""
    kind, data = rng.randrange(5), bytearray(section)
    if kind == 0:
        return section[: rng.randrange(len(section))]
    if kind == 1:
        return section + rng.randbytes(rng.randint(1, 9))
    if kind == 2:
        return rng.randbytes(rng.randrange(2000))
    for _ in range(rng.choice([1, 1, 30, 1000])):
        at = rng.randrange(rng.choice([HEADER_SIZE + 8, len(data)]))
        data[at] ^= 1 << rng.randrange(8)
    return bytes(data)


def test_damaged_sections_are_refused_or_harmless(case: Case) -> None:
    rng, text = (
        random.Random(4),
        "A gripping film: crème brûlée, unaffable [SEP] 日本! " + "x" * 101,
    )
    refused = 0
    for _ in range(250):
        try:
            tokenizer = Tokenizer(damaged(case.wordpiece.blob, rng))
        except ModelError as error:
            assert str(error).startswith("tokenizer: ")
            refused += 1
        else:
            data, ends = tokenizer.encode(text)
            assert (ends[1:] >= ends[:-1]).all() and ends[-1] == len(data)
            assert "[SEP]" in tokenizer.tokenize(text)
    assert 100 < refused < 250


# ---- the data sets -------------------------------------------------------------------------------

ALL_LINES = "EDGEBERT_ALL_LINES" in os.environ
LARGE = 1_000_000  # bytes; of larger files only one line in SAMPLE is read
SAMPLE = 1 if ALL_LINES else 100


def lines(path: Path) -> Iterator[str]:
    step = SAMPLE if path.stat().st_size > LARGE else 1
    with lzma.open(path) if path.suffix == ".xz" else path.open("rb") as stream:
        for line in itertools.islice(stream, 0, None, step):
            yield line.decode("utf-8").rstrip("\n")


def data_files(folder: Path) -> list[Path]:
    return sorted(
        p for p in folder.rglob("*") if p.name.endswith((".tsv", ".tsv.xz", ".txt", ".txt.xz"))
    )


def test_every_line_of_the_data_gives_the_tokens_of_hugging_face(
    case: Case, shared_data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    count, tokens, wrong = 0, 0, []
    for path in data_files(shared_data):
        stream = lines(path)
        while batch := list(itertools.islice(stream, 2000)):
            expected = case.fast_tokens(batch)
            wrong += differing(case.wordpiece, batch, expected)
            count += len(batch)
            tokens += sum(map(len, expected))
    with capsys.disabled():
        print(f"\n{count:,} lines, {tokens:,} tokens, {len(wrong)} differ", end=" ")
    assert count > 50_000 and not wrong[:3]


def test_slow_gives_the_same_tokens_on_the_data(case: Case, shared_data: Path) -> None:
    sample = list(lines(shared_data / "sst2" / "dev.tsv"))
    others = itertools.chain.from_iterable(map(lines, data_files(shared_data)))
    sample += list(itertools.islice(others, 0, 20_000, 10))
    common = [line for line in sample if agreed(line, case.lowercase)]
    assert len(common) > 2800 and len(common) > 0.99 * len(sample)
    assert not differing(case.wordpiece, common, map(case.slow.tokenize, common))[:3]

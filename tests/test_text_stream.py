"""Text to pretrain on: every line is read, in an order that goes on, or said why not."""

from __future__ import annotations

import gzip
import json
import os
from collections import Counter
from itertools import islice
from pathlib import Path

import pytest

from edgebert.cli import main
from edgebert.tokenizer import Tokenizer

torch = pytest.importorskip("torch", reason="training needs torch: pip install 'edgebert[train]'")
pytest.importorskip("accelerate", reason="pretraining needs accelerate: 'edgebert[train]'")

from edgebert.train import text_stream  # noqa: E402
from edgebert.train.text_stream import TextStream, find_files, scan  # noqa: E402

WORDS = Tokenizer.word()


def kept_lines(folder: Path) -> Counter[str]:
    corpus = scan(find_files([folder]), WORDS)
    lines = [line for file in corpus.files for line in text_stream.read_lines(file.path)]
    return Counter(t for line in lines for t in WORDS.tokenize(line)) - Counter(
        t for line in corpus.held_out for t in WORDS.tokenize(line)
    )


@pytest.mark.parametrize("block", [7, 8192])
def test_every_line_is_read_once_in_an_epoch(
    corpus_folder: Path, monkeypatch: pytest.MonkeyPatch, block: int
) -> None:
    monkeypatch.setattr(text_stream, "BLOCK", block)
    monkeypatch.setattr(text_stream, "CHAINS", 2)  # fewer than there are files
    stream = TextStream(scan(find_files([corpus_folder]), WORDS), WORDS, 12, 0)
    epochs: dict[int, list[list[str]]] = {0: [], 1: [], 2: []}
    while not epochs[2]:
        row = next(stream)
        epochs[stream.epoch].append(row)
    for rows in (epochs[0], epochs[1]):
        assert Counter(t for row in rows for t in row[1:-1]) == kept_lines(corpus_folder)
        assert all((row[0], row[-1]) == ("[CLS]", "[SEP]") and len(row) <= 12 for row in rows)
    assert sorted(epochs[0]) == sorted(epochs[1])
    assert epochs[0] != epochs[1]


def test_a_stream_goes_on_exactly(corpus_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text_stream, "BLOCK", 20)
    corpus = scan(find_files([corpus_folder]), WORDS)
    whole = list(islice(TextStream(corpus, WORDS, 12, 3), 700))  # more than an epoch
    for taken in (0, 1, 19, 20, 21, 333, 600):
        stream = TextStream(corpus, WORDS, 12, 3)
        for _ in range(taken):
            next(stream)
        state = json.loads(json.dumps(stream.state()))
        assert list(islice(TextStream(corpus, WORDS, 12, 3, state), 80)) == whole[taken:][:80]


def test_lines_are_joined_and_a_blank_line_ends_a_document() -> None:
    packer = text_stream.Packer(WORDS, 6)
    rows = [row for text in ("a b c", "d e", " \n", "f") for row in packer.add(text)]
    rows += packer.flush()
    assert [row[1:-1] for row in rows] == [["a", "b", "c", "d"], ["e"], ["f"]]


def test_files_are_read_at_one_pace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text_stream, "BLOCK", 110)  # a quarter of all
    (tmp_path / "a.txt").write_text("left\n" * 4000)
    (tmp_path / "b.txt").write_text("right\n" * 400)
    stream = TextStream(scan(find_files([tmp_path]), WORDS), WORDS, 12, 0)
    block = Counter(token for row in islice(stream, 110) for token in row)
    assert block["right"] / block["left"] == pytest.approx(0.1, abs=0.02)


def test_a_line_longer_than_memory_should_hold_is_read_in_pieces(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(text_stream, "LONGEST_LINE", 100)
    text = "Grüße, 日本語! " * 200 + "\n"
    (tmp_path / "a.txt").write_text(text, encoding="utf-8")
    pieces = list(text_stream.read_lines(tmp_path / "a.txt"))
    assert "".join(pieces) == text
    assert max(map(len, pieces)) == 100
    offset = sum(len(piece.encode()) for piece in pieces[:3])
    assert list(text_stream.read_lines(tmp_path / "a.txt", offset)) == pieces[3:]


def test_held_out_lines_are_not_trained_on(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("".join(f"word{i}\n" for i in range(200)))
    corpus = scan(find_files([tmp_path]), WORDS)
    held_out = {line.strip() for line in corpus.held_out}
    assert len(held_out) == 10
    assert not held_out & set(corpus.counts)
    stream = TextStream(corpus, WORDS, 12, 0)
    assert not held_out & {token for row in islice(stream, 100) for token in row}


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("none.txt", None, "does not exist"),
        ("empty", None, "the folder holds no .txt, .txt.gz, .txt.xz file"),
        ("a.tsv", b"text\n", "text is read from .txt"),
        ("a.txt", b"", "too little text"),
        ("a.txt", b"one line\n", "too little text"),
        ("a.txt", b"a b\n" * 30 + b"\x80\xff" * 9, "not text in UTF-8"),
        ("a.txt", "text\n".encode("utf-16-le") * 30, "binary data"),
        ("a.txt.gz", b"no gzip", "damaged"),
        ("a.txt.xz", b"no xz", "damaged"),
        ("cut.txt.gz", gzip.compress(os.urandom(99_999).hex().encode())[:9999], "damaged"),
    ],
)
def test_bad_input_is_one_clear_line(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    name: str,
    content: bytes | None,
    message: str,
) -> None:
    if name == "empty":
        (tmp_path / name).mkdir()
    elif content is not None:
        (tmp_path / name).write_bytes(content)
    assert main(["pretrain", str(tmp_path / name), "-o", str(tmp_path / "encoder.pt")]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert name in line
    assert message in line

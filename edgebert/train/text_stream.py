"""Plain text as an endless, shuffled stream of token sequences.

Files may be larger than memory. Lines are read in order, from all files at the same relative
pace, joined until a sequence is full, and shuffled in blocks. A stream goes on from any position:
it reads the current block again.
"""

from __future__ import annotations

import hashlib
import io
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edgebert.errors import DataError
from edgebert.files import unpacking
from edgebert.tokenizer import Tokenizer

SUFFIXES = (".txt", ".txt.gz", ".txt.xz")
LONGEST_LINE = 1 << 20  # characters; a longer one counts as several
BLOCK = 8192  # sequences that are shuffled together
CHAINS = 32  # files open at a time: more are read one behind the other
SAMPLE = 10 << 20  # bytes on disk that scan() counts tokens of
HELD_OUT = 100 << 10  # bytes on disk that are kept for evaluation
MOST_HELD_OUT = 20  # at most every 20th line is

Row = list[str]
"""Tokens of one sequence, [CLS] and [SEP] included."""


@dataclass(frozen=True)
class TextFile:
    """A file of text.

    Attributes:
        path: its name.
        size: bytes, unpacked.
        first_line: number of its first line, counted through all files.
    """

    path: Path
    size: int
    first_line: int


@dataclass(frozen=True)
class Corpus:
    """What one pass over all files finds.

    Attributes:
        files: those that hold text.
        period: every ``period``-th line is held out.
        held_out: these lines.
        counts: how often each token occurs in a sample of the other lines.
        digest: of all contents.
    """

    files: list[TextFile]
    period: int
    held_out: list[str]
    counts: Counter[str]
    digest: str


def find_files(paths: Sequence[Path]) -> list[Path]:
    """Files as named, and in folders, however deep, every ``.txt``, ``.txt.gz`` and ``.txt.xz``.

    Raises:
        DataError: one does not exist, a folder holds no text, or a file has another suffix.
    """
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            inside = sorted(p for p in path.rglob("*") if p.is_file() and _is_text(p))
            if not inside:
                raise DataError(f"{path}: the folder holds no {', '.join(SUFFIXES)} file")
            found += inside
        elif not path.exists():
            raise DataError(f"{path} does not exist")
        elif not _is_text(path):
            raise DataError(f"{path}: text is read from {', '.join(SUFFIXES)} files")
        else:
            found.append(path)
    return list(dict.fromkeys(found))


def _is_text(path: Path) -> bool:
    return path.name.endswith(SUFFIXES)


def read_lines(path: Path, offset: int = 0, number: int = 1) -> Iterator[str]:
    """Lines of a file with their line ends, from a byte offset in the unpacked text on.

    Args:
        path: a file that :func:`find_files` takes.
        offset: where a line begins.
        number: of that line, for messages.

    Raises:
        DataError: the file is damaged, or not text in UTF-8.
    """
    try:
        with unpacking(path) as file:
            file.seek(offset)  # of a packed file: reads up to there
            text = io.TextIOWrapper(file, encoding="utf-8", newline="\n")
            while line := text.readline(LONGEST_LINE):
                if "\0" in line:
                    raise DataError(f"{path}: binary data, not plain text, in line {number}")
                yield line
                number += 1
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not text in UTF-8, in or behind line {number}") from error


def scan(paths: Sequence[Path], tokenizer: Tokenizer) -> Corpus:
    """Read all files once: sizes, held-out lines, and the tokens of a sample of lines.

    Raises:
        DataError: a file is damaged or not text, or there are too few lines.
    """
    on_disk = sum(path.stat().st_size for path in paths)
    stride, period = max(1, on_disk // SAMPLE), max(MOST_HELD_OUT, on_disk // HELD_OUT)
    files, held_out, counts = [], [], Counter[str]()
    digest, number = hashlib.blake2b(digest_size=16), 0
    for path in paths:
        first, size = number, 0
        for line in read_lines(path):
            data = line.encode()
            size += len(data)
            digest.update(data)
            if is_held_out(number, period):
                held_out.append(line)
            elif number % stride == 0:
                counts.update(tokenizer.tokenize(line))
            number += 1
        if size:
            files.append(TextFile(path, size, first))
    if not held_out or not counts:
        raise DataError(
            f"{paths[0]}{' …' if len(paths) > 1 else ''}: {number} lines are too little text: "
            f"every {period}th is held out"
        )
    return Corpus(files, period, held_out, counts, digest.hexdigest())


def is_held_out(number: int, period: int) -> bool:
    """Whether line ``number``, counted through all files, is kept for evaluation."""
    return number % period == period - 1


class Packer:
    """Joins texts and cuts the tokens into sequences of ``tokens``.

    Args:
        tokenizer: of the model.
        tokens: length of a sequence, [CLS] and [SEP] included.
        left: tokens that are waiting for more.
    """

    def __init__(self, tokenizer: Tokenizer, tokens: int, left: Sequence[str] = ()) -> None:
        self._tokenizer, self._room = tokenizer, tokens - 2
        self.left = list(left)

    def add(self, text: str) -> Iterator[Row]:
        """The sequences that become full with this line; a blank one ends a document."""
        if not text.strip():
            yield from self.flush()
            return
        self.left += self._tokenizer.tokenize(text)
        full = len(self.left) // self._room * self._room
        for start in range(0, full, self._room):
            yield self._row(self.left[start : start + self._room])
        del self.left[:full]

    def flush(self) -> Iterator[Row]:
        """What is left, if anything."""
        if self.left:
            yield self._row(self.left)
            self.left = []

    @staticmethod
    def _row(tokens: list[str]) -> Row:
        return ["[CLS]", *tokens, "[SEP]"]


class _Chain:
    """Files that are read one behind the other."""

    def __init__(self, files: list[TextFile], period: int, packer: Packer) -> None:
        self._files, self._period, self._packer = files, period, packer
        self._total = sum(file.size for file in files)
        self.seek({"file": 0, "offset": 0, "line": 0, "left": []})

    def state(self) -> dict[str, Any]:
        return {
            "file": self._file,
            "offset": self._offset,
            "line": self._line,
            "left": list(self._packer.left),
        }

    def seek(self, state: dict[str, Any]) -> None:
        self._file, self._offset, self._line = state["file"], state["offset"], state["line"]
        self._packer.left = list(state["left"])
        self._before = sum(file.size for file in self._files[: self._file])
        self._lines: Iterator[str] | None = None

    @property
    def progress(self) -> float:
        """Share that was read, 0 to 1."""
        return (self._before + self._offset) / self._total

    def read_line(self) -> Iterator[Row]:
        """The sequences that the next line completes."""
        file = self._files[self._file]
        if self._lines is None:
            self._lines = read_lines(file.path, self._offset, self._line + 1)
        line = next(self._lines, "")  # none where the file became shorter
        if line and not is_held_out(file.first_line + self._line, self._period):
            yield from self._packer.add(line)
        self._offset += len(line.encode())
        self._line += 1
        if self._offset >= file.size or not line:  # the end of a file ends a document
            yield from self._packer.flush()
            self._before += file.size
            self._file, self._offset, self._line, self._lines = self._file + 1, 0, 0, None


class TextStream:
    """Every line that is not held out, once in each epoch, without end.

    Args:
        corpus: of :func:`scan`.
        tokenizer: of the model.
        tokens: length of a sequence, [CLS] and [SEP] included; 3 or more.
        seed: of the order.
        state: of :meth:`state`, to go on from there.
    """

    def __init__(
        self,
        corpus: Corpus,
        tokenizer: Tokenizer,
        tokens: int,
        seed: int,
        state: dict[str, Any] | None = None,
    ) -> None:
        by_size = sorted(corpus.files, key=lambda file: (-file.size, file.first_line))
        self._chains = [
            _Chain(by_size[i::CHAINS], corpus.period, Packer(tokenizer, tokens))
            for i in range(min(CHAINS, len(by_size)))
        ]
        self._seed = seed
        self.epoch, self._block, self._taken = 0, -1, 0
        self._rows: list[Row] = []
        if state:
            self.epoch, self._block = state["epoch"], state["block"] - 1
            for chain, chain_state in zip(self._chains, state["chains"], strict=True):
                chain.seek(chain_state)
            self._next_block()
            self._taken = state["taken"]
        else:
            self._next_block()

    def state(self) -> dict[str, Any]:
        """The position, as plain values: where the block began, and how much of it was taken."""
        return {
            "epoch": self.epoch,
            "block": self._block,
            "taken": self._taken,
            "chains": self._start,
        }

    def __iter__(self) -> TextStream:
        return self

    def __next__(self) -> Row:
        while self._taken == len(self._rows):  # a block is empty where all lines are blank
            self._next_block()
        self._taken += 1
        return self._rows[self._taken - 1]

    def _next_block(self) -> None:
        if all(chain.progress >= 1 for chain in self._chains):
            self.epoch, self._block = self.epoch + 1, -1
            for chain in self._chains:
                chain.seek({"file": 0, "offset": 0, "line": 0, "left": []})
        self._start = [chain.state() for chain in self._chains]
        self._block, self._taken = self._block + 1, 0
        interned: dict[str, str] = {}
        rows: list[Row] = []
        while len(rows) < BLOCK:
            chain = min(self._chains, key=lambda chain: chain.progress)
            if chain.progress >= 1:
                break
            rows += ([interned.setdefault(t, t) for t in row] for row in chain.read_line())
        order = np.random.default_rng((self._seed, self.epoch, self._block)).permutation(len(rows))
        self._rows = [rows[i] for i in order]

"""Compiles WordPiece vocabularies into the form that the C library searches in place."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from pathlib import Path

from edgebert.errors import ModelError
from edgebert.tokenizer import KINDS, tokenizer_section


def read_vocab_txt(path: Path) -> list[str]:
    """The pieces of a vocab.txt, one a line."""
    return path.read_text(encoding="utf-8").splitlines()


def compile_vocabulary(pieces: Iterable[str]) -> bytes:
    """The vocabulary section."""
    pieces = set(pieces)
    continuations = {piece for piece in pieces if piece.startswith("##") and len(piece) > 2}
    kinds = [
        sorted(piece.encode() for piece in pieces - continuations),
        sorted(piece[2:].encode() for piece in continuations),
    ]
    at = 16 + 4 * sum(map(len, kinds))
    offsets = []
    for kind in kinds:
        for piece in kind:
            offsets.append(at)
            at += len(piece)
        offsets.append(at)
    counts = [len(kind) for kind in kinds]
    return struct.pack(f"<{2 + len(offsets)}I", *counts, *offsets) + b"".join(kinds[0] + kinds[1])


def build_tokenizer(
    kind: str, vocabulary: Iterable[str] | None = None, lowercase: bool = True
) -> bytes:
    """A tokenizer section (docs/format.md)."""
    if kind not in KINDS:
        raise ModelError(f"unknown tokenizer {kind!r}: one of {', '.join(KINDS)}")
    compiled = compile_vocabulary(vocabulary or ()) if kind == "wordpiece" else b""
    return tokenizer_section(kind, lowercase, compiled)

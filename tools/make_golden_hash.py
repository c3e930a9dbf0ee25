"""Writes tests/golden/hash.txt, the judge of every implementation of the hash embedding.

The values come from the NumPy reference; run it again only when the definition in docs/design.md
changes. Lines are made for C's fgets and sscanf as much as for Python's split:

    params FAMILY DIMENSION MAX_NGRAM MODULUS BASE SEED BOUNDARY_MARKS
    vector TOKEN VALUE...

A token is its bytes in hexadecimal, or - if it has none; a value is the bits of a float32.
"""

from __future__ import annotations

import itertools
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from edgebert.config import HASH_FAMILIES, HashParams
from edgebert.hash_reference import hash_embed

GOLDEN = Path(__file__).resolve().parent.parent / "tests" / "golden" / "hash.txt"
TOKENS = (
    b"",
    b"a",
    b"\0",
    b"\0\0\0",
    b"[CLS]",
    b"##ing",
    b"gripping",
    "naïve".encode(),
    "電影".encode(),
    b"\xff\xfe\x80\x00\x7f",
    bytes(i * 151 % 256 for i in range(200)),
)
MODULI = (3, 257, 1_000_000_007, 2**31 - 1)


def parameter_sets() -> Iterator[HashParams]:
    """Every n-gram length with every dimension; the other parameters take turns."""
    turns = itertools.count()
    for family in HASH_FAMILIES:
        yield HashParams(family)
        yield HashParams(family, max_ngram=5, modulus=2**31 - 1, boundary_marks=True)
        yield HashParams(family, dimension=24, max_ngram=16)
        for max_ngram, dimension in itertools.product(range(1, 6), (1, 2, 5, 24)):
            turn = next(turns)
            modulus = MODULI[(turn + turn // 4) % 4]
            base = (31, 1, modulus - 1)[turn % 3] % modulus
            seed = (42, 0, 2**32 - 1)[turn // 2 % 3]
            yield HashParams(family, dimension, max_ngram, modulus, base, seed, bool(turn // 3 % 2))


def golden_text() -> str:
    """The whole file."""
    lines = ["# Made by tools/make_golden_hash.py, which explains the lines."]
    for params in parameter_sets():
        lines.append("params " + " ".join(str(v) for v in _numbers(params)))
        for token, vector in zip(TOKENS, hash_embed(TOKENS, params), strict=True):
            bits = (f"{value:08x}" for value in vector.view(np.uint32))
            lines.append(f"vector {token.hex() or '-'} {' '.join(bits)}")
    return "\n".join(lines) + "\n"


def _numbers(params: HashParams) -> list[int]:
    family = HASH_FAMILIES.index(params.family)
    return [family, *(int(value) for value in list(vars(params).values())[1:])]


if __name__ == "__main__":
    temporary = GOLDEN.with_suffix(".tmp")
    temporary.write_text(golden_text())
    os.replace(temporary, GOLDEN)

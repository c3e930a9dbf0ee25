"""The golden vectors of the hash embedding, tests/golden/hash.txt."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from edgebert.config import HASH_FAMILIES, HashParams

GOLDEN = Path(__file__).parent / "golden" / "hash.txt"


def golden_vectors() -> Iterator[tuple[HashParams, list[bytes], np.ndarray]]:
    """Parameters, tokens and the bits of their vectors, uint32 [tokens, dimension]."""
    sets: list[tuple[HashParams, list[bytes], list[list[int]]]] = []
    for line in GOLDEN.read_text().splitlines():
        kind, *words = line.split()
        if kind == "params":
            family, d, n, modulus, base, seed, marks = map(int, words)
            params = HashParams(HASH_FAMILIES[family], d, n, modulus, base, seed, bool(marks))
            sets.append((params, [], []))
        elif kind == "vector":
            sets[-1][1].append(bytes.fromhex(words[0].strip("-")))
            sets[-1][2].append([int(word, 16) for word in words[1:]])
    for params, tokens, bits in sets:
        yield params, tokens, np.array(bits, np.uint32)

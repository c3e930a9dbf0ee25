"""The hash embedding in NumPy: short, slow and obviously right; docs/design.md defines it.

The C kernels and the torch layer must give the same bits.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

import numpy as np

from edgebert.config import HashParams

MASK = 0xFFFFFFFF


def murmur3_32(data: bytes, seed: int) -> int:
    """MurmurHash3, x86, 32 bit."""

    def rotate_left(x: int, bits: int) -> int:
        return (x << bits | x >> (32 - bits)) & MASK

    h = seed
    for start in range(0, len(data), 4):
        block = data[start : start + 4]
        k = int.from_bytes(block, "little") * 0xCC9E2D51 & MASK
        h ^= rotate_left(k, 15) * 0x1B873593 & MASK
        if len(block) == 4:
            h = (rotate_left(h, 13) * 5 + 0xE6546B64) & MASK
    h ^= len(data)
    h = (h ^ h >> 16) * 0x85EBCA6B & MASK
    h = (h ^ h >> 13) * 0xC2B2AE35 & MASK
    return h ^ h >> 16


def multipliers(params: HashParams) -> np.ndarray:
    """The seeds h_j in [1, B), int64 [dimension]."""
    keys = (j.to_bytes(4, "little") for j in range(params.dimension))
    hashes = [1 + murmur3_32(key, params.seed) % (params.modulus - 1) for key in keys]
    return np.array(hashes, np.int64)


def columns(params: HashParams) -> list[slice]:
    """The columns of n-grams of length 1, 2, ..., max_ngram."""
    parts = params.max_ngram * (params.max_ngram + 1) // 2
    ends = [0]
    for i in range(1, params.max_ngram):
        ends.append(ends[-1] + params.dimension * i // parts)
    ends.append(params.dimension)
    return [slice(*pair) for pair in itertools.pairwise(ends)]


def hash_sums(token: bytes, params: HashParams) -> Iterator[tuple[np.ndarray, int]]:
    """For n-grams of length 1, 2, ...: the sum of P in each column, int64, and their number."""
    h = multipliers(params)
    if params.boundary_marks:
        token = b"<" + token + b">"
    for i, part in enumerate(columns(params), 1):
        grams = [token[g : g + i] for g in range(len(token) - i + 1)]
        residues = _residues(grams, h[part], params)
        symmetric = np.where(residues > params.modulus // 2, residues - params.modulus, residues)
        yield symmetric.sum(axis=0), len(grams)


def hash_embed(tokens: Sequence[bytes], params: HashParams) -> np.ndarray:
    """The vectors of some tokens, float32 [len(tokens), dimension]."""
    vectors = np.zeros((len(tokens), params.dimension), np.float32)
    for vector, token in zip(vectors, tokens, strict=True):
        for part, (sums, n) in zip(columns(params), hash_sums(token, params), strict=True):
            if n:
                vector[part] = (2 * sums).astype(np.float64) / np.float64(n * params.modulus)
    return vectors


def _residues(grams: list[bytes], h: np.ndarray, params: HashParams) -> np.ndarray:
    """Hashes modulo B, int64 [len(grams), len(h)]."""
    if params.family == "murmur3":
        hashes = [[murmur3_32(gram, int(seed)) for seed in h] for gram in grams]
        return np.array(hashes, np.int64).reshape(len(grams), len(h)) % params.modulus
    rolling = []
    for gram in grams:
        s = 0
        for byte in gram:
            s = (s * params.base + byte) % params.modulus
        rolling.append(s)
    products: np.ndarray = np.array(rolling, np.int64)[:, None] * h
    return products % params.modulus

"""Tells a frozen table of hash vectors, which export drops, from a learned embedding table."""

from __future__ import annotations

from typing import Any

import numpy as np

from edgebert.config import HashParams
from edgebert.errors import ModelError
from edgebert.hash import HashEmbedding

_ROWS_AT_ONCE = 1024


class LearnedTableError(ModelError):
    """The word embeddings are not the hash function's values."""


def check_table(table: np.ndarray, vocabulary: Any, params: HashParams) -> None:
    """Check that every row of ``table`` is the hash of its vocabulary entry.

    Args:
        table: [n, params.dimension] of any floating-point type; the function's values are rounded
            to that type before they are compared.
        vocabulary: list of n entries, as strings; None if it is unknown.
        params: of the hash.

    Raises:
        LearnedTableError: some row is not.
    """
    if type(vocabulary) is not list or not all(isinstance(entry, str) for entry in vocabulary):
        raise LearnedTableError("it holds word embeddings but no vocabulary to check them with")
    if table.shape != (len(vocabulary), params.dimension):
        raise LearnedTableError(
            f"its word embeddings have shape {table.shape}, the hash of its vocabulary "
            f"{(len(vocabulary), params.dimension)}"
        )
    embed = HashEmbedding(params)
    for start in range(0, len(table), _ROWS_AT_ONCE):
        rows = slice(start, start + _ROWS_AT_ONCE)
        different = (table[rows] != embed(vocabulary[rows]).astype(table.dtype)).any(axis=1)
        if different.any():
            entry = vocabulary[start + int(different.argmax())]
            raise LearnedTableError(
                f"its word embeddings are a learned table (the row of {entry!r:.40} is not the "
                "hash of it)"
            )

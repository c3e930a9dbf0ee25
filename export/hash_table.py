"""Tells a frozen table of hash vectors, which export drops, from a learned embedding table."""

from __future__ import annotations

from typing import Any

import numpy as np

from edgebert.config import HashParams
from edgebert.errors import ModelError
from edgebert.hash_reference import hash_embedding

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
    for start in range(0, len(table), _ROWS_AT_ONCE):
        rows = table[start : start + _ROWS_AT_ONCE]
        tokens = [entry.encode() for entry in vocabulary[start : start + _ROWS_AT_ONCE]]
        different = (rows != hash_embedding(tokens, params).astype(table.dtype)).any(axis=1)
        if different.any():
            entry = vocabulary[start + int(different.argmax())]
            raise LearnedTableError(
                f"its word embeddings are a learned table (the row of {entry!r:.40} is not the "
                "hash of it)"
            )

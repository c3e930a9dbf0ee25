"""What graphs that hash are tried with: any parameters and tokens, as their inputs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from hypothesis import strategies as st

from edgebert.config import HashParams

odd_moduli = st.one_of(
    st.sampled_from([3, 257, 1_000_000_007, 2**31 - 1]),
    st.integers(1, 2**30 - 1).map(lambda n: 2 * n + 1),
)


def hash_params(*families: str) -> st.SearchStrategy[HashParams]:
    """Parameters of these families."""
    return odd_moduli.flatmap(
        lambda modulus: st.builds(
            HashParams,
            family=st.sampled_from(families),
            dimension=st.integers(1, 40),
            max_ngram=st.integers(1, 16),
            modulus=st.just(modulus),
            base=st.integers(1, modulus - 1),
            seed=st.integers(0, 2**32 - 1),
            boundary_marks=st.booleans(),
        )
    )


poly_params = hash_params("poly")
token_lists = st.lists(st.binary(max_size=120), min_size=1, max_size=4)


def padded(tokens: Sequence[bytes], more: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """One batch, filled up with bytes that must not matter."""
    lengths = np.array([[len(token) for token in tokens]], np.int32)
    token_bytes = np.full((1, len(tokens), lengths.max() + more), 0xEE, np.uint8)
    for row, token in zip(token_bytes[0], tokens, strict=True):
        row[: len(token)] = list(token)
    return token_bytes, lengths

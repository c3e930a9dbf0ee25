"""The hash embedding, computed by the C library."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edgebert._native import ffi, lib
from edgebert.config import HASH_FAMILIES, HashParams
from edgebert.errors import ModelError
from edgebert.memory import aligned, status_text


class HashEmbedding:
    """A function from tokens to vectors; threads may share it.

    Raises:
        ModelError: the parameters are outside what edgebert.h allows.
    """

    def __init__(self, params: HashParams) -> None:
        self.params = params
        self._params = ffi.new("eb_hash_params *", hash_struct(params))
        size = ffi.new("size_t *")
        self._check(lib.eb_hash_size(self._params, size))
        self._memory = aligned(size[0])
        handle = ffi.new("eb_hash **")
        memory = ffi.from_buffer(self._memory)
        self._check(lib.eb_hash_open(self._params, memory, size[0], handle))
        self._handle = handle[0]

    def _check(self, status: int) -> None:
        if status != lib.EB_OK:
            raise ModelError(f"hash parameters {self.params}: {status_text(status)}")

    def __call__(self, tokens: Sequence[bytes | str]) -> np.ndarray:
        """The vectors of some tokens, float32 [len(tokens), dimension]."""
        encoded = [t.encode() if isinstance(t, str) else t for t in tokens]
        ends = np.cumsum([len(token) for token in encoded], dtype=np.uint32)
        return self.embed(np.frombuffer(b"".join(encoded), np.uint8), ends)

    def embed(self, data: np.ndarray, ends: np.ndarray) -> np.ndarray:
        """The same for tokens laid end to end: token i is ``data[ends[i-1]:ends[i]]``.

        Args:
            data: uint8.
            ends: uint32, ascending.

        Raises:
            ValueError: they are of other types, or a token would end before its begin or beyond
                the data.
        """
        if data.dtype != np.uint8 or ends.dtype != np.uint32:  # C reads them as they lie
            raise ValueError("data must be uint8 and ends uint32")
        if len(ends) and (ends[-1] > data.size or (ends[1:] < ends[:-1]).any()):
            raise ValueError("ends must ascend, and not go beyond the data")
        vectors = np.empty((len(ends), self.params.dimension), np.float32)
        lib.eb_hash_embed_many(
            self._handle,
            ffi.from_buffer("uint8_t[]", data),
            ffi.from_buffer("uint32_t[]", ends),
            len(ends),
            ffi.from_buffer("float[]", vectors),
        )
        return vectors


def hash_struct(params: HashParams) -> dict[str, int]:
    """The fields of an ``eb_hash_params``."""
    return {**vars(params), "family": HASH_FAMILIES.index(params.family)}

"""Runs .ebm files in the C library; needs nothing else."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from edgebert._native import ffi, lib
from edgebert.errors import EdgebertError
from edgebert.memory import aligned, status_text
from edgebert.native import NativeModel
from edgebert.sequence import Sequences
from edgebert.tokenizer import Tokenizer

if TYPE_CHECKING:
    from concurrent.futures import ThreadPoolExecutor

SHARE = 16  # texts that a thread takes at a time; C runs without Python's lock


class NativeEngine:
    """One model shared by all threads, one arena for each thread.

    A single text uses one thread; of more texts than a SHARE, each thread takes shares.
    """

    name = "native"

    def __init__(self, path: Path, threads: int | None = None) -> None:
        self.model = NativeModel(path)
        self.config = self.model.config()
        self.tokenizer = Tokenizer.from_bytes(self.model.section("tokenizer"))
        self._thread = threading.local()
        self._pool: ThreadPoolExecutor | None = None
        if threads and threads > 1:
            from concurrent.futures import ThreadPoolExecutor  # 6 ms that most do not need

            self._pool = ThreadPoolExecutor(threads)

    def _arena(self, num_tokens: int) -> np.ndarray:
        arena: np.ndarray | None = getattr(self._thread, "arena", None)
        size = self.model.arena_size(num_tokens)
        if arena is None or arena.size < size:
            arena = self._thread.arena = aligned(size)
        return arena

    def run(self, sequences: Sequences) -> tuple[np.ndarray, np.ndarray]:
        """Run the sequences one by one: no padding, no waste. The threads share them out."""
        logits = np.empty((len(sequences), self.config.num_labels), np.float32)
        pooled = np.empty((len(sequences), self.config.hidden_size), np.float32)
        if self._pool is None or len(sequences) <= SHARE:
            self._run_rows(sequences, range(len(sequences)), logits, pooled)
        else:
            shares = [
                self._pool.submit(self._run_rows, sequences, rows, logits, pooled)
                for rows in _shares(len(sequences))
            ]
            for share in shares:
                share.result()
        return logits, pooled

    def _run_rows(
        self, sequences: Sequences, rows: range, logits: np.ndarray, pooled: np.ndarray
    ) -> None:
        if not rows:
            return
        arena = self._arena(max(len(sequences.ends[i]) for i in rows))
        arena_pointer = ffi.from_buffer(arena)
        for i in rows:
            status = lib.eb_classify_tokens(
                self.model.handle,
                ffi.from_buffer("uint8_t[]", sequences.bytes[i]),
                ffi.from_buffer("uint32_t[]", sequences.ends[i]),
                ffi.from_buffer("uint8_t[]", sequences.types[i]),
                len(sequences.ends[i]),
                arena_pointer,
                arena.size,
                ffi.from_buffer("float[]", logits[i]),
                ffi.from_buffer("float[]", pooled[i]),
            )
            if status != lib.EB_OK:
                raise EdgebertError(status_text(status))


def _shares(count: int) -> list[range]:
    return [range(first, min(first + SHARE, count)) for first in range(0, count, SHARE)]

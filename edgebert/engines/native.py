"""Runs .ebm files in the C library; needs nothing else."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np

from edgebert._native import ffi, lib
from edgebert.errors import EdgebertError
from edgebert.memory import aligned, status_text
from edgebert.native import NativeModel
from edgebert.sequence import Sequences
from edgebert.tokenizer import Tokenizer


class NativeEngine:
    """One model shared by all threads, one arena for each thread; a run uses one thread."""

    name = "native"

    def __init__(self, path: Path, threads: int | None = None) -> None:
        self.model = NativeModel(path)
        self.config = self.model.config()
        self.tokenizer = Tokenizer.from_bytes(self.model.section("tokenizer"))
        self._thread = threading.local()

    def _arena(self, num_tokens: int) -> np.ndarray:
        arena: np.ndarray | None = getattr(self._thread, "arena", None)
        size = self.model.arena_size(num_tokens)
        if arena is None or arena.size < size:
            arena = self._thread.arena = aligned(size)
        return arena

    def run(self, sequences: Sequences) -> tuple[np.ndarray, np.ndarray]:
        """Run the sequences one by one: no padding, no waste."""
        logits = np.empty((len(sequences), self.config.num_labels), np.float32)
        pooled = np.empty((len(sequences), self.config.hidden_size), np.float32)
        if not len(sequences):
            return logits, pooled
        arena = self._arena(max(len(ends) for ends in sequences.ends))
        arena_pointer = ffi.from_buffer(arena)
        for i in range(len(sequences)):
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
        return logits, pooled

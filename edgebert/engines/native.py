"""Runs .ebm files in the C library; needs nothing else."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from edgebert._native import ffi, lib
from edgebert.engines import Outputs
from edgebert.engines.batches import empty_scores, run_tokenized
from edgebert.engines.forks import PerProcess
from edgebert.errors import EdgebertError
from edgebert.memory import aligned, status_text
from edgebert.native import NativeModel
from edgebert.sequence import Sequences, Text, fill_text
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
        self.dtype = self.model.dtype
        self.config = self.model.config()
        self.tokenizer = Tokenizer.from_bytes(self.model.section("tokenizer"))
        self.tag_transitions = self.model.transitions()
        self._thread = threading.local()
        self.threads = threads
        self._pool: PerProcess[ThreadPoolExecutor] | None = None
        if threads and threads > 1:
            from concurrent.futures import ThreadPoolExecutor  # 6 ms that most do not need

            self._pool = PerProcess(
                ThreadPoolExecutor(threads), lambda: ThreadPoolExecutor(threads)
            )

    def file(self) -> bytes:
        """See Engine."""
        return self.model.file()

    def run(self, sequences: Sequences) -> Outputs:
        """Run the sequences one by one: no padding, no waste. The threads share them out."""
        scores = empty_scores(sequences, self.config) if self.config.num_tags else None
        outputs = self._outputs(len(sequences), scores)
        self._share_out(len(sequences), lambda rows: self._run(sequences, rows, outputs))
        return outputs

    def run_texts(self, texts: Sequence[Text]) -> tuple[Outputs, list[int]]:
        """The same, with the tokens going from the tokenizer to the encoder within C.

        Scores of tags are of tokens, so texts that are tagged become sequences first.
        """
        if self.config.num_tags:
            return run_tokenized(self, texts)
        outputs, dropped = self._outputs(len(texts)), [0] * len(texts)
        self._share_out(len(texts), lambda rows: self._run_texts(texts, rows, outputs, dropped))
        return outputs, dropped

    def _outputs(self, count: int, scores: list[np.ndarray] | None = None) -> Outputs:
        return Outputs(
            np.empty((count, self.config.num_labels), np.float32),
            np.empty((count, self.config.hidden_size), np.float32),
            scores,
        )

    def _share_out(self, count: int, run: Callable[[range], None]) -> None:
        if self._pool is None or count <= SHARE:
            run(range(count))
            return
        pool = self._pool()
        for share in [pool.submit(run, rows) for rows in _shares(count)]:
            share.result()

    def _arena(self, num_tokens: int) -> tuple[Any, int]:
        """This thread's arena: pointer and bytes."""
        arena: np.ndarray | None = getattr(self._thread, "arena", None)
        size = self.model.arena_size(num_tokens)
        if arena is None or arena.size < size:
            try:
                arena = aligned(size)
            except MemoryError:
                raise EdgebertError(
                    f"no memory for an arena of {size:,} bytes, which {num_tokens} tokens take: "
                    "use fewer threads, int8, or a model of fewer tokens"
                ) from None
            self._thread.pointer = ffi.from_buffer(arena)
            self._thread.arena = arena
        return self._thread.pointer, arena.size

    def _run(self, sequences: Sequences, rows: range, outputs: Outputs) -> None:
        if not rows:
            return
        arena, arena_size = self._arena(max(len(sequences.ends[i]) for i in rows))
        logits_row, pooled_row = _rows_of(outputs.logits), _rows_of(outputs.pooled)
        scores = outputs.tag_scores
        for i in rows:
            status = lib.eb_tag_tokens(
                self.model.handle,
                ffi.from_buffer("uint8_t[]", sequences.bytes[i]),
                ffi.from_buffer("uint32_t[]", sequences.ends[i]),
                ffi.from_buffer("uint8_t[]", sequences.types[i]),
                len(sequences.ends[i]),
                arena,
                arena_size,
                logits_row(i),
                pooled_row(i),
                ffi.from_buffer("int16_t[]", scores[i]) if scores else ffi.NULL,
            )
            if status != lib.EB_OK:
                raise EdgebertError(status_text(status))

    def _run_texts(
        self, texts: Sequence[Text], rows: range, outputs: Outputs, dropped: list[int]
    ) -> None:
        limit = self.config.max_position_embeddings
        arena, arena_size = self._arena(limit)
        logits_row, pooled_row = _rows_of(outputs.logits), _rows_of(outputs.pooled)
        text, report = ffi.new("eb_text *"), ffi.new("eb_report *")
        for i in rows:
            kept = fill_text(text, texts[i], limit)
            status = lib.eb_classify(
                self.model.handle, text, arena, arena_size, logits_row(i), pooled_row(i), report
            )
            del kept
            if status != lib.EB_OK:
                raise EdgebertError(status_text(status))
            dropped[i] = report.num_dropped


def _rows_of(matrix: np.ndarray) -> Callable[[int], Any]:
    """Pointers to the rows of a matrix of float32."""
    start, columns = ffi.from_buffer("float[]", matrix), matrix.shape[1]
    return lambda row: start + row * columns


def _shares(count: int) -> list[range]:
    return [range(first, min(first + SHARE, count)) for first in range(0, count, SHARE)]

"""A batch of texts in one call, for benchmarks.peers: texts a second.

The C library takes the texts as they are. The others get them sorted by length and cut into parts
of equal size, each padded to its longest text; the size is the one that was fastest for them, and
one text at a time is among those tried. Where tokens lie in a part is worked out before.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from benchmarks.gemm import peaks
from benchmarks.runtimes import RUNTIMES, Encoder, Inputs, Job, Runtime, quiet
from edgebert.bench import linear_macs, take_turns
from edgebert.engines import Engine
from edgebert.engines.native import NativeEngine
from edgebert.hash import HashEmbedding
from edgebert.sequence import Sequences

SIZES = (1, 8, 32)  # of parts
_TRIALS = 3


class Part:
    """Some texts, padded to a common length."""

    def __init__(self, sequences: Sequences, rows: Sequence[int], step: int, columns: int) -> None:
        self.rows = rows
        lengths = [len(sequences.ends[row]) for row in rows]
        longest = -(-max(lengths) // step) * step
        mask = np.arange(longest) < np.array(lengths)[:, None]
        types = np.zeros(mask.shape, np.int64)
        types[mask] = np.concatenate([sequences.types[row] for row in rows])
        self._data = np.concatenate([sequences.bytes[row] for row in rows])
        starts = np.cumsum([0, *(len(sequences.bytes[row]) for row in rows)])
        ends = [sequences.ends[row] + start for row, start in zip(rows, starts[:-1], strict=True)]
        self._ends = np.concatenate(ends).astype(np.uint32)
        self._slots = None if mask.all() else mask.ravel().nonzero()[0]
        self._vectors = np.zeros((mask.size, columns), np.float32)
        self.shape = mask.shape
        self._others = {"attention_mask": mask.astype(np.int64), "token_type_ids": types}

    def inputs(self, hash_embedding: HashEmbedding) -> Inputs:
        """What encoders take; the hash vectors are computed now."""
        vectors = hash_embedding.embed(self._data, self._ends)
        if self._slots is not None:
            self._vectors[self._slots] = vectors
            vectors = self._vectors
        return {"inputs_embeds": vectors.reshape(*self.shape, -1), **self._others}


class Batch:
    """Another runtime with the batch in parts of one size; calling it gives all logits."""

    def __init__(
        self,
        runtime: Runtime,
        sequences: Sequences,
        hash_embedding: HashEmbedding,
        job: Job,
        size: int,
    ) -> None:
        self.size = size
        self._hash = hash_embedding
        self._logits = np.empty((len(sequences), job.spec.config.num_labels), np.float32)
        columns = job.spec.config.hidden_size
        order = sorted(range(len(sequences)), key=lambda i: len(sequences.ends[i]))
        encoders: dict[tuple[int, ...] | None, Encoder] = {}
        self._parts: list[tuple[Part, Encoder]] = []
        for first in range(0, len(order), size):
            part = Part(sequences, order[first : first + size], runtime.step, columns)
            key = None if runtime.any_shape else part.shape
            if key not in encoders:
                texts, tokens = part.shape
                with quiet():
                    encoders[key] = runtime.build(replace(job, texts=texts, tokens=tokens))
            self._parts.append((part, encoders[key]))

    def __call__(self) -> np.ndarray:
        """The logits, float32 [texts, num_labels], in the order of the sequences."""
        for part, encode in self._parts:
            self._logits[part.rows] = encode(part.inputs(self._hash))
        return self._logits


def logits(engine: Engine, sequences: Sequences) -> np.ndarray:
    """An engine of ours."""
    return engine.run(sequences).logits


def compare_batches(
    engines: Mapping[str, Engine],
    sequences: Sequences,
    hash_embedding: HashEmbedding,
    job: Job,
    seconds: float,
) -> None:
    """Let all take turns with the batch, and print a line for each."""
    others = {}
    for name, runtime in RUNTIMES.items():
        try:
            candidates = [
                Batch(runtime, sequences, hash_embedding, job, size)
                for size in SIZES
                if size <= runtime.most_texts
            ]
        except ImportError:
            continue  # peers.py has said so
        best = min(candidates, key=_trial)
        others[f"{name}, {runtime.dtype}, parts of {best.size}"] = best
    ours = {name: partial(logits, engine, sequences) for name, engine in engines.items()}
    calls: dict[str, Callable[[], np.ndarray]] = {**ours, **others}
    reference = next(iter(calls.values()))()
    differences = {name: np.abs(call() - reference).max() for name, call in calls.items()}
    times = take_turns(list(calls.values()), seconds)
    medians = {n: float(np.median(t)) / 1e9 for n, t in zip(calls, times, strict=True)}
    best_other = min((medians[name] for name in others), default=np.nan)
    tokens = sum(len(ends) for ends in sequences.ends)
    macs = linear_macs(job.spec.config, tokens, len(sequences))
    all_peaks = peaks()
    print(f"  {'':<42}{'texts/s':>9}{'vs best':>10}{'GMAC/s':>8}{'of peak':>9}{'max |diff|':>12}")
    for name, median in medians.items():
        engine, share = engines.get(name), ""
        if isinstance(engine, NativeEngine) and engine.model.dtype != "f32":
            share = f"{macs / median / all_peaks[engine.model.isa]:.0%}"
        print(
            f"  {name:<42}{len(sequences) / median:9.0f}{best_other / median:8.2f} x"
            f"{macs / median / 1e9:8.1f}{share:>9}{differences[name]:12.4f}"
        )
    shown = ", ".join(f"{name} {speed / 1e9:.1f}" for name, speed in all_peaks.items())
    print(f"  GMAC/s: of the linear layers, padding not counted; int8 peak: {shown}")


def _trial(call: Callable[[], Any]) -> float:
    times = []
    for _ in range(1 + _TRIALS):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return min(times[1:])

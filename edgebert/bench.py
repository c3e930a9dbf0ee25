"""Measures artifacts side by side: latency, throughput, memory, loading. Prints nothing.

All that is compared takes turns within one run, so that a busy moment of the machine hits all
alike. A turn begins with a call that does not count: it brings the caches back.
"""

from __future__ import annotations

import functools
import itertools
import json
import os
import platform
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from edgebert.config import ModelConfig
from edgebert.engines import Engine, open_engine
from edgebert.engines.native import NativeEngine
from edgebert.errors import UsageError
from edgebert.model import Model
from edgebert.sequence import Text, from_texts
from edgebert.tokenizer import Tokenizer
from edgebert.version import __version__

LENGTHS = (8, 32, 128)  # tokens, [CLS] and [SEP] included
INPUTS = {"tokens": "tokens to logits", "text": "text to label"}
PERCENTILES = (50, 90, 99)
WORDS = (
    "a gripping film with a wonderful cast , told with wit and warmth , though its last third "
    "wanders : the plot unravels , the score is overbearing and the dialogue unbelievable ."
)

_TURN = 2_000_000  # nanoseconds
_LOADS = 15
_LEAST_TURNS = 5
# Whose versions matter, where they are in use.
_PACKAGES = ("numpy", "onnxruntime", "ai_edge_litert", "tflite_runtime", "torch", "transformers")
_RESIDENT = "import json, sys, edgebert.bench as b; print(b.resident_growth(*json.load(sys.stdin)))"


def bench(
    paths: Sequence[Path],
    lengths: Sequence[int] | None = None,
    texts: Sequence[Text] | None = None,
    batch: int = 1,
    threads: int = 1,
    seconds: float = 3.0,
    progress: Callable[[float], None] = lambda seconds: None,
) -> dict[str, Any]:
    """Measure artifacts side by side; return one document.

    Args:
        paths: the files.
        lengths: tokens of the texts, [CLS] and [SEP] included; by default those of LENGTHS that
            all models take.
        texts: measure the first ``batch`` of these in one call, as they are, in place of made ones;
            they begin again where there are fewer.
        batch: texts in a call.
        threads: most threads for each engine.
        seconds: time for each length.
        progress: is told how many seconds were measured since it was called last.

    Raises:
        ModelError: a file is missing, damaged or foreign.
        MissingPackageError: an engine is not installed.
        UsageError: a length or a text is beyond a model's limit.
    """
    engines = [open_engine(path, threads) for path in paths]
    limits = [engine.config.max_position_embeddings for engine in engines]
    if lengths is None:
        lengths = [n for n in LENGTHS if n <= min(limits)] or [min(limits)]
    cases: list[list[Case]] = []
    for n in lengths if texts is None else [None]:
        row = []
        for path, engine, limit in zip(paths, engines, limits, strict=True):
            some = texts if texts is not None else [made_text(engine.tokenizer, n or 0)]
            case = Case(engine, list(itertools.islice(itertools.cycle(some), batch)))
            if case.longest > limit:
                raise UsageError(
                    f"{path} takes at most {limit} tokens, but was to be measured with "
                    f"{case.longest}"
                )
            row.append(case)
        cases.append(row)
    results = [measure(row, seconds, progress) for row in cases]
    files = []
    for i, (path, engine) in enumerate(zip(paths, engines, strict=True)):
        longest = max((row[i] for row in cases), key=lambda case: case.longest)
        files.append(
            {
                "file": str(path),
                "bytes": path.stat().st_size,
                **describe_engine(engine, longest.longest),
                "resident_bytes": _resident_growth_afresh(path, longest.texts, threads),
                "load_us": load_time(path, threads),
                "results": [result for row in results for result in row[i]],
            }
        )
    return {
        "machine": machine(),
        "threads": threads,
        "batch": batch,
        "seconds": seconds,
        "files": files,
    }


class Case:
    """Texts for an engine, one call, ready to be measured.

    Attributes:
        texts: the texts.
        lengths: each one's tokens for this engine's tokenizer, [CLS] and [SEP] included.
        linear_macs: multiply-accumulates of the linear layers over all texts.
        calls: for each of INPUTS, what to call.
    """

    def __init__(self, engine: Engine, texts: Sequence[Text]) -> None:
        self.texts = texts
        sequences = from_texts(engine.tokenizer, texts, engine.config.max_position_embeddings)
        self.lengths = [
            len(ends) + dropped
            for ends, dropped in zip(sequences.ends, sequences.num_dropped, strict=True)
        ]
        self.linear_macs = linear_macs(engine.config, sum(self.lengths), len(texts))
        self.calls: dict[str, Callable[[], object]] = {
            "tokens": functools.partial(engine.run, sequences),
            "text": functools.partial(Model(engine).infer, texts),
        }

    @property
    def longest(self) -> int:
        """Tokens of the longest text."""
        return max(self.lengths)


def linear_macs(config: ModelConfig, num_tokens: int, num_texts: int) -> int:
    """Multiply-accumulates of all products with weights; the hash and attention are not counted.

    Of the last layer every token takes keys and values, the rest the first token of a text alone.
    """
    h = config.hidden_size
    keys_and_values = 2 * h * h
    rest = 2 * h * h + 2 * h * config.intermediate_size
    each_token = config.num_hidden_layers * (keys_and_values + rest) - rest
    return num_tokens * each_token + num_texts * (rest + h * h + h * config.num_labels)


def measure(
    cases: Sequence[Case], seconds: float, progress: Callable[[float], None]
) -> list[list[dict[str, Any]]]:
    """Measure cases against each other; one list for each, with a document for each of INPUTS."""
    calls = [case.calls[name] for name in INPUTS for case in cases]
    times = take_turns(calls, seconds, progress)
    results: list[list[dict[str, Any]]] = [[] for _ in cases]
    for i, name in enumerate(INPUTS):
        of_input = times[i * len(cases) : (i + 1) * len(cases)]
        first = np.median(of_input[0])
        for case, nanoseconds, result in zip(cases, of_input, results, strict=True):
            median = np.median(nanoseconds)
            calls_per_second = float(1e9 / median)
            texts, tokens = len(case.texts), sum(case.lengths)
            result.append(
                {
                    "input": name,
                    "tokens": tokens // texts if tokens % texts == 0 else tokens / texts,  # mean
                    "calls": len(nanoseconds),
                    "us": _microseconds(nanoseconds),
                    "texts_per_second": texts * calls_per_second,
                    "tokens_per_second": tokens * calls_per_second,
                    "linear_macs_per_second": case.linear_macs * calls_per_second,
                    "speed_to_first": float(first / median),
                }
            )
    return results


def _microseconds(nanoseconds: np.ndarray) -> dict[str, float]:
    ranks = np.percentile(nanoseconds / 1000, (0, *PERCENTILES)).tolist()
    return dict(zip(("min", *(f"p{p}" for p in PERCENTILES)), ranks, strict=True))


def take_turns(
    calls: Sequence[Callable[[], object]],
    seconds: float,
    progress: Callable[[float], None] = lambda seconds: None,
) -> list[np.ndarray]:
    """Time each call again and again, in turns; nanoseconds, an array for each."""
    times: list[list[int]] = [[] for _ in calls]
    begin = told = time.perf_counter()
    for turn in itertools.count(1):
        for call, samples in zip(calls, times, strict=True):
            _take_turn(call, samples)
        now = time.perf_counter()
        progress(now - told)
        told = now
        if turn >= _LEAST_TURNS and now - begin >= seconds:
            break
    return [np.array(samples) for samples in times]


def _take_turn(call: Callable[[], object], samples: list[int]) -> None:
    clock = time.perf_counter_ns
    call()
    end = clock() + _TURN
    while True:
        start = clock()
        call()
        stop = clock()
        samples.append(stop - start)
        if stop >= end:
            return


def made_text(tokenizer: Tokenizer, tokens: int) -> str:
    """A text of exactly so many tokens, [CLS] and [SEP] included."""
    words: list[str] = []
    room = tokens - 2
    for word in itertools.cycle(WORDS.split()):
        size = len(tokenizer.tokenize(word))
        if size > room:
            break
        words.append(word)
        room -= size
    return " ".join(words + ["."] * room)  # a punctuation mark is one token everywhere


def load_time(path: Path, threads: int) -> float:
    """Microseconds to open a file whose pages are in memory, engine and checks included: a median.

    As :func:`edgebert.load`; what an engine imports was loaded before.
    """
    times = []
    for _ in range(_LOADS):
        start = time.perf_counter_ns()
        open_engine(path, threads)
        times.append(time.perf_counter_ns() - start)
    return float(np.median(times) / 1000)


def describe_engine(engine: Engine, tokens: int) -> dict[str, Any]:
    """Its name and dtype; of the C library also what it uses and the arena for so many tokens."""
    native = engine.model if isinstance(engine, NativeEngine) else None
    return {
        "engine": engine.name,
        "dtype": engine.dtype,
        "isa": native.isa if native else None,
        "arena_bytes": native.arena_size(tokens) if native else None,
    }


def resident_growth(path: str, texts: list[Any], threads: int) -> int:
    """Bytes by which this process grew to open a file and answer, its engine's code included."""
    before = resident()
    model = Model(open_engine(Path(path), threads))  # which is alive when counted
    model.infer([text if isinstance(text, str) else tuple(text) for text in texts])
    return resident() - before


def _resident_growth_afresh(path: Path, texts: Sequence[Text], threads: int) -> int:
    """The same in a fresh interpreter: here much is loaded already."""
    import subprocess  # which every command would otherwise take 4 ms longer to start for

    arguments = json.dumps([str(path), texts, threads])
    output = subprocess.run(
        [sys.executable, "-c", _RESIDENT],
        input=arguments,
        stdout=subprocess.PIPE,
        check=True,
        text=True,
    ).stdout
    return int(output)


def resident() -> int:
    """Bytes of memory that this process has; Linux tells."""
    pages = Path("/proc/self/statm").read_text().split()[1]
    return int(pages) * os.sysconf("SC_PAGESIZE")


def machine() -> dict[str, Any]:
    """What a figure was measured with; figures without it say little."""
    return {
        "processor": processor(),
        "cores": os.cpu_count(),
        "system": platform.platform(terse=True),
        "python": platform.python_version(),
        "packages": {
            "edgebert": __version__,
            **{name: sys.modules[name].__version__ for name in _PACKAGES if name in sys.modules},
        },
    }


def processor() -> str:
    """The processor's name as the system tells it."""
    info = Path("/proc/cpuinfo")
    for line in info.read_text().splitlines() if info.exists() else ():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()

"""Many inferences, and the memory that the process has after each tenth of them.

python -m benchmarks.endurance [--count 1000000] [FILE]
"""

from __future__ import annotations

import argparse
import itertools
import time
from collections.abc import Sequence
from pathlib import Path

import edgebert
from benchmarks.machine import describe
from edgebert.bench import resident
from edgebert.builtin import model_path
from edgebert.tsv import read_tsv

REPO = Path(__file__).resolve().parent.parent
TEXTS = REPO / "tests" / "data" / "sst2_dev_head.tsv"
NUM_WORDS = 6  # of a text, at most: the more calls, the sooner a leak shows
PARTS = 10


def main(arguments: Sequence[str] | None = None) -> None:
    """Print a line for each tenth."""
    parser = argparse.ArgumentParser(description="Memory over many inferences.")
    parser.add_argument("file", nargs="?", type=Path, default=model_path(None), help="an artifact")
    parser.add_argument("--count", type=int, default=1_000_000, help="how many, in all")
    options = parser.parse_args(arguments)
    model = edgebert.load(options.file, threads=1)
    texts = [" ".join(str(text).split()[:NUM_WORDS]) for text in read_tsv(TEXTS).texts]
    print(describe("numpy"))
    print(f"{options.file.name}: {options.count:,} inferences of up to {NUM_WORDS} words")
    for text in texts:  # arenas and caches are there before the first figure
        model.infer(text)
    print(f"{'inferences':>12}{'resident':>14}{'growth':>12}{'µs each':>9}")
    before = resident()
    print(f"{0:12,}{before:14,}")
    stream = itertools.cycle(texts)
    for part in range(1, PARTS + 1):
        start = time.perf_counter()
        for text in itertools.islice(stream, options.count // PARTS):
            model.infer(text)
        each = (time.perf_counter() - start) / (options.count // PARTS) * 1e6
        now = resident()
        done = part * (options.count // PARTS)
        print(f"{done:12,}{now:14,}{now - before:12,}{each:9.1f}", flush=True)


if __name__ == "__main__":
    main()

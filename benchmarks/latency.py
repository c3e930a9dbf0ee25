"""One text in, logits out: the engines side by side, on the trained UNO model.

python -m benchmarks.latency [--tokens 8,32,128]

Tokenizer and hash are the C library's in both; what differs is who runs the encoder. Each round
asks every engine once; a figure is the median of the rounds.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import edgebert
from benchmarks.machine import describe
from edgebert.export import WRITERS, write_model
from edgebert.export.checkpoint import read_checkpoint
from edgebert.export.spec import ModelSpec

CHECKPOINT = Path(__file__).resolve().parent.parent / "models" / "uno-sst2.pt"
ROUNDS = 501


def measure(models: dict[str, edgebert.Model], text: str) -> dict[str, float]:
    """Microseconds of each engine for one text."""
    rounds: dict[str, list[int]] = {name: [] for name in models}
    for _ in range(ROUNDS):
        for name, model in models.items():
            start = time.perf_counter_ns()
            model.logits(text)
            rounds[name].append(time.perf_counter_ns() - start)
    return {name: statistics.median(times) / 1000 for name, times in rounds.items()}


def main(arguments: Sequence[str] | None = None) -> None:
    """Print a table with a column for each length."""
    parser = argparse.ArgumentParser(description="Latency of the engines.")
    parser.add_argument("--tokens", default="8,32,128", help="lengths, [CLS] and [SEP] included")
    options = parser.parse_args(arguments)
    lengths = [int(n) for n in options.tokens.split(",")]
    spec = ModelSpec.from_checkpoint(read_checkpoint(CHECKPOINT))
    with tempfile.TemporaryDirectory() as folder:
        models = {}
        for name in WRITERS:
            write_model(spec, Path(folder) / f"uno.{name}")
            model = edgebert.load(Path(folder) / f"uno.{name}")
            models[model.engine] = model
        columns = [measure(models, " ".join(["film"] * (n - 2))) for n in lengths]
    print(describe("onnxruntime"))
    print("µs from a text to its logits, and how many times faster than ONNX Runtime (its threads)")
    print(f"\n  {'tokens':<12}" + "".join(f"{n:>18}" for n in lengths))
    for name in models:
        cells = (f"{c[name]:9.0f} {c['onnx'] / c[name]:6.2f} x" for c in columns)
        print(f"  {name:<12}" + "".join(cells))


if __name__ == "__main__":
    main()

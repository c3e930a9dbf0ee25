"""The hash embedding's time per token: each C kernel, NumPy and torch.

python -m benchmarks.hash [--dimension 128] [--max-ngram 3] [FILE]
"""

from __future__ import annotations

import argparse
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from benchmarks.machine import build_c, describe
from edgebert.config import HASH_FAMILIES, HashParams
from edgebert.hash import HashEmbedding
from edgebert.hash_reference import hash_embed

REPO = Path(__file__).resolve().parent.parent
WORDS = REPO / "tests" / "data" / "sst2_dev_head.tsv"


def time_c(
    program: Path, tokens: Sequence[bytes], params: HashParams
) -> Iterator[tuple[str, float]]:
    """Name and nanoseconds per token of each kernel."""
    family = HASH_FAMILIES.index(params.family)
    arguments = map(str, (family, params.dimension, params.max_ngram))
    output = subprocess.run(
        [program, *arguments], input=b"\n".join(tokens) + b"\n", stdout=subprocess.PIPE, check=True
    ).stdout.decode()
    for line in output.splitlines():
        name, nanoseconds = line.split()
        yield f"C, {name}", float(nanoseconds)


def time_python(embed: Callable[[Sequence[bytes]], object], tokens: Sequence[bytes]) -> float:
    """Nanoseconds per token, the best of three runs."""

    def run() -> float:
        start = time.perf_counter_ns()
        embed(tokens)
        return (time.perf_counter_ns() - start) / len(tokens)

    return min(run() for _ in range(3))


def measure(
    program: Path, tokens: Sequence[bytes], params: HashParams
) -> Iterator[tuple[str, float]]:
    """Name and nanoseconds per token of each implementation, called with all tokens at once."""
    yield from time_c(program, tokens, params)
    yield "C from Python", time_python(HashEmbedding(params), tokens)
    try:
        from edgebert.train.hash_layer import HashEmbedding as TorchHashEmbedding
    except ModuleNotFoundError:
        pass  # the first line of the output says that there is no torch
    else:
        yield "torch", time_python(TorchHashEmbedding(params).table, tokens)
    few = tokens[:: max(1, len(tokens) // 200)]
    yield "NumPy reference", time_python(lambda some: hash_embed(some, params), few)


def main(arguments: Sequence[str] | None = None) -> None:
    """Print a table for each hash family."""
    parser = argparse.ArgumentParser(description="Time per token of the hash embedding.")
    parser.add_argument(
        "file", nargs="?", type=Path, default=WORDS, help="text whose words to hash"
    )
    parser.add_argument("--dimension", type=int, default=128)
    parser.add_argument("--max-ngram", type=int, default=3)
    options = parser.parse_args(arguments)
    tokens = options.file.read_bytes().split()
    mean = sum(map(len, tokens)) / len(tokens)
    print(describe("numpy", "torch"))
    print(
        f"{len(tokens)} words of {options.file.name}, {mean:.1f} bytes on average; one thread in C"
    )
    with tempfile.TemporaryDirectory() as folder:
        program = build_c("hash_kernels", Path(folder))
        for family in HASH_FAMILIES:
            params = HashParams(family, options.dimension, options.max_ngram)
            print(f"\n{family}, d = {params.dimension}, N = {params.max_ngram}: ns per token")
            for name, nanoseconds in measure(program, tokens, params):
                print(f"  {name:<16} {nanoseconds:>10.0f}")


if __name__ == "__main__":
    main()

"""The C library beside TensorFlow Lite Micro, as its PyPI package compiles it, on the same model.

build/venv-micro/bin/python -m benchmarks.tflite_micro FILES…, where FILES are artifacts of one
model as ``edgebert export`` writes them: .ebm, then .tflite of --micro. ``make environments`` makes
that Python.

On one thread, one text at a time, in turns: the C library from tokens to logits, its hash included;
TensorFlow Lite Micro from hash vectors to logits, always for as many tokens as its file is for.
"""

from __future__ import annotations

import argparse
import os
import re
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks.machine import describe
from edgebert.bench import made_text, take_turns
from edgebert.engines.batches import padded_inputs
from edgebert.engines.native import NativeEngine
from edgebert.hash import HashEmbedding
from edgebert.sequence import Sequences, from_texts
from tests.tflite_micro_runner import ARENA, real, stored


class MicroModel:
    """A file in TensorFlow Lite Micro.

    Attributes:
        tokens: that the file is for.
        dtype: of its inputs.
    """

    def __init__(self, path: Path) -> None:
        from tflite_micro.python.tflite_micro import runtime

        self._interpreter = runtime.Interpreter.from_file(str(path), arena_size=ARENA)
        self._details = [self._interpreter.get_input_details(i) for i in range(3)]
        self._logits = self._interpreter.get_output_details(0)
        self.tokens = int(self._details[1]["shape"][1])
        self.dtype = "i8" if self._details[0]["dtype"] == np.int8 else "f32"

    def inputs(self, sequences: Sequences, embedding: HashEmbedding) -> list[np.ndarray]:
        """What it takes for one sequence."""
        feeds = padded_inputs(sequences, embedding, self.tokens).values()
        return [stored(x, detail) for x, detail in zip(feeds, self._details, strict=True)]

    def run(self, inputs: Sequence[np.ndarray]) -> np.ndarray:
        """Logits [num_labels]; inputs have to be set each time."""
        for i, array in enumerate(inputs):
            self._interpreter.set_input(array, i)
        self._interpreter.invoke()
        return real(self._interpreter.get_output(0)[0], self._logits)

    def arena_bytes(self) -> int:
        """Of the arena, what was used; the package only prints it."""
        with tempfile.TemporaryFile() as file:
            kept = os.dup(2)
            os.dup2(file.fileno(), 2)
            try:
                self._interpreter.print_allocations()
            finally:
                os.dup2(kept, 2)
                os.close(kept)
            file.seek(0)
            report = file.read().decode()
        found = re.search(r"Arena allocation total (\d+) bytes", report)
        assert found is not None, report
        return int(found[1])


def native_logits(engine: NativeEngine, sequences: Sequences) -> np.ndarray:
    """Logits [num_labels] of one sequence."""
    return engine.run(sequences).logits[0]


def main(arguments: Sequence[str] | None = None) -> None:
    """Print a table for each length."""
    parser = argparse.ArgumentParser(description="The C library beside TensorFlow Lite Micro.")
    parser.add_argument("files", nargs="+", type=Path, help=".ebm, then .tflite of --micro")
    parser.add_argument("--tokens", default="8,32,64", help="lengths, [CLS] and [SEP] included")
    parser.add_argument("--seconds", type=float, default=5, help="time for each table")
    options = parser.parse_args(arguments)
    engines = {p.name: NativeEngine(p, 1) for p in options.files if p.suffix == ".ebm"}
    models = {p.name: MicroModel(p) for p in options.files if p.suffix == ".tflite"}
    if not engines:
        parser.error("needs an .ebm file: its tokenizer and hash are used for all")
    first = next(iter(engines.values()))
    embedding = HashEmbedding(first.config.hash)
    print(describe("numpy", "tflite-micro"))
    print("one thread, one text at a time; median µs; differences of logits to the first file's")
    for tokens in map(int, options.tokens.split(",")):
        sequences = from_texts(first.tokenizer, [made_text(first.tokenizer, tokens)], tokens)
        calls: dict[str, Callable[[], np.ndarray]] = {}
        for name, engine in engines.items():
            calls[name] = partial(native_logits, engine, sequences)
        for name, model in models.items():
            if tokens <= model.tokens:
                calls[name] = partial(model.run, model.inputs(sequences, embedding))
        answers = [call() for call in calls.values()]
        times = take_turns(list(calls.values()), options.seconds)
        print(f"\n{tokens} tokens")
        print(f"  {'':<28}{'dtype':>6}{'for tokens':>12}{'arena':>9}{'µs':>10}{'max |diff|':>12}")
        for name, answer, nanoseconds in zip(calls, answers, times, strict=True):
            if name in engines:
                dtype, size = engines[name].dtype, tokens
                arena = engines[name].model.arena_size(tokens)
            else:
                dtype, size = models[name].dtype, models[name].tokens
                arena = models[name].arena_bytes()
            print(
                f"  {name:<28}{dtype:>6}{size:>12}{arena:>9}{np.median(nanoseconds) / 1000:10.1f}"
                f"{np.abs(answer - answers[0]).max():12.6f}"
            )


if __name__ == "__main__":
    main()

"""Sentences to tokens: the C tokenizers and Hugging Face's in Rust, both called from Python.

python -m benchmarks.tokenizers [--words 8,16,64] [FILE]

Every round runs each tokenizer over the same sentences, one sentence a call, one after the other,
so that a busy moment of the machine hits all alike; a figure is the median of the rounds.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.machine import describe
from edgebert._native import ffi, lib
from edgebert.export.vocabulary import decompile_vocabulary
from edgebert.tokenizer import Tokenizer, to_utf8

os.environ["TOKENIZERS_PARALLELISM"] = "false"  # one sentence has nothing to share out

TEXTS = Path(__file__).resolve().parent.parent / "tests" / "data" / "sst2_dev_head.tsv"
ROUNDS = 31


def hugging_face(tokenizer: Tokenizer) -> dict[str, Callable[[str], Any]]:
    """The Rust tokenizer of the same vocabulary, by each of its ways to encode a sentence."""
    from tokenizers import BertWordPieceTokenizer

    vocabulary = tokenizer.blob[ffi.sizeof("eb_tokenizer_header") :]
    pieces = decompile_vocabulary(vocabulary)
    rust = BertWordPieceTokenizer({piece: i for i, piece in enumerate(pieces)})._tokenizer
    return {
        "Hugging Face, encode_batch_fast": lambda text: rust.encode_batch_fast(
            [text], add_special_tokens=False
        ),
        "Hugging Face, encode": lambda text: rust.encode(text, add_special_tokens=False),
        "Hugging Face, encode, .tokens": lambda text: (
            rust.encode(text, add_special_tokens=False).tokens
        ),
    }


def from_c(tokenizer: Tokenizer, texts: Sequence[str]) -> Callable[[str], Any]:
    """The C function with memory and UTF-8 prepared, as a C program has them."""
    utf8 = {text: to_utf8(text) for text in texts}
    longest = max(map(len, utf8.values()))
    data, ends = ffi.new("uint8_t[]", 3 * longest + 16), ffi.new("uint32_t[]", longest + 4)

    def run(text: str) -> None:
        encoded = utf8[text]
        tokens = ffi.new("eb_tokens *", [data, len(data), ends, len(ends)])
        lib.eb_tokenize(tokenizer.handle, encoded, len(encoded), tokens)

    return run


def measure(ways: dict[str, Callable[[str], Any]], texts: Sequence[str]) -> dict[str, float]:
    """Microseconds per text of each way: median of the rounds."""
    rounds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(ROUNDS):
        for name, encode in ways.items():
            start = time.perf_counter_ns()
            for text in texts:
                encode(text)
            rounds[name].append((time.perf_counter_ns() - start) / len(texts) / 1000)
    return {name: statistics.median(times) for name, times in rounds.items()}


def main(arguments: Sequence[str] | None = None) -> None:
    """Print a table with a column for each length of sentence."""
    parser = argparse.ArgumentParser(description="Time per sentence of the tokenizers.")
    parser.add_argument("file", nargs="?", type=Path, default=TEXTS, help="text to read words from")
    parser.add_argument("--words", default="8,16,64", help="lengths of sentences")
    options = parser.parse_args(arguments)
    words = options.file.read_text(encoding="utf-8").split()
    wordpiece, word = Tokenizer.wordpiece(), Tokenizer.word()
    columns = []
    lengths = [int(n) for n in options.words.split(",")]
    for n in lengths:
        texts = [" ".join(words[i : i + n]) for i in range(0, len(words) - n, n)]
        columns.append(
            measure(
                {
                    **hugging_face(wordpiece),
                    "wordpiece": wordpiece.encode,
                    "wordpiece, .tokenize": wordpiece.tokenize,
                    "wordpiece, in C": from_c(wordpiece, texts),
                    "word": word.encode,
                    "word, in C": from_c(word, texts),
                },
                texts,
            )
        )
    best = [min(t for name, t in c.items() if name.startswith("Hugging")) for c in columns]
    print(describe("tokenizers"))
    print(
        f"words of {options.file.name}; one thread; µs per sentence, and how many times faster "
        "than the fastest of Hugging Face's"
    )
    print(f"\n  {'words':<32}" + "".join(f"{n:>18}" for n in lengths))
    for name in columns[0]:
        cells = (f"{c[name]:9.1f} {b / c[name]:6.1f} x" for c, b in zip(columns, best, strict=True))
        print(f"  {name:<32}" + "".join(cells))


if __name__ == "__main__":
    main()

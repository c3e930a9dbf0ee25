"""The C library against other runtimes of the same encoder, on one thread.

python -m benchmarks.peers [--tokens 8,32,128] [--seconds 5] [--data dev.tsv] [FILE.ebm ...]

Token strings in, logits out. The others start at the tokens' vectors, so the C library hashes for
all of them, within the time that is measured. After that text in, label out, against Hugging Face's
tokenizer and ONNX Runtime; there the other side looks vectors up in a table, as it would at home.
With --data also a batch of its texts (batches.py), and accuracy. All take turns within one run
(edgebert/bench.py); figures are medians.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.batches import compare_batches, logits
from benchmarks.machine import describe
from benchmarks.runtimes import RUNTIMES, Encoder, Inputs, Job, quiet
from edgebert._native import ffi
from edgebert.bench import WORDS, made_text, take_turns
from edgebert.engines import Engine, open_engine
from edgebert.export.activations import observe
from edgebert.export.checkpoint import read_checkpoint
from edgebert.export.ebm import write_ebm
from edgebert.export.spec import ModelSpec
from edgebert.export.vocabulary import decompile_vocabulary
from edgebert.hash import HashEmbedding
from edgebert.model import Model
from edgebert.sequence import Sequences, Text, from_texts
from edgebert.tokenizer import Tokenizer
from edgebert.tsv import read_tsv

os.environ["TOKENIZERS_PARALLELISM"] = "false"  # one text has nothing to share out

REPO = Path(__file__).resolve().parent.parent
CHECKPOINT = REPO / "models" / "uno-sst2.pt"
CALIBRATION = REPO / "tests" / "data" / "sst2_dev_head.tsv"
PACKAGES = ("onnxruntime", "openvino", "ai-edge-litert", "torch", "tokenizers")
QUANTISED = ("ONNX Runtime, dynamic", "ONNX Runtime, static QDQ")
NUM_WORDS = 16  # of the text that goes from end to end
NUM_TEXTS = 256  # of a batch


class Front:
    """From texts to the inputs of the others' encoders, by the C library."""

    def __init__(self, spec: ModelSpec) -> None:
        self._tokenizer = Tokenizer(spec.tokenizer)
        self.hash = HashEmbedding(spec.config.hash)
        self._limit = spec.config.max_position_embeddings

    def sequences(self, *texts: Text) -> Sequences:
        """The texts' tokens."""
        return from_texts(self._tokenizer, texts, self._limit)

    def vectors(self, sequences: Sequences) -> np.ndarray:
        """The hash vectors of the first sequence, float32 [1, n, hidden_size]."""
        return self.hash.embed(sequences.bytes[0], sequences.ends[0])[None]

    def inputs(self, sequences: Sequences) -> Inputs:
        """All that the encoders take."""
        return encoder_inputs(self.vectors(sequences), sequences.types[0])

    def run(self, encode: Encoder, sequences: Sequences) -> np.ndarray:
        """Another's logits."""
        return encode(self.inputs(sequences))


def encoder_inputs(vectors: np.ndarray, types: np.ndarray) -> Inputs:
    """One sequence without padding: float32 [1, n, hidden_size] and n type ids."""
    type_ids = types[None].astype(np.int64)
    return {
        "inputs_embeds": vectors,
        "attention_mask": np.ones_like(type_ids),
        "token_type_ids": type_ids,
    }


def build(job: Job) -> tuple[dict[str, Encoder], list[str]]:
    """The runtimes that are installed, and a line for each that is not."""
    encoders, missing = {}, []
    for name, runtime in RUNTIMES.items():
        try:
            with quiet():
                encoders[name] = runtime.build(job)
        except ImportError as error:
            missing.append(f"left out: {name}, which needs the package {error.name}")
    return encoders, missing


def compare(
    ours: dict[str, Callable[[], Any]], others: dict[str, Callable[[], Any]], seconds: float
) -> None:
    """Let all take turns, and print a line for each."""
    calls = {**ours, **others}
    answers = {name: call() for name, call in calls.items()}
    times = take_turns(list(calls.values()), seconds)
    medians = {
        name: float(np.median(nanoseconds)) / 1000
        for name, nanoseconds in zip(calls, times, strict=True)
    }
    best = min((medians[name] for name in others), default=np.nan)
    f32 = [medians[name] for name in others if RUNTIMES[name].dtype == "f32"]
    best_f32 = min(f32, default=np.nan)
    print(f"  {'':<34}{'µs':>9}{'vs best f32':>14}{'vs best':>10}{'max |diff|':>13}")
    reference = answers[next(iter(ours))]
    for name, median in medians.items():
        label = f"{name}, {RUNTIMES[name].dtype}" if name in others else name
        difference = np.abs(answers[name] - reference).max()
        print(
            f"  {label:<34}{median:9.1f}{best_f32 / median:12.2f} x{best / median:8.2f} x"
            f"{difference:13.4f}"
        )


def hash_and(encode: Encoder, front: Front, sequences: Sequences) -> Callable[[], np.ndarray]:
    """Another runtime behind our hash; its other inputs are made once."""
    inputs = front.inputs(sequences)

    def run() -> np.ndarray:
        inputs["inputs_embeds"] = front.vectors(sequences)
        return encode(inputs)

    return run


def tokens_to_logits(
    engines: dict[str, Engine], front: Front, encoders: dict[str, Encoder], job: Job, seconds: float
) -> None:
    """Token strings in, logits out."""
    sequences = front.sequences(made_text(Tokenizer(job.spec.tokenizer), job.tokens))
    print(f"\n{job.tokens} tokens")
    compare(
        {name: partial(logits, engine, sequences) for name, engine in engines.items()},
        {name: hash_and(e, front, sequences) for name, e in encoders.items()},
        seconds,
    )


def text_to_label(
    engines: dict[str, Engine], encoders: dict[str, Encoder], spec: ModelSpec, seconds: float
) -> None:
    """Text in, label out."""
    try:
        from tokenizers import BertWordPieceTokenizer
    except ImportError:
        print("left out: text to label, which needs the package tokenizers")
        return
    pieces = decompile_vocabulary(spec.tokenizer[ffi.sizeof("eb_tokenizer_header") :])
    rust = BertWordPieceTokenizer({piece: i for i, piece in enumerate(pieces)})._tokenizer
    table = HashEmbedding(spec.config.hash)(pieces)
    text = " ".join(WORDS.split()[:NUM_WORDS])

    def ours(model: Model) -> str:
        return model.infer(text).label

    def theirs(encode: Encoder) -> str:
        encoding = rust.encode_batch_fast([text])[0]  # its quickest way: no offsets
        inputs = encoder_inputs(table[encoding.ids][None], np.array(encoding.type_ids))
        return spec.config.labels[int(encode(inputs).argmax())]

    calls = {name: partial(ours, Model(engine)) for name, engine in engines.items()}
    calls |= {
        f"Hugging Face tokenizers + {name}": partial(theirs, encoders[name])
        for name in QUANTISED
        if name in encoders
    }
    tokens = len(rust.encode(text).ids)
    print(f"\ntext in, label out: {NUM_WORDS} words, {tokens} tokens")
    times = take_turns(list(calls.values()), seconds)
    medians = [float(np.median(nanoseconds)) / 1000 for nanoseconds in times]
    for (name, call), median in zip(calls.items(), medians, strict=True):
        print(f"  {name:<50}{median:9.1f} µs{max(medians) / median:8.2f} x  {call()}")


def print_accuracy(
    ways: Mapping[str, Callable[[Sequences], np.ndarray]],
    front: Front,
    labels: Sequence[str],
    data: Path,
) -> None:
    """The share of a file's texts whose label each way finds."""
    dataset = read_tsv(data)
    sequences = [front.sequences(text) for text in dataset.texts]
    print(f"\naccuracy on the {len(dataset)} texts of {data.name}")
    for name, encode in ways.items():
        found = [labels[int(encode(one).argmax())] for one in sequences]
        right = np.mean([a == b for a, b in zip(found, dataset.labels, strict=True)])
        print(f"  {name:<34}{right:9.4f}")


def main(arguments: Sequence[str] | None = None) -> None:
    """Print a table for each length, the way from end to end, and accuracies."""
    parser = argparse.ArgumentParser(description="The C library against other runtimes.")
    parser.add_argument(
        "files",
        nargs="*",
        type=Path,
        help="exports of models/uno-sst2.pt, default: .ebm of float32",
    )
    parser.add_argument("--tokens", default="8,32,128", help="lengths, [CLS] and [SEP] included")
    parser.add_argument("--seconds", type=float, default=5, help="time for each table")
    parser.add_argument("--data", type=Path, help="measure accuracy on these labelled texts")
    options = parser.parse_args(arguments)
    spec = ModelSpec.from_checkpoint(read_checkpoint(CHECKPOINT))
    spec = replace(spec, activations=observe(spec, read_tsv(CALIBRATION).texts))
    front = Front(spec)
    calibration = [front.inputs(front.sequences(text)) for text in read_tsv(CALIBRATION).texts]
    print(describe(*PACKAGES))
    print("one thread, one text at a time; median µs, and how many times faster than the fastest")
    print("of the others in float32, and of them all; all hashed by the C library")
    with tempfile.TemporaryDirectory() as folder:
        own = Path(folder) / f"{CHECKPOINT.stem}.ebm"
        write_ebm(spec, own)
        files = options.files or [own]
        engines = {f"edgebert, {path.name}": open_engine(path, 1) for path in files}
        for i, tokens in enumerate(map(int, options.tokens.split(","))):
            job = Job(spec, CHECKPOINT, Path(folder), tokens, calibration)
            encoders, missing = build(job)
            if i == 0:
                print("".join(f"{line}\n" for line in missing), end="")
            tokens_to_logits(engines, front, encoders, job, options.seconds)
        text_to_label(engines, encoders, spec, options.seconds)
        if options.data:
            texts = [str(text) for text in read_tsv(options.data).texts[:NUM_TEXTS]]
            sequences = front.sequences(*texts)
            print(f"\nthe first {len(texts)} texts of {options.data.name}, in one call")
            compare_batches(engines, sequences, front.hash, job, 5 * options.seconds)
            dynamic = ("ONNX Runtime", *QUANTISED)  # in their shapes
            ours = {name: partial(logits, engine) for name, engine in engines.items()}
            theirs = {
                name: partial(front.run, encoders[name]) for name in dynamic if name in encoders
            }
            print_accuracy({**ours, **theirs}, front, spec.config.labels, options.data)


if __name__ == "__main__":
    main()

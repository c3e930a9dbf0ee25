"""What people read when training cannot do what they ask; the trainings themselves never begin."""

from __future__ import annotations

import gzip
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from edgebert.tokenizer import Tokenizer
from tests.messages import Cause, check, each, file, run, without

torch = pytest.importorskip("torch", reason="training needs torch: pip install 'edgebert[train]'")


from edgebert.train import pretrain  # noqa: E402
from edgebert.train.augment import sample_lines  # noqa: E402
from edgebert.train.bert import build  # noqa: E402
from edgebert.train.checkpoint import save_atomically  # noqa: E402
from edgebert.train.init import load_encoder  # noqa: E402
from edgebert.train.run import prepare  # noqa: E402
from edgebert.train.text_stream import find_files, read_lines, scan  # noqa: E402
from tests.teachers import WORDPIECE  # noqa: E402
from tests.test_train import CONFIG, job, write  # noqa: E402

PAIRS = ("text\ttext_b\tlabel", ["a\tb\t0.5", "a\tc\t1.5"])


def _data(header: str = "text\tlabel", *rows: str, **options: Any) -> Cause:
    """Prepares a training on rows of one's own; without any, only options are of one's own."""

    def cause(folder: Path, _: pytest.MonkeyPatch) -> None:
        prepared = job(folder, **options)
        if rows:
            prepared = replace(prepared, train=write(folder / "own.tsv", header, [*rows]))
        prepare(prepared)

    return cause


def _over_the_data(folder: Path, _: pytest.MonkeyPatch) -> None:
    options = job(folder)
    prepare(replace(options, output=options.dev))


def _of_two_kinds(folder: Path, _: pytest.MonkeyPatch) -> None:
    prepare(job(folder, dev=write(folder / "pairs.tsv", *PAIRS)))


def _tags_in_one(folder: Path, _: pytest.MonkeyPatch) -> None:
    tagged = write(folder / "tagged.tsv", "text\tlabel\ttags", ["a\twarm\tO", "b\tcold\tB-x"])
    prepare(job(folder, train=tagged))


DATA: dict[str, Cause] = {
    "dev.tsv holds the data: -o takes the name of another file": _over_the_data,
    "--metric pearson: classification is measured by accuracy, f1": _data(metric="pearson"),
    "pairs.tsv: one of the two files has pairs of texts, the other has not": _of_two_kinds,
    "train.tsv: --exchange-entities takes a column tags, and a --tag-weight": _data(exchange=1),
    "train.tsv: nothing to learn: tagging takes a column tags, and a weight": _data(task="tagging"),
    "dev.tsv: has no column tags, which ": _tags_in_one,
    "own.tsv: all examples have the label 'warm'": _data("text\tlabel", "a\twarm", "b\twarm"),
    "dev.tsv:4: unknown label 'warm'; the model knows cold, hot": _data(
        "text\tlabel", "a\tcold", "b\thot"
    ),
    "the model's config is invalid: heads must divide hidden_size": _data(
        config=replace(CONFIG, num_attention_heads=5)
    ),
}


@each(DATA)
def test_data_that_do_not_do_are_refused_with_why(
    message: str, cause: Cause, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    check(message, cause, tmp_path, monkeypatch)


def _init(name: str, data: bytes | None = None) -> Cause:
    def load(folder: Path, _: pytest.MonkeyPatch) -> None:
        path = folder / name
        load_encoder(build(CONFIG), path if data is None else file(path, data))

    return load


def _other_shape(folder: Path, _: pytest.MonkeyPatch) -> None:
    other: dict[str, Any] = {"encoder.layer.0.output.dense.bias": np.zeros(7)}
    np.savez(folder / "other.npz", **other)
    load_encoder(build(CONFIG), folder / "other.npz")


def _no_weights(folder: Path, _: pytest.MonkeyPatch) -> None:
    (folder / "bert").mkdir()
    load_encoder(build(CONFIG), folder / "bert")


def _lines(data: bytes, name: str = "a.txt") -> Cause:
    return lambda folder, _: list(read_lines(file(folder / name, data)))


def _failing_save(folder: Path, patch: pytest.MonkeyPatch) -> None:
    def save_half(*_: Any) -> None:
        try:
            raise OSError(28, "No space left on device")
        except OSError:
            raise RuntimeError("unexpected pos 64 vs 0") from None  # as torch does

    patch.setattr(torch, "save", save_half)
    save_atomically({}, folder / "m.pt")


FILES: dict[str, Cause] = {
    "none.pt does not exist": _init("none.pt"),
    "bad.npz: cannot be read: ": _init("bad.npz", b"PK\x03\x04 not what it says"),
    "bad.safetensors: cannot be read: ": _init("bad.safetensors", b"not what it says"),
    "bert: cannot be read: No such file or directory: ": _no_weights,
    "other.npz: no weight of its encoder has the shape of this preset's: choose the --preset of ": (
        _other_shape
    ),
    "m.pt: No space left on device": _failing_save,
    "a: the folder holds no .txt, .txt.gz, .txt.xz file": lambda folder, _: find_files(
        [file(folder / "a" / "b.pdf", b"").parent]
    ),
    "a.txt does not exist": lambda folder, _: find_files([folder / "a.txt"]),
    "a.pdf: text is read from .txt, .txt.gz, .txt.xz files": lambda folder, _: find_files(
        [file(folder / "a.pdf", b"")]
    ),
    "a.txt: binary data, not plain text, in line 2": _lines(b"text\nbinary\0\n"),
    "a.txt: not text in UTF-8, in or behind line 1": _lines(b"\xff\n"),
    "a.txt.gz: damaged: Compressed file ended before the end-of-stream marker": _lines(
        gzip.compress(b"a text")[:-9], "a.txt.gz"
    ),
    "a.txt.gz: damaged: Not a gzipped file": _lines(b"no gzip", "a.txt.gz"),
    "a.txt.xz: damaged: ": _lines(b"no xz", "a.txt.xz"),
    "a.txt: cannot be read: No such file or directory": lambda folder, _: list(
        read_lines(folder / "a.txt")
    ),
    "a.txt: 1 lines are too little text: every 20th is held out": lambda folder, _: scan(
        [file(folder / "a.txt", b"text\n")], Tokenizer.word()
    ),
    "a.txt: holds no text": lambda folder, _: sample_lines([file(folder / "a.txt", b"\n")], 9, 0),
}


@each(FILES)
def test_a_file_to_learn_from_that_is_wrong_is_named_with_why(
    message: str, cause: Cause, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    check(message, cause, tmp_path, monkeypatch)


def _pretraining(
    text: str = "a red car\n" * 40, output: str = "m.pt", vocabulary: int = 64, **values: int
) -> Cause:
    def cause(folder: Path, _: pytest.MonkeyPatch) -> None:
        path = file(folder / "a.txt", text)
        recipe = pretrain.Recipe(**{"tokens": 8, "vocabulary": vocabulary, "steps": 1, **values})
        pretrain.pretrain(
            pretrain.Job(
                config=CONFIG,
                tokenizer=WORDPIECE,
                paths=[path],
                output=folder / output,
                recipe=recipe,
            )
        )

    return cause


def _two_devices(folder: Path, patch: pytest.MonkeyPatch) -> None:
    two = SimpleNamespace(num_processes=2)
    patch.setattr("accelerate.Accelerator", lambda **_: two)
    _pretraining(batch_size=1)(folder, patch)


PRETRAINING: dict[str, Cause] = {
    "--tokens must be 3 to 16, the model's positions; --max-tokens changes those": _pretraining(
        tokens=17
    ),
    "a.txt holds the text: -o takes the name of another file": _pretraining(output="a.txt"),
    "nothing to predict: the text has no word that the vocabulary knows": _pretraining(
        "café\n" * 40
    ),
    "--batch-size must be at least the number of devices": _two_devices,
}


@each(PRETRAINING)
def test_pretraining_that_cannot_be_is_refused_with_why(
    message: str, cause: Cause, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    check(message, cause, tmp_path, monkeypatch)


@pytest.mark.parametrize(
    ("command", "package", "importer", "message"),
    [
        ("train --data a --dev b -o c", "torch", "run", "training needs the package torch"),
        ("distill --teacher t --data a --dev b -o c", "torch", "run", "training needs the package"),
        ("distill-embedding --teacher t --data a -o c", "torch", "run", "training needs the"),
        ("pretrain a.txt -o c", "torch", "run", "pretraining needs the package torch"),
        ("pretrain a.txt -o c", "accelerate", "pretrain", "pretraining needs the package acceler"),
        ("pretrain a.txt -o c --plot a.svg", "matplotlib", "run", "plots need the package matplot"),
    ],
)
def test_a_missing_package_is_named_with_the_extra_that_has_it(
    command: str,
    package: str,
    importer: str,
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    without(monkeypatch, package, f"edgebert.train.{importer}")
    status, said = run(command.split(), capsys)
    assert (status, said.count("\n")) == (1, 1)
    assert message in said and "pip install 'edgebert[" in said

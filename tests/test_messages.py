"""What people read when a command line, data or an installation is wrong."""

from __future__ import annotations

import argparse
import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

import edgebert
from edgebert.builtin import model_path
from edgebert.cli import options
from edgebert.evaluate import _progress, evaluate
from edgebert.files import check_writable, write_atomically
from edgebert.metrics import score
from edgebert.plot import need_matplotlib
from edgebert.tsv import read_tsv
from tests.conftest import REPO
from tests.messages import Cause, check, each, fail, file, run, without

TRAIN = "train --data a --dev b -o c"


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("bench m.ebm --seconds 0", "'0' is not above 0 and up to 3600 seconds"),
        ("bench m.ebm --seconds soon", "'soon' is not above 0 and up to 3600 seconds"),
        ("bench m.ebm --tokens 1", "'1' is not a whole number, 2 to"),
        ("bench m.ebm --plot speed.png", "--plot writes SVG, so speed.png should end in .svg"),
        ("pretrain a.txt -o b.pt --threads 0", "'0' is not a whole number, 1 to 1024"),
        ("pretrain a.txt -o b.pt --threads two", "'two' is not a whole number, 1 to 1024"),
        (f"{TRAIN} --dropout 1", "'1' is not from 0 to below 1"),
        (f"{TRAIN} --dropout half", "'half' is not from 0 to below 1"),
        (f"distill --teacher t{TRAIN[5:]} --temperature 0", "--temperature must be above 0"),
        (f"distill --teacher t{TRAIN[5:]} --hidden -1", "'-1' is not a number from 0 on"),
        (f"distill --teacher t{TRAIN[5:]} --hidden nan", "'nan' is not a number from 0 on"),
        (
            f"distill --teacher t{TRAIN[5:]} --hard 0 --soft 0",
            "--hard and --soft are both 0: nothing would teach the labels",
        ),
        ("export m.pt --to pdf", "unknown 'pdf': --to takes onnx, tflite, ebm"),
        ("export m.pt --dtype f8", "unknown 'f8': --dtype takes f32, i8"),
        ("export m.pt --tokens 1,8", "--tokens takes whole numbers of 2 or more, as in 16,32,64"),
        ("export m.pt --tokens all", "as in 16,32,64; not 'all'"),
        ("firmware build --board toaster -m m.ebm", "no board 'toaster': there are esp32-c3, "),
        ("flash --board pico -m m.ebm --tokens 1", "'1' is not a whole number, 2 to"),
    ],
)
def test_wrong_usage_is_named(
    command: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    status, said = run(command.split(), capsys)
    assert (status, message in said) == (2, True), said


def _tokenizer(**values: Any) -> Any:
    given = {"tokenizer": "wordpiece", "vocab": None, "cased": False, **values}
    return options.tokenizer(argparse.Namespace(**given))


def _data(folder: Path, *rows: str) -> Path:
    return file(folder / "data.tsv", "\n".join(rows))


def _read_only(folder: Path, patch: pytest.MonkeyPatch) -> None:
    patch.setattr("os.access", lambda *_: False)  # root may write everywhere
    check_writable(folder / "m.pt")


def _full_disk(folder: Path, patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Path, "write_bytes", fail(OSError(28, "No space left on device")))
    write_atomically(folder / "m.ebm", b"data")


def _not_finite(folder: Path, patch: pytest.MonkeyPatch) -> None:
    vectors = np.full((1, 2), np.nan)
    patch.setattr(edgebert.Model, "encode", lambda *_: vectors)
    evaluate(model_path("sentence"), _pairs(folder))


def _pairs(folder: Path) -> Path:
    return _data(folder, "text\ttext_b\tlabel", "a\tb\t0.5")


def _single(folder: Path, patch: pytest.MonkeyPatch) -> None:
    evaluate(model_path("sentence"), _data(folder, "text\tlabel", "a\t0.5"))


def _no_room_for_pairs(folder: Path, patch: pytest.MonkeyPatch) -> None:
    config = SimpleNamespace(task="classification", type_vocab_size=1)
    patch.setattr("edgebert.evaluate.load", lambda *_: SimpleNamespace(config=config))
    evaluate(Path("m.ebm"), _pairs(folder))


CASES: dict[str, Cause] = {
    # texts
    "a text is a str or a pair (str, str), not int: 3": lambda *_: edgebert.load().infer([3]),  # type: ignore[list-item]
    "tokenize takes one text, a str, not list": lambda *_: edgebert.load().tokenize(["a"]),  # type: ignore[arg-type]
    "this model has no labels: encode gives the vectors of texts": lambda *_: edgebert.load(
        "sentence"
    ).infer("a text"),
    "stride is a whole number, not float": lambda *_: edgebert.load().infer("a", stride=1.5),  # type: ignore[call-overload]
    "stride must be 0 to 125 for this model": lambda *_: edgebert.load().infer("a", stride=-1),
    "stride works on single texts, not on pairs": lambda *_: edgebert.load().infer(
        [("a", "b")], stride=1
    ),
    # options
    "--cased needs --vocab FILE with a cased vocabulary": lambda *_: _tokenizer(cased=True),
    "--vocab goes with --tokenizer wordpiece: words have no vocabulary": lambda folder, _: (
        _tokenizer(tokenizer="word", vocab=folder / "vocab.txt")
    ),
    "vocab.txt: cannot be read: No such file or directory": lambda folder, _: _tokenizer(
        vocab=folder / "vocab.txt"
    ),
    "vocab.txt: holds no pieces, one a line: every word would be unknown": lambda folder, _: (
        _tokenizer(vocab=file(folder / "vocab.txt", "\n"))
    ),
    # data
    "data.tsv: cannot be read: No such file or directory": lambda folder, _: read_tsv(
        folder / "data.tsv"
    ),
    "data.tsv: holds no examples: a header line, then text<TAB>label": lambda folder, _: read_tsv(
        _data(folder, "text\tlabel", "")
    ),
    "data.tsv:1: not UTF-8: invalid start byte": lambda folder, _: read_tsv(
        file(folder / "data.tsv", b"\xfftext\tlabel\n")
    ),
    "data.tsv:1: the first line must name the columns: text<TAB>label, text": lambda folder, _: (
        read_tsv(_data(folder, "text\tlabel\tlabel", "a\tb\tc"))
    ),
    "data.tsv:1: tags are of single texts: name either tags or text_b": lambda folder, _: read_tsv(
        _data(folder, "text\ttext_b\ttags", "a\tb\tO")
    ),
    "data.tsv:2: 3 columns, but the header has 2 (text<TAB>label, text<TAB>text_b<TAB>label for": (
        lambda folder, _: read_tsv(_data(folder, "text\tlabel", "a\tb\tc"))
    ),
    "data.tsv:2: 2 words, but 1 tags: each word, between single spaces, has one tag": (
        lambda folder, _: read_tsv(_data(folder, "text\ttags", "to oslo\tO"))
    ),
    "data.tsv:2: the label is empty": lambda folder, _: read_tsv(
        _data(folder, "text\tlabel", "a\t")
    ),
    "data.tsv:2: the tag 'city' is not of the form O, B-name or I-name": lambda folder, _: read_tsv(
        _data(folder, "text\ttags", "oslo\tcity")
    ),
    "data.tsv:2: words of tagged texts are divided by single spaces, and by no other white space": (
        lambda folder, _: read_tsv(_data(folder, "text\ttags", "to\xa0oslo\tO"))
    ),
    "data.tsv:2: the label 'warm' is not a number, as regression needs (--task classification": (
        lambda folder, _: read_tsv(_data(folder, "text\tlabel", "a\twarm")).values()
    ),
    "data.tsv: holds single texts, but ": _single,
    "gives vectors: it is measured on text<TAB>text_b<TAB>label, where labels are ": _single,
    "data.tsv: holds pairs of texts, but m.ebm reads single texts": _no_room_for_pairs,
    "the engine native gives vectors that are not finite: upgrade its package, or": _not_finite,
    # files to write
    " is a folder: -o takes the name of a file, such as model.pt": lambda folder, _: check_writable(
        folder
    ),
    "/dev/null is not a file: -o takes the name of one, such as model.pt": lambda *_: (
        check_writable(Path("/dev/null"))
    ),
    "none is not a folder: create it first": lambda folder, _: check_writable(
        folder / "none" / "m.pt"
    ),
    " cannot be written to: allow it, or take another folder": _read_only,
    "m.ebm: No space left on device": _full_disk,
}


@each(CASES)
def test_the_message_is(
    message: str, cause: Cause, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    check(message, cause, tmp_path, monkeypatch)


def _without(package: str, use: Callable[[], Any]) -> Cause:
    def cause(_: Path, patch: pytest.MonkeyPatch) -> Any:
        without(patch, package)
        return use()

    return cause


def _scores() -> Any:
    return score("regression", [1.0, 2.0], [1.0, 2.0])


PACKAGES: dict[str, Cause] = {
    "metrics need the package scipy: pip install 'edgebert[eval]'": _without("scipy", _scores),
    "measuring needs the package tqdm: pip install 'edgebert[eval]'": _without(
        "tqdm", lambda: _progress("m.ebm", 1)
    ),
    "plots need the package matplotlib: pip install 'edgebert[bench]'": _without(
        "matplotlib", need_matplotlib
    ),
}


@each(PACKAGES)
def test_a_missing_package_is_named_with_the_extra_that_has_it(
    message: str, cause: Cause, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    check(message, cause, tmp_path, monkeypatch)


@pytest.fixture
def no_scores(monkeypatch: pytest.MonkeyPatch) -> None:
    """The packages that score take long to import."""
    monkeypatch.setattr("edgebert.evaluate.score", lambda *_: {})


@pytest.mark.usefixtures("no_scores")
def test_texts_that_were_cut_are_counted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = _data(tmp_path, "text\tlabel", "word " * 200 + "\tpositive", "short\tnegative")
    assert run(["eval", "sentiment", "--data", str(data)], capsys) == (
        0,
        f"edgebert: {model_path('sentiment')}: 1 texts longer than the model's limit were cut\n",
    )


@pytest.mark.usefixtures("no_scores")
def test_a_file_among_others_that_cannot_be_read_is_named_and_the_rest_measured(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = _data(tmp_path, "text\tlabel", "a gripping film\tpositive")
    status, said = run(["eval", "sentiment", "none.ebm", "--data", str(data)], capsys)
    assert (status, said) == (1, "edgebert: none.ebm does not exist\n")


def _tool(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, REPO / "tools" / f"{name}.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("tool", "arguments", "message"),
    [
        (
            "make_arduino_library",
            ["-m", str(REPO / "tests" / "data" / "small.ebm")],
            "make_arduino_library: small.ebm is float32, firmware takes integers: `edgebert export",
        ),
        ("make_models", ["toast"], "models/cards.toml has no table toast: it has sentiment, "),
    ],
)
def test_a_tool_says_what_is_wrong_with_its_arguments(
    tool: str,
    arguments: list[str],
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sys, "argv", [tool, *arguments])
    with pytest.raises(SystemExit) as error:
        _tool(tool).main()
    assert message in f"{error.value}{capsys.readouterr().err}"

"""What people read when something is wrong that no other test brings about."""

from __future__ import annotations

import argparse
import gzip
import json
import re
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import edgebert
from edgebert.cli import main, options
from edgebert.config import HashParams
from edgebert.errors import EdgebertError
from edgebert.export import hugging_face, vocabulary
from edgebert.export.checkpoint import checked_state, read_checkpoint
from edgebert.export.hash_table import check_table
from edgebert.export.torch_pickle import read_pickle
from edgebert.firmware import emulator, flash, toolchain
from edgebert.firmware.boards import boards
from edgebert.firmware.build import Image
from edgebert.firmware.uf2 import read_uf2, uf2_bytes
from edgebert.train import text_stream


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("bench m.ebm --seconds 0", "'0' is not above 0 and up to 3600 seconds"),
        ("bench m.ebm --seconds soon", "'soon' is not above 0 and up to 3600 seconds"),
        ("pretrain a.txt -o b.pt --threads 0", "'0' is not a whole number, 1 to 1024"),
        ("pretrain a.txt -o b.pt --threads two", "'two' is not a whole number, 1 to 1024"),
        ("train --data a --dev b -o c --dropout 1", "'1' is not from 0 to below 1"),
        ("train --data a --dev b -o c --dropout half", "'half' is not from 0 to below 1"),
        ("distill --teacher t --data a --dev b -o c --temperature 0", "--temperature must be"),
        ("export m.pt --to pdf", "unknown 'pdf': --to takes onnx, tflite, ebm"),
        ("export m.pt --dtype f8", "unknown 'f8': --dtype takes f32, i8"),
    ],
)
def test_wrong_usage_is_named(
    command: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    try:
        assert main(command.split()) == 2
    except SystemExit as error:  # argparse's own way
        assert error.code == 2
    assert message in capsys.readouterr().err


def _image(**files: Path) -> Image:
    return Image(boards()["pico"], "classify", 16, {}, {}, files, "")


def _file(path: Path, data: bytes | str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return path


def _zip(path: Path, *names: str, compression: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name in names:
            archive.writestr(name, b"\x80\x02}.")
    return path


def _no_gcc(folder: Path, patch: pytest.MonkeyPatch) -> None:
    patch.setenv("PATH", str(folder))
    toolchain.need(boards()["pico"])


def _wrong_isa(folder: Path, patch: pytest.MonkeyPatch) -> None:
    patch.setenv("EDGEBERT_ISA", "mmx")
    edgebert.load()


def _small_vocabulary(folder: Path, patch: pytest.MonkeyPatch) -> None:
    patch.setattr(vocabulary, "_FINAL_ENTRY", 4)
    vocabulary.build_tokenizer("wordpiece", ["several", "pieces"], True)


def _failing_tool(folder: Path, patch: pytest.MonkeyPatch) -> None:
    patch.setattr("importlib.util.find_spec", lambda name: name)
    patch.setattr("subprocess.run", lambda *_: SimpleNamespace(returncode=3))
    image = replace(_image(elf=folder / "a.elf"), board=_with("pyocd"))
    flash.flash(image, "1234", lambda line: None)


def _with(method: str) -> Any:
    return next(board for board in boards().values() if board.flash_method == method)


def _uf2_of_another_chip(folder: Path, patch: pytest.MonkeyPatch) -> None:
    path = _file(folder / "a.uf2", uf2_bytes(bytes(256), 0x10000000, 1))
    flash._copy(_image(uf2=path), folder, lambda line: None)


def _safetensors_of(dtype: str) -> bytes:
    header = json.dumps({"a": {"dtype": dtype, "shape": [1], "data_offsets": [0, 1]}}).encode()
    return len(header).to_bytes(8, "little") + header + b"\0"


TABLE = np.zeros((1, 8), np.float32)
LEARNED = "its word embeddings have shape (1, 8), the hash of its vocabulary (2, 8)"
CASES: dict[str, Callable[[Path, pytest.MonkeyPatch], Any]] = {
    # inference
    "the file is empty": lambda folder, _: edgebert.load(_file(folder / "m.ebm", b"")),
    "EDGEBERT_ISA=mmx: this build or processor has no such instruction set; unset it": _wrong_isa,
    "stride works on single texts, not on pairs": lambda *_: edgebert.load().infer(
        [("a", "b")], stride=1
    ),
    # options
    "--cased needs --vocab FILE with a cased vocabulary": lambda *_: options.tokenizer(
        argparse.Namespace(tokenizer="wordpiece", vocab=None, cased=True)
    ),
    # checkpoints
    "in PyTorch's format before 1.6: ": lambda folder, _: read_checkpoint(
        _file(folder / "m.pt", bytes(257) + b"ustar" + bytes(300))
    ),
    "a zip file, but not one that torch.save wrote": lambda folder, _: read_checkpoint(
        _zip(folder / "m.pt", "a/data.pkl", "b/data.pkl")
    ),
    "a TorchScript archive: save the model's state dict instead": lambda folder, _: read_checkpoint(
        _zip(folder / "m.pt", "a/data.pkl", "a/constants.pkl")
    ),
    "the file is compressed: ": lambda folder, _: read_checkpoint(
        _zip(folder / "m.pt", "a/data.pkl", "a/version", compression=zipfile.ZIP_DEFLATED)
    ),
    "its pickle is malformed: ": lambda *_: read_pickle(b"\x80\x02\xff."),
    "no BERT classifier of this config has 'x'": lambda *_: checked_state(
        {"a": (1,)}, {"a": (1,), "x": (1,)}, lambda name: TABLE
    ),
    "a holds int64, not floating-point numbers": lambda *_: checked_state(
        {"a": (1,)}, {"a": (1,)}, lambda name: np.zeros(1, np.int64)
    ),
    "config.json is not JSON: ": lambda folder, _: hugging_face._json(
        _file(folder / "config.json", "{")
    ),
    "config.json is not a JSON object": lambda folder, _: hugging_face._json(
        _file(folder / "config.json", "[]")
    ),
    "vocab.txt is not UTF-8 text: ": lambda folder, _: hugging_face._vocabulary(
        _file(folder / "vocab.txt", b"\xff\n")
    ),
    "m.safetensors is damaged: ": lambda folder, _: hugging_face._safetensors(
        _file(folder / "m.safetensors", b"{}"), None
    ),
    "m.safetensors holds elements of type ": lambda folder, _: hugging_face._safetensors(
        _file(folder / "m.safetensors", _safetensors_of("F8_E5M2")), None
    ),
    "the do_lower_case of its tokenizer_config.json is neither true nor false": lambda folder, _: (
        hugging_face._tokenizer(
            _file(folder / "tokenizer_config.json", '{"do_lower_case": 3}').parent, {}, []
        )
    ),
    LEARNED: lambda *_: check_table(TABLE, ["a", "b"], HashParams(dimension=8)),
    "'\\ud800' has a lone surrogate: no text can hold it": lambda *_: vocabulary.build_tokenizer(
        "wordpiece", ["\ud800"], True
    ),
    "the vocabulary is larger than 16 MB: leave out rare pieces": _small_vocabulary,
    # training
    "b.txt.gz: damaged: ": lambda folder, _: list(
        text_stream.read_lines(_file(folder / "b.txt.gz", gzip.compress(b"a text")[:-9]))
    ),
    # firmware
    "pico needs more: arm-none-eabi-gcc, make, cc are not installed. Debian: ": _no_gcc,
    "pico has no emulator: flash it (edgebert flash), or take one that has: ": lambda *_: (
        emulator.need_emulator(boards()["pico"])
    ),
    "not a UF2 file, or damaged, in block 0": lambda *_: read_uf2(b"UF2"),
    "a.uf2 is for another family of chips: build it anew": _uf2_of_another_chip,
    "pyocd failed with status 3: if it does not know ": _failing_tool,
}


@pytest.mark.parametrize(("message", "cause"), CASES.items(), ids=[*CASES])
def test_the_message_is(
    message: str,
    cause: Callable[[Path, pytest.MonkeyPatch], Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if "safetensors" in message:
        pytest.importorskip("safetensors", reason="needs the package safetensors")
    with pytest.raises(EdgebertError, match=re.escape(message)) as error:
        cause(tmp_path, monkeypatch)
    assert len(str(error.value).splitlines()) == 1

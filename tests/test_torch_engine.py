"""The engine for checkpoints answers as PyTorch did, and says so where PyTorch is missing."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

import edgebert
from edgebert.cli import main
from edgebert.engines.batches import BATCH_SIZE
from edgebert.engines.native import NativeEngine
from edgebert.export.checkpoint import read_checkpoint
from edgebert.export.ebm import write_ebm
from edgebert.export.spec import ModelSpec
from edgebert.sequence import Text
from tests.conftest import REPO
from tests.messages import forget

CHECKPOINT = REPO / "models" / "uno-sst2.pt"


def need_torch() -> None:
    pytest.importorskip("torch", reason="needs PyTorch: pip install 'edgebert[train]'")


@pytest.fixture(scope="module")
def model() -> edgebert.Model:
    need_torch()
    return edgebert.load(CHECKPOINT)


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("uno") / "uno.ebm"
    write_ebm(ModelSpec.from_checkpoint(read_checkpoint(CHECKPOINT)), path)
    return path


@pytest.mark.filterwarnings("ignore::edgebert.model.TruncationWarning")  # of a long probe
def test_logits_are_those_in_the_checkpoint(model: edgebert.Model) -> None:
    probe = read_checkpoint(CHECKPOINT).probe
    assert probe is not None and model.engine == "torch"
    np.testing.assert_allclose(model.logits(probe.texts), probe.logits, atol=1e-5, rtol=0)


def test_it_agrees_with_the_c_library(model: edgebert.Model, exported: Path) -> None:
    """On batches of mixed lengths, pairs, and vectors too."""
    texts: list[Text] = ["word " * (i * 7 % 13) + str(i) for i in range(BATCH_SIZE + 3)]
    texts += ["", ("a pair", "of two texts"), "ünï 日本"]
    native = edgebert.load(exported)
    np.testing.assert_allclose(model.logits(texts), native.logits(texts), atol=2e-5)
    np.testing.assert_allclose(model.encode(texts), native.encode(texts), atol=2e-5)
    assert model.infer([]) == []


def test_accuracy_is_that_of_the_export(
    exported: Path, shared_data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    need_torch()
    dev = str(shared_data / "sst2" / "dev.tsv")
    assert main(["eval", str(CHECKPOINT), str(exported), "--data", dev, "--json"]) == 0
    torch, native = json.loads(capsys.readouterr().out)
    assert (torch["engine"], native["engine"]) == ("torch", NativeEngine.name)
    assert torch["metrics"] == native["metrics"]


def test_bench_puts_a_checkpoint_beside_its_export(
    exported: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    need_torch()
    files = [str(exported), str(CHECKPOINT)]
    assert main(["bench", *files, "--tokens", "8", "--seconds", "0.01", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert [file["engine"] for file in document["files"]] == ["native", "torch"]
    assert [file["dtype"] for file in document["files"]] == ["f32", "f32"]
    assert "torch" in document["machine"]["packages"]


def test_threads_are_set_for_the_process() -> None:
    need_torch()
    import torch

    before = torch.get_num_threads()
    try:
        for threads in (2, 1):
            edgebert.load(CHECKPOINT, threads=threads)
            assert torch.get_num_threads() == threads
        edgebert.load(CHECKPOINT)
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("content", [b"", b"no checkpoint", CHECKPOINT.read_bytes()[:5000]])
def test_a_damaged_checkpoint_is_one_line_that_names_it_once(
    content: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    need_torch()
    (tmp_path / "bad.pt").write_bytes(content)
    assert main(["infer", "-m", str(tmp_path / "bad.pt"), "text"]) == 1
    error = capsys.readouterr().err
    assert error.startswith("edgebert: bad.pt: ")
    assert (error.count("bad.pt"), error.count("\n")) == (1, 1)


@pytest.mark.parametrize("missing", ["torch", "transformers"])
def test_without_pytorch_the_message_says_what_to_install(
    missing: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    forget(monkeypatch, [name for name in sys.modules if name.startswith("edgebert.train")])
    monkeypatch.setitem(sys.modules, missing, None)  # an import of it fails
    assert main(["infer", "-m", str(CHECKPOINT), "text"]) == 1
    error = capsys.readouterr().err
    assert "pip install 'edgebert[train]'" in error and error.count("\n") == 1

"""Graphs whose metadata are another model's: one line, and no answer that only looks right."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import edgebert
import edgebert.ort
from edgebert.config import HashParams, ModelConfig
from edgebert.errors import ModelError
from edgebert.export import write_model
from edgebert.export.recipe import Recipe
from edgebert.metadata import VARIANT, encode_metadata, seal
from tests.models import SMALL, random_spec

for package in ("onnx", "onnxruntime", "tflite"):
    pytest.importorskip(package, reason="needs edgebert[export,onnx,tflite]")

OTHERS = {
    "hidden_size": replace(SMALL, hidden_size=48, hash=HashParams(dimension=48)),
    "fewer labels": replace(SMALL, labels=("no", "yes")),
    "more labels": replace(SMALL, labels=tuple("abcde")),
    "regression": replace(SMALL, labels=("x",), task="regression"),
}


def write(path: Path, variant: str, told: ModelConfig, config: ModelConfig = SMALL) -> None:
    """A model of ``config`` whose metadata tell of another."""

    def lie(_: ModelConfig, *rest: Any) -> dict[str, str]:
        return encode_metadata(told, *rest)

    if variant == "custom-op" and not Path(edgebert.ort.library_path()).is_file():
        pytest.skip("needs the library of operators")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(f"edgebert.export.{path.suffix[1:]}.encode_metadata", lie)
        write_model(random_spec(config), path, Recipe(variant=variant))


@pytest.mark.parametrize("name", OTHERS)
@pytest.mark.parametrize("variant", ["", "portable", "custom-op"])
@pytest.mark.parametrize("suffix", ["onnx", "tflite"])
def test_sizes_of_another_model(suffix: str, variant: str, name: str, tmp_path: Path) -> None:
    path = tmp_path / f"m.{suffix}"
    write(path, variant, OTHERS[name])
    with pytest.raises(ModelError, match=r"^m\.\w+: its .* metadata tell$"):
        edgebert.load(path)


@pytest.mark.parametrize("suffix", ["onnx", "tflite"])
def test_one_logit_is_not_taken_for_all_labels(suffix: str, tmp_path: Path) -> None:
    """NumPy would repeat it."""
    path = tmp_path / f"m.{suffix}"
    write(path, "", SMALL, replace(SMALL, labels=("only",)))
    with pytest.raises(ModelError, match="its logits are not of the size 3"):
        edgebert.load(path)


def test_more_tokens_than_the_onnx_graph_takes(tmp_path: Path) -> None:
    write(tmp_path / "m.onnx", "", replace(SMALL, max_position_embeddings=512))
    with pytest.raises(ModelError, match=r"^ONNX Runtime cannot run it: ") as error:
        edgebert.load(tmp_path / "m.onnx").logits(["word " * 60])
    assert len(str(error.value).splitlines()) == 1


def test_a_variant_that_is_no_text(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    write_model(random_spec(SMALL), path, Recipe(variant="portable"))
    entry = VARIANT.encode() + b"\x12\x08"
    file = path.read_bytes()[:-8].replace(entry + b"portable", entry + b"\xffortable")
    path.write_bytes(seal(file + b"00000000"))
    with pytest.raises(ModelError, match=r"^m\.onnx: ONNX Runtime cannot load it: "):
        edgebert.load(path)

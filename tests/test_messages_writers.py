"""What people read when a model cannot be written as they ask, or not without loss."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgebert.cli import export, main
from edgebert.errors import MissingPackageError
from edgebert.export import write_model
from edgebert.export.activations import observe
from edgebert.export.calibrate import Loss, Texts
from edgebert.export.checkpoint import Checkpoint, Probe, read_checkpoint
from edgebert.export.quantise import quantise
from edgebert.export.recipe import Recipe
from edgebert.export.spec import ModelSpec
from tests.messages import Cause, check, each, fail, run, without
from tests.models import SMALL, SMALL_I8, random_spec

TINY = Path(__file__).parent / "data" / "tiny.pt"
TEXTS = ["a few words", "and some more of them"]


def _scaled(spec: ModelSpec, factors: Mapping[tuple[str, int], float]) -> ModelSpec:
    """The model with some weights larger or smaller."""
    weights = (
        replace(w, values=w.values * np.float32(factors.get((w.role, w.layer), 1)))
        for w in spec.weights
    )
    return replace(spec, weights=tuple(weights))


def _integers(role: str, factor: float, layer: int = 0, **more: float) -> Cause:
    factors = {(role, layer): factor, **{(name, 0): value for name, value in more.items()}}
    return lambda *_: quantise(_scaled(random_spec(SMALL_I8), factors), TEXTS)


def _seen(name: str, factor: float) -> Cause:
    """What calibration saw of an activation is far from what the weights make of it."""

    def quantised(*_: Any) -> None:
        spec = random_spec(SMALL_I8)
        seen = observe(spec, TEXTS)
        scales = {**seen.scales, (name, 0): seen.scales[name, 0] * factor}
        quantise(replace(spec, activations=replace(seen, scales=scales)))

    return quantised


INTEGERS: dict[str, Cause] = {
    "no texts to calibrate on: give a few hundred like those to come": lambda *_: quantise(
        random_spec(SMALL_I8)
    ),
    "i8 needs heads in multiples of 16, hidden_size and intermediate_size of 16; this model has 8, "
    "24 and 40: train another shape, or export f32": lambda *_: quantise(random_spec(), TEXTS),
    "i4 needs heads in multiples of 16, hidden_size and intermediate_size of 32; this": lambda *_: (
        quantise(random_spec(), TEXTS, "i4")
    ),
    "position embeddings are beyond int8: export f32": _integers("position_embeddings", 1e4),
    "attention scores in steps of 2.07e+06 are beyond int8: export f32": _integers(
        "qkv_weight", 1e3
    ),
    "attention's contexts are too small beside its values: export f32": _seen("context", 1e-4),
    "embeddings_norm_weight of layer 0 does not fit into integers: export f32": _seen(
        "embeddings_norm", 1e-4
    ),
    "qkv of layer 0 is beyond int8: export f32": _integers("qkv_bias", 1e9),
    "attention_output of layer 0 is too large to be added: export f32": _integers(
        "attention_output_weight", 1e3
    ),
    "classifier may give numbers beyond 32 bits: export f32": _integers("classifier_weight", 1e5),
    "pooler gives steps of 2": _integers(
        "output_norm_weight", 1e20, 1, pooler_weight=0, pooler_bias=0
    ),
}


@each(INTEGERS)
def test_a_model_that_integers_cannot_hold_is_refused_with_a_way_out(
    message: str, cause: Cause, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    check(message, cause, tmp_path, monkeypatch)


def _written(name: str, recipe: Recipe, spec: ModelSpec | None = None) -> Cause:
    def write(folder: Path, _: pytest.MonkeyPatch) -> None:
        package = Path(name).suffix[1:]
        pytest.importorskip(package, reason=f"needs the package {package}")
        write_model(spec or random_spec(), folder / name, recipe)

    return write


def _without(package: str, *importers: str) -> Cause:
    """Writes a file whose writer was never imported."""

    def write(folder: Path, patch: pytest.MonkeyPatch) -> None:
        without(patch, package, *(f"edgebert.export.{name}" for name in importers))
        write_model(random_spec(), folder / f"m.{package}")

    return write


MURMUR = random_spec(replace(SMALL, hash=replace(SMALL.hash, family="murmur3")))
MISSING_ACTIVATIONS = (
    "an int8 graph needs activations: replace(spec, activations=observe(spec, texts))"
)
POLY = (
    "portable graphs need the hash family poly, not murmur3, which standard operators cannot "
    "compute: export a graph with --custom-op, or one without"
)


@pytest.mark.parametrize("name", ["m.onnx", "m.tflite"])
@pytest.mark.parametrize(
    ("recipe", "spec", "message"),
    [
        (Recipe("i8"), None, MISSING_ACTIVATIONS),
        (Recipe("f32", "portable"), MURMUR, POLY),
    ],
)
def test_a_graph_that_cannot_be_is_refused_with_a_way_out(
    name: str,
    recipe: Recipe,
    spec: ModelSpec | None,
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    check(message, _written(name, recipe, spec), tmp_path, monkeypatch)
    assert not list(tmp_path.iterdir())


def _huge(role: str, factor: float) -> ModelSpec:
    spec = _scaled(random_spec(), {(role, 0): factor})
    return replace(spec, activations=observe(spec, TEXTS))


WRITERS: dict[str, Cause] = {
    "writing .onnx files needs the package onnx: pip install 'edgebert[export]'": _without(
        "onnx", "onnx", "onnx_graph", "onnx_hash", "onnx_i8", "onnx_nodes"
    ),
    "writing .tflite files needs the packages tflite and flatbuffers: pip install 'edgebert[": (
        _without(
            "tflite",
            *("tflite", "tflite_file", "tflite_graph", "tflite_hash", "tflite_i8"),
            "tflite_variants",
        )
    ),
    "classifier_bias is beyond float16: export f32": _written(
        "m.onnx", Recipe("i8"), _huge("classifier_bias", 1e7)
    ),
    "layer.0/masked is too small for int8 beside what it adds: export f16": _written(
        "m.tflite", Recipe("i8"), _huge("output_norm_weight", 1e7)
    ),
    "--micro has no f16: choose of f32, i8": _written("m.tflite", Recipe("f16", "micro")),
    "--tokens 21: the model takes at most 20": _written("m.tflite", Recipe(tokens=(21,))),
    "--micro takes one length: TensorFlow Lite Micro runs one subgraph": _written(
        "m.tflite", Recipe(variant="micro", tokens=(8, 16))
    ),
}


@each(WRITERS)
def test_what_a_format_cannot_hold_is_refused_with_a_way_out(
    message: str, cause: Cause, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    check(message, cause, tmp_path, monkeypatch)


# ---- what an export says of its files ----


@pytest.fixture
def tiny() -> Checkpoint:
    return read_checkpoint(TINY)


def _export(capsys: pytest.CaptureFixture[str], *options: str) -> tuple[int, str]:
    status = main(["export", str(TINY), "--to", "ebm", *options])
    return status, capsys.readouterr().out


def test_an_export_that_nothing_is_compared_with_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(export, "_make_probe", lambda _: None)
    monkeypatch.setattr("edgebert.export.checkpoint._probe", lambda *_: None)
    status, said = _export(capsys, "-o", str(tmp_path))
    assert status == 0 and said.endswith(
        "Not compared with PyTorch: the checkpoint holds no answers of it, and it is not "
        "installed: pip install 'edgebert[train]'\n"
    )


def test_an_export_whose_engine_is_not_installed_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    reason = "running .ebm files needs a package"
    monkeypatch.setattr("edgebert.engines.open_engine", fail(MissingPackageError(reason)))
    status, said = _export(capsys, "-o", str(tmp_path))
    assert (status, said.splitlines()[-1]) == (0, f"Not compared with PyTorch: {reason}")


def test_without_pytorch_a_checkpoint_gets_no_answers(
    tiny: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    without(monkeypatch, "torch", "edgebert.train.checkpoint")
    assert export._make_probe(tiny) is None


def test_a_probe_whose_texts_are_too_long_is_not_compared(tmp_path: Path) -> None:
    pytest.importorskip("tflite", reason="needs the package tflite")
    pytest.importorskip("ai_edge_litert", reason="needs the package ai-edge-litert")
    spec = random_spec()
    write_model(spec, tmp_path / "m.tflite", Recipe(tokens=(2,)))
    probe = Probe(("a film",), np.zeros((1, 3), np.float32))
    note = "Not compared with PyTorch: no text of its answers fits 2 tokens"
    assert export._compare(tmp_path / "m.tflite", probe, spec) == (None, None, note)


@pytest.mark.parametrize(
    ("difference", "same_tags", "message"),
    [
        (0.5, 1.0, "m.onnx differs from PyTorch by 5.0e-01, more than 1e-04: do not use it, and"),
        (np.nan, 1.0, "m.onnx differs from PyTorch by nan, more than 1e-04: do not use it, and"),
        (0.0, 0.9, "m.onnx gives only 90.0% of tokens the tag that PyTorch gives: do not use it"),
    ],
)
def test_a_file_that_is_not_the_model_is_not_to_be_used(
    difference: float,
    same_tags: float,
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    artifact = export.Artifact(Path("m.onnx"), "f32", "", 1, 1, 1, difference, same_tags)
    monkeypatch.setattr(export, "export", lambda *_: [artifact])
    status, said = run(["export", "m.pt", "--to", "onnx"], capsys)
    assert (status, said.count("\n")) == (1, 1)
    assert message in said and said.endswith("and please report this\n")


@pytest.mark.parametrize(
    ("loss", "labels", "note"),
    [
        (
            Loss(1000, 0.9, None),
            None,
            "m.ebm on 1000 of texts: 90.0% have f32's label. WARNING: 10.0 points lost, most of "
            "it in output_norm of layer 1 (9.0% off). Calibrate on your own texts: --calibrate "
            "train.tsv",
        ),
        (
            Loss(1000, 0.9, (0.8, 0.85)),
            ["yes"],
            "m.ebm on 1000 of texts: 90.0% have f32's label; accuracy 0.8000, f32 0.8500. "
            "WARNING: 5.0 points lost, most of it in output_norm of layer 1 (9.0% off)",
        ),
        (Loss(1000, 0.999, None), None, "m.ebm on 1000 of texts: 99.9% have f32's label"),
        (None, None, "m.ebm: no text of texts fits it; what it lost is not known"),
    ],
)
def test_what_integers_lost_is_told_with_a_way_out(
    loss: Loss | None, labels: list[str] | None, note: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    worst = "output_norm of layer 1", 0.09
    monkeypatch.setattr("edgebert.export.calibrate.measure_loss", lambda *_: loss)
    monkeypatch.setattr("edgebert.export.calibrate.worst_layer", lambda *_: worst)
    spec = random_spec()
    models = (spec, replace(spec, dtype="i8"))
    assert export._loss(Path("m.ebm"), Any, Texts("texts", [], labels), models) == note  # type: ignore[arg-type]

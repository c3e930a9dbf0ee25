"""edgebert export: each format, dtype and variant gives a file that runs, or one clear line."""

from __future__ import annotations

import itertools
import json
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import edgebert
import edgebert.ort
from edgebert.cli import main
from edgebert.config import HashParams, ModelConfig
from edgebert.engines import Engine, Outputs, open_engine
from edgebert.export import DTYPES, WRITERS, write_model
from edgebert.export.checkpoint import Checkpoint, Probe
from edgebert.export.recipe import VARIANTS
from edgebert.export.roles import all_roles
from edgebert.export.spec import ModelSpec
from edgebert.model import TruncationWarning
from edgebert.sequence import Text
from tests.conftest import REPO
from tests.heads import HEADS
from tests.models import SMALL, SMALL_I8, random_spec

for package in ("onnx", "onnxruntime", "tflite"):
    pytest.importorskip(package, reason="needs edgebert[export,onnx,tflite]")

PROBE = ("a film", "one two three")
TEXTS: list[Text] = ["", "é" * 90, "plot\0", "word " * 50]
EVERY = list(itertools.product(WRITERS, DTYPES, ("", *VARIANTS)))

MODELS = {
    "three heads": SMALL,
    "regression": replace(
        SMALL_I8, task="regression", labels=("x",), num_hidden_layers=1, type_vocab_size=1
    ),
    "murmur3": replace(SMALL_I8, hash=HashParams("murmur3", 64, 4, boundary_marks=True)),
    "least": ModelConfig(2, 1, 1, 1, 2, 1, labels=("only",), hash=HashParams(dimension=2)),
    "zeros": SMALL_I8,
    **{name: replace(SMALL_I8, **heads) for name, heads in HEADS.items()},
}


def spec_of(name: str) -> ModelSpec:
    spec = random_spec(MODELS[name])
    if name == "zeros":
        weights = (replace(w, values=np.zeros_like(w.values)) for w in spec.weights)
        spec = replace(spec, weights=tuple(weights))
    return spec


def checkpoint(spec: ModelSpec, probe: Probe) -> Checkpoint:
    state = {
        source.format(layer=layer): part
        for role, layer in all_roles(spec.config)
        for source, part in zip(
            role.sources, np.split(spec.weight(role.name, layer), len(role.sources)), strict=True
        )
    }
    return Checkpoint(spec.config, state, spec.tokenizer, probe)


def probe_of(engine: Engine) -> Probe:
    outputs = engine.run_texts(PROBE)[0]
    tags = None
    if outputs.tag_scores is not None:
        longest = max(map(len, outputs.tag_scores))
        found = [scores.argmax(1) for scores in outputs.tag_scores]
        tags = np.array([np.pad(row, (0, longest - len(row))) for row in found], np.int64)
    return Probe(PROBE, outputs.logits, outputs.pooled, tags)


def same_tags(found: Outputs, expected: Outputs) -> float:
    """The share of tokens; 1.0 if there are no tags."""
    assert (found.tag_scores is None) == (expected.tag_scores is None)
    if found.tag_scores is None or expected.tag_scores is None:
        return 1.0
    assert all(scores.dtype == np.int16 for scores in found.tag_scores)
    tags = [np.concatenate(x.tag_scores or []).argmax(1) for x in (found, expected)]
    return float((tags[0] == tags[1]).mean())


def expected_error(name: str, suffix: str, dtype: str, variant: str) -> str:
    """Part of the line that says why there is no such file; empty if there is."""
    if dtype not in WRITERS[suffix].forms.get(variant, ()):
        return f"{suffix} cannot be "
    if (name, variant) == ("murmur3", "portable"):
        return "hash family poly, not murmur3"
    if suffix == "ebm" and dtype != "f32" and name in ("three heads", "least"):
        return "train another shape"
    if (name, suffix, dtype) == ("zeros", "tflite", "i8"):
        return "too small for int8"
    return ""


@pytest.mark.filterwarnings("ignore::edgebert.model.TruncationWarning")
@pytest.mark.parametrize("name", MODELS)
def test_every_combination_runs_or_says_why_not(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Runs: float within the command's own tolerance of the native runtime, integers near it."""
    spec = spec_of(name)
    write_model(spec, tmp_path / "native.ebm")
    native = open_engine(tmp_path / "native.ebm")
    saved = checkpoint(spec, probe_of(native))
    monkeypatch.setattr("edgebert.export.checkpoint.read_checkpoint", lambda path: saved)
    expected = native.run_texts(TEXTS)[0]
    for suffix, dtype, variant in EVERY:
        if variant == "custom-op" and not Path(edgebert.ort.library_path()).is_file():
            continue
        combination = f"{name}: {suffix} {dtype} {variant}"
        folder = tmp_path / f"{suffix}-{dtype}-{variant}"
        arguments = ["export", "x.pt", "-o", str(folder), "--to", suffix, "--dtype", dtype]
        status = main([*arguments, *([f"--{variant}"] if variant else [])])
        errors = capsys.readouterr().err
        why = expected_error(name, suffix, dtype, variant)
        files = list(folder.iterdir()) if folder.exists() else []
        assert bool(status) == bool(why), f"{combination}: {errors}"
        if why:
            assert why in errors and len(errors.splitlines()) == 1, combination
            assert not files, combination
        else:
            assert len(files) == 1 and not errors, f"{combination}: {errors}"
            found = open_engine(files[0]).run_texts(TEXTS)[0]
            tolerance = {"f32": 1e-4, "f16": 0.02, "i8": 1, "i4": 4}[dtype]
            for x, y in ((found.logits, expected.logits), (found.pooled, expected.pooled)):
                assert (np.abs(x - y) <= tolerance).all(), combination
            least = {"f32": 1.0, "f16": 0.95, "i8": 0.75, "i4": 0.25}[dtype]
            assert same_tags(found, expected) >= least, combination


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ("logits", "differs from PyTorch by 5.0e-01"),
        ("pooled", "by 5.0e-01"),
        ("tags", "of tokens"),
    ],
)
def test_a_file_that_does_not_say_what_pytorch_said_is_told(
    wrong: str,
    message: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    spec = random_spec(MODELS["labels and tags"])
    write_model(spec, tmp_path / "native.ebm")
    right = probe_of(open_engine(tmp_path / "native.ebm"))
    told = getattr(right, wrong) + (1 if wrong == "tags" else np.float32(0.5))
    saved = checkpoint(spec, replace(right, **{wrong: told}))
    monkeypatch.setattr("edgebert.export.checkpoint.read_checkpoint", lambda path: saved)
    assert main(["export", "x.pt", "-o", str(tmp_path), "--to", "onnx"]) == 1
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("tokens", "compared"), [("2", False), ("4", True), ("20", True)], ids=["none", "some", "all"]
)
def test_files_of_short_texts_are_compared_by_what_fits(
    tokens: str,
    compared: bool,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With [CLS] and [SEP] the texts have 4, 22 (cut to 20) and 5 tokens."""
    texts = ("a film", "word " * 20, ("one", "two"))
    write_model(random_spec(), tmp_path / "native.ebm")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", TruncationWarning)
        logits = edgebert.load(tmp_path / "native.ebm").logits(list(texts))
    saved = checkpoint(random_spec(), Probe(texts, logits))
    monkeypatch.setattr("edgebert.export.checkpoint.read_checkpoint", lambda path: saved)
    options = ["--to", "tflite", "--tokens", tokens, "--json"]
    assert main(["export", "x.pt", "-o", str(tmp_path), *options]) == 0
    (artifact,) = json.loads(capsys.readouterr().out)
    if compared:
        assert artifact["difference"] < 1e-5 and not artifact["note"]
    else:
        assert artifact["difference"] is None and "fits 2 tokens" in artifact["note"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("--to onnx --dtype f16", "onnx cannot be f16: --to tflite can"),
        ("--to onnx --micro", "onnx cannot be --micro: --to tflite can"),
        ("--to ebm --portable", "ebm cannot be --portable: --to onnx or tflite can"),
        ("--to onnx,ebm --dtype i4 --micro", "onnx and ebm cannot be --micro: --to tflite can"),
        ("--dtype f32,i4 --micro", "onnx and tflite and ebm cannot be both i4 and --micro"),
    ],
)
def test_what_no_format_can_be_is_said_before_anything_is_read(
    options: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["export", "missing.pt", *options.split()]) == 2
    assert capsys.readouterr().err == f"edgebert: {message}\n"


def test_short_lengths_are_no_loss_of_int8(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["export", str(REPO / "models" / "uno-sst2.pt"), "-o", str(tmp_path)]
    data = str(REPO / "tests" / "data" / "sst2_dev_head.tsv")
    tokens = ["--to", "tflite", "--dtype", "i8", "--tokens"]
    assert main([*command, *tokens, "8", "--calibrate", data]) == 0
    printed = capsys.readouterr().out
    assert "WARNING" not in printed and "of 199" not in printed and "have f32's label" in printed
    assert main([*command, *tokens, "2", "--calibrate", data]) == 0
    assert "what it lost is not known" in capsys.readouterr().out

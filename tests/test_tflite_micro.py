"""Files of --micro in TensorFlow Lite Micro itself: the C library's numbers, in a small arena."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from edgebert.engines import Engine, open_engine
from edgebert.engines.batches import padded_inputs
from edgebert.export import write_model
from edgebert.export.activations import observe
from edgebert.export.calibrate import Texts
from edgebert.export.checkpoint import read_checkpoint
from edgebert.export.recipe import Recipe
from edgebert.export.spec import ModelSpec
from edgebert.hash import HashEmbedding
from edgebert.sequence import Sequences, Text, from_texts
from edgebert.tokenizer import Tokenizer
from edgebert.tsv import read_tsv
from tests import tflite_micro_runner
from tests.conftest import REPO
from tests.environments import interpreter
from tests.heads import HEADS, OUTPUTS, check_alike, check_close, references, with_heads
from tests.models import SMALL
from tests.test_onnx_writer import SHAPES, unit_gain_spec

pytest.importorskip("tflite", reason="needs edgebert[export]")

F32, I8 = Recipe(variant="micro"), Recipe("i8", "micro")
UNO = REPO / "models" / "uno-sst2.pt"
TEXTS: list[Text] = ["", "one", ("a pair", "of two texts"), "a longer text, of many words", "日本"]


class Outcome(NamedTuple):
    """What TensorFlow Lite Micro said.

    Attributes:
        outputs: by name, float32 [texts, ...].
        arena: bytes that were used of it.
    """

    outputs: dict[str, np.ndarray]
    arena: int

    @property
    def logits(self) -> np.ndarray:
        """Those of labels, float32 [texts, num_labels]."""
        return self.outputs["logits"]

    @property
    def pooled(self) -> np.ndarray:
        """float32 [texts, hidden_size]."""
        return self.outputs["pooled"]


def run(
    spec: ModelSpec,
    recipe: Recipe,
    sequences: Sequences,
    tokens: int,
    folder: Path,
    names: Sequence[str] = ("logits", "pooled"),
) -> Outcome:
    """Run the sequences in a file for so many tokens, with these outputs."""
    python = interpreter("micro")
    model, inputs, outputs = (folder / name for name in ("m.tflite", "in.npz", "out.npz"))
    write_model(spec, model, replace(recipe, tokens=(tokens,)))
    feeds: dict[str, Any] = padded_inputs(sequences, HashEmbedding(spec.config.hash), tokens)
    np.savez(inputs, **feeds)
    outcome = subprocess.run(
        [python, tflite_micro_runner.__file__, model, inputs, outputs, *names],
        capture_output=True,
        text=True,
    )
    assert outcome.returncode == 0, outcome.stderr
    arena = re.search(r"Arena allocation total (\d+) bytes", outcome.stderr)
    assert arena is not None, outcome.stderr
    with np.load(outputs) as arrays:
        return Outcome({name: arrays[name] for name in names}, int(arena[1]))


def native(spec: ModelSpec, folder: Path) -> Engine:
    write_model(spec, folder / "native.ebm")
    return open_engine(folder / "native.ebm")


@pytest.mark.parametrize("name", [*SHAPES, "small"])
def test_every_shape_gives_what_the_c_library_gives(name: str, tmp_path: Path) -> None:
    spec = unit_gain_spec({**SHAPES, "small": SMALL}[name])
    engine = native(spec, tmp_path)
    sequences = from_texts(engine.tokenizer, TEXTS, 20, spec.config.type_vocab_size)
    outputs = engine.run(sequences)
    for tokens in (max(map(len, sequences.ends)), 20):  # without padding for the longest, and with
        found = run(spec, F32, sequences, tokens, tmp_path)
        np.testing.assert_allclose(found.logits, outputs.logits, atol=2e-5)
        np.testing.assert_allclose(found.pooled, outputs.pooled, atol=2e-5)
    spec = replace(spec, activations=observe(spec, TEXTS))
    integers = run(spec, I8, sequences, 20, tmp_path)
    assert np.sqrt(np.mean((integers.pooled - outputs.pooled) ** 2)) < 0.15 * outputs.pooled.std()
    assert integers.arena < found.arena


@pytest.mark.parametrize("heads", HEADS)
def test_all_heads_give_what_the_float_reference_gives(heads: str, tmp_path: Path) -> None:
    spec = unit_gain_spec(with_heads(SHAPES["uno"], heads))
    sequences = from_texts(Tokenizer(spec.tokenizer), TEXTS, 20)
    feeds = padded_inputs(sequences, HashEmbedding(spec.config.hash))
    expected, names = references(spec, feeds), OUTPUTS[heads]
    check_close(run(spec, F32, sequences, 20, tmp_path, names).outputs, expected, 2e-5)
    spec = replace(spec, activations=observe(spec, TEXTS))
    found = run(spec, I8, sequences, 20, tmp_path, names).outputs
    check_alike(found, expected, error=0.2, same_tags=0.9)


def check_uno(data: Path, folder: Path) -> None:
    spec = ModelSpec.from_checkpoint(read_checkpoint(UNO))
    spec = replace(spec, activations=observe(spec, Texts.read(None).calibration))
    dataset, engine = read_tsv(data), native(spec, folder)
    sequences = from_texts(engine.tokenizer, dataset.texts, 64)
    labels = [spec.config.labels.index(label) for label in dataset.labels]
    exact = engine.run(sequences).logits

    def accuracy(logits: np.ndarray) -> float:
        return float((logits.argmax(axis=1) == labels).mean())

    floats, integers = (run(spec, recipe, sequences, 64, folder) for recipe in (F32, I8))
    assert np.abs(floats.logits - exact).max() < 2e-5
    assert accuracy(integers.logits) >= accuracy(exact) - 0.005
    assert np.sqrt(np.mean((integers.logits - exact) ** 2)) < 0.08
    assert floats.arena < 550_000 and integers.arena < 120_000


def test_uno_on_a_sample_of_sst2(tmp_path: Path) -> None:
    check_uno(REPO / "tests" / "data" / "sst2_dev_head.tsv", tmp_path)


def test_uno_on_all_of_sst2_dev(tmp_path: Path, shared_data: Path) -> None:
    check_uno(shared_data / "sst2" / "dev.tsv", tmp_path)

"""The trained checkpoint of the repository: how small its exports are, and what they answer."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import edgebert
from edgebert.export import WRITERS, write_model
from edgebert.export.checkpoint import read_checkpoint
from edgebert.export.spec import ModelSpec
from edgebert.tsv import read_tsv
from tests.conftest import REPO

CHECKPOINT = REPO / "models" / "uno-sst2.pt"


@pytest.fixture(scope="module")
def artifacts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    spec = ModelSpec.from_checkpoint(read_checkpoint(CHECKPOINT))
    folder = tmp_path_factory.mktemp("uno")
    paths = {name: folder / f"uno-sst2.{name}" for name in WRITERS}
    for path in paths.values():
        write_model(spec, path)
    return paths


def test_the_checkpoint_and_its_artifacts_are_small(artifacts: dict[str, Path]) -> None:
    assert CHECKPOINT.stat().st_size < 1_500_000
    tokenizer = len(edgebert.load(artifacts["ebm"]).tokenizer.blob)
    assert tokenizer <= 65_536
    for path in artifacts.values():
        assert path.stat().st_size <= 1_250_000 + tokenizer


@pytest.mark.parametrize("name", list(WRITERS))
def test_answers_on_sst2_dev_are_those_of_pytorch(
    name: str, artifacts: dict[str, Path], shared_data: Path
) -> None:
    pytest.importorskip("torch", reason="PyTorch is the oracle: pip install 'edgebert[train]'")
    from edgebert.train.bert import logits
    from edgebert.train.checkpoint import load_torch

    dev = read_tsv(shared_data / "sst2" / "dev.tsv")
    expected = logits(*load_torch(CHECKPOINT), dev.texts)
    model = edgebert.load(artifacts[name])
    actual = model.logits(dev.texts)
    assert len(actual) == 872
    np.testing.assert_allclose(actual, expected, atol=1e-4, rtol=0)
    assert (actual.argmax(1) == expected.argmax(1)).all()
    right = [
        model.labels[i] == label for i, label in zip(actual.argmax(1), dev.labels, strict=True)
    ]
    assert np.mean(right) >= 0.80

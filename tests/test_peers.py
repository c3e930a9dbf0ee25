"""benchmarks.peers: what the C library is compared with is the same model."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import edgebert
from edgebert.export import write_model
from edgebert.export.activations import observe
from edgebert.export.checkpoint import read_checkpoint
from edgebert.export.spec import ModelSpec
from tests.conftest import REPO

CHECKPOINT = REPO / "models" / "uno-sst2.pt"
TEXTS = ["a gripping film with a wonderful cast", "dull and far too long"]


def test_every_runtime_that_is_installed_gives_the_models_logits(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime", reason="needs the package onnxruntime")
    from benchmarks.peers import Front, build
    from benchmarks.runtimes import RUNTIMES, Job

    spec = ModelSpec.from_checkpoint(read_checkpoint(CHECKPOINT))
    spec = replace(spec, activations=observe(spec, TEXTS))  # int8 files need them
    write_model(spec, tmp_path / "m.ebm")
    wanted = edgebert.load(tmp_path / "m.ebm").logits(TEXTS)
    front = Front(spec)
    calibration = [front.inputs(front.sequences(text)) for text in TEXTS]
    for text, logits, inputs in zip(TEXTS, wanted, calibration, strict=True):
        job = Job(spec, CHECKPOINT, tmp_path, inputs["inputs_embeds"].shape[1], calibration)
        encoders, missing = build(job)
        assert len(encoders) + len(missing) == len(RUNTIMES)
        for name, encode in encoders.items():
            # Without VNNI, ONNX Runtime's products of 8 bits saturate: by 0.3 in the logits.
            tolerance = 1e-5 if RUNTIMES[name].dtype == "f32" else 0.5
            np.testing.assert_allclose(
                encode(inputs)[0], logits, atol=tolerance, err_msg=f"{name}: {text}"
            )

"""The int8 ONNX graph: integer kernels that do not saturate, whatever the weights."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import numpy_helper

from edgebert.errors import ModelError
from edgebert.export.activations import observe
from edgebert.export.onnx import onnx_bytes
from edgebert.export.recipe import Recipe
from edgebert.export.spec import ModelSpec
from tests.heads import HEADS, OUTPUTS, check_alike, references, with_heads
from tests.models import SMALL, SMALL_I8, random_spec
from tests.onnx_sessions import session
from tests.test_onnx_writer import SHAPES, inputs, unit_gain_spec

I8 = Recipe("i8")


def calibrated(spec: ModelSpec) -> ModelSpec:
    return replace(spec, activations=observe(spec, ["", "a gripping film", ("a", "pair")]))


def changed(spec: ModelSpec, role: str, values: np.ndarray) -> ModelSpec:
    """The spec with other values for the weights of a role, in all layers."""
    weights = (replace(w, values=values) if w.role == role else w for w in spec.weights)
    return replace(spec, weights=tuple(weights))


def logits(file: bytes, embeds: np.ndarray, optimise: bool = True) -> np.ndarray:
    ids = np.zeros(embeds.shape[:2], np.int64)
    feeds = {"inputs_embeds": embeds, "attention_mask": ids + 1, "token_type_ids": ids}
    result: np.ndarray = session(file, optimise).run(["logits"], feeds)[0]
    return result


@pytest.mark.parametrize(
    ("heads", "products_of_heads"),
    [({}, 1), *zip(HEADS.values(), (2, 1, 0), strict=True)],
    ids=["labels", *HEADS],
)
def test_every_product_with_weights_becomes_an_integer_kernel(
    heads: dict[str, Any], products_of_heads: int, tmp_path: Path
) -> None:
    spec = calibrated(random_spec(replace(SMALL, **heads)))
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "optimised.onnx")
    options.log_severity_level = 3  # it warns that such a file is for this machine only
    onnxruntime.InferenceSession(onnx_bytes(spec, I8), options, providers=["CPUExecutionProvider"])
    operators = [node.op_type for node in onnx.load(tmp_path / "optimised.onnx").graph.node]
    products = 4 * spec.config.num_hidden_layers + products_of_heads
    assert operators.count("MatMulIntegerToFloat") == products
    assert operators.count("QuantizeLinear") == products
    assert operators.count("DequantizeLinear") == 1  # of position embeddings


@pytest.mark.parametrize("heads", HEADS)
def test_all_heads_are_near_float(heads: str) -> None:
    spec = calibrated(unit_gain_spec(with_heads(SHAPES["uno"], heads)))
    feeds = inputs(spec.config, 5, 17, padded=True)
    run = session(onnx_bytes(spec, I8))
    assert [output.name for output in run.get_outputs()] == OUTPUTS[heads]
    found = dict(zip(OUTPUTS[heads], run.run(None, feeds), strict=True))
    check_alike(found, references(spec, feeds), error=0.15, same_tags=0.9)


def test_no_pair_of_products_is_beyond_int16() -> None:
    """As AVX2 without VNNI adds pairs in int16; weights that all pull one way are the worst."""
    spec = random_spec(SMALL_I8)
    shape = spec.weight("intermediate_weight").shape
    spec = calibrated(changed(spec, "intermediate_weight", np.full(shape, 0.1, np.float32)))
    file = onnx_bytes(spec, I8)
    constants = map(numpy_helper.to_array, onnx.load_from_string(file).graph.initializer)
    rows = spec.config.max_position_embeddings
    matrices = [x for x in constants if x.dtype == np.int8 and len(x) != rows]
    assert len(matrices) == 9
    for matrix in matrices:
        assert 2 * 255 * int(np.abs(matrix.astype(int)).max()) < 2**15
    embeds = np.random.default_rng(0).uniform(-1, 1, (1, 12, 64)).astype(np.float32)
    np.testing.assert_allclose(
        logits(file, embeds), logits(file, embeds, optimise=False), atol=0.05
    )


def test_a_column_of_zeros_is_no_error() -> None:
    spec = random_spec(SMALL)
    weight = spec.weight("output_weight").copy()
    weight[:5] = 0
    zeros = changed(spec, "position_embeddings", np.zeros((20, 24), np.float32))
    spec = calibrated(changed(zeros, "output_weight", weight))
    embeds = np.random.default_rng(0).uniform(-1, 1, (2, 7, 24)).astype(np.float32)
    exact = logits(onnx_bytes(spec), embeds)
    np.testing.assert_allclose(logits(onnx_bytes(spec, I8), embeds), exact, atol=0.2)


def test_a_spec_that_was_not_calibrated_is_refused() -> None:
    with pytest.raises(ModelError, match="activations"):
        onnx_bytes(random_spec(), I8)


def test_vectors_beyond_float16_are_refused() -> None:
    spec = random_spec(SMALL)
    spec = calibrated(changed(spec, "classifier_bias", np.full(3, 1e5, np.float32)))
    with pytest.raises(ModelError, match="classifier_bias is beyond float16: export f32"):
        onnx_bytes(spec, I8)

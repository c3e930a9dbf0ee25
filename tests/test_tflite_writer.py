"""The TFLite graph: builtin operators, and one set of weights for all lengths."""

from __future__ import annotations

import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgebert.errors import ModelError
from edgebert.export import write_model
from edgebert.export.recipe import Recipe
from edgebert.export.spec import ModelSpec
from edgebert.export.tflite import lengths, tflite_file
from edgebert.metadata import (
    CHECKSUM,
    CONFIG,
    DTYPE,
    TOKENIZER,
    TRANSITIONS,
    VARIANT,
    VERSION,
    decode_metadata,
)
from edgebert.version import __version__
from tests.heads import with_heads
from tests.models import SMALL, random_spec
from tests.test_onnx_writer import SHAPES

pytest.importorskip("tflite", reason="needs edgebert[export]")

from tests.tflite_graphs import (
    F16,
    F32,
    I8,
    MICRO,
    MICRO_I8,
    RECIPES,
    calibrated,
    every_recipe,
    operators,
    parse,
    subgraphs,
    tensors,
)

# Of which all are in TensorFlow Lite's list; those of --micro in that of TensorFlow Lite Micro too.
EVERYWHERE = (
    "ADD BATCH_MATMUL FULLY_CONNECTED GATHER MEAN MUL RESHAPE RSQRT SLICE SOFTMAX SUB TANH "
    "TRANSPOSE"
)
OPERATORS = {
    "f32": f"{EVERYWHERE} CAST GELU",
    "f16": f"{EVERYWHERE} CAST GELU DEQUANTIZE",
    "i8": f"{EVERYWHERE} GELU",
    "micro": f"{EVERYWHERE} CAST ABS DIV EXP",
    "i8-micro": f"{EVERYWHERE} LOGISTIC",
}


@pytest.fixture(scope="module")
def spec() -> ModelSpec:
    """Of the UNO model's shape."""
    return calibrated(random_spec(SHAPES["uno"]))


# ---- what is in the file ----


@every_recipe
def test_only_builtin_operators_in_an_order_that_can_run(kind: str, spec: ModelSpec) -> None:
    model = parse(tflite_file(spec, RECIPES[kind]))
    assert model.Version() == 3
    for graph in subgraphs(model):
        known = set(graph.InputsAsNumpy().tolist())
        known |= {i for i in range(graph.TensorsLength()) if graph.Tensors(i).Buffer()}
        used = set()
        for name, feeds, results in operators(model, graph):
            assert set(feeds) <= known
            assert not set(results) & known
            known |= set(results)
            used.add(name)
        assert known == set(range(graph.TensorsLength())), "tensors that nothing makes"
        assert used == set(OPERATORS[kind].split())


@every_recipe
def test_a_mean_is_of_builtin_operators(kind: str, spec: ModelSpec) -> None:
    config = with_heads(spec.config, "embedding")
    model = parse(tflite_file(calibrated(random_spec(config)), RECIPES[kind]))
    used = {name for graph in subgraphs(model) for name, _, _ in operators(model, graph)}
    assert used == {*OPERATORS[kind].split(), "L2_NORMALIZATION"} - {"TANH"}


@every_recipe
def test_names_are_unique_and_shapes_are_known(kind: str, spec: ModelSpec) -> None:
    model = parse(tflite_file(spec, RECIPES[kind]))
    for graph in subgraphs(model):
        found = tensors(graph)
        names = [tensor.name for tensor in found]
        assert all(names) and len(set(names)) == len(names)
        assert all(size > 0 for tensor in found for size in tensor.shape)
        assert all(np.isfinite(scale) and scale > 0 for t in found for scale in t.scales)


@every_recipe
def test_each_length_has_a_signature(kind: str, spec: ModelSpec) -> None:
    recipe = RECIPES[kind]
    model = parse(tflite_file(spec, recipe))
    expected = lengths(spec.config, recipe)
    assert model.SignatureDefsLength() == model.SubgraphsLength() == len(expected)
    integer, real = ("int8", "int8") if recipe.dtype == "i8" else ("int32", "float32")
    for i, n in enumerate(expected):
        signature = model.SignatureDefs(i)
        graph = model.Subgraphs(signature.SubgraphIndex())
        assert signature.SignatureKey() == graph.Name() == f"tokens_{n}".encode()
        found = tensors(graph)
        public: dict[str, Any] = {}
        for kind_of, order in (("Inputs", graph.InputsAsNumpy), ("Outputs", graph.OutputsAsNumpy)):
            count = getattr(signature, f"{kind_of}Length")()
            maps = [getattr(signature, kind_of)(j) for j in range(count)]
            assert [m.TensorIndex() for m in maps] == order().tolist()
            public |= {m.Name().decode(): found[m.TensorIndex()][1:3] for m in maps}
        assert public == {
            "inputs_embeds": ((1, n, 128), real),
            "attention_mask": ((1, n), integer),
            "token_type_ids": ((1, n), "int32"),
            "logits": ((1, 2), real),
            "pooled": ((1, 128), real),
        }


@pytest.mark.parametrize("kind", ["i8", "i8-micro"])
def test_dense_layers_have_a_scale_for_each_channel(kind: str, spec: ModelSpec) -> None:
    model = parse(tflite_file(spec, RECIPES[kind]))
    for graph in subgraphs(model):
        found = tensors(graph)
        layers = [feeds for name, feeds, _ in operators(model, graph) if name == "FULLY_CONNECTED"]
        assert len(layers) == 6 * spec.config.num_hidden_layers + 2
        for x, weight, bias in ([found[i] for i in feeds] for feeds in layers):
            assert (x.kind, weight.kind, bias.kind) == ("int8", "int8", "int32")
            assert len(weight.scales) == len(bias.scales) == weight.shape[0]
            assert not any((*weight.zero_points, *bias.zero_points, weight.axis, bias.axis))
            sums = np.float32(x.scales[0]) * np.array(weight.scales, np.float32)
            np.testing.assert_allclose(bias.scales, sums, rtol=1e-6)
        real = [t.name for t in found if t.kind == "float32"]
        assert not real, "int8 from end to end"


@every_recipe
def test_metadata_ride_inside_and_the_checksum_is_last(kind: str, spec: ModelSpec) -> None:
    recipe = RECIPES[kind]
    config = replace(spec.config, labels=("", 'näin\n"日本語"'))
    spec = replace(spec, config=config, tokenizer=bytes(range(256)) * 3 + b"\0")
    file = tflite_file(spec, recipe)
    model = parse(file)
    assert b"edgebert.config" in model.Description()
    entries = [model.Metadata(i) for i in range(model.MetadataLength())]
    found = {
        e.Name().decode(): model.Buffers(e.Buffer()).DataAsNumpy().tobytes()
        for e in entries
        if model.Buffers(e.Buffer()).DataLength()
    }
    assert list(found) == [
        name
        for name in (CONFIG, TOKENIZER, TRANSITIONS, DTYPE, VARIANT, VERSION, CHECKSUM)
        if name in found
    ]
    assert decode_metadata(found)[:2] == (spec.config, spec.tokenizer)
    del found[CONFIG], found[TOKENIZER]
    assert found.pop(VARIANT, b"").decode() == recipe.variant
    assert found == {
        DTYPE: recipe.dtype.encode(),
        VERSION: __version__.encode(),
        CHECKSUM: f"{zlib.crc32(file[:-8]):08x}".encode(),
    }
    assert file.endswith(found[CHECKSUM])


@every_recipe
def test_export_is_deterministic(kind: str, spec: ModelSpec) -> None:
    assert tflite_file(spec, RECIPES[kind]) == tflite_file(spec, RECIPES[kind])


@pytest.mark.parametrize("kind", ["f32", "f16", "i8"])
def test_several_lengths_share_their_weights(kind: str, spec: ModelSpec) -> None:
    one = len(tflite_file(spec, replace(RECIPES[kind], tokens=(64,))))
    four = len(tflite_file(spec, replace(RECIPES[kind], tokens=(16, 32, 64, 128))))
    assert four - one < 3 * 12_000


@pytest.mark.parametrize(
    ("kind", "most"),
    [("f32", 1_230_000), ("micro", 1_230_000), ("f16", 640_000), ("i8", 340_000)],
)
def test_uno_fits_its_size_beside_its_tokenizer(kind: str, most: int, spec: ModelSpec) -> None:
    """With it, whose 59,785 bytes stand as they are: 1.30 MB in float32 and 0.40 MB in int8."""
    assert len(tflite_file(replace(spec, tokenizer=b"."), RECIPES[kind])) <= most
    blob = bytes(60_000)
    assert len(tflite_file(replace(spec, tokenizer=blob), RECIPES[kind])) <= most + len(blob)


# ---- which lengths ----


@pytest.mark.parametrize(
    ("limit", "recipe", "expected"),
    [
        (512, F32, [16, 32, 64, 128, 256, 512]),
        (100, F16, [16, 32, 64, 100]),
        (32, F32, [16, 32]),
        (10, F32, [10]),
        (512, I8, [32, 128, 512]),
        (20, I8, [20]),
        (512, MICRO, [64]),
        (40, MICRO_I8, [40]),
        (40, Recipe(tokens=(2, 7, 40)), [2, 7, 40]),
        (40, Recipe(variant="micro", tokens=(16,)), [16]),
    ],
)
def test_lengths(limit: int, recipe: Recipe, expected: list[int]) -> None:
    assert list(lengths(replace(SMALL, max_position_embeddings=limit), recipe)) == expected


def test_a_mean_in_int8_is_of_no_more_tokens_than_its_weights_have_steps_for() -> None:
    config = with_heads(replace(SMALL, max_position_embeddings=1024), "embedding")
    assert list(lengths(config, I8)) == [32, 128, 511]
    assert list(lengths(config, F16))[-1] == 1024
    with pytest.raises(ModelError, match="--tokens 512: a mean in int8 takes at most 511"):
        lengths(config, Recipe("i8", tokens=(512,)))


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        (Recipe(tokens=(16, 21)), "--tokens 21: the model takes at most 20"),
        (Recipe(variant="micro", tokens=(21,)), "--tokens 21: the model takes at most 20"),
        (Recipe(variant="micro", tokens=(8, 16)), "--micro takes one length"),
        (Recipe("f16", "micro"), "--micro has no f16"),
    ],
)
def test_what_cannot_be_written_is_one_line(recipe: Recipe, message: str, tmp_path: Path) -> None:
    with pytest.raises(ModelError) as error:
        write_model(random_spec(), tmp_path / "m.tflite", recipe)
    assert str(error.value).startswith(message) and len(str(error.value).splitlines()) == 1
    assert not list(tmp_path.iterdir())


def test_int8_needs_calibration() -> None:
    with pytest.raises(ModelError, match="activations"):
        tflite_file(random_spec(), I8)

"""The forms of .onnx files, which start at tokens or are of int8, give the same answers."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest

import edgebert
import edgebert.engines.onnx
import edgebert.ort
from edgebert.bench import describe_engine
from edgebert.config import HashParams
from edgebert.engines import open_engine
from edgebert.errors import MissingPackageError, ModelError
from edgebert.export import write_model
from edgebert.export.activations import observe
from edgebert.export.checkpoint import read_checkpoint
from edgebert.export.onnx import OPSET, onnx_bytes
from edgebert.export.onnx_hash import DOMAIN
from edgebert.export.recipe import Recipe
from edgebert.export.spec import ModelSpec
from edgebert.sequence import Text
from edgebert.tsv import read_tsv
from tests.conftest import REPO
from tests.models import SMALL, SMALL_I8, random_spec
from tests.onnx_sessions import session

TEXTS: list[Text] = [
    "",
    "one",
    ("a pair", "of two texts"),
    "ünï 日本 " + "x" * 100 + " ##",  # a token of 100 bytes, where there is no vocabulary
    "é" * 100,
    "words " * 30,
]
VARIANTS = ("", "portable", "custom-op")
RECIPES = [Recipe(dtype, variant) for dtype in ("f32", "i8") for variant in VARIANTS]
STANDARD = [recipe for recipe in RECIPES if not recipe.variant]
TOKENS = [recipe for recipe in RECIPES if recipe.variant]
UNO = REPO / "models" / "uno-sst2.pt"
SAMPLE = REPO / "tests" / "data" / "sst2_dev_head.tsv"

has_library = pytest.mark.skipif(
    not Path(edgebert.ort.library_path()).is_file(), reason="needs the library of operators"
)


def calibrated(spec: ModelSpec) -> ModelSpec:
    return replace(spec, activations=observe(spec, TEXTS))


def name(recipe: Recipe) -> str:
    return "-".join(filter(None, (recipe.dtype, recipe.variant)))


def recipes(some: list[Recipe]) -> pytest.MarkDecorator:
    """One test for each."""
    marks = {"custom-op": [has_library]}
    params = [pytest.param(r, marks=marks.get(r.variant, []), id=name(r)) for r in some]
    return pytest.mark.parametrize("recipe", params)


def load(spec: ModelSpec, recipe: Recipe, folder: Path) -> edgebert.Model:
    path = folder / f"{name(recipe)}.onnx"
    write_model(spec, path, recipe)
    return edgebert.load(path, threads=1)


@recipes(TOKENS)
@pytest.mark.parametrize(
    ("tokenizer", "params"),
    [
        ("wordpiece", HashParams(dimension=24)),
        ("word", HashParams("poly", 24, 6, 257, 7, 1, True)),
    ],
)
def test_graphs_that_start_at_tokens_answer_as_the_standard_one(
    recipe: Recipe, tokenizer: str, params: HashParams, tmp_path: Path
) -> None:
    config = replace(SMALL, hash=params, max_position_embeddings=120)
    spec = calibrated(random_spec(config, tokenizer=tokenizer))
    expected = load(spec, replace(recipe, variant=""), tmp_path)
    found = load(spec, recipe, tmp_path)
    np.testing.assert_allclose(found.logits(TEXTS), expected.logits(TEXTS), atol=1e-5)
    np.testing.assert_allclose(found.encode(TEXTS), expected.encode(TEXTS), atol=1e-5)
    for text in TEXTS:
        np.testing.assert_allclose(found.logits(text), expected.logits(text), atol=1e-5)


@has_library
def test_the_custom_operator_hashes_with_murmur3(tmp_path: Path) -> None:
    params = HashParams("murmur3", 24, 5, 257, 7, 1, True)
    spec = random_spec(replace(SMALL, hash=params, max_position_embeddings=40))
    found = load(spec, Recipe(variant="custom-op"), tmp_path)
    expected = load(spec, Recipe(), tmp_path)
    np.testing.assert_allclose(found.logits(TEXTS), expected.logits(TEXTS), atol=1e-5)
    with pytest.raises(ModelError, match="murmur3"):
        onnx_bytes(spec, Recipe(variant="portable"))


def test_long_tokens_take_batches_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = load(random_spec(), Recipe(variant="portable"), tmp_path)
    texts = ["word " * (i * 7 % 13) + str(i) for i in range(9)]
    together = model.logits(texts)
    monkeypatch.setattr(edgebert.engines.onnx, "_MOST_RESIDUES", 20 * 4 * 24 * 2)
    np.testing.assert_allclose(model.logits(texts), together, atol=1e-5)


@recipes(RECIPES)
def test_the_file_is_valid_and_says_what_it_is(recipe: Recipe, tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    write_model(calibrated(random_spec()), path, recipe)
    model = onnx.load(path)
    onnx.checker.check_model(model, full_check=True)
    domains = {"": OPSET, **({DOMAIN: 1} if recipe.variant == "custom-op" else {})}
    assert {o.domain: o.version for o in model.opset_import} == domains
    assert {node.domain for node in model.graph.node} == set(domains)
    embeds = ["token_bytes", "token_lengths"] if recipe.variant else ["inputs_embeds"]
    names = [i.name for i in model.graph.input]
    assert names == [*embeds, "attention_mask", "token_type_ids"]
    assert all(name in model.doc_string for name in names)
    engine = open_engine(path)
    assert describe_engine(engine, 20)["dtype"] == engine.dtype == recipe.dtype


@recipes(RECIPES)
def test_optimisations_change_nothing(recipe: Recipe) -> None:
    """Not even in int8, where an integer kernel takes the place of float products."""
    file = onnx_bytes(calibrated(random_spec(SMALL_I8)), recipe)
    library = edgebert.ort.library_path() if recipe.variant == "custom-op" else ""
    rng = np.random.default_rng(3)
    feeds = {
        "attention_mask": np.ones((2, 9), np.int64),
        "token_type_ids": np.zeros((2, 9), np.int64),
    }
    if recipe.variant:
        feeds["token_bytes"] = rng.integers(0, 256, (2, 9, 6), np.uint8)
        feeds["token_lengths"] = rng.integers(0, 7, (2, 9), np.int32)
    else:
        feeds["inputs_embeds"] = rng.uniform(-1, 1, (2, 9, 64)).astype(np.float32)
    all_, none = (session(file, o, library).run(["logits"], feeds)[0] for o in (True, False))
    tolerance = 1e-5 if recipe.dtype == "f32" else 0.05  # rounding may tip one way or the other
    np.testing.assert_allclose(all_, none, atol=tolerance)


@recipes(RECIPES)
def test_uno_fits_its_size(recipe: Recipe) -> None:
    """Beside its WordPiece tokenizer of 75 KB."""
    spec = ModelSpec.from_checkpoint(read_checkpoint(UNO))
    most = 1_290_000 if recipe.dtype == "f32" else 405_000 if recipe.variant else 400_000
    assert len(onnx_bytes(calibrated(spec), recipe)) <= most


@pytest.fixture(scope="module")
def uno(tmp_path_factory: pytest.TempPathFactory) -> dict[str, edgebert.Model]:
    from edgebert.export.calibrate import Texts

    folder = tmp_path_factory.mktemp("uno")
    spec = ModelSpec.from_checkpoint(read_checkpoint(UNO))
    spec = replace(spec, activations=observe(spec, Texts.read(None).calibration))
    return {name(recipe): load(spec, recipe, folder) for recipe in STANDARD}


def test_int8_has_the_labels_of_float(uno: dict[str, edgebert.Model]) -> None:
    dataset = read_tsv(SAMPLE)
    exact, integers = (uno[name(recipe)].logits(dataset.texts) for recipe in STANDARD)
    assert (exact.argmax(axis=1) == integers.argmax(axis=1)).mean() >= 0.985
    assert np.abs(exact - integers).mean() < 0.03


def test_int8_loses_half_a_point_of_sst2_at_most(
    uno: dict[str, edgebert.Model], shared_data: Path
) -> None:
    dataset = read_tsv(shared_data / "sst2" / "dev.tsv")
    right = {}
    for recipe in STANDARD:
        results = uno[name(recipe)].infer(dataset.texts)
        right[recipe.dtype] = np.mean(
            [r.label == label for r, label in zip(results, dataset.labels, strict=True)]
        )
    assert right["f32"] == pytest.approx(0.8314, abs=1e-4)
    assert right["i8"] >= right["f32"] - 0.005


@pytest.mark.parametrize(
    ("source", "hint"),
    [
        ("raise ModuleNotFoundError('No module named onnxruntime')", "pip install 'edgebert"),
        ("raise ImportError('numpy.core.multiarray failed')", "older than NumPy: pip install -"),
        ("__version__ = '1.16.3'", "1.16.3 is too old: pip install --upgrade onnxruntime"),
    ],
    ids=["missing", "broken", "old"],
)
def test_onnx_runtime_that_will_not_do_is_one_line(
    source: str, hint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_model(random_spec(), tmp_path / "m.onnx")
    (tmp_path / "onnxruntime.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "onnxruntime")
    with pytest.raises(MissingPackageError) as error:
        edgebert.load(tmp_path / "m.onnx")
    assert hint in str(error.value) and len(str(error.value).splitlines()) == 1

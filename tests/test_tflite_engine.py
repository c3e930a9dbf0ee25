"""The engine for .tflite files gives what the C library gives, and refuses damaged files.

It runs in LiteRT or, where that is not installed, in tflite-runtime: test_tflite_environments.py
runs this file once more in an environment that has the latter.
"""

from __future__ import annotations

import importlib.util
import os
import random
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import edgebert
import edgebert.ort
from edgebert.engines import open_engine
from edgebert.engines.tflite import read_metadata
from edgebert.errors import MissingPackageError, ModelError
from edgebert.export import write_model
from edgebert.export.activations import observe
from edgebert.export.calibrate import Texts
from edgebert.export.checkpoint import read_checkpoint
from edgebert.export.recipe import Recipe
from edgebert.export.spec import ModelSpec
from edgebert.metadata import CONFIG, TOKENIZER, encode_metadata, seal
from edgebert.model import TruncationWarning
from edgebert.sequence import Text
from edgebert.tsv import read_tsv
from tests.conftest import REPO
from tests.custom_op_models import tflite_model
from tests.heads import HEADS, check_outputs, with_heads
from tests.models import SMALL, SMALL_I8, random_spec

PACKAGES = ("ai_edge_litert", "tflite_runtime", "tflite")
pytest.importorskip("tflite", reason="needs edgebert[tflite]")
if not any(importlib.util.find_spec(package) for package in PACKAGES[:2]):
    pytest.skip("needs edgebert[tflite] or tflite-runtime", allow_module_level=True)

UNO = REPO / "models" / "uno-sst2.pt"
SAMPLE = REPO / "tests" / "data" / "sst2_dev_head.tsv"
TEXTS: list[Text] = [
    "",
    "one",
    ("a pair", "of two texts"),
    "a much longer text, of many words",
    "ünï 日本",
]
KINDS = {
    "f32": (Recipe(), 2e-5),
    "f16": (Recipe("f16"), 1e-2),
    "micro": (Recipe(variant="micro"), 2e-5),
    "custom-op": (Recipe(variant="custom-op"), 2e-5),
    "portable": (Recipe(variant="portable"), 2e-5),
}
INT8 = {
    "i8": Recipe("i8"),
    "i8-micro": Recipe("i8", "micro"),
    "i8-custom-op": Recipe("i8", "custom-op"),
    "i8-portable": Recipe("i8", "portable"),
}


def needs_library(recipe: Recipe) -> None:
    if recipe.variant == "custom-op" and not Path(edgebert.ort.library_path()).is_file():
        pytest.skip("needs the library of operators")


def load(spec: ModelSpec, folder: Path, recipe: Recipe = Recipe()) -> edgebert.Model:  # noqa: B008
    needs_library(recipe)
    path = folder / "-".join(filter(None, (recipe.dtype, recipe.variant, "m.tflite")))
    write_model(spec, path, recipe)
    return edgebert.load(path, threads=1)


def native(spec: ModelSpec, folder: Path) -> edgebert.Model:
    write_model(spec, folder / "native.ebm")
    return edgebert.load(folder / "native.ebm")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "config", [SMALL, replace(SMALL, task="regression", labels=("x",), type_vocab_size=1)]
)
def test_both_engines_agree(config: edgebert.ModelConfig, kind: str, tmp_path: Path) -> None:
    spec, (recipe, tolerance) = random_spec(config, tokenizer="wordpiece"), KINDS[kind]
    found, expected = load(spec, tmp_path, recipe), native(spec, tmp_path)
    assert (found.engine, expected.engine) == ("tflite", "native")
    assert (found.config, found.labels) == (expected.config, expected.labels)
    np.testing.assert_allclose(found.logits(TEXTS), expected.logits(TEXTS), atol=tolerance)
    np.testing.assert_allclose(found.encode(TEXTS), expected.encode(TEXTS), atol=tolerance)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("heads", HEADS)
def test_both_engines_agree_on_all_heads(heads: str, kind: str, tmp_path: Path) -> None:
    """Of padding there are no tags."""
    spec, (recipe, tolerance) = random_spec(with_heads(SMALL, heads)), KINDS[kind]
    needs_library(recipe)
    for name, how in (("m.tflite", recipe), ("m.ebm", Recipe())):
        write_model(spec, tmp_path / name, how)
    tflite, native = (open_engine(tmp_path / name) for name in ("m.tflite", "m.ebm"))
    check_outputs(tflite.run_texts(TEXTS)[0], native.run_texts(TEXTS)[0], tolerance)


@pytest.mark.parametrize("kind", INT8)
def test_int8_is_near_float(kind: str, tmp_path: Path) -> None:
    spec = random_spec(SMALL_I8)
    expected = native(spec, tmp_path).logits(TEXTS)
    spec = replace(spec, activations=observe(spec, TEXTS))
    found = load(spec, tmp_path, INT8[kind]).logits(TEXTS)
    assert np.sqrt(np.mean((found - expected) ** 2)) < 0.2 * expected.std()


def test_each_length_is_taken_by_the_next_signature(tmp_path: Path) -> None:
    """One token less, as many or one more than the file's lengths: nobody's answer changes."""
    spec = random_spec(replace(SMALL, max_position_embeddings=40))
    found = load(spec, tmp_path, Recipe(tokens=(4, 9, 40)))
    texts = ["word " * n for n in (0, 1, 2, 3, 6, 7, 8, 37, 38)]
    np.testing.assert_allclose(found.logits(texts), native(spec, tmp_path).logits(texts), atol=2e-5)


def test_an_empty_batch_is_no_error(tmp_path: Path) -> None:
    model = load(random_spec(), tmp_path)
    assert model.infer([]) == []
    assert model.encode([]).shape == (0, 24)


@pytest.mark.parametrize("kind", ["f32", "custom-op", "portable"])
def test_threads_may_share_a_model(kind: str, tmp_path: Path) -> None:
    model = load(random_spec(), tmp_path, KINDS[kind][0])
    texts = ["word " * (i * 7 % 13) + str(i) for i in range(64)]
    expected = model.logits(texts)
    with ThreadPoolExecutor(8) as pool:
        for logits in pool.map(model.logits, [texts] * 16):
            np.testing.assert_array_equal(logits, expected)


def test_loading_in_threads_leaves_standard_error_as_it_was(tmp_path: Path) -> None:
    load(random_spec(), tmp_path)
    before = os.fstat(2)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(edgebert.load, [tmp_path / "f32-m.tflite"] * 64))
    assert os.path.samestat(before, os.fstat(2))


@pytest.mark.parametrize("variant", ["", "micro"])
def test_a_file_of_short_texts_cuts_longer_ones(variant: str, tmp_path: Path) -> None:
    found = load(random_spec(), tmp_path, Recipe(variant=variant, tokens=(16,)))
    assert found.max_tokens == 16
    with pytest.warns(TruncationWarning, match="16 tokens"):
        result = found.infer("word " * 17)
    assert result.num_dropped == 3
    expected = native(random_spec(), tmp_path).logits("word " * 14)[0]
    np.testing.assert_allclose(result.logits, expected, atol=2e-5)
    assert found.infer("word " * 17, stride=4).num_dropped == 0


# ---- on the trained model ----


@pytest.fixture(scope="module")
def uno(tmp_path_factory: pytest.TempPathFactory) -> dict[str, edgebert.Model]:
    folder = tmp_path_factory.mktemp("uno")
    spec = ModelSpec.from_checkpoint(read_checkpoint(UNO))
    spec = replace(spec, activations=observe(spec, Texts.read(None).calibration))
    models = {"native": native(spec, folder)}
    for name, recipe in ({k: recipe for k, (recipe, _) in KINDS.items()} | INT8).items():
        if recipe.variant != "custom-op" or Path(edgebert.ort.library_path()).is_file():
            models[name] = load(spec, folder, recipe)
    return models


def accuracy(logits: np.ndarray, labels: list[int]) -> float:
    return float((logits.argmax(axis=1) == labels).mean())


def check_uno(models: dict[str, edgebert.Model], path: Path) -> None:
    """Float gives the C library's numbers; int8 its accuracy, within half a point."""
    dataset = read_tsv(path)
    exact = models["native"].logits(dataset.texts)
    labels = [models["native"].labels.index(label) for label in dataset.labels]
    for name, (_, tolerance) in KINDS.items():
        if name in models:
            difference = np.abs(models[name].logits(dataset.texts) - exact).max()
            assert difference < tolerance, name
    for name in INT8:
        if name in models:
            logits = models[name].logits(dataset.texts)
            assert accuracy(logits, labels) >= accuracy(exact, labels) - 0.005, name
            assert np.sqrt(np.mean((logits - exact) ** 2)) < 0.08, name
            assert (logits.argmax(axis=1) == exact.argmax(axis=1)).mean() >= 0.98, name


def test_uno_on_a_sample_of_sst2(uno: dict[str, edgebert.Model]) -> None:
    check_uno(uno, SAMPLE)


def test_uno_on_all_of_sst2_dev(uno: dict[str, edgebert.Model], shared_data: Path) -> None:
    check_uno(uno, shared_data / "sst2" / "dev.tsv")


# ---- files that are not as they should be ----


@pytest.mark.parametrize("dtype", ["f32", "i8"])
@pytest.mark.parametrize("damage", ["flipped", "truncated", "foreign"])
def test_damaged_files_are_refused(damage: str, dtype: str, tmp_path: Path) -> None:
    path, spec = tmp_path / "damaged.tflite", random_spec()
    write_model(replace(spec, activations=observe(spec, TEXTS)), path, Recipe(dtype))
    data, rng = path.read_bytes(), random.Random(damage)
    for _ in range(500):
        if damage == "flipped":
            damaged = bytearray(data)
            damaged[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        elif damage == "truncated":
            damaged = bytearray(data[: rng.randrange(len(data))])
        else:
            damaged = bytearray(rng.randbytes(rng.randrange(3000)))
        path.write_bytes(damaged)
        with pytest.raises(ModelError, match=r"^damaged.tflite: .*$"):
            edgebert.load(path)


def test_metadata_of_any_bytes_are_read_or_refused(tmp_path: Path) -> None:
    """Even of a file whose checksum somebody made right again."""
    write_model(random_spec(), tmp_path / "m.tflite")
    data, rng = (tmp_path / "m.tflite").read_bytes(), random.Random(1)
    refused = 0
    for _ in range(500):
        damaged = bytearray(data)
        for _ in range(20):
            damaged[rng.randrange(3000)] ^= 1 << rng.randrange(8)
        try:
            read_metadata(bytes(damaged))
        except ModelError:
            refused += 1
    assert 0 < refused < 500


def test_a_graph_of_somebody_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "other.tflite").write_bytes(tflite_model(b"", (1, 1, 1)))
    with pytest.raises(ModelError, match=r"^other.tflite: not written by edgebert"):
        edgebert.load(tmp_path / "other.tflite")


@pytest.mark.parametrize(
    ("lacking", "message"),
    [
        (CONFIG, "the metadata lacks edgebert.config"),
        (TOKENIZER, "the metadata lacks edgebert.tokenizer"),
        ("", "cannot load|no signature"),
    ],
)
def test_a_sealed_file_without_its_parts_is_refused(
    lacking: str, message: str, tmp_path: Path
) -> None:
    from edgebert.export.tflite_file import tflite_bytes

    spec = random_spec()
    metadata = {key: text.encode() for key, text in encode_metadata(spec.config, b"").items()}
    metadata[TOKENIZER] = spec.tokenizer
    metadata.pop(lacking, None)
    (tmp_path / "m.tflite").write_bytes(seal(tflite_bytes([], "", metadata)))
    with pytest.raises(ModelError, match=message) as error:
        edgebert.load(tmp_path / "m.tflite")
    assert len(str(error.value).splitlines()) == 1


@pytest.mark.parametrize("lacking", ["inputs_embeds", "attention_mask", "token_type_ids"])
def test_a_sealed_file_without_an_input_is_refused(lacking: str, tmp_path: Path) -> None:
    from edgebert.export.tflite_file import tflite_bytes
    from edgebert.export.tflite_graph import Graph

    spec = random_spec()
    metadata = {key: text.encode() for key, text in encode_metadata(spec.config, b"").items()}
    metadata[TOKENIZER] = spec.tokenizer
    graph = Graph(spec, 8).build()
    graph.inputs["another"] = graph.inputs.pop(lacking)
    (tmp_path / "m.tflite").write_bytes(seal(tflite_bytes([graph], "", metadata)))
    with pytest.raises(ModelError, match="it does not take the inputs that its metadata tell of"):
        edgebert.load(tmp_path / "m.tflite")


def test_a_sealed_file_of_something_else_is_refused(tmp_path: Path) -> None:
    for i in range(100):
        noise = random.Random(i).randbytes(i * 7)
        (tmp_path / "m.tflite").write_bytes(seal(noise + b"edgebert.crc32" + b"00000000"))
        with pytest.raises(ModelError, match=r"^m.tflite: not .*$"):
            edgebert.load(tmp_path / "m.tflite")


# ---- packages that are missing or do not start ----


@pytest.fixture
def without_packages(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """A folder where packages may be put, in front of those that are installed."""
    for name in [n for n in sys.modules if n.split(".")[0] in PACKAGES]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    for name in [n for n in sys.modules if n.split(".")[0] in PACKAGES]:
        del sys.modules[name]  # the false ones


def oldest_packages() -> Path:
    """Where build/venv-oldest has its packages (tools/make_environments.sh)."""
    return REPO / "build" / "venv-oldest" / "lib" / "python3.11" / "site-packages"


def put(folder: Path, package: str, source: str = "") -> None:
    """A package in place of another; without a source, as if there was none."""
    (folder / package).mkdir()
    missing = f"raise ModuleNotFoundError('No module named {package}', name={package!r})"
    (folder / package / "__init__.py").write_text(source or missing)


NUMPY_2 = "_multiarray_umath failed to import"


@pytest.mark.parametrize(
    ("packages", "message"),
    [
        ({"ai_edge_litert": "", "tflite_runtime": ""}, r"needs LiteRT .*pip install 'edgebert\["),
        (
            {"ai_edge_litert": "", "tflite_runtime": f"raise ImportError({NUMPY_2!r})"},
            r"^tflite_runtime does not start: .*pip install 'numpy<2'",
        ),
        (
            {"ai_edge_litert": "", "tflite_runtime": "raise AttributeError('_ARRAY_API')"},
            r"^tflite_runtime does not start: .*pip install 'numpy<2'",
        ),
        (
            {"ai_edge_litert": "import a_package_that_is_not_there"},
            r"^ai_edge_litert does not start: pip install --upgrade ai-edge-litert",
        ),
        ({"tflite": ""}, r"needs the package tflite: pip install 'edgebert\[tflite\]'"),
    ],
    ids=["no runtime", "NumPy 2", "NumPy 2, later", "broken", "no tflite"],
)
def test_packages_that_will_not_do_are_one_line(
    packages: dict[str, str], message: str, without_packages: Path
) -> None:
    model = without_packages / "m.tflite"
    import tflite  # noqa: F401  # which the writer needs

    write_model(random_spec(), model)
    for name in [n for n in sys.modules if n.split(".")[0] == "tflite"]:
        del sys.modules[name]
    for package, source in packages.items():
        put(without_packages, package, source)
    importlib.invalidate_caches()
    with pytest.raises(MissingPackageError, match=message) as error:
        edgebert.load(model)
    assert len(str(error.value).splitlines()) == 1


def test_loading_and_running_write_nothing(tmp_path: Path) -> None:
    """As LiteRT would, on accelerators."""
    write_model(random_spec(), tmp_path / "m.tflite")
    program = "import edgebert, sys; edgebert.load(sys.argv[1]).infer('a film')"
    outcome = subprocess.run(
        [sys.executable, "-c", program, tmp_path / "m.tflite"], capture_output=True, text=True
    )
    assert (outcome.returncode, outcome.stdout, outcome.stderr) == (0, "", "")


def test_tflite_runtime_beside_numpy_2_is_one_line(without_packages: Path) -> None:
    """The package itself: it starts, and fails in its first interpreter."""
    package = oldest_packages() / "tflite_runtime"
    if not package.is_dir() or sys.version_info[:2] != (3, 11) or np.__version__ < "2":
        pytest.skip("needs Python 3.11, NumPy 2 and the tflite-runtime of `make environments`")
    put(without_packages, "ai_edge_litert")
    (without_packages / "tflite_runtime").symlink_to(package)
    write_model(random_spec(), without_packages / "m.tflite")
    outcome = subprocess.run(
        [sys.executable, "-m", "edgebert", "infer", "-m", without_packages / "m.tflite", "a film"],
        env={**os.environ, "PYTHONPATH": str(without_packages)},
        capture_output=True,
        text=True,
    )
    assert (outcome.returncode, outcome.stdout) == (1, "")
    assert len(outcome.stderr.splitlines()) == 1 and "pip install 'numpy<2'" in outcome.stderr

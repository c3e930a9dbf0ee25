"""The models in the wheel: their names, cards and answers, and what running them imports."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import edgebert
from edgebert.builtin import DATA, DEFAULT, card, model_path, names
from edgebert.cli import main
from edgebert.evaluate import evaluate
from edgebert.export.checkpoint import read_checkpoint
from edgebert.export.torch_zip import TorchFile
from edgebert.presets import PRESETS
from edgebert.tokenizer import Tokenizer
from tests.conftest import REPO

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

SOURCES: dict[str, dict[str, Any]] = tomllib.loads(
    (REPO / "models" / "cards.toml").read_text("utf-8")
)
each_model = pytest.mark.parametrize("name", SOURCES)


@pytest.fixture(scope="module")
def make_models() -> ModuleType:
    """tools/make_models.py"""
    spec = importlib.util.spec_from_file_location("make_models", REPO / "tools/make_models.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_there_is_a_file_and_a_card_for_each_table_of_cards_toml() -> None:
    assert names() == sorted(SOURCES) == sorted(path.stem for path in DATA.glob("*.ebm"))
    assert DEFAULT in names()


@each_model
def test_a_name_loads_a_model_that_answers_as_its_card_says(name: str) -> None:
    model = edgebert.load(name)
    if model.labels or model.config.tags:
        text, answer = card(name)["example"]
        assert str(model.infer(text)) == answer
    else:
        assert np.linalg.norm(model.encode("a text")) == pytest.approx(1, abs=1e-5)  # int8


@pytest.mark.parametrize(
    "path", sorted((REPO / "models" / "pretrained").glob("*.pt")), ids=lambda p: p.stem
)
def test_a_kept_encoder_is_a_start_for_the_preset_of_its_name(path: Path) -> None:
    """As docs/training.md says: no other options but words for nano."""
    checkpoint = read_checkpoint(path, needs_head=False)
    assert checkpoint.config == PRESETS[path.stem]
    own = Tokenizer.word() if path.stem == "nano" else Tokenizer.wordpiece()
    assert checkpoint.tokenizer == own.blob
    assert f"`{path.stem}`" in (REPO / "docs" / "training.md").read_text("utf-8")


def test_without_a_name_infer_uses_the_default_model() -> None:
    texts = ["a gripping film with a wonderful cast", "dull and far too long"]
    results = edgebert.infer(texts)
    assert [result.label for result in results] == ["positive", "negative"]
    assert results == edgebert.load().infer(texts) == edgebert.load(DEFAULT).infer(texts)


@pytest.mark.filterwarnings("ignore::edgebert.model.TruncationWarning")  # of a long probe
@each_model
def test_a_model_is_the_int8_export_of_its_checkpoint(name: str) -> None:
    checkpoint = read_checkpoint(REPO / card(name)["checkpoint"])
    model = edgebert.load(name)
    assert model.config == checkpoint.config
    assert model.tokenizer.blob == checkpoint.tokenizer
    probe = checkpoint.probe
    assert probe is not None
    np.testing.assert_allclose(model.logits(probe.texts), probe.logits, atol=0.5)
    if checkpoint.config.task == "embedding":
        assert ((model.encode(probe.texts) * probe.pooled).sum(axis=1) > 0.99).all(), "cosines"


@each_model
def test_a_card_tells_what_its_sources_do(name: str) -> None:
    document, source = card(name), SOURCES[name]
    with TorchFile(REPO / "models" / source["checkpoint"]) as file:
        assert document["training"] == file.content["training"]
    assert document["checkpoint"] == f"models/{source['checkpoint']}"
    measured = {"checkpoint", "dev", "example", "training"} & set(document)
    own = {key: source[key] for key in source if key not in ("checkpoint", "texts")}
    assert document == own | {key: document[key] for key in measured}
    assert set(document["metrics"]) <= set(document["dev"])


@each_model
def test_a_card_tells_the_figures_that_its_file_reaches(name: str, shared_data: Path) -> None:
    dev = shared_data / SOURCES[name]["texts"] / "dev.tsv"
    assert evaluate(model_path(name), dev)["metrics"] == pytest.approx(card(name)["dev"])


def test_the_readme_shows_the_cards(make_models: ModuleType) -> None:
    readme = (REPO / "models" / "README.md").read_text("utf-8")
    assert readme == make_models.readme(), "run make models"


def test_all_models_are_small_enough_for_the_wheel() -> None:
    assert sum(path.stat().st_size for path in DATA.glob("*.ebm")) < 1_500_000


def test_a_bare_word_is_a_name_and_all_else_a_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("home").touch()  # no model's file, which has a suffix
    assert model_path("home") == DATA / "home.ebm"
    for path in ("home.ebm", "./home", "out/home", Path("home"), "."):
        assert model_path(path) == Path(path)


@pytest.mark.parametrize(
    ("name", "hint"),
    [("sentimant", "did you mean sentiment? "), ("Home", "did you mean home? "), ("xyzzy", "")],
)
def test_an_unknown_name_is_answered_with_those_there_are(name: str, hint: str) -> None:
    message = f"no model is called '{name}': {hint}there are {', '.join(names())}; "
    with pytest.raises(edgebert.ModelError) as error:
        edgebert.load(name)
    assert str(error.value).startswith(message)


def test_models_lists_all_and_shows_a_card(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models"]) == 0
    listed = capsys.readouterr().out
    for name in names():
        assert name in listed and f"{model_path(name).stat().st_size:,}" in listed
        assert main(["models", name]) == 0
        lines = capsys.readouterr().out.splitlines()
        headings = [line[: line.index("  ")] for line in lines if line[0] != " "]
        assert {"licence", "data", "dev, i8", "command", "intended use", "limits"} <= set(headings)
        assert max(map(len, lines)) <= 100


def test_models_prints_json_and_names_for_programs(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "--names"]) == 0
    assert capsys.readouterr().out.splitlines() == names()
    assert main(["models", "--json"]) == 0
    documents = json.loads(capsys.readouterr().out)
    assert [document["name"] for document in documents] == names()
    assert main(["models", "home", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document in documents
    assert (document["dtype"], len(document["labels"]), document["tags"]) == ("i8", 64, [])
    assert document["training"]["seed"] == 0
    assert main(["models", "hone"]) == 1
    assert "did you mean home?" in capsys.readouterr().err


def test_every_command_takes_a_name(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    dev = tmp_path / "dev.tsv"
    dev.write_text("text\tlabel\nturn the lights off\tiot_hue_lightoff\n")
    for command in (
        ["infer", "-m", "home", "turn the lights off"],
        ["inspect", "home"],
        ["eval", "home", "--data", str(dev)],
        ["bench", "home", "--tokens", "8", "--seconds", "0.01"],
    ):
        assert main(command) == 0, command
        assert main([word.replace("home", "hone") for word in command]) == 1, command
        assert "did you mean home?" in capsys.readouterr().err


def test_inference_imports_nothing_but_numpy_and_cffi() -> None:
    program = """
import sys
import numpy, _cffi_backend
before = set(sys.modules)
import edgebert
edgebert.infer("a gripping film")
new = {name.partition(".")[0] for name in set(sys.modules) - before}
print(*sorted(new - set(sys.stdlib_module_names) - {"edgebert", "numpy", "cffi", "_cffi_backend"}))
"""
    outcome = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    # What an editable installation adds to find the package is no part of the package.
    foreign = [name for name in outcome.stdout.split() if not name.startswith("__editable__")]
    assert (outcome.returncode, outcome.stderr, foreign) == (0, "", [])

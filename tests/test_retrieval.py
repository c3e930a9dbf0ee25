"""docs/examples/retrieval.py, with a model of random weights: a text is nearest to itself."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import edgebert
from edgebert.export.ebm import write_ebm
from edgebert.export.quantise import quantise
from tests.conftest import REPO
from tests.models import SMALL_I8, random_spec

LINES = ["we open at nine", "the parcel takes two days", "send it back within a month", "日本語"]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("retrieval") / "vectors.ebm"
    spec = random_spec(replace(SMALL_I8, task="embedding", labels=()))
    write_ebm(quantise(spec, LINES, "i8"), path)
    return path


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    script = REPO / "docs" / "examples" / "retrieval.py"
    command = [sys.executable, script, *arguments]
    return subprocess.run(list(map(str, command)), capture_output=True, text=True)


def test_the_nearest_lines_come_first_with_their_cosines(model: Path, tmp_path: Path) -> None:
    texts = tmp_path / "texts.txt"
    texts.write_text("\n\n".join(LINES) + "\n", "utf-8")
    done = run(texts, *LINES, "-k", "2", "-m", model)
    assert done.returncode == 0, done.stderr
    printed = done.stdout.splitlines()
    vectors = edgebert.load(model).encode(LINES)
    for i, line in enumerate(LINES):
        cosines = vectors @ vectors[i]
        second = np.argsort(-cosines)[1]
        assert printed[3 * i] == line
        assert printed[3 * i + 1] == f"  1.000  {line}"
        assert printed[3 * i + 2] == f"  {cosines[second]:.3f}  {LINES[second]}"


@pytest.mark.parametrize(
    ("name", "message"),
    [("home", "home gives no vectors to compare"), ("centence", "no model is called 'centence'")],
)
def test_a_model_without_such_vectors_is_refused(name: str, message: str, tmp_path: Path) -> None:
    texts = tmp_path / "texts.txt"
    texts.write_text("a line\n")
    done = run(texts, "a question", "-m", name)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(message) and done.stderr.count("\n") == 1

"""The engines pass their tests with the oldest packages that are supported.

That is tflite-runtime 2.14, which is also the last one, with ONNX Runtime 1.17 and NumPy 1.26.
"""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from tests.conftest import REPO
from tests.environments import interpreter

FILES = (
    "test_custom_op.py",
    "test_onnx_engine.py",
    "test_onnx_forms.py",
    "test_tflite_engine.py",
    "test_tflite_hash.py",
)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """The sources as an installed package has them: edgebert.export is a folder beside it here."""
    (tmp_path / "edgebert").mkdir()
    for source in (*(REPO / "edgebert").iterdir(), REPO / "export"):
        (tmp_path / "edgebert" / source.name).symlink_to(source)
    for name in ("tests", "csrc", "models", "docs"):
        (tmp_path / name).symlink_to(REPO / name)
    return tmp_path


@pytest.mark.parametrize("file", FILES)
def test_engines_pass_their_tests(file: str, tree: Path) -> None:
    python = interpreter("oldest")
    outcome = subprocess.run(
        [python, "-m", "pytest", "-q", "-rs", "-p", "no:cacheprovider", f"tests/{file}"],
        cwd=tree,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    summary = outcome.stdout.splitlines()[-1]
    counts = {what: int(number) for number, what in re.findall(r"(\d+) (\w+)", summary)}
    assert outcome.returncode == 0, outcome.stdout[-10_000:]
    assert counts["passed"] > 10
    assert counts.get("skipped", 0) <= 2, outcome.stdout  # what needs NumPy 2, or ../shared/data

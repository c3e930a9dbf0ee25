"""Fuzzing of what Python reads, a little of it and the same in every run; `make fuzz` does more."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import REPO

RUNS = 1500


def test_no_checkpoint_is_more_than_refused(tmp_path: Path) -> None:
    if importlib.util.find_spec("atheris") is None:
        pytest.skip("needs the package atheris")
    fuzzer = [sys.executable, "-m", "tests.fuzz_checkpoint", f"-runs={RUNS}", "-seed=1"]
    options = [f"-artifact_prefix={tmp_path}/", str(tmp_path)]
    run = subprocess.run([*fuzzer, *options], cwd=REPO, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout[-4000:] + run.stderr[-4000:]
    assert f"Done {RUNS} runs" in run.stderr

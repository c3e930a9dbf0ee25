"""Environments of packages that do not go together with the newest (tools/make_environments.sh)."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import REPO


def interpreter(name: str) -> Path:
    """Python of an environment; the test is skipped where there is none."""
    python = REPO / "build" / f"venv-{name}" / "bin" / "python"
    if not python.is_file():
        pytest.skip(f"needs build/venv-{name}, which `make environments` makes of Python 3.11")
    return python

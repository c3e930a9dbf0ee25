"""Fixtures shared by all tests."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

REPO = Path(__file__).resolve().parent.parent

settings.register_profile("edgebert", deadline=None, derandomize="CI" in os.environ)
settings.load_profile("edgebert")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of public data sets, which is not part of the repository."""
    path = Path(os.environ.get("EDGEBERT_DATA", REPO.parent / "shared" / "data"))
    if not path.is_dir():
        pytest.skip("needs ../shared/data")
    return path

"""Fixtures shared by all tests."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from tests.corpus import write_corpus

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


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """Threads cost more than they bring at small sizes, most of all when tests run side by side."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def corpus_folder(tmp_path: Path) -> Path:
    """Plain text to pretrain on, in several files."""
    return write_corpus(tmp_path / "texts")


@pytest.fixture
def farm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of firmware_examples/ with boards of one's own."""
    folder = tmp_path / "farm" / "firmware_examples"
    shutil.copytree(REPO / "firmware_examples", folder)
    (folder.parent / "csrc").symlink_to(REPO / "csrc")
    monkeypatch.setattr("edgebert.firmware._PACKAGE", folder.parent)
    return folder

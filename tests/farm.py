"""Boards of one's own, and the command line that builds for them."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from edgebert.cli import main
from tests.conftest import REPO

SMALL = REPO / "tests" / "data" / "small_i8.ebm"

needs_arm = pytest.mark.skipif(
    shutil.which("arm-none-eabi-gcc") is None, reason="needs the Debian package gcc-arm-none-eabi"
)


def add_board(farm: Path, name: str, *lines: str, **values: str) -> None:
    """A board like the emulated M4's, with other values and more lines."""
    text = (farm / "boards" / "mps2-an386" / "board.toml").read_text()
    kept = [x for x in text.splitlines() if x.split(" = ")[0] not in values]
    changed = [f"{key} = {value}" for key, value in values.items()]
    board = farm / "boards" / name
    board.mkdir()
    (board / "board.toml").write_text("\n".join([*kept, *changed, *lines]) + "\n")


def run(*arguments: str | Path) -> int:
    return main(["firmware", *map(str, arguments)])

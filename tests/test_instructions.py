"""Microcontrollers take no more instructions than benchmarks/instructions.json says."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.instructions import TABLE, compiler, measure, model_and_text

ROWS = json.loads(TABLE.read_text("utf-8"))
# One for each set of kernels: the code of M7 and M33 is the M4's.
CORES = ["Cortex-M0", "Cortex-M3", "Cortex-M4F", "Cortex-M55 with Helium", "RV32IMAC"]


@pytest.fixture(scope="module")
def uno(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    model, text, _ = model_and_text(tmp_path_factory.mktemp("uno"))
    return model, text


@pytest.mark.parametrize("core", CORES)
def test_a_text_takes_no_more_instructions_than_it_did(
    core: str, uno: tuple[Path, str], tmp_path: Path
) -> None:
    before = ROWS[core]
    if compiler(core) != before["compiler"]:
        pytest.skip(f"needs the emulator, and GCC {before['compiler']}, whose code was counted")
    now = measure(core, *uno, tmp_path)
    for what in ("instructions", "image", "stack"):
        assert now[what] <= 1.03 * before[what], (
            f"{core}: {what} {before[what]:,} -> {now[what]:,}; "
            "if that is wanted, python -m benchmarks.instructions --update"
        )

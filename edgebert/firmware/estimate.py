"""How long an inference takes on a board, estimated: nothing is run."""

from __future__ import annotations

import functools
import json
from pathlib import Path

from edgebert.bench import linear_macs
from edgebert.config import ModelConfig
from edgebert.firmware.boards import Board

LENGTHS = (16, 64)  # tokens, [CLS] and [SEP] included
SPEED = Path(__file__).with_name("speed.json")


def estimate_ms(config: ModelConfig, board: Board, tokens: int) -> dict[int, float]:
    """Milliseconds from text to label for up to so many tokens; none for a core without figures.

    Instructions for each multiply-accumulate, counted in an emulator, times the cycles that one
    takes on such a core (an assumption), at the board's clock. An emulator alone, which takes
    one cycle for each, is not slowed down by the second.
    """
    speed = speeds().get(board.core)
    if speed is None:
        return {}
    cycles = speed["instructions_per_mac"]
    if board.flash_method:
        cycles *= speed["cycles_per_instruction"]
    lengths = [n for n in LENGTHS if n <= tokens] or [tokens]
    return {n: linear_macs(config, n, 1) * cycles / board.core_hz * 1000 for n in lengths}


@functools.cache
def speeds() -> dict[str, dict[str, float]]:
    """For each core its instructions for a multiply-accumulate and cycles for an instruction."""
    document: dict[str, dict[str, float]] = json.loads(SPEED.read_text("utf-8"))
    return document

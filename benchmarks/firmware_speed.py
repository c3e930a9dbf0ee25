"""Instructions for each multiply-accumulate, by core: what `edgebert firmware` estimates with.

    python -m benchmarks.firmware_speed

rewrites edgebert/firmware/speed.json from the counts in benchmarks/instructions.json. The cycles
for an instruction are assumptions: nobody has measured a board.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

from benchmarks.instructions import TABLE, TOKENS, model_and_text
from edgebert.bench import linear_macs
from edgebert.firmware.boards import boards
from edgebert.firmware.estimate import SPEED

# Loads, branches and waiting for flash cost more than a cycle; an M7 does two things in one.
CYCLES = {"Cortex-M0": 1.5, "Cortex-M0+": 1.7, "Cortex-M7": 0.8, "Cortex-M55 with Helium": 1.5}
CYCLES_OF_OTHERS = 1.3


def update() -> None:
    """Write speed.json."""
    with tempfile.TemporaryDirectory() as name:
        macs = linear_macs(model_and_text(Path(name))[2], TOKENS, 1)
    counts = json.loads(TABLE.read_text("utf-8"))
    speeds = {}
    for core in sorted({board.core for board in boards().values()}):
        speeds[core] = {
            "instructions_per_mac": round(counts[core]["instructions"] / macs, 2),
            "cycles_per_instruction": CYCLES.get(core, CYCLES_OF_OTHERS),
        }
    SPEED.write_text(json.dumps(speeds, indent=2) + "\n")


if __name__ == "__main__":
    update()

"""Instructions for each multiply-accumulate, by core: what `edgebert firmware` estimates with.

    python -m benchmarks.firmware_speed

counts them in emulators, from text to label of 64 tokens with UNO in int8, and rewrites
edgebert/firmware/speed.json. The cycles for an instruction are assumptions: nobody has measured a
board. A core whose emulated board is too small, or that no emulator has, runs its code on another.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from edgebert.bench import linear_macs, made_text
from edgebert.cli import main
from edgebert.engines import open_engine
from edgebert.firmware import sources
from edgebert.firmware.boards import boards
from edgebert.firmware.estimate import SPEED

ROOT = Path(__file__).resolve().parent.parent
TOKENS = 64

# core -> (board whose emulator runs its code, the compiler's flags for it; None: the board's)
MACHINES = {
    "Cortex-M0": ("mps2-an385", "-mcpu=cortex-m0 -mthumb"),
    "Cortex-M0+": ("mps2-an385", "-mcpu=cortex-m0plus -mthumb"),
    "Cortex-M3": ("mps2-an385", None),
    "Cortex-M4F": ("mps2-an386", None),
    "Cortex-M7": ("mps2-an500", None),
    "Cortex-M33F": ("mps2-an505", None),
    "Cortex-M33 without DSP and FPU": ("mps2-an521", None),
    "Cortex-M55 with Helium": ("mps3-an547", None),
    "RV32IMAC": ("riscv-virt", None),
    "RV32IMC": ("riscv-virt", "-march=rv32imc -mabi=ilp32"),
}

# Loads, branches and waiting for flash cost more than a cycle; an M7 does two things in one.
CYCLES = {"Cortex-M0": 1.5, "Cortex-M0+": 1.7, "Cortex-M7": 0.8, "Cortex-M55 with Helium": 1.5}
CYCLES_OF_OTHERS = 1.3


def count(core: str, model: Path, text: str, folder: Path) -> int:
    """Instructions from text to label."""
    board, flags = MACHINES[core]
    copy = folder / core.replace(" ", "-")
    shutil.copytree(sources(), copy / "firmware_examples")
    (copy / "csrc").symlink_to(ROOT / "csrc")
    if flags:
        toml = copy / "firmware_examples" / "boards" / board / "board.toml"
        toml.write_text(
            re.sub(r'(?m)^cpu_flags = ".*"$', f'cpu_flags = "{flags}"', toml.read_text())
        )
    make = ["make", "-s", "-C", str(copy / "firmware_examples"), "APP=bench", "SERIAL=stdio"]
    make += [f"BOARD={board}", f"MODEL={model}", f"TOKENS={TOKENS}"]
    subprocess.run(make, check=True, stdout=subprocess.DEVNULL)
    run = subprocess.run([*make, "command"], check=True, stdout=subprocess.PIPE, text=True).stdout
    pipe = subprocess.PIPE
    emulator = run.replace("../build", str(copy / "build")).split()
    with subprocess.Popen(emulator, stdin=pipe, stdout=pipe, text=True) as process:
        assert process.stdin and process.stdout
        first = process.stdout.readline()  # the UART is on
        process.stdin.write(f"{text}\n\x04")
        process.stdin.flush()
        output = first + process.stdout.read()
    return int(re.findall(r"(?m)^cycles (\d+)", output)[0])


def measure() -> None:
    """Write speed.json."""
    speeds = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        checkpoint = str(ROOT / "models" / "uno-sst2.pt")
        main(["export", checkpoint, "-o", name, "--to", "ebm", "--dtype", "i8"])
        model = folder / "uno-sst2-i8.ebm"
        engine = open_engine(model)
        text = made_text(engine.tokenizer, TOKENS)
        macs = linear_macs(engine.config, TOKENS, 1)
        for core in sorted({board.core for board in boards().values()}):
            instructions = count(core, model, text, folder)
            print(f"{core}: {instructions:,} instructions, {instructions / macs:.2f} for a MAC")
            speeds[core] = {
                "instructions_per_mac": round(instructions / macs, 2),
                "cycles_per_instruction": CYCLES.get(core, CYCLES_OF_OTHERS),
            }
    SPEED.write_text(json.dumps(speeds, indent=2) + "\n")


if __name__ == "__main__":
    measure()

"""Instructions from text to label on microcontrollers, and what the image takes of the memory.

    python -m benchmarks.instructions [--json] [--update]

builds apps/bench of firmware_examples/ with UNO in int8 for each core, and runs a text of 64 tokens
in an emulator that takes an instruction in a nanosecond, so that counts are the same each time.
`--update` rewrites benchmarks/instructions.json, which tests/test_instructions.py holds a build to.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from edgebert.bench import linear_macs, made_text
from edgebert.cli import main as edgebert
from edgebert.config import ModelConfig
from edgebert.engines import open_engine
from edgebert.firmware import sources
from edgebert.firmware.boards import boards

ROOT = Path(__file__).resolve().parent.parent
TABLE = Path(__file__).with_suffix(".json")
TOKENS = 64

# core -> (board whose emulator runs its code, the compiler's flags for it; None: the board's). What
# has too small a board, or none that an emulator knows, runs its code on another.
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


def model_and_text(folder: Path) -> tuple[Path, str, ModelConfig]:
    """UNO in int8, exported into folder, and a text of TOKENS tokens."""
    checkpoint = str(ROOT / "models" / "uno-sst2.pt")
    if edgebert(["export", checkpoint, "-o", str(folder), "--to", "ebm", "--dtype", "i8"]):
        raise SystemExit(f"could not export {checkpoint}")
    model = folder / "uno-sst2-i8.ebm"
    engine = open_engine(model)
    return model, made_text(engine.tokenizer, TOKENS), engine.config


def all_macs(config: ModelConfig) -> int:
    """Multiply-accumulates if every token went through every layer, attention included."""
    h, inner, n = config.hidden_size, config.intermediate_size, TOKENS
    layer = n * (4 * h * h + 2 * h * inner) + 2 * h * n * n
    return config.num_hidden_layers * layer + h * h + config.num_labels * h


def done_macs(config: ModelConfig) -> int:
    """Those that are done: of the last layer the head reads the first token alone."""
    h, n = config.hidden_size, TOKENS
    queries = (config.num_hidden_layers - 1) * n + 1
    return linear_macs(config, n, 1) + 2 * h * n * queries


def compiler(core: str) -> str | None:
    """Version of the compiler for a core; None if that or the emulator is not installed."""
    board = boards()[MACHINES[core][0]]
    gcc = board.tools + "gcc"
    if not shutil.which(gcc) or not shutil.which(board.run.split()[0]):
        return None
    return subprocess.run(
        [gcc, "-dumpfullversion"], stdout=subprocess.PIPE, text=True
    ).stdout.strip()


def measure(core: str, model: Path, text: str, folder: Path) -> dict[str, Any]:
    """Instructions from text to label, and bytes of flash, RAM and stack; builds in folder."""
    board, flags = MACHINES[core]
    copy = folder / core.replace(" ", "-")
    shutil.copytree(sources(), copy / "firmware_examples")
    (copy / "csrc").symlink_to(ROOT / "csrc")
    if flags:
        toml = copy / "firmware_examples" / "boards" / board / "board.toml"
        anew = re.sub(r'(?m)^cpu_flags = ".*"$', f'cpu_flags = "{flags}"', toml.read_text())
        toml.write_text(anew)
    make = ["make", "-s", "-C", str(copy / "firmware_examples"), "APP=bench", "SERIAL=stdio"]
    make += [f"BOARD={board}", f"MODEL={model}", f"TOKENS={TOKENS}"]
    memory = _output([*make, "all"])
    sizes = _output([*make, "size"])
    emulator = _output([*make, "command"]).replace("../build", str(copy / "build")).split()
    pipe = subprocess.PIPE
    with subprocess.Popen(emulator, stdin=pipe, stdout=pipe, text=True) as process:
        assert process.stdin and process.stdout
        first = process.stdout.readline()  # the UART is on
        process.stdin.write(f"{text}\n\x04")
        process.stdin.flush()
        output = first + process.stdout.read()
    library = re.findall(r"(\d+) +(\d+) +\d+  csrc, all of it", sizes)[0]
    return {
        "instructions": int(re.findall(r"(?m)^cycles (\d+)", output)[0]),
        "image": int(re.findall(r"FLASH: +(\d+) B", memory)[0]),
        "library": int(library[0]),
        "library_code": int(library[1]),
        "ram": int(re.findall(r"RAM: +(\d+) B", memory)[0]),
        "stack": int(re.findall(r"(?m)^stack (\d+)", output)[0]),
        "compiler": compiler(core),
    }


def _output(command: list[str]) -> str:
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def main(arguments: list[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--json", action="store_true", help="print a document, not a table")
    parser.add_argument("--update", action="store_true", help=f"rewrite {TABLE.name}")
    chosen = parser.parse_args(arguments)
    rows = {}
    with tempfile.TemporaryDirectory() as name:
        model, text, config = model_and_text(Path(name))
        for core in MACHINES:
            if compiler(core):
                rows[core] = measure(core, model, text, Path(name))
                count = rows[core]["instructions"]
                rows[core]["per_mac"] = round(count / all_macs(config), 3)
                rows[core]["per_mac_done"] = round(count / done_macs(config), 3)
    document = json.dumps(rows, indent=2)
    if chosen.update:
        TABLE.write_text(document + "\n")
    if chosen.json:
        print(document)
        return
    print("| core | instructions | per MAC | per MAC done | image | of it csrc | code | stack |")
    print("|---|---|---|---|---|---|---|---|")
    for core, row in rows.items():
        sizes = (f"{row[name]:,}" for name in ("image", "library", "library_code", "stack"))
        per_mac = f"{row['per_mac']:.2f} | {row['per_mac_done']:.2f}"
        print(f"| {core} | {row['instructions']:,} | {per_mac} | {' | '.join(sizes)} |")


if __name__ == "__main__":
    main()

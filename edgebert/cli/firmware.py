"""``edgebert firmware``: a model becomes firmware, in an emulator or on a board."""

from __future__ import annotations

import argparse
import importlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgebert.builtin import model_path
from edgebert.cli.options import integer
from edgebert.cli.output import print_json, print_table, thousands
from edgebert.errors import EdgebertError

if TYPE_CHECKING:
    from edgebert.firmware.boards import Board
    from edgebert.firmware.build import Image

EXAMPLES = """examples:
  edgebert firmware boards
  edgebert firmware build --board netduinoplus2 -m out/model-i8.ebm
  edgebert firmware run --board mps2-an386 -m home --app intent
  edgebert firmware flash --board BOARD -m out/model-i8.ebm --dry-run
"""
BOARDS_EXAMPLES = """examples:
  edgebert firmware boards
  edgebert firmware boards --json
"""
BUILD_EXAMPLES = """examples:
  edgebert firmware build --board netduinoplus2 -m out/model-i8.ebm
  edgebert firmware build --board microbit -m out/nano-i4.ebm --tokens 16 -o images/
"""
RUN_EXAMPLES = """examples:
  edgebert firmware run --board mps2-an386 -m out/model-i8.ebm
  echo "a gripping film" | edgebert firmware run --board riscv-virt -m out/model-i8.ebm

At a terminal, Ctrl-A X ends the emulator; otherwise the end of the input does.
"""
FLASH_EXAMPLES = """examples:
  edgebert {command} --board BOARD -m out/model-i8.ebm
  edgebert {command} --board BOARD -m out/model-i8.ebm --dry-run
  edgebert {command} --board BOARD -m out/model-i8.ebm --port /dev/ttyACM0

BOARD: one of `edgebert firmware boards` that is flashed, not only emulated.
"""


def add_parser(subparsers: Any) -> None:
    """Add this command to the command line."""
    parser = _command(
        subparsers,
        "firmware",
        "build firmware with a model in it, run it in an emulator, flash it",
        EXAMPLES,
    )
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    boards = _command(actions, "boards", "list the boards", BOARDS_EXAMPLES)
    boards.add_argument("--json", action="store_true", help="print one JSON document")
    build = _command(actions, "build", "build an image, and say what it takes", BUILD_EXAMPLES)
    _add_image(build)
    build.add_argument("--json", action="store_true", help="print one JSON document")
    run = _command(actions, "run", "build an image and run it in an emulator", RUN_EXAMPLES)
    _add_image(run)
    add_flash(actions, "firmware flash")


def add_flash(subparsers: Any, command: str) -> None:
    """Add ``flash``, which is a command of its own too."""
    examples = FLASH_EXAMPLES.format(command=command)
    flash = _command(subparsers, "flash", "build an image and flash a board with it", examples)
    _add_image(flash)
    group = flash.add_mutually_exclusive_group()
    group.add_argument("--probe", metavar="ID", help="debug probe (default: the only one)")
    group.add_argument("--drive", metavar="DIR", help="the board's drive (default: by its name)")
    group.add_argument("--port", metavar="PORT", help="serial port (default: the only one at USB)")
    flash.add_argument(
        "--dry-run",
        action="store_true",
        help="build, print the commands and files that would be used, and touch no board",
    )


def _command(subparsers: Any, name: str, what: str, examples: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = subparsers.add_parser(
        name,
        help=what,
        description=f"{what[0].upper()}{what[1:]}.",
        epilog=examples,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    return parser


def _add_image(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--board", required=True, help="one of `edgebert firmware boards`")
    add(
        "-m",
        "--model",
        metavar="MODEL",
        required=True,
        help="an .ebm file of integers (edgebert export --dtype i8 or i4), or a name of "
        "`edgebert models`",
    )
    add("--app", default="classify", help="what the firmware does (default: %(default)s)")
    add(
        "--tokens",
        metavar="N",
        type=integer(2),
        help="longest text, [CLS] and [SEP] included (default: the board's)",
    )
    add(
        "-o",
        "--output",
        metavar="DIR",
        type=Path,
        default=Path("out"),
        help="folder for the images (default: out)",
    )


def run(args: argparse.Namespace) -> int:
    """Run the command."""
    action = getattr(args, "action", "flash")
    if action == "boards":
        return _boards(args)
    from edgebert.firmware.boards import find_board

    board = find_board(args.board)
    actions = {"build": _build, "run": _run, "flash": _flash}
    return actions[action](args, board)


def _boards(args: argparse.Namespace) -> int:
    from edgebert.firmware.boards import apps, boards
    from edgebert.firmware.toolchain import how_to_install, missing

    rows: list[dict[str, Any]] = []
    for board in boards().values():
        lacking = missing(board, emulator=True)
        rows.append(
            {
                "board": board.folder,
                "name": board.name,
                "core": board.core,
                "flash_bytes": board.flash_size,
                "ram_bytes": board.ram_size,
                "emulator": board.run.split()[0] if board.run else None,
                "flash": board.flash_method or None,
                "missing": lacking,
                "install": how_to_install(lacking) if lacking else None,
            }
        )
    if args.json:
        print_json({"apps": apps(), "boards": rows})
        return 0
    columns = ("board", "core", "emulated, flashed by", "toolchain", "flash KiB", "RAM KiB")
    print_table(
        columns,
        [
            [
                row["board"],
                row["core"],
                ", ".join(filter(None, (row["emulator"], row["flash"]))),
                f"lacks {', '.join(row['missing'])}" if row["missing"] else "found",
                thousands(row["flash_bytes"] // 1024),
                thousands(row["ram_bytes"] // 1024),
            ]
            for row in rows
        ],
        texts=4,
    )
    print(f"apps: {', '.join(apps())}")
    for line in dict.fromkeys(row["install"] for row in rows if row["install"]):
        print(line)
    return 0


def _image(args: argparse.Namespace, board: Board) -> Image:
    """Build, say what it takes, and refuse what does not fit."""
    from edgebert.firmware.build import build

    model = model_path(args.model)
    if not getattr(args, "json", False):
        print(f"building {args.app} for {board.name}", flush=True)
    image = build(board, model, args.app, args.tokens, args.output)
    times = _times(model, board, image.tokens)
    if getattr(args, "json", False):
        print_json(
            {
                "board": board.folder,
                "app": image.app,
                "tokens": image.tokens,
                "flash": {"size": board.flash_size, "used": image.flash},
                "ram": {"size": board.ram_size, "used": image.ram},
                "estimated_ms": times,
                "files": {suffix: str(path) for suffix, path in image.files.items()},
                "refusal": image.refusal or None,
            }
        )
    else:
        _print_memory(image)
        if times:
            shown = ", ".join(f"{ms:,.0f} ms for {n} tokens" for n, ms in times.items())
            clock = f"{board.core_hz / 1e6:g} MHz{'' if board.flash_method else ', emulated'}"
            print(f"estimate, not measured: {shown} ({board.core}, {clock})")
    if image.refusal:
        raise EdgebertError(image.refusal)
    return image


def _times(model: Path, board: Board, tokens: int) -> dict[int, float]:
    from edgebert.firmware.build import open_integer_model
    from edgebert.firmware.estimate import estimate_ms

    return estimate_ms(open_integer_model(model).config, board, tokens)


def _print_memory(image: Image) -> None:
    rows = []
    for name, size, parts in (
        ("flash", image.board.flash_size, image.flash),
        ("RAM", image.board.ram_size, image.ram),
    ):
        rows += [[f"{name}: {part}", thousands(bytes_), ""] for part, bytes_ in parts.items()]
        total = sum(parts.values())
        rows.append([f"{name} used of {thousands(size)}", thousands(total), f"{total / size:.1%}"])
    print_table(("memory", "bytes", "share"), rows)


def _build(args: argparse.Namespace, board: Board) -> int:
    image = _image(args, board)
    if not args.json:
        print("\n".join(map(str, image.files.values())))
    return 0


def _run(args: argparse.Namespace, board: Board) -> int:
    from edgebert.firmware.emulator import need_emulator, run_emulator

    need_emulator(board)
    image = _image(args, board)
    if sys.stdin is not None and sys.stdin.isatty():
        print("Ctrl-A X ends the emulator", flush=True)
    status = run_emulator(image)
    if status:
        raise EdgebertError(f"the firmware ended with status {status}: what it said last tells why")
    return 0


def _flash(args: argparse.Namespace, board: Board) -> int:
    flash = importlib.import_module("edgebert.firmware.flash")
    options = {"--probe": args.probe, "--drive": args.drive, "--port": args.port}
    given = {option: value for option, value in options.items() if value is not None}
    flash.check_flash(board, given)
    image = _image(args, board)
    chosen = next(iter(given.values()), None)
    if args.dry_run:
        print("\n".join(flash.dry_run(image, chosen)))
    else:
        flash.flash(image, chosen, lambda line: print(line, flush=True))
    return 0

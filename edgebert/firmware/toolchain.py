"""Finds compilers and emulators, or says how to install them."""

from __future__ import annotations

import shutil
from collections.abc import Iterable

from edgebert.errors import EdgebertError
from edgebert.firmware.boards import Board

# Prefixes under which the same compiler is installed elsewhere.
_ALIASES = {"riscv64-unknown-elf-": ("riscv64-elf-", "riscv-none-elf-", "riscv32-unknown-elf-")}

# program -> on Debian and Ubuntu, on macOS, on Windows
_INSTALL = {
    "arm-none-eabi-gcc": (
        "apt install gcc-arm-none-eabi",
        "brew install --cask gcc-arm-embedded",
        "winget install Arm.GnuArmEmbeddedToolchain",
    ),
    "riscv64-unknown-elf-gcc": (
        "apt install gcc-riscv64-unknown-elf",
        "brew install riscv64-elf-gcc",
        "unpack github.com/xpack-dev-tools/riscv-none-elf-gcc-xpack/releases and add it to PATH",
    ),
    "qemu-system-arm": (
        "apt install qemu-system-arm",
        "brew install qemu",
        "winget install SoftwareFreedomConservancy.QEMU",
    ),
    "qemu-system-riscv32": (
        "apt install qemu-system-misc",
        "brew install qemu",
        "winget install SoftwareFreedomConservancy.QEMU",
    ),
    "make": ("apt install make", "xcode-select --install", "winget install ezwinports.make"),
    "cc": ("apt install gcc", "xcode-select --install", "winget install BrechtSanders.WinLibs"),
}


def tool_prefix(board: Board) -> str:
    """Prefix of the installed compiler for a board, or of the one to install."""
    for prefix in (board.tools, *_ALIASES.get(board.tools, ())):
        if shutil.which(f"{prefix}gcc"):
            return prefix
    return board.tools


def missing(board: Board, emulator: bool = False) -> list[str]:
    """Programs that building (and emulating) for a board needs and PATH does not have."""
    # cc: the Makefile asks the library, on this computer, how much memory a model needs.
    needed = [f"{tool_prefix(board)}gcc", "make", "cc"]
    if emulator and board.run:
        needed.append(board.run.split()[0])
    return [program for program in needed if shutil.which(program) is None]


def need(board: Board, emulator: bool = False) -> None:
    """Raise EdgebertError that says how to install what is missing."""
    programs = missing(board, emulator)
    if programs:
        names = f"{', '.join(programs)} {'is' if len(programs) == 1 else 'are'} not installed"
        raise EdgebertError(f"{board.folder} needs more: {names}. {how_to_install(programs)}")


def how_to_install(programs: Iterable[str]) -> str:
    """The commands of each system, in one sentence."""
    known = [_INSTALL[program] for program in programs if program in _INSTALL]
    if not known:
        return "Install it and add it to PATH"
    systems = ("Debian", "macOS", "Windows")
    commands = (" && ".join(dict.fromkeys(column)) for column in zip(*known, strict=True))
    return "; ".join(f"{s}: {c}" for s, c in zip(systems, commands, strict=True))

"""The boards and apps of firmware_examples/."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from edgebert.errors import EdgebertError, MissingPackageError, UsageError
from edgebert.firmware import sources


@dataclass(frozen=True)
class Board:
    """What board.toml says, as far as it matters here; the Makefile reads the rest.

    Attributes:
        folder: its name on the command line.
        name: what people call it.
        core: its processor.
        tools: prefix of the compiler, ``arm-none-eabi-``.
        flash_origin: first address of flash.
        flash_size: bytes.
        ram_size: bytes.
        core_hz: clock of the processor.
        tokens: longest text if nobody says another, [CLS] and [SEP] included.
        run: the emulator's command without what it is to run; empty if there is none.
        flash_method: ``pyocd``, ``uf2`` or ``esptool``; empty if it is only emulated.
        flash_target: pyOCD's name of the chip.
        flash_family_id: the chip's number in UF2 files.
        flash_label: name of the drive that takes them.
        flash_chip: esptool's name of the chip.
        flash_address: where in flash esptool writes.
    """

    folder: str
    name: str
    core: str
    tools: str
    flash_origin: int
    flash_size: int
    ram_size: int
    core_hz: int
    tokens: int = 64
    run: str = ""
    flash_method: str = ""
    flash_target: str = ""
    flash_family_id: int = 0
    flash_label: str = ""
    flash_chip: str = ""
    flash_address: int = 0


def boards() -> dict[str, Board]:
    """All boards by the name of their folder."""
    found = sorted(sources().glob("boards/*/board.toml"))
    return {path.parent.name: _read(path) for path in found}


def find_board(name: str) -> Board:
    """The board of this name; UsageError names those that there are."""
    known = boards()
    if name not in known:
        raise UsageError(f"no board {name!r}: there are {', '.join(known)}")
    return known[name]


def apps() -> list[str]:
    """What the firmware can be."""
    return sorted(path.name for path in sources().glob("apps/*") if path.is_dir())


def _read(path: Path) -> Board:
    try:
        if sys.version_info >= (3, 11):
            import tomllib
        else:
            import tomli as tomllib
    except ImportError as error:
        raise MissingPackageError(
            "board.toml is read by the package tomli in Python 3.10: pip install 'edgebert[flash]'"
        ) from error
    try:
        document = tomllib.loads(path.read_text("utf-8"))
        known = {k: v for k, v in document.items() if k in Board.__dataclass_fields__}
        return Board(path.parent.name, **known)
    except (ValueError, TypeError) as error:
        raise EdgebertError(f"{path}: {error}") from error

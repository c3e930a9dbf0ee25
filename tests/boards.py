"""Images of apps for real boards, as make builds them."""

from __future__ import annotations

import functools
import re
import shutil
import struct
import subprocess
import tempfile
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import pytest
from elftools.elf.elffile import ELFFile

from tests.test_firmware import FIRMWARE, PACKAGES, SMALL

APPS = sorted(path.name for path in FIRMWARE.glob("apps/*"))
ESP32C3_CODE, ESP32C3_CONSTANTS = 0x4200_0000, 0x3C00_0000


def board_values() -> dict[str, dict[str, str]]:
    """board.toml of each board that can be flashed."""
    boards = {}
    for path in sorted(FIRMWARE.glob("boards/*/board.toml")):
        text = path.read_text("utf-8")
        values = dict(re.findall(r'^(\w+) = "?(.*?)"?$', text, re.MULTILINE))
        if "flash_method" in values:
            boards[path.parent.name] = values
    return boards


BOARDS = board_values()


@dataclass(frozen=True)
class Region:
    begin: int
    size: int

    def holds(self, address: int, size: int = 0) -> bool:
        return self.begin <= address and address + size <= self.begin + self.size


class Image:
    """An app built for a board: its ELF file, and the bytes that are written into the flash."""

    def __init__(self, board: str, app: str) -> None:
        values = BOARDS[board]
        compiler = values["tools"] + "gcc"
        if shutil.which(compiler) is None:
            pytest.skip(f"needs the Debian package {PACKAGES[compiler]}")
        with tempfile.TemporaryDirectory() as folder:
            arguments = [f"BOARD={board}", f"APP={app}", f"MODEL={SMALL}", f"BUILD={folder}"]
            make = ["make", "-s", "-C", str(FIRMWARE), *arguments]
            subprocess.run(make, check=True, stdout=subprocess.DEVNULL)
            self.bytes = Path(folder, "firmware.bin").read_bytes()
            elf = ELFFile(BytesIO(Path(folder, "firmware.elf").read_bytes()))
        self.board, self.app = board, app
        self.flash = Region(int(values["flash_origin"], 0), int(values["flash_size"], 0))
        self.ram = Region(int(values["ram_origin"], 0), int(values["ram_size"], 0))
        self.entry: int = elf["e_entry"]
        self.segments = [dict(s.header) for s in elf.iter_segments() if s["p_memsz"]]
        symbols = elf.get_section_by_name(".symtab")
        self.symbols = {symbol.name: symbol["st_value"] for symbol in symbols.iter_symbols()}

    @property
    def maps(self) -> list[Region]:
        """Where the processor sees the flash."""
        if self.board != "esp32-c3":
            return [self.flash]
        return [Region(begin, self.flash.size) for begin in (ESP32C3_CODE, ESP32C3_CONSTANTS)]

    def in_flash(self, address: int, size: int) -> bytes:
        """What the processor reads there."""
        begin = next(region.begin for region in self.maps if region.holds(address, size))
        return self.bytes[address - begin :][:size]

    def words(self, symbol: str, count: int) -> tuple[int, ...]:
        return struct.unpack(f"<{count}I", self.in_flash(self.symbols[symbol], 4 * count))


@functools.cache
def built(board: str, app: str) -> Image:
    """Builds an app for a board, once."""
    return Image(board, app)

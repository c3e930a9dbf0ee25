"""Images for real boards: what their chips will read of them, as far as it can be seen without."""

from __future__ import annotations

import functools
import os
import re
import shutil
import struct
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from elftools.elf.elffile import ELFFile

from tests.conftest import REPO
from tests.test_firmware import FIRMWARE, PACKAGES, SENTENCES, SMALL, Host

APPS = sorted(path.name for path in FIRMWARE.glob("apps/*"))
TOOLS = FIRMWARE / "tools"
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

    def __init__(self, board: str, app: str, folder: Path) -> None:
        values = BOARDS[board]
        compiler = values["tools"] + "gcc"
        if shutil.which(compiler) is None:
            pytest.skip(f"needs the Debian package {PACKAGES[compiler]}")
        arguments = [f"BOARD={board}", f"APP={app}", f"MODEL={SMALL}", f"BUILD={folder}"]
        make = ["make", "-s", "-C", str(FIRMWARE), *arguments]
        subprocess.run(make, check=True, stdout=subprocess.DEVNULL)
        self.board, self.app = board, app
        self.path = folder / "firmware.bin"
        self.bytes = self.path.read_bytes()
        self.flash = Region(int(values["flash_origin"], 0), int(values["flash_size"], 0))
        self.ram = Region(int(values["ram_origin"], 0), int(values["ram_size"], 0))
        with (folder / "firmware.elf").open("rb") as stream:
            elf = ELFFile(stream)
            self.entry: int = elf["e_entry"]
            self.segments = [
                dict(segment.header) for segment in elf.iter_segments() if segment["p_memsz"]
            ]
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


Build = Callable[[str, str], Image]


@pytest.fixture(scope="session")
def build(tmp_path_factory: pytest.TempPathFactory) -> Build:
    """Builds an app for a board, once."""
    return functools.cache(lambda board, app: Image(board, app, tmp_path_factory.mktemp(board)))


EVERY = [(board, app) for board in BOARDS for app in APPS]
CORTEX_M = [(board, app) for board, app in EVERY if "arm" in BOARDS[board]["tools"]]
each_cortex_m = pytest.mark.parametrize("image", CORTEX_M, ids="-".join, indirect=True)


@pytest.fixture(params=EVERY, ids="-".join)
def image(request: pytest.FixtureRequest, build: Build) -> Image:
    return build(*request.param)


def test_an_image_lies_within_the_memories(image: Image) -> None:
    for segment in image.segments:
        address, size = segment["p_vaddr"], segment["p_memsz"]
        assert any(region.holds(address, size) for region in [*image.maps, image.ram])
        if segment["p_filesz"]:
            assert image.flash.holds(segment["p_paddr"], segment["p_filesz"])
    ends = [s["p_paddr"] + s["p_filesz"] for s in image.segments if s["p_filesz"]]
    assert len(image.bytes) == max(ends) - image.flash.begin


def test_initial_values_are_in_flash_and_variables_in_ram(image: Image) -> None:
    symbols = image.symbols
    size = symbols["data_end"] - symbols["data_start"]
    assert len(image.in_flash(symbols["data_in_flash"], size)) == size
    assert image.ram.holds(symbols["data_start"], size)
    assert image.ram.holds(symbols["bss_start"], symbols["bss_end"] - symbols["bss_start"])
    assert symbols["stack_limit"] == image.ram.begin


def test_the_model_is_used_where_it_lies_in_flash(image: Image) -> None:
    begin, end = image.symbols["model_file"], image.symbols["model_file_end"]
    assert begin % 16 == 0
    assert image.in_flash(begin, end - begin) == SMALL.read_bytes()


@each_cortex_m
def test_vectors_are_where_the_chip_starts_and_lead_into_flash(image: Image) -> None:
    behind_boot2 = 256 if image.board == "pico" else 0
    assert image.symbols["vectors"] == image.flash.begin + behind_boot2
    stack, *vectors = image.words("vectors", 16)
    assert stack % 8 == 0 and image.ram.holds(stack)
    assert stack == image.symbols["stack_top"]
    assert vectors[0] == image.symbols["reset"] == image.entry
    assert all(vector & 1 and image.in_flash(vector - 1, 2) for vector in vectors)


def crc32_mpeg2(data: bytes) -> int:
    crc = 0xFFFF_FFFF
    for bit in np.unpackbits(np.frombuffer(data, np.uint8)):
        crc = (crc << 1 & 0xFFFF_FFFF) ^ (0x04C1_1DB7 if crc >> 31 != bit else 0)
    return crc


def test_the_rp2040_finds_its_checksum(build: Build) -> None:
    assert crc32_mpeg2(b"123456789") == 0x0376_E6E7, "the value that the algorithm is known by"
    boot2 = build("pico", "bench").bytes[:256]
    assert struct.unpack("<I", boot2[252:]) == (crc32_mpeg2(boot2[:252]),)
    assert boot2[:2] != b"\0\0"


def image_def(data: bytes) -> tuple[int, list[bytes]]:
    """Offset and items of the first of the blocks that the RP2350's ROM looks for."""
    begin = data.index(struct.pack("<I", 0xFFFF_DED3))
    items, at = [], begin + 4
    while data[at] != 0xFF:  # which is the last
        assert data[at] < 0x80, "its size has two bytes"
        items.append(data[at : at + 4 * data[at + 1]])
        at += 4 * data[at + 1]
    (words,) = struct.unpack_from("<H", data, at + 1)
    to_next, end = struct.unpack_from("<iI", data, at + 4)
    assert (words, end) == (sum(map(len, items)) // 4, 0xAB12_3579)
    assert to_next == 0, "a loop of one block"
    return begin, items


def test_the_rp2350_finds_a_program_for_its_arm_cores(build: Build) -> None:
    begin, items = image_def(build("pico2", "bench").bytes[:4096])
    assert begin % 4 == 0
    # Image type, one word: an executable (1), secure (2 << 4), Arm (0 << 8), RP2350 (1 << 12).
    assert items == [struct.pack("<BBH", 0x42, 1, 0x1021)]


def test_the_esp32c3_boots_directly_into_reset(build: Build) -> None:
    image = build("esp32-c3", "bench")
    assert image.bytes[:8] == bytes.fromhex("1d04dbae") * 2
    assert image.entry == image.symbols["reset"] == ESP32C3_CODE + 8
    assert image.symbols["trap"] % 256 == 0, "mtvec has no other bits"
    assert image.symbols["model_file"] >> 24 == ESP32C3_CONSTANTS >> 24, "read as data"


def test_an_emulated_rp2040_gives_the_bytes_of_the_host(build: Build) -> None:
    folders = [str(REPO / "build" / "node_modules"), os.environ.get("NODE_PATH", "")]
    environment = {**os.environ, "NODE_PATH": os.pathsep.join(folders)}
    node = shutil.which("node")
    if node is None:
        pytest.skip("needs the Debian package nodejs")
    probe = [node, "-e", "require('rp2040js')"]
    if subprocess.run(probe, env=environment, capture_output=True).returncode:
        pytest.skip("needs rp2040js: npm install --prefix build rp2040js")
    path = build("pico", "bench").path
    lines = [str(text).encode()[:250] for text in SENTENCES[:8]]
    run = subprocess.run(
        [node, str(TOOLS / "rp2040js.cjs"), str(path)],
        input=b"\n".join([*lines, b"\x04"]),
        env=environment,
        capture_output=True,
        timeout=300,
    )
    assert run.returncode == 0
    logits = [line.split()[1:] for line in run.stdout.splitlines() if line.startswith(b"logits")]
    host = Host(SMALL, 64)
    expected = [[b"%08x" % bits for bits in host.logits(line).view(np.uint32)] for line in lines]
    assert logits == expected
    said = re.fullmatch(rb"clock (\d+) baud (\d+)\n", run.stderr)
    assert said
    clock, baud = map(int, said.groups())
    assert clock == int(BOARDS["pico"]["core_hz"])
    assert abs(baud / 115200 - 1) < 0.001

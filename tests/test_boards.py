"""Images for real boards: what their chips will read of them, as far as it can be seen without."""

from __future__ import annotations

import os
import re
import shutil
import struct
import subprocess
from pathlib import Path

import numpy as np
import pytest

from tests.boards import APPS, BOARDS, ESP32C3_CODE, ESP32C3_CONSTANTS, Image, built
from tests.conftest import REPO
from tests.test_firmware import FIRMWARE, SENTENCES, SMALL, Host

EVERY = [(board, app) for board in BOARDS for app in APPS]
CORTEX_M = [(board, app) for board, app in EVERY if "arm" in BOARDS[board]["tools"]]
each_cortex_m = pytest.mark.parametrize("image", CORTEX_M, ids="-".join, indirect=True)


@pytest.fixture(params=EVERY, ids="-".join)
def image(request: pytest.FixtureRequest) -> Image:
    return built(*request.param)


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


def test_the_rp2040_finds_its_checksum() -> None:
    assert crc32_mpeg2(b"123456789") == 0x0376_E6E7, "the value that the algorithm is known by"
    boot2 = built("pico", "bench").bytes[:256]
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


def test_the_rp2350_finds_a_program_for_its_arm_cores() -> None:
    begin, items = image_def(built("pico2", "bench").bytes[:4096])
    assert begin % 4 == 0
    # Image type, one word: an executable (1), secure (2 << 4), Arm (0 << 8), RP2350 (1 << 12).
    assert items == [struct.pack("<BBH", 0x42, 1, 0x1021)]


def test_the_esp32c3_boots_directly_into_reset() -> None:
    image = built("esp32-c3", "bench")
    assert image.bytes[:8] == bytes.fromhex("1d04dbae") * 2
    assert image.entry == image.symbols["reset"] == ESP32C3_CODE + 8
    assert image.symbols["trap"] % 256 == 0, "mtvec has no other bits"
    assert image.symbols["model_file"] >> 24 == ESP32C3_CONSTANTS >> 24, "read as data"


def test_an_emulated_rp2040_gives_the_bytes_of_the_host(tmp_path: Path) -> None:
    folders = [str(REPO / "build" / "node_modules"), os.environ.get("NODE_PATH", "")]
    environment = {**os.environ, "NODE_PATH": os.pathsep.join(folders)}
    node = shutil.which("node")
    if node is None:
        pytest.skip("needs the Debian package nodejs")
    probe = [node, "-e", "require('rp2040js')"]
    if subprocess.run(probe, env=environment, capture_output=True).returncode:
        pytest.skip("needs rp2040js: npm install --prefix build rp2040js")
    path = tmp_path / "firmware.bin"
    path.write_bytes(built("pico", "bench").bytes)
    lines = [str(text).encode()[:250] for text in SENTENCES[:8]]
    run = subprocess.run(
        [node, str(FIRMWARE / "tools" / "rp2040js.cjs"), str(path)],
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

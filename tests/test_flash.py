"""``edgebert flash``: how a board is flashed, by what, and what to check where that fails."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edgebert.cli import main
from edgebert.errors import EdgebertError
from edgebert.firmware import drives, flash
from edgebert.firmware.boards import find_board
from edgebert.firmware.build import Image
from edgebert.firmware.uf2 import read_uf2, uf2_bytes
from tests.farm import SMALL, add_board, needs_arm, run


def image_of(board: str, folder: Path) -> Image:
    """As if it had been built."""
    files = {suffix: folder / f"image.{suffix}" for suffix in ("elf", "bin", "uf2")}
    for path in files.values():
        path.write_bytes(b"image")
    return Image(find_board(board), "classify", 16, {}, {}, files, "")


METHODS = {
    "pyocd": (
        ['flash_target = "stm32f446retx"'],
        ["--probe", "0669FF"],
        "-m pyocd load --no-wait --target stm32f446retx --uid 0669FF {out}/image.elf",
    ),
    "esptool": (
        ['flash_chip = "esp32c3"', "flash_address = 0x10000"],
        ["--port", "/dev/ttyACM7"],
        "-m esptool --chip esp32c3 --port /dev/ttyACM7 write-flash 0x10000 {out}/image.bin",
    ),
    "uf2": (
        ["flash_family_id = 0xe48bff56", 'flash_label = "RPI-RP2"'],
        ["--drive", "/media/RPI-RP2"],
        "copy {out}/image.uf2 to /media/RPI-RP2 as image.uf2",
    ),
}


@pytest.mark.parametrize("method", METHODS)
def test_a_dry_run_prints_what_would_be_done_and_does_nothing(
    method: str,
    farm: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(flash, "flash", lambda *arguments: pytest.fail("flashed"))
    lines, options, expected = METHODS[method]
    add_board(farm, "real", f'flash_method = "{method}"', *lines)
    image = image_of("real", tmp_path)
    monkeypatch.setattr("edgebert.cli.firmware._image", lambda args, board: image)
    arguments = ["--board", "real", "-m", str(SMALL), "--dry-run"]
    assert main(["flash", *arguments, *options]) == 0
    output = capsys.readouterr().out.splitlines()
    assert output[1].endswith(expected.format(out=tmp_path))
    assert output[0] == f"{image.files[expected.split('image.')[1][:3]]}: 5 bytes"
    assert run("flash", *arguments) == 0  # with nothing chosen, and nothing connected
    other = {"pyocd": "--port", "esptool": "--drive", "uf2": "--probe"}[method]
    assert run("flash", *arguments, other, "x") == 2
    assert options[0] in capsys.readouterr().err


def test_a_uf2_file_read_back_is_the_image() -> None:
    image = np.random.default_rng(0).bytes(1000)
    file = uf2_bytes(image, 0x10000000, 0xE48BFF56)
    assert len(file) == 4 * 512
    # the first block's header, as the specification has it
    assert file[:32].hex() == ("5546320a57515d9e002000000000001000010000000000000400000056ff8be4")
    assert file[508:512].hex() == "306fb10a"
    assert read_uf2(file) == (image + bytes(24), 0x10000000, 0xE48BFF56)
    assert read_uf2(uf2_bytes(image[:256], 0, 1)) == (image[:256], 0, 1)


@pytest.mark.parametrize("damage", ["cut", "magic", "order", "empty"])
def test_a_damaged_uf2_file_is_no_firmware(damage: str) -> None:
    file = uf2_bytes(bytes(600), 0x10000000, 0xE48BFF56)
    damaged = {
        "cut": file[:-1],
        "magic": file[:1023] + b"x" + file[1024:],
        "order": file[512:] + file[:512],
        "empty": b"",
    }[damage]
    with pytest.raises(EdgebertError, match="UF2"):
        read_uf2(damaged)


@pytest.fixture
def mounts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two drives of boards and one that is none."""
    for name, info in (("RPI-RP2", "Board-ID: RPI-RP2\r\n"), ("E", "Board-ID: RP2350\r\n")):
        (tmp_path / "mounts" / name).mkdir(parents=True)
        (tmp_path / "mounts" / name / "INFO_UF2.TXT").write_text(info)
    (tmp_path / "mounts" / "stick").mkdir()
    folders = sorted((tmp_path / "mounts").iterdir())
    monkeypatch.setattr(drives, "mount_points", lambda: folders)
    return tmp_path / "mounts"


def test_a_drive_is_found_by_its_name_and_by_what_it_says(mounts: Path) -> None:
    found = drives.uf2_drives()
    assert list(found) == [mounts / "E", mounts / "RPI-RP2"]
    assert drives.matching(found, "RPI-RP2") == [mounts / "RPI-RP2"]
    assert drives.matching(found, "RP2350") == [mounts / "E"]


def test_linux_mounts_are_the_fat_file_systems() -> None:
    mounts = "/dev/sda1 / ext4 rw 0 0\n/dev/sdb1 /media/me/MY\\040BOARD vfat rw 0 0\n"
    assert drives.linux_mounts(mounts) == [Path("/media/me/MY BOARD")]


@needs_arm
def test_flashing_copies_the_uf2_file_to_the_board_s_drive(
    farm: Path, mounts: Path, tmp_path: Path
) -> None:
    lines = ["flash_family_id = 7", 'flash_label = "RPI-RP2"']
    add_board(farm, "real", 'flash_method = "uf2"', *lines, flash_origin="0x10000000")
    arguments = ("flash", "--board", "real", "-m", SMALL, "-o", tmp_path / "out")
    assert run(*arguments) == 0
    image, address, family = read_uf2((mounts / "RPI-RP2" / "classify-real.uf2").read_bytes())
    built = (tmp_path / "out" / "classify-real.bin").read_bytes()
    assert (address, family) == (0x10000000, 7)
    assert image[: len(built)] == built and len(image) - len(built) < 256
    assert run(*arguments, "--drive", mounts / "stick") == 1  # a disk, not a board
    assert not list((mounts / "stick").iterdir())
    shutil.rmtree(mounts / "RPI-RP2")
    with pytest.raises(EdgebertError, match=r"BOOTSEL.*a USB cable that carries data") as refused:
        flash.flash(image_of("real", tmp_path), None, print)
    assert str(mounts / "E") in str(refused.value)


def test_a_board_that_goes_away_while_it_is_written_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = uf2_bytes(bytes(300 * 256), 0, 1)

    def unplug(descriptor: int) -> None:
        if os.fstat(descriptor).st_size > 64 * 1024:
            raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "fsync", unplug)
    with pytest.raises(EdgebertError, match=r"131,072 of 153,600 bytes.*flash again"):
        drives.write_to_drive(file, tmp_path / "x.uf2", lambda written: None)
    with pytest.raises(EdgebertError, match="Check that the drive is mounted"):
        drives.write_to_drive(file, tmp_path / "gone" / "x.uf2", lambda written: None)
    # A board restarts, and its drive is gone, once it has the last block.
    drives.write_to_drive(file[: 2 * 64 * 1024], tmp_path / "x.uf2", lambda written: None)


@pytest.mark.parametrize(
    ("method", "package", "advice"),
    [("pyocd", "pyocd", "udev"), ("esptool", "esptool", "BOOT")],
)
def test_no_probe_or_port_lists_what_is_connected(
    method: str,
    package: str,
    advice: str,
    mounts: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    image = image_of("mps2-an386", tmp_path)
    image = replace(image, board=replace(image.board, flash_method=method))
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(EdgebertError, match=f"package {package}: pip install 'edgebert"):
        flash.flash(image, None, print)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: name)
    monkeypatch.setattr(flash, "_probes", lambda: [])
    monkeypatch.setattr(flash, "_usb_ports", lambda: [])
    with pytest.raises(EdgebertError, match=f"RPI-RP2 .UF2 drive.*Check: .*{advice}"):
        flash.flash(image, None, print)
    two = [flash.Device("A1", "probe one"), flash.Device("B2", "probe two")]
    monkeypatch.setattr(flash, "_probes", lambda: two)
    monkeypatch.setattr(flash, "_usb_ports", lambda: two)
    with pytest.raises(EdgebertError, match=r"choose by --p.*A1 \(probe one\), B2"):
        flash.flash(image, None, print)


def test_a_tool_that_fails_says_what_to_check(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = image_of("mps2-an386", tmp_path)
    board = replace(image.board, flash_method="pyocd", flash_target="chip")
    commands = []

    def fail(command: list[str]) -> subprocess.CompletedProcess[bytes]:
        commands.append(command)
        return subprocess.CompletedProcess(command, 3)

    monkeypatch.setattr("importlib.util.find_spec", lambda name: name)
    monkeypatch.setattr("subprocess.run", fail)
    with pytest.raises(EdgebertError, match=r"status 3: .*pack install chip.*udev"):
        flash.flash(replace(image, board=board), "A1", print)
    elf = str(tmp_path / "image.elf")
    assert [x[1:] for x in commands] == [
        ["-m", "pyocd", "load", "--no-wait", "--target", "chip", "--uid", "A1", elf]
    ]


def test_probes_are_what_pyocd_lists(monkeypatch: pytest.MonkeyPatch) -> None:
    said = {"boards": [{"unique_id": "066", "info": "STM32 STLink"}]}
    answers = iter([json.dumps(said).encode(), b"no JSON"])
    monkeypatch.setattr("importlib.util.find_spec", lambda name: name)
    monkeypatch.setattr(
        "subprocess.run",
        lambda command, **how: subprocess.CompletedProcess(command, 0, next(answers)),
    )
    assert flash._probes() == [flash.Device("066", "probe STM32 STLink")]
    assert flash._probes() == []

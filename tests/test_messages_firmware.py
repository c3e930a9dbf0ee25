"""What people read when firmware cannot be built, run or flashed; needs no compiler or board."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from edgebert.cli import main
from edgebert.firmware import boards as boards_module
from edgebert.firmware import build, drives, emulator, fit, flash, sources, toolchain
from edgebert.firmware.boards import Board, boards, find_board
from edgebert.firmware.build import Image, open_integer_model
from edgebert.firmware.uf2 import read_uf2, uf2_bytes
from tests.conftest import REPO
from tests.messages import Cause, check, each, file, run, without

SMALL = REPO / "tests" / "data" / "small_i8.ebm"
PICO = find_board("pico")
M4 = find_board("mps2-an386")


def _image(board: Board = PICO, **files: Path) -> Image:
    return Image(board, "classify", 16, {}, {}, files, "")


def _with(method: str) -> Board:
    return next(board for board in boards().values() if board.flash_method == method)


def _build(log: str, *made: str, app: str = "classify", tokens: int | None = 16) -> Cause:
    """Builds with a compiler that says this, and leaves these files."""

    def cause(folder: Path, patch: pytest.MonkeyPatch) -> None:
        def command(board: Board, app: str, target: Path, *_: str) -> list[str]:
            for name in made:
                file(target / name, "1000")
            return [sys.executable, "-c", f"print({log!r})"]

        patch.setattr(build, "need", lambda board: None)
        patch.setattr(build, "make_command", command)
        build.build(M4, SMALL, app, tokens, folder / "out")

    return cause


LINKED = "FLASH: 200000 B 4 MB\nRAM: 20000 B 4 MB\n"


def _output_is_a_file(folder: Path, patch: pytest.MonkeyPatch) -> None:
    patch.setattr(build, "need", lambda board: None)
    build.build(M4, SMALL, "classify", 16, file(folder / "out", b"") / "images")


def _no_gcc(folder: Path, patch: pytest.MonkeyPatch) -> None:
    patch.setenv("PATH", str(folder))
    toolchain.need(PICO)


def _no_such_compiler(folder: Path, patch: pytest.MonkeyPatch) -> None:
    patch.setattr("shutil.which", lambda program: None if "xtensa" in program else program)
    toolchain.need(replace(PICO, tools="xtensa-"))


def _no_sources(folder: Path, patch: pytest.MonkeyPatch) -> None:
    patch.setattr("edgebert.firmware._PACKAGE", folder / "site-packages" / "edgebert")
    sources()


def _board_file(text: str) -> Cause:
    def read(folder: Path, patch: pytest.MonkeyPatch) -> None:
        example = file(folder / "firmware_examples" / "Makefile", "").parent
        file(example / "boards" / "mine" / "board.toml", text)
        patch.setattr("edgebert.firmware._PACKAGE", folder)
        boards()

    return read


def _no_tomli(folder: Path, patch: pytest.MonkeyPatch) -> None:
    patch.setattr(boards_module, "sys", SimpleNamespace(version_info=(3, 10)))
    without(patch, "tomli")
    boards()


BUILDING: dict[str, Cause] = {
    "no board 'toaster': there are esp32-c3, microbit, mps2-an385, ": lambda *_: find_board(
        "toaster"
    ),
    "no app 'toast': there are bench, classify, ": _build("", app="toast"),
    "small_i8.ebm takes at most 40 tokens: --tokens 41 is more": _build("", tokens=41),
    "tiny.pt is no .ebm, which firmware takes: `edgebert export model.pt -o out --to ebm --dtype "
    "i8` makes one": lambda *_: open_integer_model(REPO / "tests" / "data" / "tiny.pt"),
    "small.ebm is float32, firmware takes integers: `edgebert export model.pt -o out --to ebm ": (
        lambda *_: open_integer_model(REPO / "tests" / "data" / "small.ebm")
    ),
    "none.ebm does not exist": lambda folder, _: open_integer_model(folder / "none.ebm"),
    "out/images: Not a directory": _output_is_a_file,
    "building failed: main.c:1:2: error: #error out of order": _build(
        "make: entering\nmain.c:1:2: error: #error out of order\nmake: *** [main.o] Error 1"
    ),
    "building failed: No space left on device": _build("as: fatal\nNo space left on device"),
    "building failed: something else": _build("something else"),
    "building failed: make said nothing": _build(""),
    "building failed: ld: error: section lost": _build(
        f"{LINKED}ld: error: section lost", "firmware.map", "memory"
    ),
    "pico needs more: arm-none-eabi-gcc, make, cc are not installed. Debian: apt install gcc-": (
        _no_gcc
    ),
    "pico needs more: xtensa-gcc is not installed. Install it and add it to PATH": (
        _no_such_compiler
    ),
    "this installation lacks the firmware's sources: pip install edgebert anew": _no_sources,
    "mine/board.toml: Expected '=' after a key": _board_file("no toml"),
    "mine/board.toml: Board.__init__() missing": _board_file('name = "mine"'),
    "board.toml is read by the package tomli in Python 3.10: pip install 'edgebert[flash]'": (
        _no_tomli
    ),
    "pico has no emulator: flash it (edgebert flash), or take one that has: microbit, mps2-": (
        lambda *_: emulator.need_emulator(PICO)
    ),
}


@each(BUILDING)
def test_what_cannot_be_built_is_refused_with_why(
    message: str, cause: Cause, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    check(message, cause, tmp_path, monkeypatch)
    assert not list(tmp_path.glob("out/*"))


@pytest.mark.parametrize(
    ("used", "tokens", "refusal"),
    [
        (
            {"FLASH": 10**6, "RAM": 0},
            16,
            "it does not fit microbit. flash: 1,000,000 bytes of 262,144, no preset would fit",
        ),
        (
            {"FLASH": 0, "RAM": 20_000},
            40,
            "it does not fit microbit. RAM: 20,000 bytes of 16,384, would fit: --tokens 36",
        ),
        (
            {"FLASH": 0, "RAM": 10**6},
            16,
            "it does not fit microbit. RAM: 1,000,000 bytes of 16,384, this board is too small for "
            "this model",
        ),
    ],
)
def test_what_does_not_fit_is_told_with_what_would(
    used: Mapping[str, int], tokens: int, refusal: str
) -> None:
    engine = open_integer_model(SMALL)
    board = find_board("microbit")
    assert fit.how_to_fit(engine, board, used, lambda n: 1000 * n, tokens) == refusal


def test_a_larger_model_is_told_of_the_smaller_preset() -> None:
    engine = open_integer_model(REPO / "edgebert" / "data" / "sentence.ebm")
    used = {"FLASH": 0, "RAM": 10**6}
    said = fit.how_to_fit(engine, find_board("microbit"), used, lambda n: 1000 * n, 16)
    assert said.endswith("needs less: a smaller preset (edgebert train --preset nano)")


def test_an_image_that_does_not_fit_is_an_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    refusal = "it does not fit pico. RAM: too much"
    monkeypatch.setattr(build, "build", lambda *_: replace(_image(), refusal=refusal))
    command = ["firmware", "build", "--board", "pico", "-m", str(SMALL)]
    assert run(command, capsys) == (1, f"edgebert: {refusal}\n")


def test_a_firmware_that_fails_in_the_emulator_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(emulator, "need", lambda *_, **__: None)
    monkeypatch.setattr(build, "build", lambda *_: _image(M4))
    program = [sys.executable, "-c", "print('out of memory'); raise SystemExit(7)"]
    monkeypatch.setattr(emulator, "_command", lambda *_: program)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO()))
    status = main(["firmware", "run", "--board", "mps2-an386", "-m", str(SMALL)])
    said = capfd.readouterr()
    assert (status, said.err) == (
        1,
        "edgebert: the firmware ended with status 7: what it said last tells why\n",
    )
    assert said.out.endswith("out of memory\n")


def _nothing_connected(patch: pytest.MonkeyPatch) -> None:
    patch.setattr("importlib.util.find_spec", lambda name: name)
    for name in ("_probes", "_usb_ports"):
        patch.setattr(flash, name, list)
    patch.setattr(flash, "uf2_drives", dict)


def _flash(method: str, **connected: list[flash.Device]) -> Cause:
    def cause(folder: Path, patch: pytest.MonkeyPatch) -> None:
        _nothing_connected(patch)
        for name, devices in connected.items():
            patch.setattr(flash, name, lambda devices=devices: devices)
        files = {suffix: folder / f"a.{suffix}" for suffix in ("elf", "bin", "uf2")}
        flash.flash(_image(_with(method), **files), None, lambda line: None)

    return cause


def _not_installed(method: str) -> Cause:
    def cause(folder: Path, patch: pytest.MonkeyPatch) -> None:
        patch.setattr("importlib.util.find_spec", lambda name: None)
        flash.flash(_image(_with(method)), None, lambda line: None)

    return cause


def _failing(method: str) -> Cause:
    """The tool that flashes fails, as it does when the board is pulled out."""

    def cause(folder: Path, patch: pytest.MonkeyPatch) -> None:
        patch.setattr("importlib.util.find_spec", lambda name: name)
        patch.setattr("subprocess.run", lambda *_: SimpleNamespace(returncode=3))
        image = _image(_with(method), elf=folder / "a.elf", bin=folder / "a.bin")
        flash.flash(image, "1234", lambda line: None)

    return cause


def _copied(family: int, drive: str = "drive") -> Cause:
    def cause(folder: Path, _: pytest.MonkeyPatch) -> None:
        path = file(folder / "a.uf2", uf2_bytes(bytes(256), 0x10000000, family))
        (folder / "drive").mkdir()
        flash.flash(_image(uf2=path), str(folder / drive), lambda line: None)

    return cause


def _unplugged(folder: Path, patch: pytest.MonkeyPatch) -> None:
    def fsync(descriptor: int) -> None:
        if os.fstat(descriptor).st_size > 64 * 1024:
            raise OSError(5, "Input/output error")

    patch.setattr(os, "fsync", fsync)
    drives.write_to_drive(bytes(153_600), folder / "a.uf2", lambda written: None)


def _checked(board: Board, *options: str) -> Cause:
    return lambda *_: flash.check_flash(board, dict.fromkeys(options, "x"))


TWO = [flash.Device("A1", "one"), flash.Device("B2", "two")]
FLASHING: dict[str, Cause] = {
    "mps2-an386 is only emulated: edgebert firmware run --board mps2-an386": _checked(M4),
    "board.toml of pico: no method 'jtag' of flashing": _checked(
        replace(PICO, flash_method="jtag")
    ),
    "pico is flashed by uf2, which takes --drive": _checked(PICO, "--port"),
    "flashing needs the package pyocd: pip install 'edgebert[flash]'": _not_installed("pyocd"),
    "flashing needs the package esptool: pip install 'edgebert[flash]'": _not_installed("esptool"),
    "no probe found. Connected: nothing that a board shows as. Check: the board's debug connector, "
    "a USB cable that carries data, and another port, on Linux the udev rules": _flash("pyocd"),
    "no serial port found. Connected: nothing that a board shows as. Check: a USB cable": _flash(
        "esptool"
    ),
    "no serial port found. Connected: A1 (one); B2 (two). Check: ": _flash("esptool", _probes=TWO),
    "no drive RPI-RP2 found. Connected: nothing that a board shows as. Check: hold BOOTSEL": (
        _flash("uf2")
    ),
    "several boards: choose by --probe one of A1 (one), B2 (two)": _flash("pyocd", _probes=TWO),
    "several boards: choose by --port one of A1 (one), B2 (two)": _flash("esptool", _usb_ports=TWO),
    "pyocd failed with status 3: if it does not know nrf52840: pyocd pack": _failing("pyocd"),
    "; else check the board's debug connector, a USB cable that carries data": _failing("pyocd"),
    "esptool failed with status 3: check a USB cable that carries data, and another port, hold": (
        _failing("esptool")
    ),
    "not a UF2 file, or damaged, in block 0": lambda *_: read_uf2(b"UF2"),
    "a.uf2 is for another family of chips: build it anew": _copied(PICO.flash_family_id + 1),
    "drive is no board's drive: it has no INFO_UF2.TXT. Check: hold BOOTSEL": _copied(
        PICO.flash_family_id
    ),
    "gone/a.uf2: No such file or directory. Check that the drive is mounted": _copied(
        PICO.flash_family_id, "gone"
    ),
    "a.uf2: Input/output error after 131,072 of 153,600 bytes: the board has no whole firmware; "
    "bring its drive back (BOOTSEL) and flash again": _unplugged,
}


@each(FLASHING)
def test_a_board_that_cannot_be_flashed_is_told_what_to_check(
    message: str, cause: Cause, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    check(message, cause, tmp_path, monkeypatch)


def test_a_probe_that_pyocd_cannot_list_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    failed = SimpleNamespace(stdout=b"Traceback")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: name)
    monkeypatch.setattr("subprocess.run", lambda *_, **__: failed)
    assert flash._probes() == []


def test_without_pyserial_no_port_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    without(monkeypatch, "serial")
    assert flash._usb_ports() == []

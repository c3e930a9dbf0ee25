"""Puts an image onto a board, by the method that its board.toml names."""

from __future__ import annotations

import importlib.util
import json
import shlex
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgebert.errors import EdgebertError, MissingPackageError, UsageError
from edgebert.firmware.boards import Board
from edgebert.firmware.build import Image
from edgebert.firmware.drives import INFO, matching, uf2_drives, write_to_drive
from edgebert.firmware.uf2 import read_uf2

OPTIONS = {"pyocd": "--probe", "uf2": "--drive", "esptool": "--port"}

_USB = "a USB cable that carries data, and another port"
_CHECKS = {
    "pyocd": f"the board's debug connector, {_USB}, on Linux the udev rules "
    "(https://github.com/pyocd/pyOCD/tree/main/udev), on Windows the probe's driver",
    "uf2": f"hold BOOTSEL (elsewhere: press reset twice) while you plug the board in, {_USB}, and "
    "that the drive is mounted",
    "esptool": f"{_USB}, hold BOOT while you plug the board in, on Linux that you are in the group "
    "dialout",
}


@dataclass(frozen=True)
class Device:
    """Something that is connected: how the command line names it, and what it is."""

    name: str
    what: str


def check_flash(board: Board, target: dict[str, str]) -> str:
    """The board's method of flashing.

    Args:
        board: which to flash.
        target: of OPTIONS' values those that were given, with their values.

    Raises:
        EdgebertError: the board is only emulated, or its method is not known here.
        UsageError: an option is of another method.
    """
    method = board.flash_method
    if not method:
        raise EdgebertError(
            f"{board.folder} is only emulated: edgebert firmware run --board {board.folder}"
        )
    if method not in OPTIONS:
        raise EdgebertError(f"board.toml of {board.folder}: no method {method!r} of flashing")
    for option in target:
        if option != OPTIONS[method]:
            raise UsageError(
                f"{board.folder} is flashed by {method}, which takes {OPTIONS[method]}"
            )
    return method


def dry_run(image: Image, chosen: str | None) -> list[str]:
    """What flashing would do, a line each; no device is touched."""
    board, path = image.board, _file(image)
    if board.flash_method == "uf2":
        drives = [chosen] if chosen else map(str, matching(uf2_drives(), board.flash_label))
        target = next(iter(drives), f"the drive {board.flash_label}, which is not there now,")
        steps = [f"copy {path} to {target} as {path.name}"]
    else:
        steps = [shlex.join(_command(image, chosen))]
    return [f"{path}: {path.stat().st_size:,} bytes", *steps]


def flash(image: Image, chosen: str | None, say: Callable[[str], None]) -> None:
    """Flash a board.

    Args:
        image: what to flash.
        chosen: probe, drive or port; None finds it.
        say: is told what happens, a line each.

    Raises:
        MissingPackageError: pyOCD or esptool is not installed.
        EdgebertError: the device is not found, or there are several, or it failed.
    """
    method = image.board.flash_method
    if method == "uf2":
        _copy(image, Path(chosen) if chosen else _drive(image.board), say)
        return
    if importlib.util.find_spec(method) is None:
        raise MissingPackageError(
            f"flashing needs the package {method}: pip install 'edgebert[flash]'"
        )
    if chosen is None:
        found = _probes() if method == "pyocd" else _usb_ports()
        chosen = _only(found, method, "probe" if method == "pyocd" else "serial port").name
    command = _command(image, chosen)
    say(shlex.join(command))
    status = subprocess.run(command).returncode
    if status:
        hint = f"check {_CHECKS[method]}"
        if method == "pyocd":
            target = image.board.flash_target
            hint = f"if it does not know {target}: pyocd pack install {target}; else {hint}"
        raise EdgebertError(f"{method} failed with status {status}: {hint}")


def _file(image: Image) -> Path:
    suffix = {"pyocd": "elf", "uf2": "uf2", "esptool": "bin"}[image.board.flash_method]
    return image.files[suffix]


def _command(image: Image, chosen: str | None) -> list[str]:
    """The exact command; without a device chosen, the tool takes the one that it finds."""
    board, path = image.board, str(_file(image))
    if board.flash_method == "pyocd":
        probe = ["--uid", chosen] if chosen else []
        # Without --no-wait it would wait for ever for a probe that is not there.
        command = [sys.executable, "-m", "pyocd", "load", "--no-wait"]
        return [*command, "--target", board.flash_target, *probe, path]
    port = ["--port", chosen] if chosen else []
    command = [sys.executable, "-m", "esptool", "--chip", board.flash_chip, *port]
    return [*command, "write-flash", hex(board.flash_address), path]


def _copy(image: Image, drive: Path, say: Callable[[str], None]) -> None:
    source = _file(image)
    file = source.read_bytes()
    family = read_uf2(file)[2]  # which raises if it is damaged
    if family != image.board.flash_family_id:
        raise EdgebertError(f"{source} is for another family of chips: build it anew")
    if drive.is_dir() and not (drive / INFO).exists():
        raise EdgebertError(
            f"{drive} is no board's drive: it has no {INFO}. Check: {_CHECKS['uf2']}"
        )
    say(f"copying {source} ({len(file):,} bytes) to {drive}")
    write_to_drive(file, drive / source.name, lambda written: None)
    say("written; the board restarts with it")


def _drive(board: Board) -> Path:
    devices = [
        Device(str(path), f"drive {path.name}")
        for path in matching(uf2_drives(), board.flash_label)
    ]
    return Path(_only(devices, "uf2", f"drive {board.flash_label}").name)


def _only(devices: list[Device], method: str, kind: str) -> Device:
    if len(devices) == 1:
        return devices[0]
    if devices:
        names = ", ".join(f"{device.name} ({device.what})" for device in devices)
        raise EdgebertError(f"several boards: choose by {OPTIONS[method]} one of {names}")
    connected = "; ".join(f"{device.name} ({device.what})" for device in connected_devices())
    raise EdgebertError(
        f"no {kind} found. Connected: {connected or 'nothing that a board shows as'}. "
        f"Check: {_CHECKS[method]}"
    )


def connected_devices() -> list[Device]:
    """All that may be a board: debug probes, serial ports at USB, UF2 drives."""
    drives = [Device(str(path), "UF2 drive") for path in uf2_drives()]
    return [*_probes(), *_usb_ports(), *drives]


def _probes() -> list[Device]:
    if importlib.util.find_spec("pyocd") is None:
        return []
    command = [sys.executable, "-m", "pyocd", "json", "--probes"]
    output = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout
    try:
        rows: list[dict[str, Any]] = json.loads(output)["boards"]
        return [Device(row["unique_id"], f"probe {row['info']}") for row in rows]
    except (ValueError, KeyError):  # it failed: nothing is known to be there
        return []


def _usb_ports() -> list[Device]:
    try:
        from serial.tools.list_ports import comports
    except ImportError:
        return []
    return [Device(port.device, port.description) for port in comports() if port.vid is not None]

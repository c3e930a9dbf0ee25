"""Drives of boards that take UF2 files: which are mounted, and how to write to them."""

from __future__ import annotations

import contextlib
import os
import re
import string
import sys
from collections.abc import Callable
from pathlib import Path

from edgebert.errors import EdgebertError

INFO = "INFO_UF2.TXT"  # which every such drive holds
_CHUNK = 64 * 1024


def uf2_drives() -> dict[Path, str]:
    """The mounted drives of boards that wait for a UF2 file, with what each says of itself."""
    found = {}
    for folder in mount_points():
        with contextlib.suppress(OSError):  # a mount that is gone or may not be read
            found[folder] = (folder / INFO).read_text("utf-8", "replace")
    return found


def mount_points() -> list[Path]:
    """Where removable drives are, on Linux, macOS and Windows."""
    if sys.platform == "win32":
        return [Path(f"{letter}:\\") for letter in string.ascii_uppercase]
    if sys.platform == "darwin":
        return sorted(Path("/Volumes").glob("*"))
    return linux_mounts(Path("/proc/mounts").read_text("utf-8", "replace"))


def linux_mounts(mounts: str) -> list[Path]:
    """The FAT file systems of /proc/mounts, which has spaces of names as octal numbers."""
    rows = (line.split() for line in mounts.splitlines())
    return [
        Path(re.sub(r"\\([0-7]{3})", lambda code: chr(int(code[1], 8)), row[1]))
        for row in rows
        if len(row) > 2 and row[2] in ("vfat", "msdos", "fuseblk")
    ]


def matching(drives: dict[Path, str], label: str) -> list[Path]:
    """The drives of a board: mounted under its label, or with it in INFO_UF2.TXT."""
    return [path for path, info in drives.items() if path.name == label or label in info]


def write_to_drive(file: bytes, path: Path, progress: Callable[[int], None]) -> None:
    """Write a UF2 file onto a board's drive.

    Not under another name first, as elsewhere: the drive is no disk but a board that flashes each
    block as it comes, by the address in it, and restarts, taking the drive with it, at the last.
    A board that did not get all blocks does not start them but waits for them again.

    Raises:
        EdgebertError: the drive is full, read-only or went away before the last block.
    """
    written = 0
    try:
        with open(path, "wb", buffering=0) as drive:
            while written < len(file):
                written += drive.write(file[written : written + _CHUNK])
                os.fsync(drive.fileno())  # else errors would show when all seems written
                progress(written)
    except OSError as error:
        if written == len(file) and not path.parent.joinpath(INFO).exists():
            return  # restarted before the system had noted what it had written
        if not written:
            raise EdgebertError(
                f"cannot write {path}: {error.strerror or error}. Check that the drive is mounted"
            ) from error
        raise EdgebertError(
            f"{path}: {error.strerror or error} after {written:,} of {len(file):,} bytes: the "
            "board has no whole firmware; bring its drive back (BOOTSEL) and flash again"
        ) from error

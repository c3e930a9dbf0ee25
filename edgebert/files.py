"""Reading files that may be packed; writing so that a failure leaves nothing half-written."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from edgebert.errors import DataError, EdgebertError


@contextlib.contextmanager
def unpacking(path: Path) -> Iterator[IO[bytes]]:
    """A file to read bytes from, which are unpacked if its name ends in ``.gz`` or ``.xz``.

    Raises:
        DataError: it cannot be read or, in the block, turns out to be damaged.
    """
    opener, damage = _unpacker(path)
    try:
        with opener(path, "rb") as file:
            yield file
    except damage as error:
        raise DataError(f"{path}: damaged: {error}") from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from error


def _unpacker(path: Path) -> tuple[Any, tuple[type[Exception], ...]]:
    """What opens a file, and what is raised where it is damaged."""
    try:
        if path.suffix == ".gz":
            import gzip
            import zlib

            return gzip.open, (gzip.BadGzipFile, zlib.error, EOFError)
        if path.suffix == ".xz":
            import lzma

            return lzma.open, (lzma.LZMAError, EOFError)
    except ImportError as error:  # Python can be built without
        raise DataError(
            f"{path}: this Python has no {error.name}: unpack the file first"
        ) from error
    return open, ()


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary name beside ``path``, which takes its place if the block succeeds.

    It is for a file or a folder, and gone if the block fails, or is interrupted.

    Raises:
        EdgebertError: the folder is missing or read-only, the disk full, ...
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        os.replace(temporary, path)
    except OSError as error:
        raise EdgebertError(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        with contextlib.suppress(OSError):
            if temporary.is_dir():
                shutil.rmtree(temporary)
            temporary.unlink(missing_ok=True)


def write_atomically(path: Path, data: bytes) -> None:
    """Write the whole file or none of it."""
    with replacing(path) as temporary:
        temporary.write_bytes(data)


@contextlib.contextmanager
def temporary_file(data: bytes, suffix: str) -> Iterator[Path]:
    """A file that is gone after the block; who has it open or mapped may go on reading."""
    try:
        # Windows leaves it where it is while somebody has it mapped.
        kept = os.name == "nt"
        with tempfile.TemporaryDirectory("", "edgebert-", ignore_cleanup_errors=kept) as folder:
            path = Path(folder) / f"model{suffix}"
            path.write_bytes(data)
            yield path
    except OSError as error:
        raise EdgebertError(
            f"cannot write a temporary file: {error.strerror or error}; TMPDIR names another folder"
        ) from error


def check_writable(*paths: Path) -> None:
    """Fail now rather than after hours of training.

    Raises:
        DataError: one of them is a folder or a device, or its folder is missing or read-only.
    """
    for path in paths:
        if path.is_dir():
            raise DataError(f"{path} is a folder: -o takes the name of a file, such as model.pt")
        if path.exists() and not path.is_file():  # /dev/null, which root could replace
            raise DataError(f"{path} is not a file: -o takes the name of one, such as model.pt")
        if not path.parent.is_dir():
            raise DataError(f"{path.parent} is not a folder: create it first")
        if not os.access(path.parent, os.W_OK):
            raise DataError(f"{path.parent} cannot be written to: allow it, or take another folder")

"""Runs a firmware in its board's emulator, with the console here."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import IO

from edgebert.errors import EdgebertError
from edgebert.firmware.boards import Board, boards
from edgebert.firmware.build import Image, make_command
from edgebert.firmware.toolchain import need

_END = b"\x04"  # Ctrl-D: apps that end do so at it
_PROMPT = b"\n> "  # what an app that asks for the next line says


def need_emulator(board: Board) -> None:
    """Raise EdgebertError if a board has no emulator, or that is not installed."""
    if not board.run:
        emulated = ", ".join(name for name, other in boards().items() if other.run)
        raise EdgebertError(
            f"{board.folder} has no emulator: flash it (edgebert flash), or take one that has: "
            f"{emulated}"
        )
    need(board, emulator=True)


def run_emulator(image: Image) -> int:
    """Start it; return its exit status.

    At a terminal, Ctrl-A X ends it. Otherwise standard input is the console's, and its end ends
    the emulator when all lines are answered.
    """
    if sys.stdin is not None and sys.stdin.isatty():
        return subprocess.run(_command(image, "mon:stdio")).returncode
    return _run_piped(_command(image, "stdio"))


def _command(image: Image, serial: str) -> list[str]:
    """What `make run` would run, but the file: that is no longer where make had put it."""
    with tempfile.TemporaryDirectory(prefix="edgebert-") as name:
        folder = Path(name)
        (folder / "input.ebm").touch()  # the Makefile wants a model whatever it does
        command = make_command(image.board, image.app, folder, f"SERIAL={serial}", "command")
        words = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
        elf = f"{folder.as_posix()}/firmware.elf"
        return [str(image.files["elf"]) if word == elf else word for word in words.split()]


def _run_piped(command: list[str]) -> int:
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, bufsize=0) as process:
        assert process.stdin and process.stdout
        console = _Console()
        threading.Thread(target=console.feed, args=(process.stdin,), daemon=True).start()
        try:
            while chunk := process.stdout.read(4096):
                sys.stdout.buffer.write(chunk)
                sys.stdout.buffer.flush()
                if console.heard(chunk):
                    process.kill()
                    print()
                    return 0
        except BaseException:
            process.kill()
            raise
        return process.wait()


class _Console:
    """Standard input, line by line, and whether all of it is answered."""

    def __init__(self) -> None:
        self._ready = threading.Event()  # a UART that is not on yet loses what it gets
        self._lines: int | None = None  # that were sent, once all are
        self._prompts = 0
        self._tail = b""

    def feed(self, emulator: IO[bytes]) -> None:
        """Copy standard input to the emulator."""
        self._ready.wait()
        count = 0
        with contextlib.suppress(OSError, ValueError):  # it has ended, and its pipe with it
            for line in sys.stdin.buffer if sys.stdin else ():
                text = line.rstrip(b"\r\n").replace(b"\r", b"").replace(_END, b"")
                emulator.write(text + b"\n")
                count += 1
            self._lines = count
            emulator.write(_END)

    def heard(self, chunk: bytes) -> bool:
        """Take what the firmware said; True once it asks for a line that will not come."""
        text = self._tail + chunk
        self._prompts += text.count(_PROMPT)
        self._tail = text[-len(_PROMPT) + 1 :]
        if b"\n" in text:
            self._ready.set()
        return self._lines is not None and self._prompts > self._lines

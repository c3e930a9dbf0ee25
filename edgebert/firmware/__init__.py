"""Builds firmware_examples/ for a board, runs it in an emulator, flashes it.

What a board is stands in its ``board.toml``; how sources become an image, in the Makefile there.
This package finds the tools, counts the memory and talks to probes and drives.
"""

from __future__ import annotations

from pathlib import Path

from edgebert.errors import EdgebertError

_PACKAGE = Path(__file__).resolve().parent.parent


def sources() -> Path:
    """The folder firmware_examples/: a wheel carries it in the package, a checkout beside it."""
    for folder in (_PACKAGE, _PACKAGE.parent):
        if (folder / "firmware_examples" / "Makefile").is_file():
            return folder / "firmware_examples"
    raise EdgebertError("this installation lacks the firmware's sources: pip install edgebert anew")

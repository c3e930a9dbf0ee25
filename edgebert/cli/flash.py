"""``edgebert flash``: short for ``edgebert firmware flash``."""

from __future__ import annotations

from typing import Any

from edgebert.cli.firmware import add_flash, run

__all__ = ["add_parser", "run"]


def add_parser(subparsers: Any) -> None:
    """Add this command to the command line."""
    add_flash(subparsers, "flash")

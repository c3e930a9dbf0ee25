"""Types of options that several commands share."""

from __future__ import annotations

import argparse
from collections.abc import Callable

_MOST = 2**31 - 1


def integer(least: int, most: int = _MOST) -> Callable[[str], int]:
    """The type of an option that is a whole number in a range."""

    def parse(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = least - 1
        if not least <= value <= most:
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number, {least} to {most}")
        return value

    return parse

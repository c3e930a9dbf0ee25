"""The ``edgebert`` command. Each subcommand is one file here and one row of COMMANDS."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Sequence
from typing import Any

from edgebert.errors import EdgebertError, UsageError
from edgebert.version import __version__

COMMANDS = (
    "export",
    "infer",
    "eval",
    "bench",
    "inspect",
    "models",
    "train",
    "distill",
    "distill-embedding",
    "pretrain",
    "firmware",
    "flash",
)


def build_parser() -> argparse.ArgumentParser:
    """The parser of the whole command line."""
    parser = argparse.ArgumentParser(
        prog="edgebert",
        description="Understanding text on a small device: export, run and measure BERT models "
        "without an embedding table.",
        epilog="edgebert COMMAND --help shows each command's options and examples.",
    )
    parser.add_argument("--version", action="version", version=f"edgebert {__version__}")
    subparsers = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name in COMMANDS:
        _module(name).add_parser(subparsers)
    return parser


def _module(command: str) -> Any:
    return importlib.import_module(f"edgebert.cli.{command.replace('-', '_')}")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return 0 done, 1 failed with one line on stderr, 2 wrong usage."""
    if sys.stdout is None:  # closed by who started us: then nobody wants to read
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115
    # Arguments may hold bytes that are no UTF-8; printing them must not fail.
    sys.stdout.reconfigure(errors="replace")  # type: ignore[union-attr]
    args = build_parser().parse_args(argv)
    try:
        status: int = _module(args.command).run(args)
        sys.stdout.flush()
        return status
    except EdgebertError as error:
        print(f"edgebert: {error}", file=sys.stderr)
        return 2 if isinstance(error, UsageError) else 1
    except BrokenPipeError:  # the reader of our output (head, less) has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except OSError as error:
        name = f"{error.filename}: " if error.filename else ""
        print(f"edgebert: {name}{error.strerror or error}", file=sys.stderr)
    except KeyboardInterrupt:
        print("edgebert: interrupted", file=sys.stderr)
        return 130
    return 1

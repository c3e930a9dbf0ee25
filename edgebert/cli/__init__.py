"""The ``edgebert`` command. Each subcommand is one file here and one row of COMMANDS."""

from __future__ import annotations

import argparse
import contextlib
import importlib
import os
import re
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
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
    """Run the command line.

    Returns:
        0 done, 1 failed with one line on stderr, 2 wrong usage, 128 + N ended by signal N: 130 by
        Ctrl-C, 143 by SIGTERM. What it has written until then are whole files.
    """
    if sys.stdout is None:  # closed by who started us: then nobody wants to read
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115
    # Arguments may hold bytes that are no UTF-8; printing them must not fail.
    sys.stdout.reconfigure(errors="replace")  # type: ignore[union-attr]
    try:
        with _signals_interrupt():
            args = build_parser().parse_args(argv)
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
    except (MemoryError, RuntimeError) as error:  # the latter is PyTorch's
        reason = str(error).partition("\n")[0]
        if isinstance(error, RuntimeError) and not re.search("(allocate|out of) memory", reason):
            raise
        print(
            f"edgebert: out of memory: take a smaller model, fewer tokens or a smaller batch "
            f"({reason})",
            file=sys.stderr,
        )
    except KeyboardInterrupt as error:
        print("edgebert: interrupted", file=sys.stderr)
        return 128 + (error.args[0] if error.args else signal.SIGINT)
    return 1


@contextlib.contextmanager
def _signals_interrupt() -> Iterator[None]:
    """What asks us to end does so as Ctrl-C does: files that are half written are removed."""
    if threading.current_thread() is not threading.main_thread():  # which alone gets signals
        yield
        return

    def interrupt(number: int, _: Any) -> None:
        raise KeyboardInterrupt(number)

    asked = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
    # nohup has SIGHUP ignored, which it should stay
    ours = [number for number in asked if signal.getsignal(number) is signal.SIG_DFL]
    for number in ours:
        signal.signal(number, interrupt)
    try:
        yield
    finally:
        for number in ours:
            signal.signal(number, signal.SIG_DFL)

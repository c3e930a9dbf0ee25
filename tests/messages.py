"""What tests of messages share: tables of message -> cause, and files that are wrong."""

from __future__ import annotations

import contextlib
import re
import sys
import zipfile
from collections.abc import Callable, Iterable, Mapping
from importlib.abc import MetaPathFinder
from pathlib import Path
from typing import Any

import pytest

from edgebert.cli import main
from edgebert.errors import EdgebertError

Cause = Callable[[Path, pytest.MonkeyPatch], Any]
"""Does what a user did wrong, in an empty folder."""


def each(cases: Mapping[str, Cause]) -> Any:
    """Runs a test with each ``message`` and its ``cause``."""
    return pytest.mark.parametrize(("message", "cause"), cases.items(), ids=[*cases])


def check(message: str, cause: Cause, folder: Path, patch: pytest.MonkeyPatch) -> None:
    """Check that the cause raises an error of ours, one line that has the message."""
    with pytest.raises(EdgebertError, match=re.escape(message)) as error:
        cause(folder, patch)
    assert len(str(error.value).splitlines()) == 1


def run(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    """Status of a command line that fails, and what it said."""
    status = 2
    with contextlib.suppress(SystemExit):  # argparse's own way, with 2
        status = main(arguments)
    return status, capsys.readouterr().err


def file(path: Path, data: bytes | str) -> Path:
    """A file with its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return path


def zip_file(path: Path, *names: str, compression: int = zipfile.ZIP_STORED) -> Path:
    """A zip of small pickles, as torch.save and others write."""
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name in names:
            archive.writestr(name, b"\x80\x02}.")
    return path


def forget(patch: pytest.MonkeyPatch, names: Iterable[str]) -> None:
    """As if these modules had not been imported yet; what imports them anew is undone too."""
    for name in sorted(names, reverse=True):  # those within packages first
        package, _, own = name.rpartition(".")
        if own in getattr(sys.modules.get(package), "__dict__", {}):
            patch.delattr(sys.modules[package], own)
        patch.delitem(sys.modules, name)


def without(patch: pytest.MonkeyPatch, package: str, *importers: str) -> None:
    """As if a package was not installed, nor modules of ours imported yet that need it.

    Of these name all: one that imports another that is there already would be imported twice.
    """

    class Finder(MetaPathFinder):
        def find_spec(self, name: str, *_: Any) -> None:
            if name.split(".")[0] == package:
                raise ModuleNotFoundError(f"No module named {package!r}", name=package)

    forget(patch, [n for n in sys.modules if n in importers or n.split(".")[0] == package])
    patch.setattr(sys, "meta_path", [Finder(), *sys.meta_path])


def fail(error: BaseException) -> Callable[..., Any]:
    """A function that raises an error, whatever it is given."""

    def failing(*_: Any, **__: Any) -> Any:
        raise error

    return failing

"""What a figure was measured with; figures without it say little."""

from __future__ import annotations

import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version

from edgebert.bench import processor


def describe(*packages: str) -> str:
    """One line: processor, system, compiler, Python, and the versions of some packages."""
    parts = [processor(), platform.platform(terse=True), _compiler()]
    parts.append(f"Python {platform.python_version()}")
    for package in packages:
        try:
            parts.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            parts.append(f"no {package}")
    return ", ".join(parts)


def _compiler() -> str:
    return subprocess.run(
        ["cc", "--version"], capture_output=True, text=True, check=True
    ).stdout.splitlines()[0]

"""What a figure was measured with, without which it says little; and C programs to measure with."""

from __future__ import annotations

import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from edgebert.bench import processor

REPO = Path(__file__).resolve().parent.parent


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


def build_c(name: str, folder: Path) -> Path:
    """Compile a .c file of this folder with the library, optimised as in the wheel."""
    csrc, program = REPO / "csrc", folder / name
    sources = [REPO / "benchmarks" / f"{name}.c", *csrc.glob("*.c"), *csrc.glob("kernels/*.c")]
    flags = (csrc / "CFLAGS").read_text().split()
    includes = [f"-I{csrc}", f"-I{csrc / 'include'}"]
    subprocess.run(["cc", *flags, *includes, *sources, "-lm", "-o", program], check=True)
    return program

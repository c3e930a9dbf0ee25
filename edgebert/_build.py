"""Builds ``edgebert._native``: the C library of csrc/ bound through cffi in API mode.

The declarations are read from the public header itself, so that a function, a struct or a
constant is written down once. ``format.h`` is bound as well: the .ebm writer fills its structs.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from cffi import FFI

ROOT = Path(__file__).resolve().parent.parent
CSRC = ROOT / "csrc"
HEADERS = (CSRC / "include" / "edgebert.h", CSRC / "format.h")


def declarations(header: str) -> str:
    """What cffi's parser accepts of a C header: no preprocessor but integer constants."""
    header = re.sub(r"/\*.*?\*/", "", header, flags=re.S)
    lines = []
    for line in header.splitlines():
        if line.startswith("#"):
            constant = re.match(r"#define (\w+) +(0x[0-9A-Fa-f]+|\d+)u?$", line.rstrip())
            if constant:
                lines.append(f"#define {constant[1]} ...")
        elif not re.match(r'extern "C"|}$', line):
            lines.append(line)
    return "\n".join(lines)


def relative(path: Path) -> str:
    """Setuptools wants sources relative to the project, which is where it runs."""
    return os.path.relpath(path, ROOT).replace(os.sep, "/")


ffibuilder = FFI()
ffibuilder.cdef("\n".join(declarations(header.read_text()) for header in HEADERS))
ffibuilder.set_source(
    "edgebert._native",
    '#include "edgebert.h"\n#include "format.h"\n',
    sources=sorted(relative(path) for path in [*CSRC.glob("*.c"), *CSRC.glob("kernels/*.c")]),
    depends=sorted(relative(path) for path in [*CSRC.rglob("*.h"), CSRC / "CFLAGS"]),
    include_dirs=[relative(CSRC / "include"), relative(CSRC)],
    # Python's own flags may ask for debugging information: three quarters of a wheel's extension.
    extra_compile_args=[*(CSRC / "CFLAGS").read_text().split(), "-fvisibility=hidden", "-g0"],
    py_limited_api=True,
)

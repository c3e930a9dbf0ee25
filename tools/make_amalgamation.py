"""Writes the C library as one source file and its header.

    python tools/make_amalgamation.py -o out/amalgamation

The one file holds all instruction sets, each switched on for its own functions, and chooses at run
time as the library does. Some files include the same headers of kernels for different sets, and
some have functions of one name for themselves alone: the second such name gets that of its file.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CSRC = ROOT / "csrc"
FLAGS = (CSRC / "CFLAGS").read_text("utf-8").strip()
# Of kernels/, what is the same for all sets; the other headers there are compiled for each.
SHARED = ("kernels.h", "target.h", "murmur3.h")

INCLUDE = re.compile(r'^ *#include "(?:kernels/)?(\w+\.h)"\n', re.M)
COMMENT = re.compile(r"/\*.*?\*/", re.S)
MACRO = re.compile(r"^ *# *define (\w+)", re.M)
# Functions and constants of one file, types, and constants of an enum: all begin a line.
PRIVATE = (
    re.compile(r"^static [^=;{}()]*?(\w+)(?:\(|\[| =)", re.M),
    re.compile(r"^typedef [^{};]*?(\w+)(?:\s+__attribute__.*)?;", re.M),
    re.compile(r"^(?:typedef )?(?:struct|union) (\w+) \{", re.M),
    re.compile(r"^\} (\w+)(?: __attribute__.*)?;", re.M),
)
ENUM = re.compile(r"^enum \{(.*?)\}", re.M | re.S)

HEAD = f"""\
/* edgebert VERSION, the whole C library, written by tools/make_amalgamation.py of csrc/.
 *
 *     cc {FLAGS} -c edgebert.c
 *
 * C99. The flags are those of the library; none is needed. -DEB_NO_F32 leaves out float32
 * models, -DEB_LABELS_ONLY those with tags and those without labels, -DEB_NO_SIMD all instruction
 * sets but the processor's plain one.
 * SPDX-License-Identifier: Apache-2.0 */
#include "edgebert.h"
#if defined(__clang__) /* No set of instructions uses all that the sets share. */
#pragma clang diagnostic ignored "-Wunused-function"
#endif
"""


def is_shared(header: Path) -> bool:
    """Whether a header is the same wherever it is included."""
    return header.parent == CSRC or header.name in SHARED


def headers() -> dict[str, Path]:
    """Private headers by name: no two have the same."""
    return {path.name: path for path in [*CSRC.glob("*.h"), *CSRC.glob("kernels/*.h")]}


def shared_headers() -> Iterator[Path]:
    """All that are shared, each behind those that it includes."""
    known, done = headers(), {"edgebert.h"}

    def visit(name: str) -> Iterator[Path]:
        if name in done:
            return
        done.add(name)
        for needed in INCLUDE.findall(known[name].read_text("utf-8")):
            yield from visit(needed)
        yield known[name]

    for name, path in sorted(known.items()):
        if is_shared(path):
            yield from visit(name)


def expanded(path: Path) -> str:
    """A file with its own headers in place of their names, and without the shared ones."""
    known = headers()

    def content(match: re.Match[str]) -> str:
        header = known.get(match[1])
        return expanded(header) if header and not is_shared(header) else ""

    return INCLUDE.sub(content, path.read_text("utf-8"))


def private_names(text: str) -> set[str]:
    """What a file declares for itself alone."""
    code = COMMENT.sub("", text)
    names = {name for pattern in PRIVATE for name in pattern.findall(code)}
    for constants in ENUM.findall(code):
        names |= {constant.split("=")[0].strip() for constant in constants.split(",")}
    return names - {""}


def renamed(text: str, name: str, new_name: str) -> str:
    """The text with another name for a function or type; members of structs keep theirs."""
    if name.startswith("eb_"):
        return re.sub(rf"(?<![.\w])(?<!->){name}\b", new_name, text)
    # A plain word may be a variable elsewhere: only calls and members' values are of the function.
    return re.sub(rf"((?<![.\w])(?<!->)|\.\w+ = ){name}(?=\(|,)", rf"\1{new_name}", text)


def section(path: Path, text: str) -> str:
    """A file's part, headed by its name."""
    return f"\n/* {'-' * 8} {path.relative_to(ROOT).as_posix()} {'-' * 8} */\n{text}"


def amalgamation() -> str:
    """The text of edgebert.c."""
    header = (CSRC / "include" / "edgebert.h").read_text("utf-8")
    version = ".".join(re.findall(r"#define EB_VERSION_\w+ (\d+)", header))
    parts = [HEAD.replace("VERSION", version, 1)]
    parts += [section(path, INCLUDE.sub("", path.read_text("utf-8"))) for path in shared_headers()]
    taken: set[str] = set()
    for path in [*sorted(CSRC.glob("kernels/*.c")), *sorted(CSRC.glob("*.c"), reverse=True)]:
        text = expanded(path)
        names = private_names(text)
        for name in sorted(names & taken):
            text = renamed(text, name, f"{name}_in_{path.stem}")
        taken |= names
        macros = "".join(f"#undef {name}\n" for name in dict.fromkeys(MACRO.findall(text)))
        parts.append(section(path, text + macros))
    return "".join(parts)


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    default = Path("out/amalgamation")
    parser.add_argument("-o", "--output", type=Path, default=default, help="folder to write to")
    folder = parser.parse_args().output
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "edgebert.c").write_text(amalgamation(), "utf-8")
    header = (CSRC / "include" / "edgebert.h").read_text("utf-8")
    (folder / "edgebert.h").write_text(header, "utf-8")
    print(folder / "edgebert.c")


if __name__ == "__main__":
    main()

"""Makes a page of csrc/include/edgebert.h: ``python tools/c_api_page.py`` prints it.

The header is the C library's manual, and its comments are all that the page says. A block of it,
from one blank line to the next, becomes a heading with the names that it declares, its comment,
and the declarations; a comment that begins with dashes begins a section.
"""

from __future__ import annotations

import html
import re
from pathlib import Path

HEADER = Path(__file__).resolve().parent.parent / "csrc" / "include" / "edgebert.h"

_COMMENT = re.compile(r"/\*(.*?)\*/", re.S)
_SECTION = re.compile(r"\s*-{4} (.*?) -+\s*")
# What a block declares: a function, a type, a constant.
_NAMES = re.compile(
    r"^(?:const )?\w+ \*?(\w+)\(|^\} (\w+);|^typedef struct \w+ (\w+);|^#define (\w+) ", re.M
)
_PREPROCESSOR = re.compile(r"^#(?:if|ifdef|ifndef|endif|include|pragma)|^extern|^}$")


def page(header: str) -> str:
    """The page, in Markdown, of the header's text."""
    introduction, *blocks = re.split(r"\n{2,}", header.strip())
    # The first block ends in the include guard.
    parts = ["# C API", _text(_COMMENT.match(introduction)[1])]  # type: ignore[index]
    for block in _whole_comments(blocks):
        parts += _block(block)
    return "\n\n".join(parts) + "\n"


def names(block: str) -> list[str]:
    """What a block declares, in its order."""
    return [next(filter(None, match.groups())) for match in _NAMES.finditer(block)]


def _whole_comments(blocks: list[str]) -> list[str]:
    """The blocks, of which a blank line within a comment has made two, as one again."""
    whole: list[str] = []
    for block in blocks:
        if whole and whole[-1].count("/*") > whole[-1].count("*/"):
            whole[-1] += "\n\n" + block
        else:
            whole.append(block)
    return whole


def _block(block: str) -> list[str]:
    comment = _COMMENT.match(block)
    if comment and (section := _SECTION.match(comment[1])):
        heading = section[1][0].upper() + section[1][1:]
        text = _text(comment[1][section.end() :])
        return [f"## {heading}", *filter(None, [text]), *_block(block[comment.end() :].strip())]
    code = block[comment.end() :] if comment else block
    lines = [line for line in code.strip("\n").splitlines() if not _PREPROCESSOR.match(line)]
    declared = names(code)
    if not declared:
        return []
    heading = f"### {', '.join(f'`{name}`' for name in declared[:4])}{' …' * (len(declared) > 4)}"
    fence = "\n".join(["```c", *lines, "```"])
    return [heading, *([_text(comment[1])] if comment else []), fence]


def _text(comment: str) -> str:
    """A comment's text as Markdown, without its stars; backquoted or indented it is code."""
    lines = [re.sub(r"^\s*\* ?", "", line).rstrip() for line in comment.strip().splitlines()]
    return "\n".join(line if line.startswith("    ") else _escaped(line) for line in lines)


def _escaped(line: str) -> str:
    parts = line.split("`")
    parts[::2] = [re.sub(r"([*\[\]])", r"\\\1", html.escape(part, False)) for part in parts[::2]]
    return "`".join(parts)


if __name__ == "__main__":
    print(page(HEADER.read_text("utf-8")), end="")

"""What the documentation tells people to type: its code, taken from the Markdown."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from tests.conftest import REPO

PAGES = [
    REPO / "README.md",
    *sorted((REPO / "docs").glob("*.md")),
    REPO / "docs" / "demo" / "README.md",
    REPO / "firmware_examples" / "README.md",
    REPO / "models" / "README.md",
    REPO / "zephyr" / "samples" / "classify" / "README.md",
]
PROGRAMS = (
    "accelerate|apt|apt-get|cc|cmake|curl|dask|docker|echo|edgebert|gcc|git|head|make|npm|pip|pkg-config|pyocd|python3?|sudo|"
    "west"
)
# A command begins with a prompt, or with the name of a program and something that is no prose or C.
_COMMAND = re.compile(rf"(?:\$ )?((?:[A-Z_]+=\S+ )*(?:{PROGRAMS})(?: .*)?)$|\$ (.+)$")
_SHELLS = ("", "sh", "shell", "bash", "console", "text")


@dataclass(frozen=True)
class Block:
    """A code block.

    Attributes:
        page: the file's path in the repository.
        line: its first line, from 1.
        language: what stands behind the fence; "" for an indented block.
        text: what is in it, without indentation.
    """

    page: str
    line: int
    language: str
    text: str

    @property
    def name(self) -> str:
        """For the test's name."""
        return f"{self.page}:{self.line}"


@dataclass(frozen=True)
class Step:
    """A command, and what the documentation says that it prints ("" where it does not say)."""

    command: str
    output: str


def blocks(page: Path) -> list[Block]:
    """The code blocks of a page, fenced or indented."""
    found = []
    name = page.relative_to(REPO).as_posix()
    lines = page.read_text("utf-8").splitlines()
    i = 0
    while i < len(lines):
        start, language = i, None
        if fence := re.match(r"\s*```(\w*)", lines[i]):
            language = fence[1]
            while not re.match(r"\s*```\s*$", lines[i := i + 1]):
                pass
            text = lines[start + 1 : i]
        elif lines[i].startswith("    ") and (i == 0 or not lines[i - 1].strip()):
            language = ""
            while i + 1 < len(lines) and (lines[i + 1].startswith("    ") or not lines[i + 1]):
                i += 1
            text = lines[start : i + 1]
        if language is not None:
            indent = min(len(x) - len(x.lstrip()) for x in text if x.strip())
            stripped = "\n".join(line[indent:] for line in text).rstrip()
            found.append(Block(name, start + 1, language, stripped))
        i += 1
    return found


def steps(block: Block) -> list[Step]:
    """The commands of a block, with what stands below each that is no command."""
    if block.language not in _SHELLS:
        return []
    found: list[list[str]] = []
    for line in block.text.replace("\\\n", " ").splitlines():
        if match := _COMMAND.match(line):
            found.append([match[1] or match[2]])
        elif found and not line.startswith("#"):
            found[-1].append(line)
    return [Step(" ".join(command.split()), "\n".join(rest)) for command, *rest in found]


def spans(page: Path) -> list[str]:
    """What stands in backquotes within the text of a page."""
    text = re.sub(r"^\s*```.*?^\s*```", "", page.read_text("utf-8"), flags=re.M | re.S)
    return [" ".join(span.split()) for span in re.findall(r"(?<!`)`([^`]+)`(?!`)", text)]


def anchors(page: Path) -> set[str]:
    """Where links to parts of a page may lead: its headings, as GitHub names them."""
    text = re.sub(r"^```.*?^```", "", page.read_text("utf-8"), flags=re.M | re.S)
    headings = re.findall(r"^#+ (.+)$", text, re.M)
    return {re.sub(r"[^\w\- ]", "", h.lower()).replace(" ", "-") for h in headings}


def links(page: Path) -> list[str]:
    """The targets of a page's links."""
    return re.findall(r"\]\(([^)\s]+)\)", page.read_text("utf-8"))


def without_comment(command: str) -> str:
    """A command without what explains it."""
    return re.sub(r"\s+# .*", "", command)


BLOCKS = [block for page in PAGES for block in blocks(page)]
STEPS = [(block, step) for block in BLOCKS for step in steps(block)]

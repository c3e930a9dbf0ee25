"""What the documentation names is there: commands, options, targets, links, pages, functions."""

from __future__ import annotations

import argparse
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from edgebert.cli import build_parser
from tests.conftest import REPO
from tests.docs_commands import PAGES, STEPS, anchors, links, spans, without_comment


def edgebert_commands() -> list[str]:
    """Each command line of edgebert in a block, whether it is run or not, without shell syntax."""
    found = []
    for _, step in STEPS:
        for part in re.split(r" && | \| ", without_comment(step.command)):
            if match := re.match(r"(?:[A-Z_]+=\S+ )*edgebert (.*?)(?: > \S+)?$", part):
                found.append(match[1])
    return sorted(set(found))


@pytest.mark.parametrize("command", edgebert_commands())
def test_the_parser_takes_each_command(command: str) -> None:
    command = command.replace(" ...", " --data train.tsv --dev dev.tsv -o model.pt")
    command = re.sub(r"(--[a-z-]+) N\b", r"\1 1", command)
    if " U " in command:  # docs/accuracy.md abbreviates
        assert set(re.findall(r"--[a-z-]+", command)) <= known_options(command.split()[0])
    else:
        build_parser().parse_args(shlex.split(command))


def known_options(*command: str) -> set[str]:
    """The options of a subcommand, or of all of them."""
    found: set[str] = set()
    parsers = [(build_parser(), command)]
    while parsers:
        parser, left = parsers.pop()
        for action in parser._actions:
            found |= set(action.option_strings)
            if isinstance(action, argparse._SubParsersAction):
                for name, child in action.choices.items():
                    if not left or name == left[0]:
                        parsers.append((child, left[1:]))
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(REPO).as_posix())
def test_options_within_the_text_exist(page: Path) -> None:
    for span in spans(page):
        if match := re.match(r"edgebert ([a-z][a-z-]*)( [a-z]+)?", span):
            options = known_options(match[1])
            assert options != known_options("none"), f"no such command: {span}"
        elif re.match(r"--[a-z]", span) and span.split()[0] not in OTHERS_OPTIONS:
            options = known_options()
        else:
            continue
        for option in re.findall(r"(?<=\s)--[a-z][a-z-]*", f" {span}"):
            assert option in options, f"no such option: {span}"


# Options of other programs that the text mentions by themselves.
OTHERS_OPTIONS = {
    "--target=x86_64-pc-windows-msvc": "clang",
    "--trained": "python -m benchmarks.accuracy",
}


def test_the_makefile_has_what_the_documentation_makes() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (REPO / "Makefile").read_text("utf-8"), re.M))
    for page in PAGES[:1] + sorted((REPO / "docs").glob("*.md")):
        text = page.read_text("utf-8")
        for target in re.findall(r"(?:^    |`)make ([a-z][a-z-]*)\b(?!=)", text, re.M):
            assert target in targets, f"{page.name}: make {target}"


def _source(module: str) -> str:
    return (REPO / f"{module.replace('.', '/')}.py").read_text("utf-8")


@pytest.mark.parametrize(
    "command", sorted({s.command for _, s in STEPS if "python -m benchmarks." in s.command})
)
def test_options_of_measurements_exist(command: str) -> None:
    module = re.search(r"-m (benchmarks\.\w+)", command)
    assert module is not None
    source = _source(module[1])
    # One may take another's parser.
    source += "".join(map(_source, re.findall(r"from (benchmarks\.\w+) import", source)))
    own = command.split(" -- ")[0]
    for option in re.findall(r" (--[a-z-]+)", own):
        assert f'"{option}"' in source, f"{module[1]} has no {option}"


# ---- links ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(REPO).as_posix())
def test_links_lead_somewhere(page: Path) -> None:
    generated = {"c-api.md"}  # of csrc/include/edgebert.h, by `make docs`
    for link in links(page):
        path, _, anchor = link.partition("#")
        if ":" in path or path in generated:
            continue
        target = page.parent / path if path else page
        assert target.exists(), f"no such file: {link}"
        if anchor and target.suffix == ".md":
            assert anchor in anchors(target), f"no such heading: {link}"


def test_each_page_is_in_the_sites_navigation() -> None:
    navigation = (REPO / "mkdocs.yml").read_text("utf-8").split("\nnav:")[1]
    for page in (REPO / "docs").glob("*.md"):
        assert f": {page.name}\n" in navigation, f"mkdocs.yml has no {page.name}"


def test_the_page_of_the_c_api_has_all_of_the_header() -> None:
    tool = [sys.executable, str(REPO / "tools" / "c_api_page.py")]
    page = subprocess.run(tool, capture_output=True, text=True, check=True).stdout
    header = (REPO / "csrc" / "include" / "edgebert.h").read_text("utf-8")
    functions = re.findall(r"^\w[\w *]*\b(eb_\w+)\(", header, re.M)
    constants = re.findall(r"^#define (EB_\w+) ", header, re.M)
    assert len(functions) > 20 and len(constants) > 10
    for name in functions + constants:
        assert re.search(rf"^### .*`{name}`", page, re.M) or f"#define {name} " in page, name
    comments = re.findall(r"^/\* ([A-Z][^*]*?)\*/\n\w", header, re.M)
    for comment in comments:
        first = comment.split()[:4]
        assert " ".join(first) in " ".join(page.replace("\\", "").split()), comment

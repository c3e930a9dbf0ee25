"""The documentation is true: commands and Python run, errors are worded as it says.

Each block of commands runs in a folder of its own, in its order, on small stand-ins for its data.
"""

from __future__ import annotations

import ast
import glob
import io
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from edgebert.cli import main
from tests import stand_ins
from tests.conftest import REPO
from tests.docs_commands import BLOCKS, STEPS, Block, Step, without_comment

# What is not run here, and why.
NOT_RUN = {
    r"make (?!BOARD)": "CI runs it, or what it does is tested elsewhere",
    r"make BOARD": "tests/test_firmware.py builds and runs by this Makefile",
    r"pip install": "would change this environment",
    r"python3 -m venv": "would not be what the next commands run in",
    r"(sudo )?apt(-get)? install": "needs root, and changes this machine",
    r"npm install": "fetches; CI has it",
    r"(build/\S+/)?python3? -m benchmarks": "measures for minutes, on other data",
    r"python tools/make_unicode_tables.py": "writes a source file",
    r"cmake ": "tests/test_packaging.py builds and installs by it",
    r"cc .*app\.c": "tests/test_packaging.py and tests/test_amalgamation.py do",
    r"dask |python docs/examples/label_corpus": "tests/test_label_corpus.py has workers",
    r"python3 -m http.server": "serves until it is stopped",
    r"(cmake|cc) ": "tests/test_packaging.py builds in these ways",
    r"west ": "Zephyr itself is not installed (tests/test_packaging.py has a stub)",
    r"docs/demo/build.sh": "tests/test_web_demo.py builds the page",
    r"edgebert .*( U |DATA/)": "docs/accuracy.md: hours, on other data",
}
PYTHON_NOT_RUN = {
    "docs/format.md": "tests/test_format_doc.py runs it, with what it reads",
    "docs/many-machines.md": "tests/test_label_corpus.py runs the example that has these lines",
    "docs/training.md": "tests/test_train.py runs it, and exports what it made",
    "docs/tutorial.md": "runs behind the tutorial's commands",
}
# What commands get besides, to be short, and to touch no board.
TINY = (
    "--num-hidden-layers 1 --hidden-size 32 --num-attention-heads 2 --intermediate-size 32 "
    "--max-tokens 32 --threads 1"
)
SHORTER = {
    "train": f"--epochs 1 {TINY}",
    "distill": f"--epochs 1 {TINY}",
    "distill-embedding": f"--epochs 1 --lines 150 {TINY}",
    "pretrain": f"--steps 2 --batch-size 2 --tokens 16 --vocabulary 64 --eval-every 1 {TINY}",
    "bench": "--seconds 0.02",
    "flash": "--dry-run",
}
NEEDS_TORCH = ("train", "distill", "distill-embedding", "pretrain")
FIRMWARE = r"edgebert (firmware (build|run)|flash)"
TUTORIAL = "docs/tutorial.md"  # all of its blocks are one
FAQ = "docs/faq.md"  # all of its commands fail as it says

PYTHON = [block for block in BLOCKS if block.language == "python"]
RUN_PYTHON = [block for block in PYTHON if block.page not in PYTHON_NOT_RUN]


def reason_not_to_run(command: str) -> str:
    return next((why for what, why in NOT_RUN.items() if re.match(what, command)), "")


def scripts() -> list[tuple[str, list[Step]]]:
    """What is run in one go: a block, or the whole tutorial; what two blocks say, once."""
    found: dict[str, list[Step]] = {}
    for block, step in STEPS:
        if not reason_not_to_run(step.command) and not run_elsewhere(block, step):
            name = TUTORIAL if block.page == TUTORIAL else block.name
            found.setdefault(name, []).append(step)
    unique: dict[tuple[str, ...], str] = {}
    for name, steps_ in found.items():
        unique.setdefault(tuple(without_comment(step.command) for step in steps_), name)
    return [(name, found[name]) for name in unique.values()]


def run_elsewhere(block: Block, step: Step) -> bool:
    """Firmware takes 10 seconds to build: the tutorial's is, and the FAQ's."""
    makes_firmware = re.search(FIRMWARE, step.command) is not None
    return block.page == FAQ or (makes_firmware and block.page != TUTORIAL)


def words(command: str) -> list[str]:
    """A command without shell syntax as its arguments, with file names in place of patterns."""
    found = []
    for word in shlex.split(command):
        found += sorted(glob.glob(word)) if "*" in word else [word]
    return found


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("docs") / "checkout"
    folder.mkdir()
    stand_ins.make(folder)
    return folder


@pytest.fixture(scope="session")
def teachers(tmp_path_factory: pytest.TempPathFactory, template: Path) -> Path:
    """Larger models to learn from."""
    pytest.importorskip("torch", reason="needs torch: pip install 'edgebert[train]'")
    folder = tmp_path_factory.mktemp("teachers")
    stand_ins.make_teachers(folder, template / "vocab.txt")
    return folder


@pytest.fixture
def folder(template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with stand-ins, to be in."""
    copy = tmp_path / "checkout"
    shutil.copytree(template, copy, symlinks=True)
    programs = tmp_path / "bin"
    programs.mkdir()
    for name, module in (("edgebert", " -m edgebert"), ("python", "")):
        program = programs / name
        program.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)}{module} "$@"\n')
        program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("PYTHONPATH", str(REPO))
    monkeypatch.chdir(copy)
    return copy


@pytest.fixture
def _one_thread() -> Iterator[None]:
    """Training sets the number of PyTorch's threads for the whole process."""
    torch = sys.modules.get("torch")
    threads = torch.get_num_threads() if torch else 0
    yield
    if torch:
        torch.set_num_threads(threads)


def run(command: str) -> tuple[int, str, str]:
    """Status, output, errors. In this process where no shell is needed, to import torch once."""
    if not command.startswith("edgebert ") or re.search(r"[|><]", command):
        done = subprocess.run(["bash", "-c", command], capture_output=True, text=True)
        return done.returncode, done.stdout, done.stderr
    out, errors = io.TextIOWrapper(io.BytesIO(), "utf-8"), io.StringIO()
    status = -1
    with redirect_stdout(out), redirect_stderr(errors):
        try:
            status = main(words(command)[1:])
        except SystemExit as exit_:
            status = int(exit_.code or 0)
    out.seek(0)
    return status, out.read(), errors.getvalue()


def shorter(command: str, script: str) -> str:
    """The command with what makes it quick, and with what its ellipsis stands for."""
    command = without_comment(command).replace("FILE...", "out/model.ebm")
    command = command.replace(" ...", " --data train.tsv --dev dev.tsv -o model.pt")
    name = command.split()[1]
    if script == TUTORIAL and name == "train":  # from an encoder, and thus of its shape
        return f"{command} --epochs 1 --threads 1"
    return f"{command} {SHORTER[name]}" if name in SHORTER else command


@pytest.mark.parametrize(("name", "script"), scripts(), ids=[name for name, _ in scripts()])
@pytest.mark.usefixtures("_one_thread")
def test_the_commands_run(
    name: str, script: list[Step], folder: Path, request: pytest.FixtureRequest
) -> None:
    parts = [
        (part, step)
        for step in script
        for part in without_comment(step.command).split(" && ")
        if not reason_not_to_run(part)
    ]
    if any(re.match("edgebert export", part) for part, _ in parts):
        shutil.rmtree("out")  # what follows is of this export
    if any("--teacher" in part for part, _ in parts):
        shutil.copytree(request.getfixturevalue("teachers"), folder, dirs_exist_ok=True)
    for part, step in parts:
        skip_without(part)
        if re.match(r"edgebert firmware run", part):
            part = f"{part} </dev/null"
        if part.startswith("edgebert "):
            part = shorter(part, name)
        elif part.startswith("echo"):
            part = without_comment(part)
        status, out, errors = run(part)
        fails = re.search(r"^edgebert: ", step.output, re.M) is not None
        assert status == fails, f"{name}: {part}\n{out}\n{errors}"
        for line in step.output.splitlines():
            if line.startswith("edgebert: "):
                assert without_figures(line) in without_figures(errors), f"{name}: {part}"
    if name == TUTORIAL:
        for block in PYTHON:
            if block.page == TUTORIAL:
                execute(block, {})


def skip_without(command: str) -> None:
    """Skip, with what is not installed."""
    trains = command.split()[1] in NEEDS_TORCH or re.search(r"(infer|bench) .*\.pt\b", command)
    if trains and find_spec("torch") is None:
        pytest.skip("needs torch: pip install 'edgebert[train]'")
    if re.search(FIRMWARE, command) and not shutil.which("arm-none-eabi-gcc"):
        pytest.skip("needs the Debian package gcc-arm-none-eabi")
    if "firmware run" in command and not shutil.which("qemu-system-arm"):
        pytest.skip("needs the Debian package qemu-system-arm")


@pytest.mark.parametrize("block", RUN_PYTHON, ids=[block.name for block in RUN_PYTHON])
def test_the_python_runs(block: Block, folder: Path) -> None:
    (folder / "model.onnx").write_bytes((folder / "out" / "model.onnx").read_bytes())
    (folder / "model.tflite").write_bytes((folder / "out" / "model.tflite").read_bytes())
    execute(block, {"long_text": "a long text " * 99, "lines": stand_ins.SENTENCES})


def execute(block: Block, names: dict[str, Any]) -> None:
    """Run it, and compare each value with the one in the comment behind it."""
    exec(compile(block.text, block.name, "exec"), names)
    for line in block.text.splitlines():
        expression, _, comment = line.partition("  # ")
        with suppress(ValueError, SyntaxError):
            value = ast.literal_eval(comment)
            assert eval(expression, names) == value, f"{block.name}: {line}"


# ---- errors: docs/faq.md -------------------------------------------------------------------------

# For messages about a package or a program that is missing, as it is installed here.
HIDDEN = {
    "edgebert[onnx]": ["onnxruntime"],
    "edgebert[tflite]": ["ai_edge_litert", "tflite_runtime"],
    "edgebert[train]": ["torch"],
    "edgebert[eval]": ["tqdm"],
}
FAQ_STEPS = [step for block, step in STEPS if block.page == FAQ]


@pytest.mark.parametrize("step", FAQ_STEPS, ids=[step.command for step in FAQ_STEPS])
def test_an_error_is_worded_as_the_faq_says(
    step: Step, folder: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    if "my-bert" in step.command:
        shutil.copytree(request.getfixturevalue("teachers"), folder, dirs_exist_ok=True)
    stand_ins.make_mistakes(folder)
    expected = step.output.strip()
    assert expected.startswith("edgebert: ") and "\n" not in expected
    hidden = folder / "hidden"
    hidden.mkdir()
    for name in next((names for extra, names in HIDDEN.items() if extra in expected), []):
        (hidden / f"{name}.py").write_text(f"raise ModuleNotFoundError('hidden', name={name!r})\n")
    monkeypatch.setenv("PYTHONPATH", f"{hidden}{os.pathsep}{REPO}")
    if "is not installed" in expected:
        monkeypatch.setenv("PATH", only(folder, "edgebert", "make", "cc", "sh", "bash"))
    elif re.search("--drive|microbit", step.command) and not shutil.which("arm-none-eabi-gcc"):
        pytest.skip("needs the Debian package gcc-arm-none-eabi")
    done = subprocess.run(["bash", "-c", step.command], capture_output=True, text=True)
    assert without_figures(done.stderr.strip()) == without_figures(expected)
    assert (done.returncode > 0) == ("were cut" not in expected)


def without_figures(message: str) -> str:
    """Without what differs from one compiler, or processor, to another."""
    message = re.sub(r"(?<=unset it to use )\w+", "ISA", message)
    return re.sub(r"[0-9,]+(?= bytes of)", "N", message)


def only(folder: Path, *programs: str) -> str:
    """A PATH with these programs and no others."""
    path = folder / "only"
    path.mkdir()
    for program in programs:
        (path / program).symlink_to(shutil.which(program) or program)
    return str(path)


# ---- what is not run -----------------------------------------------------------------------------


@pytest.mark.parametrize("what", NOT_RUN)
def test_what_is_not_run_is_in_the_documentation(what: str) -> None:
    assert any(re.search(rf"(^|&& ){what}", step.command) for _, step in STEPS)


@pytest.mark.parametrize("why", [*NOT_RUN.values(), *PYTHON_NOT_RUN.values()])
def test_what_is_said_to_be_tested_elsewhere_is(why: str) -> None:
    for path in re.findall(r"tests/\w+\.py", why):
        assert (REPO / path).exists()

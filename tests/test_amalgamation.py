"""The C library as one file, for compilers that the C tests do not build it with.

Its answers are judged by tests/c, which runs tests of the library on it.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import edgebert
from tests.conftest import REPO

SMALL = REPO / "tests" / "data" / "small_i8.ebm"
WINDOWS = REPO / "tests" / "windows_stub"
WARNINGS = ("-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Wshadow", "-Werror")
ALONE = ("-DEB_NO_F32", "-DEB_LABELS_ONLY")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the file and its header are."""
    output = tmp_path_factory.mktemp("amalgamation")
    compile_with(sys.executable, REPO / "tools" / "make_amalgamation.py", "-o", output)
    return output


def compile_with(*command: str | Path) -> None:
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr


def need(tool: str, package: str) -> None:
    if shutil.which(tool) is None:
        pytest.skip(f"needs the Debian package {package}")


def test_it_is_one_file_and_the_public_header(folder: Path) -> None:
    assert {path.name for path in folder.iterdir()} == {"edgebert.c", "edgebert.h"}
    header = REPO / "csrc" / "include" / "edgebert.h"
    assert (folder / "edgebert.h").read_bytes() == header.read_bytes()
    own = [line for line in (folder / "edgebert.c").open() if line.startswith('#include "')]
    assert own == ['#include "edgebert.h"\n']


@pytest.mark.parametrize("options", [(), ALONE], ids=["whole", "least"])
def test_clang_has_no_warnings(folder: Path, options: tuple[str, ...]) -> None:
    need("clang", "clang")
    compile_with("clang", "-std=c99", *WARNINGS, *options, "-fsyntax-only", folder / "edgebert.c")


@pytest.mark.parametrize("options", [(), ALONE], ids=["whole", "least"])
@pytest.mark.parametrize("core", ["cortex-m0", "cortex-m4", "cortex-m55+nofp"])
def test_it_compiles_for_microcontrollers(
    folder: Path, tmp_path: Path, core: str, options: tuple[str, ...]
) -> None:
    need("arm-none-eabi-gcc", "gcc-arm-none-eabi libnewlib-arm-none-eabi")
    compiler = ("arm-none-eabi-gcc", "-mthumb", f"-mcpu={core}", "-std=c99", "-Os", *WARNINGS)
    compile_with(*compiler, *options, "-c", folder / "edgebert.c", "-o", tmp_path / "edgebert.o")


def test_it_needs_no_flag(folder: Path, tmp_path: Path) -> None:
    """Not even to optimise, with which assembly has more registers, above all beside floats'."""
    need("arm-none-eabi-gcc", "gcc-arm-none-eabi libnewlib-arm-none-eabi")
    compiler = ("arm-none-eabi-gcc", "-mthumb", "-mcpu=cortex-m4", "-mfloat-abi=hard")
    compile_with(*compiler, "-c", folder / "edgebert.c", "-o", tmp_path / "edgebert.o")


def test_compilers_without_extensions_of_gnu_take_it(folder: Path) -> None:
    """For Windows, where Clang says that it is Microsoft's compiler; with the headers it has no
    libc for played by a stub."""
    need("clang", "clang")
    target = ("--target=x86_64-pc-windows-msvc", "-fms-compatibility-version=19.40")
    dialect = ("-std=c11", "-ffreestanding", "-isystem", WINDOWS, "-Wgnu", "-Wvla", *WARNINGS)
    compile_with("clang", *target, *dialect, "-fsyntax-only", folder / "edgebert.c")


@pytest.mark.parametrize(
    "without", ["-fgnuc-version=0", "-DEB_NO_SIMD"], ids=["extensions of GNU", "instruction sets"]
)
def test_answers_are_the_same_without(folder: Path, tmp_path: Path, without: str) -> None:
    """The code that Microsoft's compiler gets, and that of the smallest build, on this machine."""
    need("clang", "clang")
    program = tmp_path / "classify"
    consumer = REPO / "tests" / "cmake" / "classify.c"
    flags = ("-O1", "-std=c11", without, f"-I{folder}")
    compile_with("clang", *flags, consumer, folder / "edgebert.c", "-o", program, "-lm")
    text = "film, unexpectedly!"
    answer = subprocess.run([program, SMALL, text], capture_output=True, text=True, check=True)
    bits = [f"{bits:08x}" for bits in edgebert.load(SMALL).logits([text])[0].view("u4")]
    assert answer.stdout.split() == bits


def test_mingw_makes_no_move_that_must_be_aligned(folder: Path, tmp_path: Path) -> None:
    """Its stack is not (csrc/kernels/target.h). Debian's compiler knows, so one is written here."""
    need("x86_64-w64-mingw32-gcc", "gcc-mingw-w64-x86-64")
    source, program = tmp_path / "source.c", tmp_path / "source.o"
    move = '__asm__("vmovaps %zmm17, 32(%rsp){%k1}");'
    source.write_text(f'#include "edgebert.c"\nvoid move(void);\nvoid move(void) {{ {move} }}\n')
    compile_with(
        "x86_64-w64-mingw32-gcc", "-O0", *WARNINGS, f"-I{folder}", "-c", source, "-o", program
    )
    code = subprocess.check_output(["x86_64-w64-mingw32-objdump", "-d", program], text=True)
    assert "vmovups %zmm17,0x20(%rsp){%k1}" in code
    assert not re.search(r"vmov(ap|dqa)", code)

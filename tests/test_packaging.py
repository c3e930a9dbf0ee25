"""The C library in someone else's build: CMake, an Arduino library, a Zephyr module."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

import edgebert
from tests.conftest import REPO

SMALL = REPO / "tests" / "data" / "small_i8.ebm"
CONSUMER = REPO / "tests" / "cmake"
EXAMPLE = REPO / "docs" / "examples" / "c"
MAKE_LIBRARY = (sys.executable, REPO / "tools" / "make_arduino_library.py")
ZEPHYR = REPO / "zephyr"
SAMPLE = ZEPHYR / "samples" / "classify"
ARDUINO_STUB = REPO / "tests" / "arduino_stub"
TEXT = "film,unexpectedly!"  # an emulator passes arguments on without spaces
CORTEX_M = ("arm-none-eabi-gcc", "-mthumb", "-mcpu=cortex-m4")
WARNINGS = ("-Wall", "-Wextra", "-Werror")
PACKAGES = {
    "cmake": "cmake",
    "g++": "g++",
    "nm": "binutils",
    "pkg-config": "pkg-config",
    "arm-none-eabi-gcc": "gcc-arm-none-eabi libnewlib-arm-none-eabi",
    "arm-none-eabi-g++": "gcc-arm-none-eabi libnewlib-arm-none-eabi",
    "qemu-system-arm": "qemu-system-arm",
    "readelf": "binutils",
    "x86_64-w64-mingw32-gcc": "gcc-mingw-w64-x86-64",
    "wine": "wine64 wine",
}


def need(*tools: str) -> None:
    """Skips the test where a tool is missing."""
    missing = [PACKAGES[tool] for tool in tools if shutil.which(tool) is None]
    if missing:
        pytest.skip(f"needs the Debian packages {' '.join(missing)}")


def run(*command: str | Path, text: str = "") -> str:
    done = subprocess.run(
        list(map(str, command)), input=text, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def cmake(source: Path, build: Path, *options: str) -> Path:
    """Configures and builds; returns the folder of the build."""
    need("cmake")
    run("cmake", "-S", source, "-B", build, *options)
    run("cmake", "--build", build, "--parallel", "2")
    return build


def logits(printed: str) -> list[int]:
    """The bits that the consumer printed."""
    return [int(line, 16) for line in printed.split()]


def example_answer() -> str:
    """What docs/examples/c/classify.c prints."""
    model = edgebert.load(SMALL)
    return "".join(
        f"{logit:+.3f} {label}\n"
        for logit, label in zip(model.logits([TEXT])[0], model.labels, strict=True)
    )


@pytest.fixture(scope="module")
def expected() -> list[int]:
    """The bits of the logits that the Python package gives."""
    return edgebert.load(SMALL).logits([TEXT])[0].view(np.uint32).tolist()


def test_add_subdirectory_builds_a_program_with_the_logits_of_the_package(
    tmp_path: Path, expected: list[int]
) -> None:
    program = cmake(CONSUMER, tmp_path) / "classify"
    assert logits(run(program, SMALL, TEXT)) == expected


@pytest.fixture(scope="module")
def prefix(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the library is installed, with all options, and moved to since."""
    options = ["-DEDGEBERT_NO_F32=ON", "-DEDGEBERT_LABELS_ONLY=ON"]
    options += ["-DEDGEBERT_NO_SIMD=ON", "-DEDGEBERT_ROWS=4", "-DEDGEBERT_COLUMNS=64"]
    folder = tmp_path_factory.mktemp("installed")
    cmake(REPO / "csrc", folder / "library", "-DCMAKE_BUILD_TYPE=MinSizeRel", *options)
    run("cmake", "--install", folder / "library", "--prefix", folder / "first")
    return (folder / "first").rename(folder / "prefix")


def test_installed_library_is_found_and_takes_options(
    tmp_path: Path, prefix: Path, expected: list[int]
) -> None:
    found = ("-DINSTALLED=ON", f"-DCMAKE_PREFIX_PATH={prefix}")
    program = cmake(CONSUMER, tmp_path, *found) / "classify"
    assert logits(run(program, SMALL, TEXT)) == expected
    for left_out in ("small.ebm", "small_tagging_i8.ebm"):
        command = [str(program), str(REPO / "tests" / "data" / left_out), TEXT]
        refused = subprocess.run(command, capture_output=True, text=True)
        assert refused.returncode == 1 and "needs a feature" in refused.stdout, left_out


def test_example_is_built_with_find_package(tmp_path: Path, prefix: Path) -> None:
    program = cmake(EXAMPLE, tmp_path, f"-DCMAKE_PREFIX_PATH={prefix}") / "classify"
    assert run(program, SMALL, TEXT) == example_answer()


def test_example_is_built_with_pkg_config(
    tmp_path: Path, prefix: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    need("pkg-config")
    monkeypatch.setenv("PKG_CONFIG_PATH", str(next(prefix.rglob("pkgconfig"))))
    flags = run("pkg-config", "--cflags", "--libs", "edgebert").split()
    run("cc", *WARNINGS, EXAMPLE / "classify.c", "-o", tmp_path / "classify", *flags)
    assert run(tmp_path / "classify", SMALL, TEXT) == example_answer()
    header = (REPO / "csrc" / "include" / "edgebert.h").read_text("utf-8")
    version = ".".join(re.findall(r"#define EB_VERSION_\w+ (\d+)", header))
    assert run("pkg-config", "--modversion", "edgebert").strip() == version


@pytest.fixture(scope="module")
def shared_prefix(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the shared library is installed."""
    folder = tmp_path_factory.mktemp("shared")
    release = "-DCMAKE_BUILD_TYPE=Release"
    cmake(REPO / "csrc", folder / "library", "-DBUILD_SHARED_LIBS=ON", release)
    run("cmake", "--install", folder / "library", "--prefix", folder / "prefix")
    return folder / "prefix"


def declared() -> list[str]:
    """The functions of the header."""
    header = (REPO / "csrc" / "include" / "edgebert.h").read_text("utf-8")
    return sorted(re.findall(r"^\w[\w *]*\b(eb_\w+)\(", header, re.M))


def test_shared_library_exports_the_header_alone(shared_prefix: Path) -> None:
    need("nm")
    library = next(shared_prefix.rglob("libedgebert.so"))
    symbols = run("nm", "--dynamic", "--defined-only", library).splitlines()
    assert sorted(line.split()[-1] for line in symbols) == declared()


def test_shared_library_has_the_version_in_its_name(shared_prefix: Path) -> None:
    need("readelf")
    major, minor = edgebert.__version__.split(".")[:2]
    library = next(shared_prefix.rglob("libedgebert.so"))
    dynamic = run("readelf", "--dynamic", "--wide", library)
    assert re.findall(r"soname: \[(.*)\]", dynamic) == [f"libedgebert.so.{major}.{minor}"]
    assert (library.parent / f"libedgebert.so.{major}.{minor}").is_file()


def test_example_is_built_with_the_shared_library(
    tmp_path: Path, shared_prefix: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    need("cmake", "pkg-config")
    program = cmake(EXAMPLE, tmp_path, f"-DCMAKE_PREFIX_PATH={shared_prefix}") / "classify"
    assert run(program, SMALL, TEXT) == example_answer()

    monkeypatch.setenv("PKG_CONFIG_PATH", str(next(shared_prefix.rglob("pkgconfig"))))
    flags = run("pkg-config", "--cflags", "--libs", "edgebert").split()
    program = tmp_path / "by_pkg_config"
    run("cc", *WARNINGS, EXAMPLE / "classify.c", "-o", program, *flags)
    library = next(shared_prefix.rglob("libedgebert.so"))
    monkeypatch.setenv("LD_LIBRARY_PATH", str(library.parent))
    assert run(program, SMALL, TEXT) == example_answer()
    monkeypatch.delenv("LD_LIBRARY_PATH")
    alone = subprocess.run([program, SMALL, TEXT], capture_output=True, text=True)
    assert library.name in alone.stderr, "it was linked with another library"


def test_windows_has_a_shared_library_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By MinGW-w64 and Wine."""
    need("cmake", "x86_64-w64-mingw32-gcc", "wine")
    windows = ["-DCMAKE_SYSTEM_NAME=Windows", "-DCMAKE_C_COMPILER=x86_64-w64-mingw32-gcc"]
    prefix = tmp_path / "prefix"
    options = ("-DBUILD_SHARED_LIBS=ON", "-DEDGEBERT_NO_SIMD=ON")
    cmake(REPO / "csrc", tmp_path / "library", *options, *windows)
    run("cmake", "--install", tmp_path / "library", "--prefix", prefix)
    [library] = (prefix / "bin").iterdir()
    major, minor = edgebert.__version__.split(".")[:2]
    assert library.name == f"libedgebert-{major}.{minor}.dll"
    names = run("x86_64-w64-mingw32-objdump", "-p", library).partition("Name Pointer] Table")[2]
    assert re.findall(r"^\t\[ *\d+\] .*?(\w+)$", names, re.M) == declared()

    program = cmake(EXAMPLE, tmp_path / "example", *windows, f"-DCMAKE_PREFIX_PATH={prefix}")
    monkeypatch.setenv("WINEDEBUG", "-all")
    monkeypatch.setenv("WINEDLLOVERRIDES", "winedbg.exe,mscoree,mshtml=")
    monkeypatch.setenv("WINEPATH", str(library.parent))
    assert run("wine", program / "classify.exe", SMALL, TEXT) == example_answer()


def test_toolchain_file_builds_a_program_for_a_microcontroller(
    tmp_path: Path, expected: list[int]
) -> None:
    need("cmake", "arm-none-eabi-gcc", "qemu-system-arm")
    toolchain = f"-DCMAKE_TOOLCHAIN_FILE={CONSUMER / 'cortex_m3.cmake'}"
    program = cmake(CONSUMER, tmp_path, toolchain, "-DCORTEX_M=ON") / "classify"
    semihosting = f"enable=on,target=native,arg=classify,arg={SMALL},arg={TEXT.replace(',', ',,')}"
    emulator = ["qemu-system-arm", "-M", "mps2-an385", "-display", "none", "-monitor", "none"]
    emulator += ["-serial", "none", "-semihosting-config", semihosting, "-kernel"]
    assert logits(run(*emulator, program)) == expected


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Arduino library's folder."""
    output = tmp_path_factory.mktemp("arduino")
    return Path(run(*MAKE_LIBRARY, "-m", SMALL, "-o", output).strip())


def test_arduino_properties_are_those_of_the_specification(library: Path) -> None:
    lines = (library / "library.properties").read_text("utf-8").splitlines()
    properties = dict(line.split("=", 1) for line in lines)
    required = {"name", "version", "author", "maintainer", "sentence", "paragraph", "category"}
    assert set(properties) == {*required, "url", "architectures", "includes"}
    assert all(properties.values())
    assert len(properties) == len(lines)
    assert properties["version"] == edgebert.__version__
    assert properties["category"] == "Data Processing", "one of the specification's"
    assert re.fullmatch("[a-zA-Z][a-zA-Z0-9_.-]{,62}", properties["name"])
    assert (library / "src" / properties["includes"]).is_file()


def test_arduino_layout_is_that_of_the_specification(library: Path) -> None:
    assert {path.name for path in library.iterdir()} == {
        "LICENSE",
        "examples",
        "library.properties",
        "src",
    }
    assert [path.name for path in library.rglob("*.ino")] == ["Classify.ino"]
    assert (library / "examples" / "Classify" / "Classify.ino").is_file()
    with zipfile.ZipFile(f"{library}-{edgebert.__version__}.zip") as archive:
        assert "edgebert/library.properties" in archive.namelist()


def test_arduino_library_has_all_sources(library: Path) -> None:
    csrc = REPO / "csrc"
    sources = {path.relative_to(csrc) for path in csrc.rglob("*.c")}
    sources -= {path.relative_to(csrc) for path in (csrc / "ports").iterdir()}  # of other runtimes
    assert {path.relative_to(library / "src") for path in library.rglob("*.c")} == sources


def test_arduino_example_answers(library: Path, tmp_path: Path) -> None:
    """Built as Arduino does, with src as the only folder of headers, and its core played."""
    need("g++")
    sources = [str(path) for path in (library / "src").rglob("*.c")]
    objects = []
    for source in sources:
        objects.append(tmp_path / f"{Path(source).stem}.o")
        run("cc", "-Os", f"-I{library}/src", *WARNINGS, "-c", source, "-o", objects[-1])
    sketch = library / "examples" / "Classify" / "Classify.ino"
    flags = ("-std=gnu++11", f"-I{library}/src", f"-I{ARDUINO_STUB}", "-include", "Arduino.h")
    run("g++", *flags, *WARNINGS, "-x", "c++", sketch, ARDUINO_STUB / "main.cpp", "-x", "none",
        *objects, "-o", tmp_path / "sketch")  # fmt: skip
    answer = run(tmp_path / "sketch", text=f"{TEXT}\n").splitlines()
    assert answer == ["edgebert: type a line", f"{edgebert.load(SMALL).infer(TEXT).label} 0 ms"]


def test_arduino_library_compiles_for_a_board(library: Path, tmp_path: Path) -> None:
    need("arm-none-eabi-gcc", "arm-none-eabi-g++")
    flags = ("-Os", f"-I{library}/src", *WARNINGS, "-c")
    for source in (library / "src").rglob("*.c"):
        run(*CORTEX_M, *flags, source, "-o", tmp_path / "object.o")
    sketch = library / "examples" / "Classify" / "Classify.ino"
    compiler = ("arm-none-eabi-g++", *CORTEX_M[1:], "-std=gnu++11", f"-I{ARDUINO_STUB}")
    run(
        *compiler, *flags, "-include", "Arduino.h", "-x", "c++", sketch, "-o", tmp_path / "sketch.o"
    )


def test_arduino_library_refuses_a_float_model(tmp_path: Path) -> None:
    command = [*MAKE_LIBRARY, "-m", REPO / "tests" / "data" / "small.ebm", "-o", tmp_path]
    refused = subprocess.run(list(map(str, command)), capture_output=True, text=True)
    assert refused.returncode == 1
    assert "--dtype i8" in refused.stderr
    assert not any(tmp_path.iterdir())


def test_zephyr_module_names_what_there_is() -> None:
    yaml = pytest.importorskip("yaml", reason="needs the PyPI package pyyaml")
    module = yaml.safe_load((ZEPHYR / "module.yml").read_text("utf-8"))
    assert set(module) == {"name", "build"}, "keys that Zephyr's modules may have"
    assert set(module["build"]) == {"cmake", "kconfig"}
    assert (REPO / module["build"]["cmake"] / "CMakeLists.txt").is_file()
    assert (REPO / module["build"]["kconfig"]).is_file()


def kconfig_defaults() -> dict[str, str]:
    """What zephyr/Kconfig gives each number; switches are off."""
    text = (ZEPHYR / "Kconfig").read_text("utf-8")
    symbols = re.findall(r"^config (\w+)\n\t(bool|int) .*(?:\n\tdefault (\d+))?", text, re.M)
    return {f"CONFIG_{name}": default or "n" for name, _, default in symbols}


def test_zephyr_sources_ask_for_symbols_that_kconfig_has() -> None:
    asked = re.findall(r"CONFIG_EDGEBERT\w*", (ZEPHYR / "CMakeLists.txt").read_text("utf-8"))
    asked += re.findall(r"CONFIG_EDGEBERT\w*", (SAMPLE / "prj.conf").read_text("utf-8"))
    assert set(asked) == set(kconfig_defaults())


def test_zephyr_sample_answers(tmp_path: Path) -> None:
    """Zephyr itself is played by tests/zephyr_stub."""
    project = (SAMPLE / "prj.conf").read_text("utf-8")
    configuration = kconfig_defaults() | dict(re.findall(r"^(CONFIG_\w+)=(.*)$", project, re.M))
    options = [f"-D{name}={value}" for name, value in configuration.items()]
    stub = f"-DZephyr_DIR={REPO / 'tests' / 'zephyr_stub'}"
    program = cmake(SAMPLE, tmp_path, stub, f"-DMODEL={SMALL}", *options) / "app"
    answer = run(program, text=f"{TEXT}\n").splitlines()
    assert answer == ["edgebert: type a line", edgebert.load(SMALL).infer(TEXT).label]

"""Runs firmware_examples/Makefile, and counts what the image takes before anything is flashed."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgebert.engines import open_engine
from edgebert.engines.native import NativeEngine
from edgebert.errors import EdgebertError, ModelError, UsageError
from edgebert.files import replacing, write_atomically
from edgebert.firmware import sources
from edgebert.firmware.boards import Board, apps
from edgebert.firmware.fit import how_to_fit
from edgebert.firmware.toolchain import need, tool_prefix
from edgebert.firmware.uf2 import uf2_bytes

MAKE_AN_I8 = "`edgebert export model.pt -o out --to ebm --dtype i8` makes one"

_USED = re.compile(r"^ *(FLASH|RAM): +(\d+) (B|KB|MB|GB)", re.MULTILINE)
_UNITS = {"B": 1, "KB": 1 << 10, "MB": 1 << 20, "GB": 1 << 30}
_STACK = re.compile(r"^\.stack +0x[0-9a-f]+ +0x([0-9a-f]+)", re.MULTILINE)


@dataclass(frozen=True)
class Image:
    """A firmware that was linked.

    Attributes:
        board: which it is for.
        app: what it does.
        tokens: longest text, [CLS] and [SEP] included.
        flash: bytes by what takes them.
        ram: the same.
        files: ELF, binary, and what else the board's way of flashing takes, by suffix; none if it
            does not fit.
        refusal: why it does not fit and what would; empty if it does.
    """

    board: Board
    app: str
    tokens: int
    flash: dict[str, int]
    ram: dict[str, int]
    files: dict[str, Path]
    refusal: str


def open_integer_model(path: Path) -> NativeEngine:
    """Open an .ebm of integers, which alone the firmware runs; ModelError says how to make one."""
    if path.is_file() and path.suffix != ".ebm":
        raise ModelError(f"{path.name} is no .ebm, which firmware takes: {MAKE_AN_I8}")
    engine = open_engine(path)
    assert isinstance(engine, NativeEngine)
    if engine.model.dtype == "f32":
        raise ModelError(f"{path.name} is float32, firmware takes integers: {MAKE_AN_I8}")
    return engine


def build(board: Board, model: Path, app: str, tokens: int | None, output: Path) -> Image:
    """Compile and link; write ``APP-BOARD.elf`` and its like into ``output`` if it fits.

    Args:
        board: which to build for.
        model: an .ebm file of integers.
        app: a folder of firmware_examples/apps.
        tokens: longest text, [CLS] and [SEP] included; None: the board's, or the model's if less.
        output: folder to write to.

    Raises:
        ModelError: the model is damaged or not of integers.
        UsageError: there is no such app, or the model takes no texts of so many tokens.
        EdgebertError: a tool is missing, the compiler failed, the disk is full.
    """
    engine = open_integer_model(model)
    most = engine.config.max_position_embeddings
    if app not in apps():
        raise UsageError(f"no app {app!r}: there are {', '.join(apps())}")
    if tokens is not None and tokens > most:
        raise UsageError(f"{model} takes at most {most} tokens: --tokens {tokens} is more")
    need(board)
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise EdgebertError(f"cannot write to {output}: {error.strerror}") from error
    tokens = min(tokens or board.tokens, most)
    # Names that the user chose may hold spaces, which make does not take.
    with tempfile.TemporaryDirectory(prefix="edgebert-") as name:
        folder = Path(name)
        shutil.copyfile(model, folder / "input.ebm")
        log = _make(board, app, tokens, folder)
        flash, ram = _measure(engine, tokens, folder, log)
        used = {"FLASH": sum(flash.values()), "RAM": sum(ram.values())}
        refusal = ""
        if used["FLASH"] > board.flash_size or used["RAM"] > board.ram_size:
            refusal = how_to_fit(engine, board, used, lambda n: _memory(folder, n), tokens)
        elif not (folder / "firmware.bin").exists():
            raise EdgebertError(f"building failed: {_first_error(log)}")
        files = {} if refusal else _keep(folder, output, f"{app}-{board.folder}", board)
    return Image(board, app, tokens, flash, ram, files, refusal)


def make_command(board: Board, app: str, folder: Path, *arguments: str) -> list[str]:
    """A run of the Makefile that keeps all it makes in ``folder``."""
    place = folder.as_posix()
    return [
        *("make", "-s", f"-j{os.cpu_count() or 1}", "-C", str(sources())),
        *(f"BOARD={board.folder}", f"APP={app}", f"TOOLS={tool_prefix(board)}"),
        *(f"BUILD={place}", f"HOST_TOOLS={place}", f"HOST_MEMORY={place}/memory-of"),
        f"MODEL={place}/input.ebm",
        *arguments,
    ]


def _make(board: Board, app: str, tokens: int, folder: Path) -> str:
    """All that make and the compilers said."""
    command = make_command(board, app, folder, f"TOKENS={tokens}")
    started: list[subprocess.Popen[str]] = []

    def start() -> None:
        options: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
        # In a group of their own make and the compilers can be ended together.
        options |= {"text": True, "errors": "replace", "start_new_session": True}
        started.append(subprocess.Popen(command, **options))

    # Interrupts come to the main thread. In another one a start is whole, and known, or was not.
    with ThreadPoolExecutor(1) as pool:
        try:
            pool.submit(start).result()
            return started[0].communicate()[0]
        except BaseException:
            pool.shutdown()
            for process in started:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.communicate()
            raise


def _measure(
    engine: NativeEngine, tokens: int, folder: Path, log: str
) -> tuple[dict[str, int], dict[str, int]]:
    """Bytes of flash and of RAM by what takes them; the linker says so even of what is too large.

    Raises:
        EdgebertError: there was nothing to link.
    """
    used = {region: int(n) * _UNITS[unit] for region, n, unit in _USED.findall(log)}
    map_path = folder / "firmware.map"
    if "RAM" not in used or not map_path.exists():
        raise EdgebertError(f"building failed: {_first_error(log)}")
    stack = _STACK.search(map_path.read_text("utf-8", "replace"))
    stack_bytes = int(stack[1], 16) if stack else 0
    memory = int((folder / "memory").read_text())
    file_bytes, tokenizer_bytes = engine.model.file_size, len(engine.tokenizer.blob)
    flash = {
        "code and its tables": used["FLASH"] - file_bytes,
        "tokenizer": tokenizer_bytes,
        f"model weights ({engine.model.dtype})": file_bytes - tokenizer_bytes,
    }
    ram = {
        f"arena for {tokens} tokens, model handle": memory,
        "stack": stack_bytes,
        "buffers and variables": used["RAM"] - memory - stack_bytes,
    }
    return flash, ram


def _memory(folder: Path, tokens: int) -> int:
    """Bytes of arena and handle for texts of so many tokens, as the board's schedule needs them."""
    command = [str(folder / "memory-of"), str(folder / "input.ebm"), str(tokens)]
    return int(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)


def _first_error(log: str) -> str:
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    errors = [line for line in lines if "error" in line.lower() or "No space" in line]
    return (errors or lines or ["make said nothing"])[0]


def _keep(folder: Path, output: Path, name: str, board: Board) -> dict[str, Path]:
    files = {}
    for suffix in ("elf", "bin"):
        files[suffix] = output / f"{name}.{suffix}"
        with replacing(files[suffix]) as temporary:
            shutil.copyfile(folder / f"firmware.{suffix}", temporary)
    if board.flash_method == "uf2":
        image = (folder / "firmware.bin").read_bytes()
        files["uf2"] = output / f"{name}.uf2"
        write_atomically(files["uf2"], uf2_bytes(image, board.flash_origin, board.flash_family_id))
    return files

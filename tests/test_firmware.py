"""Firmware in emulators: the bytes of the host's logits, and a console that nothing upsets."""

from __future__ import annotations

import random
import re
import shutil
import subprocess
import threading
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

import edgebert
from edgebert._native import ffi, lib
from edgebert.cli import main
from edgebert.export.ebm import write_ebm
from edgebert.export.quantise import quantise
from edgebert.memory import aligned
from edgebert.native import NativeModel
from edgebert.tsv import read_tsv
from tests.conftest import REPO
from tests.models import SMALL_I8, random_spec

FIRMWARE = REPO / "firmware_examples"
SMALL = REPO / "tests" / "data" / "small_i8.ebm"
SENTENCES = read_tsv(REPO / "tests" / "data" / "sst2_dev_head.tsv").texts[:50]
STRANGE = ["", " \t ", "Ünï 日本語 \U0001f600 !", "x" * 120, "[MASK] [SEP]", "ﬁancée E\u0301"]
BROKEN_UTF8 = b"a\0 \xff \xc3( \xe2\x82 \xed\xa0\x80 \xf5\x90\x80\x80 a\xcc\x81"
MAX_ENTITIES = 12  # of the app intent
PACKAGES = {
    "arm-none-eabi-gcc": "gcc-arm-none-eabi",
    "riscv64-unknown-elf-gcc": "gcc-riscv64-unknown-elf",
    "qemu-system-arm": "qemu-system-arm",
    "qemu-system-riscv32": "qemu-system-misc",
}


@dataclass(frozen=True)
class Board:
    """What board.toml says of a board that an emulator runs."""

    name: str
    tools: str
    run: str
    tokens: int

    def make(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Runs make; skips the test where what that needs is not installed."""
        needed = [self.tools + "gcc", self.run.split()[0]]
        missing = [PACKAGES[name] for name in needed if shutil.which(name) is None]
        if missing:
            pytest.skip(f"needs the Debian packages {' '.join(missing)}")
        command = ["make", "-s", "-C", str(FIRMWARE), f"BOARD={self.name}", *arguments]
        return subprocess.run(command, capture_output=True, text=True)

    def build(self, app: str, model: Path, folder: Path, *options: str) -> list[str]:
        """Builds an app; returns the command that runs it, with its console at stdin and stdout."""
        arguments = [f"APP={app}", f"MODEL={model}", f"BUILD={folder}", "SERIAL=stdio", *options]
        built = self.make(*arguments)
        assert built.returncode == 0, built.stdout + built.stderr
        return self.make(*arguments, "command").stdout.split()


def emulated_boards() -> list[Board]:
    boards = []
    for path in sorted(FIRMWARE.glob("boards/*/board.toml")):
        values = dict(re.findall(r'^(\w+) = "?(.*?)"?$', path.read_text("utf-8"), re.MULTILINE))
        if "run" in values:
            tokens = int(values.get("tokens", "64"))
            boards.append(Board(path.parent.name, values["tools"], values["run"], tokens))
    return boards


BOARDS = {board.name: board for board in emulated_boards()}
each_board = pytest.mark.parametrize("board", BOARDS.values(), ids=BOARDS)


class Host:
    """The same C library here, with an arena for as many tokens."""

    def __init__(self, path: Path, tokens: int) -> None:
        self.model = NativeModel(path)
        config = lib.eb_model_config(self.model.handle)
        self.num_labels = config.num_labels
        self.tokens = min(tokens, config.max_position_embeddings)
        size = ffi.new("size_t *")
        assert lib.eb_arena_size(self.model.handle, self.tokens, size) == lib.EB_OK
        self.arena = aligned(size[0])

    def split(self, line: bytes) -> bytes:
        """The tokens of a line with spaces between them."""
        memory, ends = ffi.new("uint8_t[]", 1 << 16), ffi.new("uint32_t[]", self.tokens)
        tokens = ffi.new("eb_tokens *", [memory, len(memory), ends, len(ends)])
        text, types = ffi.from_buffer(line), ffi.new("uint8_t[]", self.tokens)
        whole = ffi.new("eb_text *", [ffi.cast("char *", text), len(line)])
        tokenizer = lib.eb_model_tokenizer(self.model.handle)
        status = lib.eb_sequence(tokenizer, whole, self.tokens, tokens, types, ffi.NULL)
        assert status == lib.EB_OK
        bounds = [0, *ends[0 : tokens.count]]
        return b" ".join(bytes(memory[a:b]) for a, b in pairwise(bounds))

    def logits(self, line: bytes) -> np.ndarray:
        """float32[num_labels]"""
        logits = np.empty(self.num_labels, np.float32)
        text = ffi.from_buffer(line)
        status = lib.eb_classify(
            self.model.handle,
            ffi.new("eb_text *", [ffi.cast("char *", text), len(line)]),
            ffi.from_buffer(self.arena),
            len(self.arena),
            ffi.from_buffer("float[]", logits),
            ffi.NULL,
            ffi.NULL,
        )
        assert status == lib.EB_OK
        return logits

    def label_and_score(self, line: bytes) -> list[bytes]:
        logits = self.logits(line)
        size = ffi.new("size_t *")
        label = lib.eb_model_label(self.model.handle, int(logits.argmax()), size)
        score = 1 / np.exp(logits - logits.max()).sum()
        return [bytes(ffi.buffer(label, size[0])), b"%.2f" % score]


@pytest.fixture(scope="session")
def uno(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("uno")
    checkpoint = str(REPO / "models" / "uno-sst2.pt")
    assert main(["export", checkpoint, "-o", str(folder), "--to", "ebm", "--dtype", "i8"]) == 0
    return folder / "uno-sst2-i8.ebm"


@pytest.fixture(scope="session")
def nano(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("nano")
    checkpoint = str(REPO / "models" / "nano-hwu64.pt")
    assert main(["export", checkpoint, "-o", str(folder), "--to", "ebm", "--dtype", "i4"]) == 0
    return folder / "nano-hwu64-i4.ebm"


def talk(command: list[str], console: bytes, last: bytes = b"") -> tuple[list[bytes], int]:
    """What a firmware prints until its end or the line behind ``last``, and its exit status."""
    lines: list[bytes] = []
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        watchdog = threading.Timer(300, process.kill)
        watchdog.start()
        assert process.stdin and process.stdout
        lines.append(process.stdout.readline())  # a UART that is not on yet loses what it gets
        process.stdin.write(console)
        process.stdin.flush()
        while lines[-1] and not (last and last in lines[:-1]):
            lines.append(process.stdout.readline())
        if lines[-1]:
            process.kill()
        status = process.wait()
        watchdog.cancel()
    return [line.removesuffix(b"\r\n") for line in lines], status


def check_bench(board: Board, model: Path, folder: Path, *options: str) -> None:
    """The app's tokens and logits are the host's, and memory is taken as it is said to be."""
    host = Host(model, board.tokens)
    command = board.build("bench", model, folder, *options)
    lines = [str(text).encode()[:250] for text in [*STRANGE, *SENTENCES]] + [BROKEN_UTF8]
    answers, status = talk(command, b"\n".join([*lines, b"\x04"]))
    assert status == 0, answers[-5:]
    printed: dict[bytes, list[bytes]] = {}
    for answer in answers:
        name, _, value = answer.partition(b" ")
        printed.setdefault(name, []).append(value)
    assert printed[b"tokens"] == [host.split(line) for line in lines]
    logits = [np.array([int(x, 16) for x in value.split()]) for value in printed[b"logits"]]
    for line, bits in zip(lines, logits, strict=True):
        np.testing.assert_array_equal(bits, host.logits(line).view(np.uint32), str(line))
    assert int(printed[b"arena"][0]) <= len(host.arena)
    assert int(printed[b"stack"][0]) < int(printed[b"stack_size"][0]) == 4096


@each_board
def test_a_board_gives_the_bytes_of_the_host(board: Board, tmp_path: Path) -> None:
    check_bench(board, SMALL, tmp_path)


@each_board
def test_a_trained_model_gives_the_bytes_of_the_host(
    board: Board, uno: Path, tmp_path: Path
) -> None:
    if board.name == "microbit":
        pytest.skip("256 KiB of flash do not hold UNO")
    check_bench(board, uno, tmp_path, "OPT=-O2")


@each_board
def test_no_bytes_on_the_console_upset_classify(board: Board, tmp_path: Path) -> None:
    noise = [b"", b"\x04", b"[CLS", b"\x08\x7f", b"long " * 2000, b"e" + b"\xcc\x81" * 120]
    noise += [BROKEN_UTF8, random.Random(4).randbytes(3000) + b"\r"]
    lines = [b"a gripping film", *noise, b"the end"]
    host = Host(SMALL, board.tokens)
    command = board.build("classify", SMALL, tmp_path)
    output, _ = talk(command, b"\n".join(lines) + b"\n", b"> the end\r\n")
    for line in (lines[0], lines[-1]):
        answer = output[output.index(b"> " + line) + 1].split()
        assert answer[:2] == host.label_and_score(line)
    assert any(line.startswith(b"line too long: ") for line in output)


@pytest.mark.parametrize("name", ["mps2-an386", "microbit", "riscv-virt"])
def test_spoken_commands_change_the_home(name: str, nano: Path, tmp_path: Path) -> None:
    commands = {
        b"turn the lights on": (b"iot_hue_lighton ", b": light 1 at 50, "),
        b"make it brighter please": (b"iot_hue_lightup ", b": light 1 at 75, "),
        b"turn the lights off in the kitchen": (b"iot_hue_lightoff ", b": light 0 at 75, "),
        b"what is the weather": (b"weather_query ", b": not mine to do"),
    }
    command = BOARDS[name].build("intent", nano, tmp_path)
    output, _ = talk(command, b"\n".join([*commands, b"end", b""]), b"> end\r\n")
    for said, (label, action) in commands.items():
        answer = output[output.index(b"> " + said) + 1]
        assert answer.startswith(label) and action in answer


@pytest.mark.parametrize("name", ["mps2-an385", "riscv-virt"])
def test_an_intent_comes_with_the_entities_of_the_host(name: str, tmp_path: Path) -> None:
    tags = ("O", "B-artist", "I-artist", "B-name of a song", "I-name of a song")
    lines = ["Ünï  日本語 😀 !", "x" * 120, *map(str, SENTENCES[:20])]
    lines = [" ".join(line.split(" ")[:18]) for line in lines]
    spec = random_spec(replace(SMALL_I8, tags=tags))
    write_ebm(quantise(spec, lines, "i8"), tmp_path / "model.ebm")
    results = edgebert.load(tmp_path / "model.ebm").infer(lines)
    sure = [result for result in results if result.score >= 0.5]
    found = {entity.type for result in sure for entity in result.entities}
    assert found == {tag[2:] for tag in tags[1:]}
    assert max(len(result.entities) for result in sure) > MAX_ENTITIES

    command = BOARDS[name].build("intent", tmp_path / "model.ebm", tmp_path)
    output, _ = talk(command, "\n".join([*lines, "end", ""]).encode(), b"> end\r\n")
    for line, result in zip(lines, results, strict=True):
        heading = f"{result.label} {result.score:.2f}: "
        expected = [f"{heading}please say it in other words"]
        if result.score >= 0.5:
            shown = [f"  {entity.type}: {entity.text}" for entity in result.entities]
            more = ["  and more"] * (len(shown) > MAX_ENTITIES)
            expected = [f"{heading}not mine to do", *shown[:MAX_ENTITIES], *more]
        answer = output[output.index(f"> {line}".encode()) + 1 :][: len(expected) + 1]
        assert [row.decode() for row in answer[:-1]] == expected
        assert answer[-1].startswith(b"> ")


@pytest.mark.parametrize("app", ["classify", "intent"])
def test_a_model_without_labels_is_refused(app: str, tmp_path: Path) -> None:
    spec = random_spec(replace(SMALL_I8, task="embedding", labels=()))
    write_ebm(quantise(spec, ["a text", "another"], "i8"), tmp_path / "model.ebm")
    command = BOARDS["mps2-an385"].build(app, tmp_path / "model.ebm", tmp_path)
    lines, status = talk(command, b"")
    assert (lines[0], status) == (b"the model has no labels, which this app prints", 2)


def test_code_image_and_ram_are_as_small_as_promised(uno: Path, tmp_path: Path) -> None:
    arguments = ["APP=classify", f"MODEL={uno}", f"BUILD={tmp_path}", "TOKENS=32", "size"]
    output = BOARDS["mps2-an386"].make(*arguments).stdout
    used = {region: int(number) for region, number in re.findall(r"(FLASH|RAM): +(\d+) B", output)}
    library = re.search(r"(\d+) +\d+ +(\d+)  csrc, all of it", output)
    assert library and int(library[1]) <= 24 * 1024 and int(library[2]) == 0
    assert used["FLASH"] <= 440_000
    assert used["RAM"] <= 24 * 1024


def test_a_whole_nano_fits_a_microbit(nano: Path, tmp_path: Path) -> None:
    output = BOARDS["microbit"].make("APP=classify", f"MODEL={nano}", f"BUILD={tmp_path}").stdout
    used = {region: int(number) for region, number in re.findall(r"(FLASH|RAM): +(\d+) B", output)}
    assert used["FLASH"] <= 110_000
    assert used["RAM"] <= 16 * 1024


def test_what_does_not_fit_is_refused(uno: Path, tmp_path: Path) -> None:
    too_large = BOARDS["microbit"].make(
        "APP=bench", f"MODEL={uno}", f"BUILD={tmp_path}", "TOKENS=4"
    )
    assert too_large.returncode and "will not fit in region `FLASH'" in too_large.stderr
    command = BOARDS["microbit"].build("bench", SMALL, tmp_path, "MEMORY=4000")
    lines, status = talk(command, b"")
    assert status == 2 and lines[0].endswith(b"build with more MEMORY or fewer TOKENS")


def test_the_makefile_reads_the_heads_where_the_header_has_them() -> None:
    makefile = (FIRMWARE / "Makefile").read_text("utf-8")
    found = re.search(r"od -A n -t x1 -j (\d+) -N 8", makefile)
    assert found
    config = ffi.offsetof("eb_file_header", "config")
    assert int(found[1]) == config + ffi.offsetof("eb_config", "num_labels")
    assert int(found[1]) + 4 == config + ffi.offsetof("eb_config", "num_tags")

"""``edgebert firmware``: what fits, what is missing, and what the emulator answers."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from edgebert.bench import linear_macs
from edgebert.config import HashParams
from edgebert.export.ebm import ebm_bytes, write_ebm
from edgebert.export.quantise import quantise
from edgebert.firmware import estimate, fit
from edgebert.firmware.boards import boards, find_board
from edgebert.firmware.build import open_integer_model
from edgebert.model import load
from tests.conftest import REPO
from tests.farm import SMALL, add_board, needs_arm, run
from tests.models import SMALL_I8, random_spec

needs_qemu = pytest.mark.skipif(
    shutil.which("qemu-system-arm") is None, reason="needs the Debian package qemu-system-arm"
)


def test_boards_are_listed_with_how_to_run_or_flash_them(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run("boards") == 0
    table = capsys.readouterr().out
    assert run("boards", "--json") == 0
    document = json.loads(capsys.readouterr().out)
    assert {"bench", "classify"} <= set(document["apps"])
    rows = {row["board"]: row for row in document["boards"]}
    assert rows["microbit"]["core"] == "Cortex-M0" and rows["microbit"]["ram_bytes"] == 16384
    assert rows["mps2-an386"]["emulator"] == "qemu-system-arm"
    for name, row in rows.items():
        assert name in table and (row["emulator"] or row["flash"]), name


@needs_arm
def test_what_an_image_takes_adds_up_to_what_the_linker_says(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "a folder"
    arguments = ("build", "--board", "microbit", "-m", SMALL, "--tokens", "12", "-o", out)
    assert run(*arguments, "--json") == 0
    document = json.loads(capsys.readouterr().out)
    assert document["tokens"] == 12 and document["refusal"] is None
    flash_used = sum(document["flash"]["used"].values())
    assert (out / "classify-microbit.bin").stat().st_size == flash_used
    assert sorted(os.listdir(out)) == ["classify-microbit.bin", "classify-microbit.elf"]
    assert document["ram"]["used"]["stack"] == 4096
    assert sum(document["ram"]["used"].values()) <= document["ram"]["size"] == 16384


@needs_arm
def test_a_model_in_the_wheel_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ("build", "--board", "microbit", "--app", "intent", "--tokens", "8", "-o", tmp_path)
    assert run(*arguments, "-m", "home") == 0
    assert sorted(os.listdir(tmp_path)) == ["intent-microbit.bin", "intent-microbit.elf"]
    assert run(*arguments, "-m", "hone") == 1
    assert "did you mean home?" in capsys.readouterr().err


@needs_arm
def test_the_longest_text_that_fits_is_found(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ("build", "--board", "microbit", "-m", SMALL, "-o", tmp_path, "--tokens")
    assert run(*arguments, "40") == 1
    captured = capsys.readouterr()
    assert "RAM used of 16,384" in captured.out
    assert not list(tmp_path.iterdir())
    assert captured.err.count("\n") == 1 and "would fit: --tokens " in captured.err
    tokens = int(captured.err.split("--tokens ")[1])
    assert run(*arguments, str(tokens)) == 0


@needs_arm
def test_a_model_too_large_for_the_flash_is_refused_with_what_fits(
    farm: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = replace(
        SMALL_I8,
        hidden_size=128,
        num_attention_heads=2,
        intermediate_size=256,
        max_position_embeddings=128,
        hash=HashParams(dimension=128),
    )
    texts = ["a few words", "and some more of them"]
    integers = quantise(random_spec(config, tokenizer="wordpiece"), texts, "i8")
    write_ebm(integers, tmp_path / "uno.ebm")
    arguments = ("-m", tmp_path / "uno.ebm", "-o", tmp_path / "out")
    add_board(farm, "little", flash_size=str(80 * 1024))
    assert run("build", "--board", "little", *arguments) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "edgebert: it does not fit little. flash: " in error
    assert "the nano preset (edgebert train --preset nano) with 4-bit weights" in error

    engine = open_integer_model(tmp_path / "uno.ebm")
    fitting = {room: fit._smaller_models(engine, room * 1024) for room in (320, 220, 44, 10)}
    assert [model.split("edgebert ")[1] for model in fitting[320]] == [
        "export --dtype i4)",
        "train --tokenizer word)",
        "train --preset nano)",
    ]
    assert [model.split(" (")[0] for model in fitting[220]] == ["the nano preset"]
    assert all(model.count(" with ") == 2 for model in fitting[44]) and not fitting[10]


def test_sizes_of_other_models_are_those_that_the_exporter_writes() -> None:
    spec = random_spec(SMALL_I8)
    texts = ["a few words", "and some more of them"]
    for dtype in ("i8", "i4"):
        written = ebm_bytes(quantise(spec, texts, dtype))
        others = len(written) - fit._weight_bytes(SMALL_I8, dtype)
        assert 0 < others < 3000  # header, labels and the list of tensors


def test_largest_tokens_is_the_last_that_fits() -> None:
    assert fit.largest_tokens(lambda n: 100 * n, 1234, 64) == 12
    assert fit.largest_tokens(lambda n: 100 * n, 1200, 64) == 12
    assert fit.largest_tokens(lambda n: 100 * n, 50, 64) == 0
    assert fit.largest_tokens(lambda n: 100 * n, 10**6, 64) == 63


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        (REPO / "tests" / "data" / "small.ebm", "is float32"),
        (REPO / "tests" / "data" / "tiny.pt", "is no .ebm"),
        (Path("absent.ebm"), "does not exist"),
    ],
)
def test_a_model_that_firmware_does_not_take_is_refused(
    model: Path, reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("build", "--board", "microbit", "-m", model) == 1
    error = capsys.readouterr().err
    assert reason in error and error.count("\n") == 1
    if model.exists():
        assert "--dtype i8" in error


@pytest.mark.parametrize(
    ("arguments", "known"),
    [
        (["--board", "toaster"], "microbit"),
        (["--board", "microbit", "--app", "toast"], "classify"),
        (["--board", "microbit", "--tokens", "4000"], "at most 40 tokens"),
    ],
)
def test_unknown_names_are_wrong_usage_and_the_known_are_named(
    arguments: list[str], known: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("build", "-m", SMALL, *arguments) == 2
    assert known in capsys.readouterr().err


def test_a_missing_toolchain_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", "")
    assert run("run", "--board", "mps2-an386", "-m", SMALL) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    for words in ("apt install gcc-arm-none-eabi", "brew install", "winget install", "qemu"):
        assert words in error
    assert run("boards") == 0
    assert "lacks riscv64-unknown-elf-gcc" in capsys.readouterr().out


@needs_arm
def test_a_folder_that_cannot_be_written_to_is_refused_at_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    output = tmp_path / "file" / "out"
    assert run("build", "--board", "mps2-an386", "-m", SMALL, "-o", output) == 1
    assert capsys.readouterr().err.startswith(f"edgebert: cannot write to {output}: ")


@needs_arm
def test_a_compiler_that_fails_is_quoted(
    farm: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (farm / "apps" / "classify" / "classify.c").write_text("#error out of order\n")
    assert run("build", "--board", "mps2-an386", "-m", SMALL, "-o", tmp_path) == 1
    error = capsys.readouterr().err
    assert "out of order" in error and error.count("\n") == 1


@needs_arm
@needs_qemu
def test_run_answers_each_line_and_ends_with_the_input(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "edgebert", "firmware", "run", "--board", "mps2-an386"]
    command += ["-m", str(SMALL), "-o", str(tmp_path)]
    lines = ["a gripping film", "", "> not a prompt", "last"]
    result = subprocess.run(
        command, input="\n".join(lines).encode(), capture_output=True, timeout=300, cwd=REPO
    )
    assert result.returncode == 0, result.stderr
    console = result.stdout.decode().split("edgebert: type a line\r\n")[1].split("\r\n")
    model = load(SMALL)
    for line in filter(None, lines):
        label, score, _ = console[console.index(f"> {line}") + 1].split()
        assert label == model.infer(line).label
        assert float(score) == pytest.approx(model.infer(line).score, abs=0.006)


@needs_arm
@needs_qemu
def test_run_ends_with_an_app_that_ends(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "edgebert", "firmware", "run", "--board", "mps2-an386"]
    command += ["-m", str(SMALL), "--app", "bench", "-o", str(tmp_path)]
    result = subprocess.run(command, input=b"text\n", capture_output=True, timeout=300, cwd=REPO)
    assert result.returncode == 0, result.stderr
    assert b"\nlogits " in result.stdout and b"\nstack_size 4096" in result.stdout


def test_a_board_without_emulator_says_which_has_one(
    farm: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    add_board(farm, "real", 'flash_method = "pyocd"', 'flash_target = "chip"', run='""')
    assert run("run", "--board", "real", "-m", SMALL) == 1
    assert "mps2-an386" in capsys.readouterr().err
    assert run("flash", "--board", "microbit", "-m", SMALL) == 1
    assert "firmware run --board microbit" in capsys.readouterr().err


def test_the_estimate_is_macs_times_instructions_at_the_board_s_clock() -> None:
    config = load(SMALL).config
    emulated = find_board("mps2-an386")
    speed = estimate.speeds()[emulated.core]
    macs = linear_macs(config, 16, 1)
    milliseconds = estimate.estimate_ms(config, emulated, 40)
    assert list(milliseconds) == [16]  # it is built for no 64 tokens
    assert milliseconds[16] == pytest.approx(macs * speed["instructions_per_mac"] / 1e6)
    real = replace(emulated, flash_method="pyocd", core_hz=100_000_000)
    assert estimate.estimate_ms(config, real, 40)[16] == pytest.approx(
        milliseconds[16] * 10 * speed["cycles_per_instruction"]
    )
    assert list(estimate.estimate_ms(config, real, 12)) == [12]
    assert estimate.estimate_ms(config, replace(real, core="Z80"), 40) == {}


def test_each_board_has_an_estimate() -> None:
    for board in boards().values():
        assert board.core in estimate.speeds(), f"python -m benchmarks.firmware_speed: {board}"


def test_an_end_of_input_inside_a_line_is_no_end(monkeypatch: pytest.MonkeyPatch) -> None:
    from edgebert.firmware.emulator import _Console

    sent = io.BytesIO()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"a\x04b\r\nc")))
    console = _Console()
    assert not console.heard(b"hello\r\n> ")
    console.feed(sent)
    assert sent.getvalue() == b"ab\nc\n\x04"
    assert not console.heard(b"ab\r\nlabel\r\n>")  # a prompt may come in two
    assert not console.heard(b" c\r\nlabel\r\n")
    assert console.heard(b"> ")

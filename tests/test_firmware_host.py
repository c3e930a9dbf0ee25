"""The firmware's apps on this computer: what Python answers, and no fault that valgrind sees."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

import edgebert
from tests.test_firmware import BROKEN_UTF8, FIRMWARE, SENTENCES, STRANGE

HOME = FIRMWARE.parent / "edgebert" / "data" / "home.ebm"
UNEXPECTED = [*(text.encode() for text in STRANGE), BROKEN_UTF8, b"x " * 500, b"\b\x7f\b"]


@pytest.fixture(scope="module")
def classify(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The app for this computer."""
    if shutil.which("cc") is None:
        pytest.skip("needs a C compiler")
    folder = tmp_path_factory.mktemp("host")
    make = ["make", "-s", "-C", str(FIRMWARE / "host"), "APP=classify", f"MODEL={HOME}"]
    subprocess.run([*make, f"BUILD={folder}"], check=True, stdout=subprocess.DEVNULL)
    return folder / "classify"


def said(command: list[str | Path], lines: list[bytes]) -> list[str]:
    """The answers; what was typed comes before each, as the app echoes it."""
    run = subprocess.run(command, input=b"\n".join([*lines, b""]), capture_output=True)
    assert run.returncode == 0, run.stderr.decode()
    return run.stdout.decode("utf-8", "replace").split("\r\n")


def test_it_answers_as_python_does(classify: Path) -> None:
    texts = [str(text)[:200] for text in SENTENCES[:10]]
    answers = said([classify], [text.encode() for text in texts])[2::2]
    labels = [result.label for result in edgebert.load(HOME).infer(texts)]
    assert [answer.split()[0] for answer in answers] == labels


def test_valgrind_sees_nothing_wrong(classify: Path) -> None:
    if shutil.which("valgrind") is None:
        pytest.skip("needs the Debian package valgrind")
    watch = ["valgrind", "-q", "--leak-check=full", "--error-exitcode=9"]
    answers = said([*watch, classify], [*UNEXPECTED, b"turn the light on"])
    assert "line too long: 512 bytes at most" in "".join(answers)
    assert answers[-2].startswith("iot_hue_lighton")

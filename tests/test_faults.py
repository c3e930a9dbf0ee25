"""Full disks, Ctrl-C at any moment, no memory: a clear line, and nothing that is half written."""

from __future__ import annotations

import errno
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from edgebert.cli import main
from edgebert.errors import EdgebertError
from edgebert.export.ebm import write_ebm
from edgebert.files import replacing, temporary_file
from edgebert.firmware import build
from tests.models import SMALL, random_spec

REPO = Path(__file__).parent.parent
CHECKPOINT = REPO / "models" / "nano-hwu64.pt"
EXPORT = ["export", str(CHECKPOINT), "--to", "onnx,ebm", "-o"]

Files = dict[str, bytes]


def files_of(folder: Path) -> Files:
    return {path.name: path.read_bytes() for path in folder.iterdir()} if folder.exists() else {}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Files:
    """What an export writes that nothing disturbs."""
    pytest.importorskip("onnx", reason="needs the package onnx")
    folder = tmp_path_factory.mktemp("whole")
    assert main([*EXPORT, str(folder)]) == 0
    return files_of(folder)


@pytest.fixture
def no_comparison(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runtimes take most of an export's time."""
    monkeypatch.setattr("edgebert.cli.export._compare", lambda *_: (None, None, ""))


def assert_only_whole_files(found: Files, whole: Files) -> None:
    assert set(found) <= set(whole)
    assert all(found[name] == whole[name] for name in found)


@contextmanager
def failing_writes(
    monkeypatch: pytest.MonkeyPatch, number: int, error: BaseException
) -> Iterator[None]:
    """The write or rename of this number, counted from 0, does half of its work and fails."""
    calls = 0

    def fails() -> bool:
        nonlocal calls
        calls += 1
        return calls == number + 1

    write, rename = Path.write_bytes, os.replace

    def write_bytes(path: Path, data: bytes) -> int:
        if not path.name.endswith(".tmp"):
            return write(path, data)
        failing = fails()
        size = write(path, data[: len(data) // 2] if failing else data)
        if failing:
            raise error
        return size

    def replace_(source: Any, target: Any) -> None:
        if fails():
            raise error
        rename(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", write_bytes)
        patch.setattr("edgebert.files.os.replace", replace_)
        yield


ERRORS = [errno.ENOSPC, errno.EROFS, errno.EACCES, errno.EIO]


@pytest.mark.usefixtures("no_comparison")
@pytest.mark.parametrize("number", range(4))  # two files, each of a write and a rename
@pytest.mark.parametrize("code", [*ERRORS, None])
def test_an_export_whose_writes_fail_leaves_whole_files_alone(
    whole: Files,
    number: int,
    code: int | None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    error = OSError(code, os.strerror(code)) if code else KeyboardInterrupt()
    with failing_writes(monkeypatch, number, error):
        status = main([*EXPORT, str(tmp_path)])
    reason = capsys.readouterr().err
    assert status == (1 if code else 130)
    assert reason.count("\n") == 1
    assert (f": {os.strerror(code)}" if code else "interrupted") in reason
    assert_only_whole_files(files_of(tmp_path), whole)
    assert len(files_of(tmp_path)) == number // 2
    assert main([*EXPORT, str(tmp_path)]) == 0
    assert files_of(tmp_path) == whole


@pytest.fixture(autouse=True)
def _signals_as_in_a_shell() -> Iterator[None]:
    """What runs in a script's background is started with SIGINT ignored."""
    with ExitStack() as stack:
        for number, handler in (
            (signal.SIGINT, signal.default_int_handler),
            (signal.SIGTERM, signal.SIG_DFL),
            (signal.SIGHUP, signal.SIG_DFL),
        ):
            stack.callback(signal.signal, number, signal.signal(number, handler))
        yield


class Moments:
    """Counts the lines that run in the package, and raises a signal at one of them.

    Where the signal would end this very process, as it should, SIGINT takes its place.
    """

    def __init__(self, at: int | None, number: int = signal.SIGINT) -> None:
        self.count = 0
        self.number = number
        self._at = at

    def __enter__(self) -> Moments:
        sys.settrace(self._call)
        return self

    def __exit__(self, *_: object) -> None:
        sys.settrace(None)

    def _call(self, frame: FrameType, event: str, _: Any) -> Any:
        name = frame.f_code.co_filename
        ours = "/edgebert/" in name or "/export/" in name
        # What Python calls at odd moments swallows all errors; this is none of our lines.
        return self._line if ours and frame.f_code.co_name != "__del__" else None

    def _line(self, frame: FrameType, event: str, _: Any) -> Any:
        if event == "line":
            self.count += 1
            if self.count == self._at:
                if signal.getsignal(self.number) is signal.SIG_DFL:
                    self.number = signal.SIGINT
                signal.raise_signal(self.number)
        return self._line


def moments_of(run: Callable[[], int], count: int) -> list[int]:
    """Line numbers in a run's time, from its first to its last."""
    with Moments(None) as moments:
        assert run() == 0
    return [1 + i * (moments.count - 1) // (count - 1) for i in range(count)]


@pytest.mark.usefixtures("no_comparison")
def test_an_export_may_be_interrupted_at_any_moment(
    whole: Files, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    last = tmp_path / "0"
    begun = 0
    for i, moment in enumerate(moments_of(lambda: main([*EXPORT, str(last)]), 24)):
        folder = tmp_path / str(i + 1)
        number = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)[i % 3]
        capsys.readouterr()
        with Moments(moment, number) as moments:
            try:
                status = main([*EXPORT, str(folder)])
            except KeyboardInterrupt:  # before main's first lines, or after its last
                status = 130
        assert status in (0, 128 + moments.number)
        if status:
            assert capsys.readouterr().err in ("edgebert: interrupted\n", "")
            begun += bool(files_of(folder))
        assert_only_whole_files(files_of(folder), whole)
    assert begun  # some of them between two files
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_process_that_is_told_to_end_does_so(number: int, whole: Files, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "edgebert", *EXPORT, str(tmp_path / "out"), "--json"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL) as process:
        while not (tmp_path / "out").exists() and process.poll() is None:
            time.sleep(0.001)
        process.send_signal(number)
        assert process.stderr is not None
        assert process.stderr.read() in (b"edgebert: interrupted\n", b"")
    assert process.returncode in (128 + number, 0)
    assert_only_whole_files(files_of(tmp_path / "out"), whole)


def test_nohup_keeps_its_word() -> None:
    """A signal that was ignored when we started is ignored."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        assert main(["models", "--json"]) == 0
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_disk_that_is_full_indeed(tmp_path: Path) -> None:
    run = subprocess.run(
        [sys.executable, "-m", "edgebert", *EXPORT, str(tmp_path / "out")],
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000)),
        capture_output=True,
        text=True,
    )
    path = tmp_path / "out" / "nano-hwu64.onnx"
    assert (run.returncode, run.stderr) == (1, f"edgebert: cannot write {path}: File too large\n")
    assert files_of(path.parent) == {}


def test_a_folder_that_is_half_written_is_removed(tmp_path: Path) -> None:
    with (
        pytest.raises(EdgebertError, match=r"cannot write .*teacher: No space left on device"),
        replacing(tmp_path / "teacher") as folder,
    ):
        folder.mkdir()
        (folder / "model.safetensors").write_bytes(b"half")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert not files_of(tmp_path)


def test_no_room_for_a_temporary_file(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, data: bytes) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "write_bytes", full)
    with (
        pytest.raises(EdgebertError, match="No space left on device; TMPDIR names another folder"),
        temporary_file(b"model", ".ebm"),
    ):
        pass


def test_compilers_end_with_the_build_that_is_interrupted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else they would write on into a folder that is being removed."""
    compiler = tmp_path / "compiler"
    command = ["sh", "-c", f"sh -c 'echo $$ > {compiler}; exec sleep 600' & wait"]
    monkeypatch.setattr(build, "make_command", lambda *_: command)

    def interrupt() -> None:
        while not (compiler.exists() and compiler.read_text()):
            time.sleep(0.001)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt).start()
    with pytest.raises(KeyboardInterrupt):
        build._make(None, "app", 16, tmp_path)  # type: ignore[arg-type]
    status = Path("/proc", compiler.read_text().strip(), "stat")
    for _ in range(6000):  # to die, too, takes its turn on a busy machine
        if not status.exists() or ") Z " in status.read_text():
            return
        time.sleep(0.01)
    pytest.fail("the compiler still runs")


LONG = replace(SMALL, max_position_embeddings=40_000)
# Memory for all but the arena of 40,000 tokens; the second argument: threads, or none.
NO_MEMORY = """
import resource, sys, edgebert
model = edgebert.load(sys.argv[1], threads=int(sys.argv[2]) or None)
size = model._engine.model.arena_size(40_000)
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + size // 2, -1))
try:
    model.infer(["a text"] * 40)
except (edgebert.EdgebertError, RuntimeError) as error:  # RuntimeError: no memory for a thread
    print(type(error).__name__, error)
"""


@pytest.mark.parametrize("threads", [0, 64])
def test_no_memory_for_an_arena_is_an_error(threads: int, tmp_path: Path) -> None:
    write_ebm(random_spec(LONG), tmp_path / "m.ebm")
    command = [sys.executable, "-c", NO_MEMORY, str(tmp_path / "m.ebm"), str(threads)]
    run = subprocess.run(command, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    if threads:
        assert "no memory for an arena of" in run.stdout or "can't start new thread" in run.stdout
    else:
        assert run.stdout.startswith("EdgebertError no memory for an arena of")
        assert "which 40000 tokens take: use fewer threads, int8, or a model" in run.stdout


@pytest.mark.parametrize(
    "error",
    [
        MemoryError("Unable to allocate 7 GiB for an array"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: 7 GiB\nmore lines"),
        RuntimeError("CUDA out of memory."),
    ],
)
def test_no_memory_is_one_line(
    error: Exception, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: Any) -> None:
        raise error

    monkeypatch.setattr("edgebert.cli.models.run", fail)
    assert main(["models"]) == 1
    said = capsys.readouterr().err
    assert said.startswith("edgebert: out of memory: take a smaller model, fewer tokens or")
    assert said.count("\n") == 1 and str(error).splitlines()[0] in said


def test_a_bug_is_not_taken_for_a_lack_of_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> None:
        raise RuntimeError("memory format is not supported")

    monkeypatch.setattr("edgebert.cli.models.run", fail)
    with pytest.raises(RuntimeError):
        main(["models"])


CONFIG = ["--preset", "nano", "--num-hidden-layers", "1", "--tokenizer", "word", "--threads", "1"]


def trainings(folder: Path) -> dict[str, list[str]]:
    """Command lines that train something small; without -o."""
    rows = [f"the {color} door\t{color in ('red', 'pink')}" for color in ("red", "blue", "pink")]
    data = folder / "data.tsv"
    data.write_text("\n".join(["text\tlabel", *rows * 8]) + "\n")
    texts = folder / "texts.txt"
    texts.write_text("\n".join(row.split("\t")[0] for row in rows * 40))
    common = ["--data", str(data), "--dev", str(data), *CONFIG, "--epochs", "2"]
    pretrain = ["pretrain", str(texts), *CONFIG, "--steps", "6", "--eval-every", "2"]
    return {
        "train": ["train", *common],
        "distill": ["distill", *common, "--teacher", str(folder / "teacher.pt")],
        "pretrain": pretrain,
    }


@pytest.fixture(scope="module")
def training(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    pytest.importorskip("torch", reason="training needs torch: pip install 'edgebert[train]'")
    folder = tmp_path_factory.mktemp("training")
    commands = trainings(folder)
    assert main([*commands["train"], "-o", str(folder / "teacher.pt")]) == 0
    return commands


@pytest.mark.parametrize("command", ["train", "distill", "pretrain"])
def test_training_may_be_interrupted_at_any_moment(
    command: str, training: dict[str, list[str]], tmp_path: Path
) -> None:
    from tests.test_train import assert_same, weights

    def run(folder: Path) -> int:
        return main([*training[command], "-o", str(folder / "m.pt")])

    whole = tmp_path / "whole"
    whole.mkdir()
    for i, moment in enumerate(moments_of(lambda: run(whole), 8)):
        folder = tmp_path / str(i)
        folder.mkdir()
        with Moments(moment, (signal.SIGINT, signal.SIGTERM)[i % 2]) as moments:
            try:
                status = run(folder)
            except KeyboardInterrupt:
                status = 130
        assert status in (0, 128 + moments.number)
        assert set(files_of(folder)) <= {*files_of(whole), "m.pt.resume"}
        assert run(folder) == 0  # goes on where it was
        assert set(files_of(folder)) == set(files_of(whole))
        assert_same(weights(folder / "m.pt"), weights(whole / "m.pt"))

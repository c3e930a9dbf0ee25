"""The command line: what each command prints, its JSON, its errors and its exit status."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path

import pytest

from edgebert.cli import COMMANDS, main
from edgebert.cli.export import _compare
from edgebert.cli.output import print_table
from edgebert.export.checkpoint import Probe, read_checkpoint
from edgebert.export.ebm import write_ebm
from edgebert.model import load
from tests.conftest import REPO
from tests.models import random_spec

LONG = "word " * 50


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("cli") / "small.ebm"
    write_ebm(random_spec(), path)
    return str(path)


def test_infer_prints_label_score_and_text(model: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["infer", "-m", model, "one", "two three"]) == 0
    lines = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    assert [line[2] for line in lines] == ["one", "two three"]
    assert all(line[0] in ("no", "maybe", "yes") and 0 < float(line[1]) <= 1 for line in lines)


def test_infer_json_is_one_document(model: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["infer", "-m", model, "--json", "one", LONG]) == 0
    captured = capsys.readouterr()
    document = json.loads(captured.out)
    assert document["engine"] == "native"
    assert [result["text"] for result in document["results"]] == ["one", LONG]
    assert document["results"][1]["num_dropped"] == 32
    assert "1 text(s) longer than the model's 20 tokens" in captured.err


def test_infer_reads_files_pipes_and_pairs(
    model: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lines = [f"text {i}\tpair {i}" for i in range(300)]
    (tmp_path / "texts").write_text("\n".join(lines) + "\n")
    assert main(["infer", "-m", model, "--pairs", "-f", str(tmp_path / "texts")]) == 0
    from_file = capsys.readouterr().out
    assert len(from_file.splitlines()) == 300
    stdin = io.TextIOWrapper(io.BytesIO("\n".join(lines).encode()))
    monkeypatch.setattr(sys, "stdin", stdin)
    assert main(["infer", "-m", model, "--pairs", "-"]) == 0
    assert capsys.readouterr().out == from_file


def test_infer_survives_bytes_that_are_no_text(model: str, tmp_path: Path) -> None:
    (tmp_path / "bytes").write_bytes(b"\xff\xfe\0broken \xc3\n\n\xed\xa0\x80")
    command = [sys.executable, "-m", "edgebert", "infer", "-m", model]
    for arguments in (["-f", str(tmp_path / "bytes")], [b"\xff not utf-8"]):
        result = subprocess.run([*command, *arguments], capture_output=True)
        assert result.returncode == 0, result.stderr


def test_infer_takes_off_what_windows_editors_add(
    model: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    data = b"\xef\xbb\xbfone\r\ntwo\r\n"
    (tmp_path / "texts").write_bytes(data)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data), newline="\n"))
    for source in (["-f", str(tmp_path / "texts")], ["-"]):
        assert main(["infer", "-m", model, *source]) == 0
        lines = capsys.readouterr().out.split("\n")
        assert [line.split("\t")[-1] for line in lines] == ["one", "two", ""]


def test_a_stride_reads_what_would_be_cut(model: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["infer", "-m", model, "--stride", "4", LONG]) == 0
    assert not capsys.readouterr().err


def test_inspect_tells_config_sizes_and_arena(
    model: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["inspect", model]) == 0
    assert "max_position_embeddings  20" in capsys.readouterr().out
    assert main(["inspect", model, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["bytes"] == Path(model).stat().st_size
    assert document["hash"]["family"] == "poly" and document["tokenizer"]["kind"] == "word"
    assert list(document["arena_bytes"]) == ["16"]


def test_eval_prints_one_table_over_all_files(
    model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = tmp_path / "dev.tsv"
    data.write_text("text\tlabel\n" + "".join(f"text {i}\tyes\n" for i in range(9)))
    assert main(["eval", model, model, "--data", str(data)]) == 0
    assert capsys.readouterr().out.count("small.ebm") == 2
    assert main(["eval", model, "--data", str(data), "--json"]) == 0
    (report,) = json.loads(capsys.readouterr().out)
    assert report["examples"] == 9 and 0 <= report["metrics"]["accuracy"] <= 1


def test_eval_goes_on_without_a_file_that_cannot_be_run(
    model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, broken = tmp_path / "dev.tsv", tmp_path / "broken.ebm"
    data.write_text("text\tlabel\na text\tyes\n")
    broken.write_bytes(b"no model")
    assert main(["eval", str(broken), model, "--data", str(data)]) == 1
    captured = capsys.readouterr()
    assert captured.err.startswith("edgebert: broken.ebm: ") and captured.err.count("\n") == 1
    assert "small.ebm" in captured.out


def test_eval_shows_names_that_look_like_markup_and_says_what_was_cut(
    model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    named = tmp_path / "m[bold]:smile:[" / "x].ebm"
    named.parent.mkdir()
    named.write_bytes(Path(model).read_bytes())
    data = tmp_path / "dev.tsv"
    data.write_text(f"text\tlabel\n{LONG}\tyes\nshort\tyes\n")
    assert main(["eval", str(named), "--data", str(data)]) == 0
    captured = capsys.readouterr()
    assert str(named) in captured.out
    assert captured.err == f"edgebert: {named}: 1 texts longer than the model's limit were cut\n"


def test_formats_may_be_repeated_and_have_spaces(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    checkpoint = str(REPO / "tests" / "data" / "tiny.pt")
    main(["export", checkpoint, "-o", str(tmp_path), "--to", "ebm, onnx,ebm", "--json"])
    paths = [artifact["path"] for artifact in json.loads(capsys.readouterr().out)]
    assert paths == [str(tmp_path / "tiny.ebm"), str(tmp_path / "tiny.onnx")]


def test_a_folder_keeps_its_whole_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    checkpoint = read_checkpoint(REPO / "tests" / "data" / "tiny.pt")
    folder = tmp_path / "bert-v1.5"
    folder.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("edgebert.export.checkpoint.read_checkpoint", lambda path: checkpoint)
        main(["export", str(folder), "-o", str(tmp_path / "out"), "--to", "ebm", "--json"])
    (artifact,) = json.loads(capsys.readouterr().out)
    assert artifact["path"] == str(tmp_path / "out" / "bert-v1.5.ebm")


def test_a_probe_of_two_texts_is_not_compared_as_a_pair(model: str) -> None:
    texts = ["one", "two three"]
    probe = Probe(tuple(texts), load(model).logits(texts))
    assert _compare(Path(model), probe, random_spec()) == (0.0, None, "")


@pytest.mark.parametrize(
    ("redirection", "status", "message"),
    [
        ("<&-", 1, "standard input is closed: give texts, or -f FILE"),
        (">&-", 0, ""),
        (">/dev/full", 1, "No space left"),
    ],
)
def test_closed_and_full_streams_give_no_traceback(
    redirection: str, status: int, message: str, model: str
) -> None:
    command = f"echo text | {{ {sys.executable} -m edgebert infer -m {model} - {redirection}; }}"
    result = subprocess.run(command, shell=True, capture_output=True, text=True)
    assert result.returncode == status
    assert message in result.stderr and len(result.stderr.splitlines()) == bool(message)


def test_it_starts_on_systems_without_fork_and_sighup(model: str) -> None:
    """Such as Windows."""
    code = "import os, signal, sys; del os.fork, os.register_at_fork, signal.SIGHUP;"
    code += "import edgebert.tflite, edgebert.cli; sys.exit(edgebert.cli.main(sys.argv[1:]))"
    command = [sys.executable, "-c", code, "infer", "-m", model, "a fine film"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["infer", "-m", "missing.ebm", "text"], "missing.ebm does not exist"),
        (["infer", "-m", "MODEL", "-f", "no-such-file"], "no-such-file: No such file"),
        (["infer", "-m", "MODEL", "--pairs", "no tab"], "--pairs wants text, TAB, second text"),
        (["infer", "-m", "MODEL", "--stride", "99", "text"], "stride must be 0 to 17"),
        (["inspect", "setup.py"], "setup.py has none of the known suffixes .ebm, .onnx"),
        (["eval", "MODEL", "--data", "missing.tsv"], "missing.tsv"),
        (["export", "missing.pt"], "missing.pt"),
        (["export", "tests/data/tiny.pt", "-o", "setup.py"], "setup.py is not a folder"),
        (["infer", "-m", "/dev/null", "text"], "/dev/null is not a file"),
    ],
)
def test_an_error_is_one_clear_line_and_status_1(
    arguments: list[str], message: str, model: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([model if a == "MODEL" else a for a in arguments]) == 1
    captured = capsys.readouterr()
    assert message in captured.err
    assert captured.err.startswith("edgebert: ") and len(captured.err.splitlines()) == 1
    assert not captured.out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["infer"], "give texts, or - for standard input, or -f FILE"),
        (["infer", "text", "-f", "file"], "give texts, or - for standard input, or -f FILE"),
        (["infer", "-", "text"], "give texts, or - for standard input, or -f FILE"),
        (["export", "missing.pt", "--to", "pdf"], "unknown 'pdf': --to takes onnx, tflite, ebm"),
    ],
)
def test_options_that_do_not_go_together_are_one_clear_line_and_status_2(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    captured = capsys.readouterr()
    assert message in captured.err and len(captured.err.splitlines()) == 1
    assert not captured.out


def test_wrong_usage_is_status_2() -> None:
    for arguments in ([], ["no-such-command"], ["infer", "--no-such-option"]):
        with pytest.raises(SystemExit) as exit_:
            main(arguments)
        assert exit_.value.code == 2


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_examples(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as exit_:
        main([command, "--help"])
    assert exit_.value.code == 0
    assert f"examples:\n  edgebert {command} " in capsys.readouterr().out


def test_a_reader_that_leaves_is_no_error(model: str, tmp_path: Path) -> None:
    (tmp_path / "many").write_text("text\n" * 20000)
    command = f"{sys.executable} -m edgebert infer -m {model} -f {tmp_path / 'many'} | head -1"
    result = subprocess.run(command, shell=True, capture_output=True)
    assert result.returncode == 0 and not result.stderr


def test_tables_are_plain_where_rich_is_not_installed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "rich", None)
    print_table(("file", "bytes"), [["a", "1"], ["b", "2"]])
    assert capsys.readouterr().out == "file\tbytes\na\t1\nb\t2\n"

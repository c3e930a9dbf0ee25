"""``edgebert bench``: what it measures, prints, draws and refuses."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

import edgebert.bench
from edgebert.bench import bench, made_text, take_turns
from edgebert.builtin import model_path
from edgebert.cli import main
from edgebert.engines import open_engine
from edgebert.export import write_model
from edgebert.tokenizer import Tokenizer
from tests.models import random_spec

QUICK = ["--seconds", "0.01"]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The same small model, which takes 20 tokens, as .ebm and .onnx."""
    folder = tmp_path_factory.mktemp("bench")
    paths = [folder / "small.ebm", folder / "small.onnx"]
    for path in paths:
        write_model(random_spec(), path)
    return list(map(str, paths))


@pytest.fixture
def dev(tmp_path: Path) -> str:
    path = tmp_path / "dev.tsv"
    path.write_text("text\tlabel\n" + "".join(f"text {i}\tyes\n" for i in range(9)))
    return str(path)


def run_json(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> Any:
    assert main(["bench", *arguments, *QUICK, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_json_holds_every_figure_of_every_file(
    files: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    document = run_json([*files, "--tokens", "4,16", "--batch", "3"], capsys)
    assert document["batch"] == 3 and document["threads"] == 1
    assert set(document["machine"]["packages"]) >= {"edgebert", "numpy", "onnxruntime"}
    assert [file["engine"] for file in document["files"]] == ["native", "onnx"]
    assert [file["dtype"] for file in document["files"]] == ["f32", "f32"]
    for path, file in zip(files, document["files"], strict=True):
        assert file["bytes"] == Path(path).stat().st_size
        assert 0 < file["load_us"] < 10_000_000
        cases = [(result["tokens"], result["input"]) for result in file["results"]]
        assert cases == [(4, "tokens"), (4, "text"), (16, "tokens"), (16, "text")]
        for result in file["results"]:
            us = result["us"]
            assert 0 < us["min"] <= us["p50"] <= us["p90"] <= us["p99"]
            assert result["texts_per_second"] == pytest.approx(3e6 / us["p50"])
            assert result["tokens_per_second"] == pytest.approx(
                result["tokens"] * result["texts_per_second"]
            )


def test_multiply_accumulates_are_those_of_all_products_with_weights(
    files: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """Every token meets each weight once; of the last layer it does keys' and values' alone."""
    spec = random_spec()
    each_token = each_text = 0
    for weight in (w for w in spec.weights if w.values.ndim == 2 and "embed" not in w.role):
        is_head = weight.role.startswith(("pooler", "classifier"))
        if not is_head and weight.layer < spec.config.num_hidden_layers - 1:
            each_token += weight.values.size
        elif weight.role == "qkv_weight":
            each_token += 2 * weight.values.size // 3
            each_text += weight.values.size // 3
        else:
            each_text += weight.values.size
    (file,) = run_json([*files[:1], "--tokens", "16", "--batch", "3"], capsys)["files"]
    for result in file["results"]:
        assert result["linear_macs_per_second"] == pytest.approx(
            result["tokens_per_second"] * each_token + result["texts_per_second"] * each_text
        )


def test_a_batch_of_a_files_texts_is_ragged_and_begins_again_at_its_end(
    files: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = tmp_path / "dev.tsv"
    data.write_text("text\tlabel\none\tyes\none two three\tno\n")
    for file in run_json([*files, "--data", str(data), "--batch", "5"], capsys)["files"]:
        for result in file["results"]:
            assert result["tokens"] == (3 + 5 + 3 + 5 + 3) / 5
            assert result["texts_per_second"] == pytest.approx(5e6 / result["us"]["p50"])
            assert result["tokens_per_second"] == pytest.approx(19e6 / result["us"]["p50"])
    (file, _) = run_json([*files, "--data", str(data)], capsys)["files"]
    assert {result["tokens"] for result in file["results"]} == {8}


def test_integer_models_are_measured_as_what_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    data = Path(__file__).parent / "data"
    names = [str(data / f"small_{dtype}.ebm") for dtype in ("i8", "i4")]
    assert [file["dtype"] for file in run_json(names, capsys)["files"]] == ["i8", "i4"]


def test_speed_is_relative_to_the_first_file(
    files: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = run_json([*files, "--tokens", "16"], capsys)["files"]
    for a, b in zip(first["results"], second["results"], strict=True):
        assert a["speed_to_first"] == 1
        assert b["speed_to_first"] == pytest.approx(a["us"]["p50"] / b["us"]["p50"])


def test_memory_is_the_arena_of_the_longest_text_and_all_that_the_engine_brings(
    files: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    native, onnx = run_json([*files, "--tokens", "16,4"], capsys)["files"]
    engine = open_engine(Path(files[0]))
    assert native["arena_bytes"] == engine.model.arena_size(16)  # type: ignore[attr-defined]
    assert onnx["arena_bytes"] is None and onnx["isa"] is None
    assert native["bytes"] < native["resident_bytes"] < 10_000_000 < onnx["resident_bytes"]


def test_without_a_file_it_measures_the_model_in_the_wheel(
    capsys: pytest.CaptureFixture[str],
) -> None:
    (file,) = run_json([], capsys)["files"]
    assert file["file"] == str(model_path(None))
    assert [result["tokens"] for result in file["results"]] == [8, 8, 32, 32, 128, 128]


def test_lengths_that_a_model_does_not_take_are_no_default(
    files: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    (file,) = run_json(files[:1], capsys)["files"]
    assert {result["tokens"] for result in file["results"]} == {8}


def test_a_text_is_measured_as_it_is(files: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    document = run_json([*files, "--text", "three words, two"], capsys)
    assert {r["tokens"] for file in document["files"] for r in file["results"]} == {6}


def test_the_table_names_machine_files_and_lengths(
    files: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["bench", *files, "--tokens", "16", *QUICK]) == 0
    out = capsys.readouterr().out
    assert "onnxruntime" in out and "threads: 1 at most" in out
    assert out.count(files[0]) == out.count(files[1]) == 3
    assert "tokens to logits" in out and "text to label" in out


def test_data_adds_accuracy_and_the_plot_draws_both(
    files: list[str], dev: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plot = tmp_path / "out.svg"
    document = run_json([*files, "--data", dev, "--plot", str(plot)], capsys)
    assert all(0 <= file["metrics"]["accuracy"] <= 1 for file in document["files"])
    text = "".join(ElementTree.parse(plot).getroot().itertext())
    for label in ("small.ebm (native), tokens to logits", "µs, median", "size and accuracy"):
        assert label in text


def test_a_plot_without_data_has_latency_alone(files: list[str], tmp_path: Path) -> None:
    plot = tmp_path / "out.svg"
    assert main(["bench", files[0], *QUICK, "--plot", str(plot)]) == 0
    text = "".join(ElementTree.parse(plot).getroot().itertext())
    assert "latency of 1 text" in text and "accuracy" not in text


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["missing.ebm"], 1, "missing.ebm does not exist"),
        (
            ["FILE", "--tokens", "8,21"],
            2,
            "at most 20 tokens, but was to be measured with 21",
        ),
        (["FILE", "--text", "word " * 19], 2, "takes at most 20 tokens"),
        (["FILE", "--plot", "out.png"], 2, "--plot writes SVG, so out.png should end in .svg"),
        (["FILE", "--plot", "no-folder/out.svg"], 1, "cannot write no-folder/out.svg"),
        (["FILE", "--data", "missing.tsv"], 1, "missing.tsv: cannot be read"),
    ],
)
def test_an_error_is_one_clear_line(
    arguments: list[str],
    status: int,
    message: str,
    files: list[str],
    capsys: pytest.CaptureFixture[str],
) -> None:
    arguments = [files[0] if argument == "FILE" else argument for argument in arguments]
    assert main(["bench", *arguments, *QUICK]) == status
    captured = capsys.readouterr()
    assert message in captured.err and len(captured.err.splitlines()) == 1
    assert not captured.out


@pytest.mark.parametrize(
    "arguments",
    [
        ["--tokens", "0"],
        ["--tokens", "1"],
        ["--tokens", "8,"],
        ["--tokens", "eight"],
        ["--tokens", "8", "--text", "a text"],
        ["--batch", "0"],
        ["--threads", "0"],
        ["--seconds", "0"],
        ["--seconds", "nan"],
    ],
)
def test_impossible_options_are_wrong_usage(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as exit_:
        main(["bench", *arguments])
    assert exit_.value.code == 2
    assert arguments[0] in capsys.readouterr().err


def test_no_matplotlib_is_told_before_anything_is_measured(
    files: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setattr(edgebert.bench, "measure", lambda *_: pytest.fail("measured"))
    assert main(["bench", files[0], "--plot", "out.svg"]) == 1
    assert "pip install 'edgebert[bench]'" in capsys.readouterr().err


def test_measuring_needs_no_extra(files: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("tqdm", "tqdm.auto", "rich", "matplotlib"):
        monkeypatch.setitem(sys.modules, name, None)
    assert main(["bench", files[0], *QUICK]) == 0


@pytest.mark.parametrize("tokenizer", [Tokenizer.word(), Tokenizer.wordpiece()])
def test_made_texts_have_the_tokens_asked_for(tokenizer: Tokenizer) -> None:
    for tokens in (2, 3, 8, 31, 128, 512):
        assert len(tokenizer.tokenize(made_text(tokenizer, tokens))) + 2 == tokens


def test_all_take_turns_and_only_their_own_time_counts() -> None:
    order: list[str] = []

    def call(name: str, seconds: float) -> None:
        order.append(name)
        time.sleep(seconds)

    quick, slow = take_turns([lambda: call("quick", 0.001), lambda: call("slow", 0.01)], 0.1)
    assert np.median(quick) < 8e6 < np.median(slow)
    turns = [name for i, name in enumerate(order) if i == 0 or order[i - 1] != name]
    assert turns == ["quick", "slow"] * (len(turns) // 2) and len(turns) >= 10


def test_threads_reach_onnx_runtime(files: list[str]) -> None:
    engine: Any = open_engine(Path(files[1]), 3)
    assert engine._session().get_session_options().intra_op_num_threads == 3


def test_progress_adds_up_to_the_time_measured(files: list[str]) -> None:
    seconds: list[float] = []
    bench([Path(files[0])], [4, 8], seconds=0.1, progress=seconds.append)
    assert 0.2 <= sum(seconds) < 2

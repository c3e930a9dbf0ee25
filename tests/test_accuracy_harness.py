"""benchmarks.accuracy: trains what is missing, scores artifacts, keeps its table."""

from __future__ import annotations

import lzma
from pathlib import Path

import pytest

from benchmarks import search
from benchmarks.accuracy import COLUMNS, MARK, main, summarise, write_into
from edgebert.cli import build_parser
from edgebert.cli.options import model_config
from edgebert.config import ModelConfig
from edgebert.plot import write_difference_plot
from edgebert.presets import PRESETS, num_parameters


def test_it_does_what_is_left_to_do(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("torch", reason="trains")
    pytest.importorskip("transformers", reason="trains")
    data, runs, page = tmp_path / "rte", tmp_path / "runs", tmp_path / "page.md"
    data.mkdir()
    for name in ("train", "dev"):
        lines = (f"a good day {i}\tit is good\tyes\nbad luck {i}\tgood\tno\n" for i in range(8))
        (data / f"{name}.tsv").write_text("text\ttext_b\tlabel\n" + "".join(lines))
    (data / "dev.tsv.xz").write_bytes(lzma.compress((data / "dev.tsv").read_bytes()))
    (data / "dev.tsv").unlink()
    kept = "| sst2 | accuracy | uno | i8 | 84.7 |  | 1 | 373,608 |\n"
    other = "| rte | accuracy | nano | i8 | 11.1 |  | 1 | 9 |\n"
    head = f"| {' | '.join(COLUMNS)} |\n|{' --- |' * len(COLUMNS)}\n"
    page.write_text(f"before\n<!-- {MARK} -->\n{head}{other}{kept}<!-- end -->\nafter\n")
    command = [str(tmp_path), "-o", str(runs), "--tasks", "rte", "--presets", "nano"]
    command += ["--seeds", "0,1", "--dtypes", "f32,i8", "--write", str(page)]
    training = ["--", "--epochs", "1", "--threads", "1"]
    main([*command, *training])
    checkpoint = runs / "rte-nano-seed0.pt"
    made = checkpoint.stat().st_mtime_ns
    (runs / "rte-nano-seed0-i8.json").unlink()
    main([*command, *training])
    assert checkpoint.stat().st_mtime_ns == made
    assert (runs / "rte-nano-seed0-i8.json").exists()
    rows = [line for line in page.read_text().splitlines() if "| rte |" in line]
    assert len(rows) == 2 and "| nano | f32 |" in rows[1] and " to " in rows[0]
    assert kept in page.read_text() and other not in page.read_text()
    distilled = tmp_path / "distilled"
    command = [str(tmp_path), "-o", str(distilled), "--tasks", "rte", "--presets", "nano"]
    command += ["--seeds", "2", "--dtypes", "f32"]
    main([*command, "--", "distill", "--teacher", str(checkpoint), *training[1:]])
    assert (distilled / "rte-nano-seed2.pt.teacher").exists()
    table = page.read_text()
    main([*command[:-4], "--seeds", "2,3", "--dtypes", "f32", "--trained", "--write", str(page)])
    assert page.read_text() != table and not (distilled / "rte-nano-seed3.pt").exists()
    assert page.read_text().startswith("before") and page.read_text().endswith("after\n")


def test_means_are_over_seeds() -> None:
    reports = [
        {"task": "sst2", "preset": "uno", "dtype": "i8", "metrics": {"accuracy": a}, "bytes": 9}
        for a in (0.80, 0.83)
    ]
    row = ["sst2", "accuracy", "uno", "i8", "81.5", "80.0 to 83.0", "2", "9"]
    assert summarise(reports) == [row]


def test_a_page_without_marks_is_left_alone(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("no marks\n")
    with pytest.raises(SystemExit, match="has no lines"):
        write_into(page, COLUMNS, [])
    assert page.read_text() == "no marks\n"


def test_variants_are_compared_with_the_same_seeds_of_uno(tmp_path: Path) -> None:
    values = {"uno": {0: 0.80, 1: 0.82, 2: 0.99}, "word": {0: 0.81, 1: 0.85}}
    reports = [
        {"task": "hwu64", "variant": v, "seed": s, "metrics": {"accuracy": a}, "bytes": 1000}
        for v, seeds in values.items()
        for s, a in seeds.items()
    ]
    rows = search.summarise(reports)
    assert rows[1] == ["hwu64", "word", "83.0", "81.0 to 85.0", "+2.0 ± 1.0", "2", "1,000"]
    assert rows[0][4] == ""
    assert search.differences(rows) == [("word", 2.0, 1.0)]
    pytest.importorskip("matplotlib", reason="draws")
    write_difference_plot(search.differences(rows), tmp_path / "a.svg", "points")
    assert ">word<" in (tmp_path / "a.svg").read_text()


@pytest.mark.parametrize("variant", search.VARIANTS)
def test_every_variant_is_a_model_that_int8_can_hold(variant: str) -> None:
    options = ["--data", "t.tsv", "--dev", "d.tsv", "-o", "m.pt", "--preset", "uno"]
    config = model_config(build_parser().parse_args(["train", *options, *search.VARIANTS[variant]]))
    config = ModelConfig.from_dict(config.to_dict())
    assert config.hidden_size // config.num_attention_heads % 16 == 0
    assert config.hidden_size % 16 == config.intermediate_size % 16 == 0
    assert num_parameters(config) < 1.25 * num_parameters(PRESETS["uno"])


def test_what_no_file_holds_is_trained_and_its_score_kept(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("torch", reason="trains")
    pytest.importorskip("transformers", reason="trains")
    from benchmarks import structure

    data = tmp_path / "sms_spam"
    data.mkdir()
    for name in ("train", "dev"):
        lines = (f"a good day {i}\tyes\nbad luck {i}\tno\n" for i in range(8))
        (data / f"{name}.tsv").write_text("text\tlabel\n" + "".join(lines))
    command = [str(tmp_path), "-o", str(tmp_path / "runs"), "--tasks", "sms_spam", "--seeds", "0"]
    structure.main([*command, "--", "--epochs", "1", "--threads", "1"])
    words = [line.split() for line in capsys.readouterr().out.splitlines()]
    rows = {row[1]: row for row in words if row[:1] == ["sms_spam"]}
    assert list(rows) == list(structure.VARIANTS)
    sizes = {name: int(row[-1].replace(",", "")) for name, row in rows.items()}
    weights = 4 * num_parameters(PRESETS["uno"])  # with two labels
    assert sizes["uno"] == weights
    assert sizes["scale"] == weights + 4 * 128 and sizes["projection"] == weights + 4 * 128 * 128
    for shared in ("shared-wide", "shared-deep"):
        assert abs(sizes[shared] - weights) < 0.01 * weights
    assert not list((tmp_path / "runs").glob("*.resume"))
    structure.main([*command, "--only", "uno,scale"])  # nothing is trained again
    assert "epoch" not in capsys.readouterr().out

"""benchmarks.accuracy: trains what is missing, scores artifacts, keeps its table."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.accuracy import BEGIN, END, main, summarise, write_into


def test_it_does_what_is_left_to_do(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("torch", reason="trains")
    pytest.importorskip("transformers", reason="trains")
    data, runs, page = tmp_path / "rte", tmp_path / "runs", tmp_path / "page.md"
    data.mkdir()
    for name in ("train", "dev"):
        lines = (f"a good day {i}\tit is good\tyes\nbad luck {i}\tgood\tno\n" for i in range(8))
        (data / f"{name}.tsv").write_text("text\ttext_b\tlabel\n" + "".join(lines))
    page.write_text(f"before\n{BEGIN}old\n{END}after\n")
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
    assert len(rows) == 2 and "| nano | i8 |" in rows[1] and " to " in rows[0]
    distilled = tmp_path / "distilled"
    command = [str(tmp_path), "-o", str(distilled), "--tasks", "rte", "--presets", "nano"]
    command += ["--seeds", "2", "--dtypes", "f32"]
    main([*command, "--", "distill", "--teacher", str(checkpoint), *training[1:]])
    assert (distilled / "rte-nano-seed2.pt.teacher").exists()
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
        write_into(page, [])
    assert page.read_text() == "no marks\n"

"""docs/examples/label_corpus.py on two workers: what it writes is what one process would."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import edgebert

pa = pytest.importorskip("pyarrow", reason="needs the package pyarrow")
pytest.importorskip("distributed", reason="needs the package distributed")
pq = pytest.importorskip("pyarrow.parquet")

EXAMPLE = Path(__file__).parent.parent / "docs" / "examples" / "label_corpus.py"
TEXTS = ["a gripping film", "tedious", "", 'quoted "words"', "ünïcode 日本語", "so\tso\r\nla la"]


def label(files: list[Path], output: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(EXAMPLE), *map(str, files), "-o", str(output), *options]
    return subprocess.run(command, capture_output=True, text=True, timeout=300)


@pytest.fixture(scope="module")
def parquet(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("corpus")
    for i in range(8):
        texts = [f"{text} {i}" for text in TEXTS] if i else []  # one has no row
        table = pa.table(
            {"id": pa.array(range(len(texts)), pa.int64()), "text": pa.array(texts, pa.string())}
        )
        pq.write_table(table, folder / f"part-{i}.parquet")
    return sorted(folder.iterdir())


def scores_of(texts: list[str]) -> tuple[list[str], list[Any]]:
    results = edgebert.load("home").infer(texts)
    scores = [pytest.approx(result.score, abs=1e-6) for result in results]
    return [result.label for result in results], scores


def test_two_workers_write_what_one_process_would(parquet: list[Path], tmp_path: Path) -> None:
    tsv = tmp_path / "more.tsv"
    tsv.write_text('text\tn\n"lights" on\t1\nplay jazz\t\n', "utf-8")
    output = tmp_path / "out"
    run = label([*parquet, tsv], output, "-m", "home")
    assert run.returncode == 0, run.stderr
    assert run.stdout == "9 files with 44 texts labelled by 2 workers, 0 were before, 0 failed\n"
    names = ["more.parquet", *(path.name for path in parquet)]
    assert [path.name for path in sorted(output.iterdir())] == names
    for path in parquet:
        before, after = pq.read_table(path), pq.read_table(output / path.name)
        assert after.select(["id", "text"]) == before
        found = after["label"].to_pylist(), after["score"].to_pylist()
        assert found == scores_of(before["text"].to_pylist())
    after = pq.read_table(output / "more.parquet").to_pydict()
    assert after["n"] == ["1", ""]
    assert (after["label"], after["score"]) == scores_of(['"lights" on', "play jazz"])


def test_what_is_labelled_is_left_and_what_fails_is_named(
    parquet: list[Path], tmp_path: Path
) -> None:
    broken = tmp_path / "broken.parquet"
    broken.write_bytes(b"PAR1")
    other = tmp_path / "other.tsv"
    other.write_text("review\nfine\n")
    (tmp_path / "out").mkdir()
    done = tmp_path / "out" / "part-1.tsv"
    done.write_text("of an earlier run")
    run = label([*parquet[1:3], broken, other], tmp_path / "out", "--to", "tsv")
    assert run.returncode == 1
    assert "1 files with 6 texts labelled by 1 workers, 1 were before, 2 failed" in run.stdout
    assert f"{broken}: " in run.stderr and f"{other}: {other}: has the columns" in run.stderr
    names = [path.name for path in sorted((tmp_path / "out").iterdir())]
    assert names == ["part-1.tsv", "part-2.tsv"]
    assert done.read_text() == "of an earlier run"
    rows = [line.split("\t") for line in (tmp_path / "out" / "part-2.tsv").read_text().splitlines()]
    assert rows[0] == ["id", "text", "label", "score"]
    assert [row[1] for row in rows[1:]] == [
        f"{text} 2".translate({9: " ", 10: " ", 13: " "}) for text in TEXTS
    ]

    again = label([tmp_path / "out" / "part-2.tsv"], tmp_path, "--column", "id")
    assert again.returncode == 1 and "label and score must be free" in again.stderr

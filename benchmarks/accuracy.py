"""Trains and scores the tasks of a folder of data sets; goes on where it was interrupted.

python -m benchmarks.accuracy DATA -o RUNS [--tasks sst2,snips] [--presets uno,nano] [--seeds 0,1,2]
                              [--dtypes f32,i8,i4] [--trained] [--write docs/accuracy.md]
                              [-- [distill] TRAINING OPTIONS]

DATA has a folder for each task with train.tsv and dev.tsv, or these as .tsv.xz. Each (task, preset,
seed) is trained
with `edgebert train`, or `edgebert distill` where that is the first word behind `--`; with the
options of TASKS, then those behind `--`; exported for each dtype,
int8 calibrated on train.tsv; and scored on dev by the artifact in the C runtime. RUNS keeps it all:
what is there is not made again, so name another folder for other options. `--trained` scores the
checkpoints that are there, and trains nothing. The table has the mean
over seeds, and the least and the largest where there are several.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from edgebert.cli import main as edgebert
from edgebert.cli.output import print_table, thousands
from edgebert.evaluate import evaluate
from edgebert.files import write_atomically

MARK = "python -m benchmarks.accuracy"


class Task(NamedTuple):
    """How a data set is scored and trained.

    Attributes:
        metrics: what to show; with tags epochs are chosen by the mean of both, else by the first.
        options: of `edgebert train`. Small sets take more epochs: about 5,000 steps each.
    """

    metrics: tuple[str, ...]
    options: tuple[str, ...] = ()


TASKS = {
    "sst2": Task(("accuracy",)),
    "cola": Task(("matthews",), ("--epochs", "40")),
    "mrpc": Task(("accuracy", "f1_equivalent"), ("--epochs", "60")),
    "rte": Task(("accuracy",), ("--epochs", "60")),
    "wnli": Task(("accuracy",), ("--epochs", "60")),
    "stsb": Task(("pearson", "spearman"), ("--epochs", "60")),
    "sick": Task(("accuracy",), ("--epochs", "60")),
    "snips": Task(("accuracy", "span_f1"), ("--epochs", "40")),
    "atis": Task(("accuracy", "span_f1"), ("--epochs", "60")),
    "wnut17": Task(("span_f1",), ("--epochs", "60")),
    "hwu64": Task(("accuracy",), ("--epochs", "80", "--lr", "4e-3", "--dropout", "0.05")),
    "agnews": Task(("accuracy",), ("--epochs", "40")),
    "imdb": Task(("accuracy",), ("--epochs", "6")),
    "sms_spam": Task(("accuracy", "f1_spam"), ("--epochs", "40")),
}


class Run(NamedTuple):
    """One training; a variant of a preset has a name of its own."""

    task: str
    preset: str
    seed: int
    variant: str = ""

    @property
    def stem(self) -> str:
        """What its files begin with."""
        return f"{self.task}-{self.variant or self.preset}-seed{self.seed}"


def score(
    run: Run, data: Path, folder: Path, dtypes: Sequence[str], options: Sequence[str]
) -> Iterator[dict[str, Any]]:
    """Train, export and score, as far as that is not done; a document for each dtype."""
    checkpoint = folder / f"{run.stem}.pt"
    if not checkpoint.exists():
        how = "distill" if options[:1] == ["distill"] else "train"
        _call([*train_command(run, data, checkpoint, how), *options[how == "distill" :]])
    for dtype in dtypes:
        name = run.stem if dtype == "f32" else f"{run.stem}-{dtype}"
        artifact, result = folder / f"{name}.ebm", folder / f"{name}.json"
        if not result.exists():
            command = ["export", str(checkpoint), "-o", str(folder), "--to", "ebm"]
            _call([*command, "--dtype", dtype, "--calibrate", str(_file(data, run, "train"))])
            report = evaluate(artifact, _file(data, run, "dev"))
            write_atomically(
                result, json.dumps({**run._asdict(), "dtype": dtype, **report}).encode()
            )
        yield json.loads(result.read_text())


def train_command(run: Run, data: Path, checkpoint: Path, how: str = "train") -> list[str]:
    """What to give to ``edgebert`` for one training; options may follow."""
    task = TASKS[run.task]
    command = [how, "--data", str(_file(data, run, "train")), "--dev", str(_file(data, run, "dev"))]
    command += ["-o", str(checkpoint), "--preset", run.preset, "--seed", str(run.seed)]
    if "span_f1" not in task.metrics:
        command += ["--metric", task.metrics[0]]
    return [*command, *task.options]


def _file(data: Path, run: Run, part: str) -> Path:
    path = data / run.task / f"{part}.tsv"
    return path if path.exists() else path.with_suffix(".tsv.xz")


def _call(command: list[str]) -> None:
    print("edgebert", *command, file=sys.stderr)
    if status := edgebert(command):
        raise SystemExit(status)


def summarise(reports: Sequence[dict[str, Any]]) -> list[list[str]]:
    """A row for each (task, preset, dtype): the mean over seeds of each metric, in points."""
    groups: dict[tuple[str, str, str], list[dict[str, Any]]] = defaultdict(list)
    for report in reports:
        groups[report["task"], report["preset"], report["dtype"]].append(report)
    rows = []
    for (task, preset, dtype), group in groups.items():
        for metric in TASKS[task].metrics:
            values = [100 * report["metrics"][metric] for report in group]
            spread = f"{min(values):.1f} to {max(values):.1f}" if len(values) > 1 else ""
            size = thousands(round(np.mean([report["bytes"] for report in group])))
            mean = f"{np.mean(values):.1f}"
            rows.append([task, metric, preset, dtype, mean, spread, str(len(values)), size])
    return rows


COLUMNS = ("task", "metric", "preset", "dtype", "mean", "range", "seeds", "bytes")


def write_into(
    page: Path, columns: Sequence[str], rows: Sequence[Sequence[str]], mark: str = MARK
) -> None:
    """Put rows into the table between the two comments of a page that begin with ``mark``.

    Rows of what was not measured now stay. What tells rows apart stands before the column "mean".
    """
    begin, end = f"<!-- {mark} -->\n", "<!-- end -->\n"
    before, _, rest = page.read_text("utf-8").partition(begin)
    table, found, after = rest.partition(end)
    if not found:
        raise SystemExit(f"{page} has no lines {begin.strip()} and {end.strip()}")
    kept = [line.strip("| ").split(" | ") for line in table.splitlines()[2:]]
    key = columns.index("mean")
    by_key = {tuple(row[:key]): row for row in [*kept, *rows]}
    order = sorted(by_key.values(), key=lambda row: list(TASKS).index(row[0]))
    lines = [columns, ["---"] * len(columns), *order]
    text = "".join(f"| {' | '.join(line)} |\n" for line in lines)
    write_atomically(page, f"{before}{begin}{text}{end}{after}".encode())


def split_arguments(
    parser: argparse.ArgumentParser, arguments: Sequence[str] | None
) -> tuple[argparse.Namespace, list[str]]:
    """The options of a benchmark, its tasks checked, and those of training behind ``--``."""
    given = [*(sys.argv[1:] if arguments is None else arguments), "--"]
    end = given.index("--")
    options = parser.parse_args(given[:end])
    unknown = [task for task in options.tasks.split(",") if task not in TASKS]
    if unknown:
        parser.error(f"unknown task {unknown[0]!r}: choose of {', '.join(TASKS)}")
    return options, given[end + 1 : -1]


def main(arguments: Sequence[str] | None = None) -> None:
    """Do what is left to do, and print the table."""
    parser = argparse.ArgumentParser(description="Train and score tasks.")
    parser.add_argument("data", type=Path, help="folder with a folder for each task")
    parser.add_argument("-o", "--output", type=Path, required=True, help="folder that keeps it all")
    parser.add_argument("--tasks", default=",".join(TASKS), help="default: all")
    parser.add_argument("--presets", default="uno")
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--dtypes", default="f32,i8,i4")
    parser.add_argument("--trained", action="store_true", help="only what is trained already")
    parser.add_argument("--write", type=Path, help="a page into whose table to write the rows")
    options, training = split_arguments(parser, arguments)
    options.output.mkdir(parents=True, exist_ok=True)
    runs = [
        Run(task, preset, int(seed))
        for seed in options.seeds.split(",")
        for task in options.tasks.split(",")
        for preset in options.presets.split(",")
    ]
    if options.trained:
        runs = [run for run in runs if (options.output / f"{run.stem}.pt").exists()]
    reports: list[dict[str, Any]] = []
    for run in runs:
        reports += score(run, options.data, options.output, options.dtypes.split(","), training)
    reports.sort(key=lambda one: (list(TASKS).index(one["task"]), one["preset"], one["seed"]))
    rows = summarise(reports)
    print_table(COLUMNS, rows)
    if options.write:
        write_into(options.write, COLUMNS, rows)


if __name__ == "__main__":
    main()

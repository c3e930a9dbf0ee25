"""What helps a model of a given size: one thing is changed at a time, with several seeds.

python -m benchmarks.search DATA -o RUNS [--tasks hwu64,sst2] [--seeds 0,1,2] [--only word,deep]
                            [--write docs/accuracy.md] [--plot search.svg] [-- TRAINING OPTIONS]

Trains and scores as benchmarks.accuracy does, int8 files alone, and likewise goes on where it was
interrupted. UNO stands for itself; the others differ from it as VARIANTS says. Those of another
shape have about its bytes.
"""

from __future__ import annotations

import argparse
import sys
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.accuracy import TASKS, Run, score, split_arguments, write_into
from edgebert.cli.output import print_table, thousands
from edgebert.plot import write_difference_plot

MARK = "python -m benchmarks.search"


def _shape(layers: int, hidden: int, heads: int, intermediate: int) -> tuple[str, ...]:
    names = ("num-hidden-layers", "hidden-size", "num-attention-heads", "intermediate-size")
    values = (layers, hidden, heads, intermediate)
    return tuple(part for n, v in zip(names, values, strict=True) for part in (f"--{n}", str(v)))


# name -> options of `edgebert train`, beside --preset uno
VARIANTS: dict[str, tuple[str, ...]] = {
    "uno": (),
    "ngram1": ("--ngram", "1"),
    "ngram2": ("--ngram", "2"),
    "ngram5": ("--ngram", "5"),
    "marks": ("--boundary-marks",),
    "murmur3": ("--hash", "murmur3"),
    "word": ("--tokenizer", "word"),
    "word-wide": ("--tokenizer", "word", "--intermediate-size", "368"),
    "word-marks": ("--tokenizer", "word", "--intermediate-size", "368", "--boundary-marks"),
    "shallow": _shape(1, 128, 2, 768),
    "deep": _shape(3, 128, 2, 80),
    "narrow": ("--preset", "narrow"),
    "broad": _shape(2, 160, 2, 64),
    "heads4": _shape(2, 128, 4, 256),
}
COLUMNS = ("task", "variant", "mean", "range", "beside uno", "seeds", "bytes")


def summarise(reports: Sequence[dict[str, Any]]) -> list[list[str]]:
    """A row for each (task, variant): the mean over seeds in points, and how much above UNO's.

    The difference is the mean over the seeds that both have, with its standard error.
    """
    scores: dict[tuple[str, str], dict[int, float]] = defaultdict(dict)
    sizes: dict[tuple[str, str], int] = {}
    for one in reports:
        key = one["task"], one["variant"]
        scores[key][one["seed"]] = 100 * one["metrics"][TASKS[one["task"]].metrics[0]]
        sizes[key] = one["bytes"]
    rows = []
    for (task, variant), by_seed in scores.items():
        values, base = list(by_seed.values()), scores[task, "uno"]
        rows.append(
            [
                task,
                variant,
                f"{np.mean(values):.1f}",
                f"{min(values):.1f} to {max(values):.1f}",
                "" if variant == "uno" else _difference(by_seed, base),
                str(len(values)),
                thousands(sizes[task, variant]),
            ]
        )
    return rows


def _difference(values: dict[int, float], base: dict[int, float]) -> str:
    pairs = [values[seed] - base[seed] for seed in values if seed in base]
    if not pairs:
        return ""
    error = np.std(pairs, ddof=1) / len(pairs) ** 0.5 if len(pairs) > 1 else np.nan
    return f"{np.mean(pairs):+.1f}" + (f" ± {error:.1f}" if len(pairs) > 1 else "")


def differences(rows: Sequence[Sequence[str]]) -> list[tuple[str, float, float]]:
    """Name, difference to UNO and its standard error of the rows that have one."""
    points = []
    for row in rows:
        difference, _, error = row[COLUMNS.index("beside uno")].partition(" ± ")
        if difference:
            points.append((row[1], float(difference), float(error or "nan")))
    return points


def parser_of(description: str, variants: Iterable[str]) -> argparse.ArgumentParser:
    """Of a benchmark that compares variants of UNO."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("data", type=Path, help="folder with a folder for each task")
    parser.add_argument("-o", "--output", type=Path, required=True, help="folder that keeps it all")
    parser.add_argument("--tasks", default="hwu64,sst2", help="default: %(default)s")
    parser.add_argument("--seeds", default="0,1,2", help="default: %(default)s")
    parser.add_argument("--only", default=",".join(variants), help="default: all variants")
    parser.add_argument("--write", type=Path, help="a page into whose table to write the rows")
    return parser


def compare(
    options: argparse.Namespace, measure: Callable[[Run], dict[str, Any]], mark: str
) -> list[list[str]]:
    """Measure what the options of :func:`parser_of` ask for, and print the table and write it."""
    options.output.mkdir(parents=True, exist_ok=True)
    variants = options.only.split(",")
    reports: list[dict[str, Any]] = []
    for seed in options.seeds.split(","):
        for task in options.tasks.split(","):
            for variant in variants:
                run = Run(task, "uno", int(seed), variant)
                reports.append(measure(run))
                print(run.stem, reports[-1]["metrics"], file=sys.stderr, flush=True)
    reports.sort(key=lambda one: (one["task"], variants.index(one["variant"]), one["seed"]))
    rows = summarise(reports)
    print_table(COLUMNS, rows)
    if options.write:
        write_into(options.write, COLUMNS, rows, mark)
    return rows


def main(arguments: Sequence[str] | None = None) -> None:
    """Do what is left to do, and print the table."""
    parser = parser_of("Compare variants of UNO.", VARIANTS)
    parser.add_argument("--plot", type=Path, help="an .svg of the differences to write")
    options, training = split_arguments(parser, arguments)

    def measure(run: Run) -> dict[str, Any]:
        more = [*VARIANTS[run.variant], *training]
        return next(score(run, options.data, options.output, ["i8"], more))

    rows = compare(options, measure, MARK)
    if options.plot:
        write_difference_plot(differences(rows), options.plot, "beside UNO, points on dev")


if __name__ == "__main__":
    main()

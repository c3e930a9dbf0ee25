"""``edgebert eval``: the accuracy and speed of artifacts on a labelled file."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from edgebert.builtin import model_path
from edgebert.cli.options import MODEL_HELP
from edgebert.cli.output import print_json, print_table, thousands
from edgebert.errors import MissingPackageError, ModelError
from edgebert.evaluate import evaluate

EXAMPLES = """examples:
  edgebert eval out/model.ebm --data dev.tsv
  edgebert eval sentiment --data dev.tsv
  edgebert eval out/* --data dev.tsv --json
  edgebert eval model.pt out/* --data dev.tsv

TSV: a header line, then text<TAB>label (pairs: text<TAB>text_b<TAB>label; with a BIO tag of each
word: text<TAB>label<TAB>tags). Sentence encoders take pairs whose labels tell how alike they are.
"""


def add_parser(subparsers: Any) -> None:
    """Add this command to the command line."""
    parser = subparsers.add_parser(
        "eval",
        help="measure accuracy and speed on a labelled file",
        description="Measure artifacts on a labelled file: accuracy, F1 and Matthews correlation "
        "for labels; span F1 for tags; Pearson and Spearman for numbers and for cosines.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("files", metavar="MODEL", nargs="+", help=MODEL_HELP)
    parser.add_argument("--data", metavar="TSV", required=True, help="labelled texts")
    parser.add_argument("--json", action="store_true", help="print one JSON document")


def run(args: argparse.Namespace) -> int:
    """Run the command."""
    reports, failed = [], []
    for model in args.files:
        try:
            reports.append(evaluate(model_path(model), Path(args.data)))
        except (ModelError, MissingPackageError) as error:
            if len(args.files) == 1:
                raise
            failed.append(model)  # the others are worth a table nevertheless
            print(f"edgebert: {error}", file=sys.stderr)
    if args.json:
        print_json(reports)
    elif reports:
        _print(reports)
    return 1 if failed else 0


def _print(reports: list[dict[str, Any]]) -> None:
    metrics = list(dict.fromkeys(name for report in reports for name in report["metrics"]))
    rows = []
    for report in reports:
        scores = [f"{report['metrics'].get(name, float('nan')):.4f}" for name in metrics]
        rows.append(
            [
                report["file"],
                report["engine"],
                thousands(report["bytes"]),
                thousands(report["examples"]),
                *scores,
                f"{report['us_per_text']:,.0f}",
                f"{report['texts_per_second']:,.0f}",
            ]
        )
    print_table(("file", "engine", "bytes", "examples", *metrics, "µs a text", "texts/s"), rows)
    for report in reports:
        if report["truncated"]:
            print(
                f"edgebert: {report['file']}: {thousands(report['truncated'])} texts longer than "
                "the model's limit were cut",
                file=sys.stderr,
            )

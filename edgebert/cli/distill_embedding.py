"""``edgebert distill-embedding``: plain text and a larger encoder become a sentence encoder."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgebert.cli.options import integer, weight
from edgebert.cli.train import add_recipe_options, run_training
from edgebert.presets import PRESETS

if TYPE_CHECKING:
    from edgebert.cli.train import Report, Say

EXAMPLES = """examples:
  edgebert distill-embedding --teacher all-MiniLM-L6-v2/ --data texts/ -o sentences.pt
  edgebert distill-embedding --teacher all-MiniLM-L6-v2/ --data wikipedia.txt.xz --sentences \\
      --lines 500000 --dev stsb.tsv --init encoder.pt -o sentences.pt
  edgebert export sentences.pt -o out/

The teacher is any encoder that Transformers reads. It gives the vectors of all texts once, which
takes most of the time; they are kept in sentences.pt.teacher. After an interruption the same
command goes on from there, and from the last finished epoch.
"""


def add_parser(subparsers: Any) -> None:
    """Add this command to the command line."""
    parser = subparsers.add_parser(
        "distill-embedding",
        help="train a sentence encoder on the vectors of a larger one",
        description="Train a model whose vectors of texts have the cosines that those of a "
        "teacher have.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--teacher", metavar="DIR", type=Path, required=True, help="whom to learn from")
    add("--preset", choices=PRESETS, default="uno", help="size of the model (default: uno)")
    add(
        "--data",
        metavar="PATH",
        type=Path,
        nargs="+",
        required=True,
        help="plain text, a text a line: .txt, .txt.gz, .txt.xz, or folders of them",
    )
    add("--sentences", action="store_true", help="cut these lines into sentences, and draw of them")
    add(
        "--lines",
        type=integer(1),
        default=200_000,
        metavar="N",
        help="how many lines to draw (default: %(default)s)",
    )
    add(
        "--dev",
        metavar="TSV",
        type=Path,
        help="text<TAB>text_b<TAB>label, numbers, to choose the best epoch by (default: by the "
        "agreement with the teacher on held-out lines)",
    )
    add("-o", "--output", metavar="FILE", type=Path, required=True, help="checkpoint to write")
    add("--init", metavar="PATH", type=Path, help="start from an encoder, as edgebert train")
    add(
        "--teacher-vectors",
        metavar="FILE",
        type=Path,
        help="keeps the teacher's answers (default: OUTPUT.teacher)",
    )
    add = add_recipe_options(parser)
    add(
        "--similarity",
        type=weight,
        default=0.0,
        metavar="X",
        help="weight of the distance of the cosines within a batch (default: %(default)s)",
    )
    parser.set_defaults(dropout=0.0, weight_decay=0.01, label_smoothing=0.0)


def run(args: argparse.Namespace) -> int:
    """Run the command."""

    def begin(common: dict[str, Any], report: Report, say: Say) -> dict[str, Any]:
        from edgebert.train.embed import Job, distill_embedding

        job = Job(
            **common,
            teacher=args.teacher,
            paths=args.data,
            lines=args.lines,
            sentences=args.sentences,
            dev=args.dev,
            similarity=args.similarity,
            vectors=args.teacher_vectors,
        )
        return distill_embedding(job, report, say)

    return run_training(args, begin)

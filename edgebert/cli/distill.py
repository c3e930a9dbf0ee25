"""``edgebert distill``: a model learns from a larger one, such as one's own fine-tuned BERT."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgebert.cli.options import integer, share, weight
from edgebert.cli.train import add_options, run_job
from edgebert.errors import UsageError

if TYPE_CHECKING:
    from edgebert.cli.train import Report, Say
    from edgebert.train.run import Job

EXAMPLES = """examples:
  edgebert distill --teacher my-bert/ --data train.tsv --dev dev.tsv -o model.pt
  edgebert distill --teacher my-bert/ --augment 2 --unlabelled reviews.txt.xz \\
      --data train.tsv --dev dev.tsv -o model.pt
  edgebert distill --teacher minilm/ --fine-tune-teacher my-minilm/ \\
      --data train.tsv --dev dev.tsv -o model.pt
  edgebert distill --teacher my-bert/ --relations 1 --preset tiny --data t.tsv --dev d.tsv -o m.pt

The teacher is a folder that Transformers reads as a sequence classifier, or a model.pt. It labels
all texts once; its answers are kept in model.pt.teacher. Data and interruptions are as in
edgebert train.
"""


def add_parser(subparsers: Any) -> None:
    """Add this command to the command line."""
    parser = subparsers.add_parser(
        "distill",
        help="train a model on labelled texts and on what a larger model says to them",
        description="Train a BERT classifier or regressor whose word embeddings are the hash, to "
        "answer as a teacher does.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument_group("teacher").add_argument
    add("--teacher", metavar="PATH", type=Path, required=True, help="whom to learn from")
    add(
        "--fine-tune-teacher",
        metavar="DIR",
        type=Path,
        help="the teacher is an encoder without a fitting head: first train both on --data, and "
        "keep the classifier in this folder",
    )
    add("--teacher-epochs", type=integer(1), default=2, metavar="N", help="default: %(default)s")
    add("--teacher-lr", type=share, default=5e-5, metavar="X", help="default: %(default)s")
    add(
        "--teacher-logits",
        metavar="FILE",
        type=Path,
        help="keeps the teacher's answers (default: OUTPUT.teacher)",
    )

    add = parser.add_argument_group("more texts, which the teacher labels").add_argument
    add(
        "--augment",
        type=integer(0, 1000),
        default=0,
        metavar="N",
        help="variants of each text, with words dropped and replaced (default: %(default)s)",
    )
    add(
        "--unlabelled",
        metavar="PATH",
        type=Path,
        nargs="+",
        default=[],
        help="plain text, a text a line: .txt, .txt.gz, .txt.xz, or folders of them",
    )
    add(
        "--unlabelled-lines",
        type=integer(1),
        metavar="N",
        help="how many lines to draw (default: as many as there are labelled texts)",
    )
    add("--sentences", action="store_true", help="cut these lines into sentences, and draw of them")

    add = parser.add_argument_group("weights of the loss").add_argument
    add("--hard", type=weight, default=0.1, metavar="X", help="labels (default: %(default)s)")
    add("--soft", type=weight, default=0.9, metavar="X", help="logits (default: %(default)s)")
    add(
        "--hidden",
        type=weight,
        default=0.0,
        metavar="X",
        help="hidden states, as TinyBERT; the teacher runs in every step (default: %(default)s)",
    )
    add(
        "--relations",
        type=weight,
        default=0.0,
        metavar="X",
        help="attention relations, as MiniLMv2; likewise (default: %(default)s)",
    )
    add("--temperature", type=weight, default=2.0, metavar="T", help="default: %(default)s")
    add_options(parser)
    parser.set_defaults(tag_weight=0.0, exchange_entities=0)  # the teacher knows nothing of tags


def run(args: argparse.Namespace) -> int:
    """Run the command."""
    if args.temperature == 0:
        raise UsageError("--temperature must be above 0")
    if not (args.hard or args.soft):
        raise UsageError("--hard and --soft are both 0: nothing would teach the labels")

    def start(job: Job, report: Report, say: Say) -> dict[str, Any]:
        from edgebert.train.distill import Lesson, distill
        from edgebert.train.distill_loss import Weights
        from edgebert.train.teacher_head import TeacherRecipe

        lesson = Lesson(
            teacher=args.teacher,
            weights=Weights(args.hard, args.soft, args.hidden, args.relations, args.temperature),
            augment=args.augment,
            unlabelled=args.unlabelled,
            unlabelled_lines=args.unlabelled_lines,
            sentences=args.sentences,
            logits=args.teacher_logits,
            head=args.fine_tune_teacher,
            teacher_recipe=TeacherRecipe(args.teacher_epochs, args.teacher_lr, args.seed),
        )
        return distill(job, lesson, report, say)

    return run_job(args, start)

"""``edgebert train``: labelled text becomes a checkpoint."""

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgebert.cli.options import (
    add_model_options,
    integer,
    model_config,
    share,
    tokenizer,
    weight,
)
from edgebert.cli.output import print_json
from edgebert.config import LABELLED
from edgebert.errors import MissingPackageError
from edgebert.metrics import METRICS
from edgebert.presets import PRESETS

if TYPE_CHECKING:
    from edgebert.train.finetune import Epoch
    from edgebert.train.run import Job

    Report = Callable[[Epoch], None]
    Say = Callable[[str], None]

EXAMPLES = """examples:
  edgebert train --preset uno --data train.tsv --dev dev.tsv -o model.pt
  edgebert train --preset nano --tokenizer word --data train.tsv --dev dev.tsv -o model.pt
  edgebert train --preset tiny --init bert-tiny/ --lr 3e-4 --data t.tsv --dev d.tsv -o model.pt

TSV: a header line, then text<TAB>label (pairs: text<TAB>text_b<TAB>label; with a BIO tag of each
word: text<TAB>label<TAB>tags). Labels that are numbers with decimal points make it a regression,
tags without labels tagging. After an interruption the same command goes on from the
last finished epoch.
"""


def add_parser(subparsers: Any) -> None:
    """Add this command to the command line."""
    parser = subparsers.add_parser(
        "train",
        help="train a model on labelled texts",
        description="Train a BERT classifier or regressor whose word embeddings are the hash.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add(
        "--tag-weight",
        type=weight,
        default=1.0,
        metavar="X",
        help="of the tags' loss beside the labels'; 0 leaves tags out (default: %(default)s)",
    )
    add(
        "--exchange-entities",
        type=integer(0, 1000),
        default=0,
        metavar="N",
        help="add N variants of each text whose entities are of other texts (default: 0)",
    )
    add_options(parser)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add what :func:`run_job` reads."""
    add = parser.add_argument
    add("--preset", choices=PRESETS, default="uno", help="size of the model (default: uno)")
    add("--data", metavar="TSV", type=Path, required=True, help="texts to train on")
    add("--dev", metavar="TSV", type=Path, required=True, help="texts to choose the best epoch by")
    add("-o", "--output", metavar="FILE", type=Path, required=True, help="checkpoint to write")
    add(
        "--init",
        metavar="PATH",
        type=Path,
        help="start from the encoder of a model.pt, a Hugging Face folder or an .npz",
    )
    add("--task", choices=[*LABELLED, "tagging"], help="default: by the labels")
    add(
        "--metric",
        choices=list(dict.fromkeys(name for names in METRICS.values() for name in names)),
        help="which decides the best epoch (default: accuracy or pearson; with tags its mean with "
        "span_f1)",
    )
    add = add_recipe_options(parser)
    add("--label-smoothing", type=share, default=0.0, metavar="SHARE", help="default: %(default)s")


def add_recipe_options(parser: argparse.ArgumentParser) -> Callable[..., Any]:
    """Add what :func:`run_training` reads; returns what adds to the group of the recipe."""
    group = parser.add_argument_group("recipe")
    add = group.add_argument
    add("--epochs", type=integer(1), default=10, metavar="N", help="default: %(default)s")
    add("--batch-size", type=integer(1), default=128, metavar="N", help="default: %(default)s")
    add("--lr", type=share, default=2e-3, help="peak learning rate (default: %(default)s)")
    add(
        "--warmup",
        type=share,
        default=0.1,
        metavar="SHARE",
        help="share of the steps in which the learning rate rises (default: %(default)s)",
    )
    add("--weight-decay", type=share, default=0.05, metavar="X", help="default: %(default)s")
    add("--dropout", type=share, default=0.1, metavar="SHARE", help="default: %(default)s")
    add(
        "--patience",
        type=integer(1),
        default=5,
        metavar="N",
        help="stop after N epochs that were not better (default: %(default)s)",
    )
    add(
        "--quantise-aware",
        choices=["i8", "i4"],
        help="train the last epochs with weights rounded as in such an export; the best is of them",
    )
    add("--quantise-epochs", type=integer(1), default=2, metavar="N", help="default: %(default)s")
    add("--seed", type=integer(0), default=0, metavar="N", help="default: %(default)s")

    add_model_options(parser)
    add = parser.add_argument
    add("--threads", type=integer(1, 1024), metavar="N", help="CPU threads (default: all cores)")
    add("--no-resume", action="store_true", help="start over instead of going on")
    add("--json", action="store_true", help="print one JSON document")
    return group.add_argument


def run(args: argparse.Namespace) -> int:
    """Run the command."""

    def start(job: Job, report: Report, say: Say) -> dict[str, Any]:
        from edgebert.train.run import train

        return train(job, report, say)

    return run_job(args, start)


def run_job(args: argparse.Namespace, start: Callable[[Job, Report, Say], dict[str, Any]]) -> int:
    """Do what :func:`add_options` asks for, and print how it goes.

    Args:
        args: the options.
        start: does a job, and returns the facts as one document.
    """

    def begin(common: dict[str, Any], report: Report, say: Say) -> dict[str, Any]:
        from edgebert.train.run import Job

        job = Job(
            **common,
            train=args.data,
            dev=args.dev,
            task=args.task,
            metric=args.metric,
            tag_weight=args.tag_weight,
            exchange=args.exchange_entities,
        )
        return start(job, report, say)

    return run_training(args, begin)


def run_training(
    args: argparse.Namespace, begin: Callable[[dict[str, Any], Report, Say], dict[str, Any]]
) -> int:
    """Train with the options of :func:`add_recipe_options`, and print how it goes.

    Args:
        args: the options, ``output`` and ``init`` among them.
        begin: gets the attributes of an edgebert.train.run.Run, and trains.
    """
    try:
        import torch

        from edgebert.train.finetune import Recipe
    except ImportError as error:
        raise MissingPackageError(
            f"training needs the package {error.name}: pip install 'edgebert[train]'"
        ) from error
    if args.threads:
        torch.set_num_threads(args.threads)
    recipe = Recipe(
        **{field.name: getattr(args, field.name) for field in dataclasses.fields(Recipe)}
    )
    common = {
        "config": model_config(args),
        "tokenizer": tokenizer(args),
        "output": args.output,
        "recipe": recipe,
        "init": args.init,
        "resume": not args.no_resume,
    }
    log = sys.stderr if args.json else sys.stdout
    document = begin(
        common,
        lambda epoch: print(_line(epoch, recipe.epochs), file=log, flush=True),
        lambda line: print(line, file=log, flush=True),
    )
    if args.json:
        print_json(document)
    else:
        scores = ", ".join(f"{name} {value:.4f}" for name, value in document["dev"].items())
        print(f"{args.output}: epoch {document['best_epoch']}, dev {scores}")
    return 0


def _line(epoch: Epoch, epochs: int) -> str:
    scores = "  ".join(f"{name} {value:.4f}" for name, value in epoch.scores.items())
    best = "  best" if epoch.best else ""
    return (
        f"epoch {epoch.number:{len(str(epochs))}}/{epochs}  loss {epoch.loss:.4f}  dev {scores}  "
        f"{epoch.seconds:.0f} s{best}"
    )

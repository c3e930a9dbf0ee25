"""``edgebert pretrain``: plain text becomes an encoder for ``edgebert train --init``."""

from __future__ import annotations

import argparse
import dataclasses
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgebert.cli.options import add_model_options, integer, model_config, share, tokenizer
from edgebert.cli.output import print_json
from edgebert.errors import MissingPackageError
from edgebert.plot import need_matplotlib, write_loss_plot
from edgebert.presets import PRESETS

if TYPE_CHECKING:
    from edgebert.train.pretrain import Evaluation

EXAMPLES = """examples:
  edgebert pretrain texts/ -o encoder.pt
  edgebert pretrain wikipedia.txt.xz reviews.txt --steps 50000 -o encoder.pt --plot loss.svg
  edgebert pretrain texts/ --preset nano --tokenizer word --tokens 64 -o encoder.pt
  edgebert train --init encoder.pt --preset uno --data train.tsv --dev dev.tsv -o model.pt
  accelerate launch --multi_gpu -m edgebert pretrain texts/ --preset mini -o encoder.pt

Text: files of UTF-8, a sentence or paragraph a line, packed or not; a blank line ends a document.
Ctrl-C leaves encoder.pt.resume, from which the same command goes on.
"""


def add_parser(subparsers: Any) -> None:
    """Add this command to the command line."""
    parser = subparsers.add_parser(
        "pretrain",
        help="pretrain an encoder on plain text",
        description="Pretrain an encoder behind the hash by masked language modelling.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add(
        "paths",
        metavar="PATH",
        nargs="+",
        type=Path,
        help="a .txt, .txt.gz or .txt.xz file, or a folder of such",
    )
    add("--preset", choices=PRESETS, default="uno", help="size of the model (default: uno)")
    add("-o", "--output", metavar="FILE", type=Path, required=True, help="encoder to write")
    add("--plot", metavar="SVG", type=Path, help="draw the loss (needs edgebert[bench])")

    group = parser.add_argument_group("recipe")
    add = group.add_argument
    add("--steps", type=integer(1), default=10_000, metavar="N", help="default: %(default)s")
    add("--batch-size", type=integer(1), default=64, metavar="N", help="default: %(default)s")
    add(
        "--tokens",
        type=integer(3),
        metavar="N",
        help="length of a sequence (default: 128, or the model's positions if these are fewer)",
    )
    add("--lr", type=share, default=2e-3, help="peak learning rate (default: %(default)s)")
    add(
        "--warmup",
        type=share,
        default=0.05,
        metavar="SHARE",
        help="share of the steps in which the learning rate rises (default: %(default)s)",
    )
    add("--weight-decay", type=share, default=0.01, metavar="X", help="default: %(default)s")
    add("--dropout", type=share, default=0.0, metavar="SHARE", help="default: %(default)s")
    add(
        "--vocabulary",
        type=integer(1),
        default=8192,
        metavar="N",
        help="most frequent tokens, which are what is predicted (default: %(default)s)",
    )
    add(
        "--mask",
        type=share,
        default=0.15,
        metavar="SHARE",
        help="share of the words that are hidden (default: %(default)s)",
    )
    add("--seed", type=integer(0), default=0, metavar="N", help="default: %(default)s")

    add_model_options(parser)

    add = parser.add_argument
    add(
        "--eval-every",
        type=integer(1),
        default=500,
        metavar="N",
        help="steps from one look at held-out lines to the next (default: %(default)s)",
    )
    add(
        "--save-minutes",
        type=integer(1),
        default=10,
        metavar="N",
        help="from one resumable state to the next (default: %(default)s)",
    )
    add(
        "--precision",
        choices=("auto", "fp32", "bf16"),
        default="auto",
        help="default: bf16 where the processor has instructions for it",
    )
    add("--threads", type=integer(1, 1024), metavar="N", help="CPU threads (default: all cores)")
    add("--no-resume", action="store_true", help="start over instead of going on")
    add("--json", action="store_true", help="print one JSON document")


def run(args: argparse.Namespace) -> int:
    """Run the command."""
    if args.plot:
        need_matplotlib()
    try:
        import torch
        from accelerate import PartialState

        from edgebert.train.pretrain import Job, Recipe, pretrain
    except ImportError as error:
        raise MissingPackageError(
            f"pretraining needs the package {error.name}: pip install 'edgebert[train]'"
        ) from error
    if args.threads:
        torch.set_num_threads(args.threads)
    config = model_config(args)
    args.tokens = args.tokens or min(128, config.max_position_embeddings)
    recipe = Recipe(
        **{field.name: getattr(args, field.name) for field in dataclasses.fields(Recipe)}
    )
    job = Job(
        config=config,
        tokenizer=tokenizer(args),
        paths=args.paths,
        output=args.output,
        recipe=recipe,
        eval_every=args.eval_every,
        save_minutes=args.save_minutes,
        precision=args.precision,
        resume=not args.no_resume,
    )
    log = sys.stderr if args.json else sys.stdout
    document = pretrain(
        job,
        lambda evaluation: print(_line(evaluation, recipe.steps), file=log, flush=True),
        lambda line: print(line, file=log, flush=True),
    )
    if not PartialState().is_main_process:  # one of several speaks
        return 0
    if args.plot:
        write_loss_plot(document["history"], args.plot)
    if args.json:
        print_json(document)
    else:
        print(f"{args.output}: start from it with edgebert train --init {args.output}")
    return 0


def _line(evaluation: Evaluation, steps: int) -> str:
    speed = evaluation.tokens / evaluation.seconds
    return (
        f"step {evaluation.step:{len(str(steps))}}/{steps}  loss {evaluation.loss:.4f}  "
        f"dev {evaluation.dev_loss:.4f}  accuracy {evaluation.dev_accuracy:.4f}  "
        f"{evaluation.tokens / 1e6:.1f} M tokens  {speed:,.0f} tokens/s"
    )

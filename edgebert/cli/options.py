"""Types of options that several commands share."""

from __future__ import annotations

import argparse
import dataclasses
import math
from collections.abc import Callable
from pathlib import Path

from edgebert.config import HASH_FAMILIES, ModelConfig
from edgebert.errors import DataError, UsageError
from edgebert.presets import PRESETS
from edgebert.tokenizer import KINDS, Tokenizer

MODEL_HELP = "an .ebm, .onnx, .tflite or .pt file, or a name of `edgebert models`"

_MOST = 2**31 - 1


def integer(least: int, most: int = _MOST) -> Callable[[str], int]:
    """The type of an option that is a whole number in a range."""

    def parse(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = least - 1
        if not least <= value <= most:
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number, {least} to {most}")
        return value

    return parse


def share(text: str) -> float:
    """The type of an option that is from 0 to below 1."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not from 0 to below 1")
    return value


def weight(text: str) -> float:
    """The type of an option that is a finite number from 0 on."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 0 on")
    return value


SHAPE = ("num_hidden_layers", "hidden_size", "num_attention_heads", "intermediate_size")


def add_model_options(parser: argparse.ArgumentParser) -> None:
    """Add what :func:`model_config` and :func:`tokenizer` read, except for ``--preset``."""
    add = parser.add_argument_group("shape, where it is not the preset's").add_argument
    for name in SHAPE:
        add(f"--{name.replace('_', '-')}", type=integer(1), metavar="N")
    add = parser.add_argument_group("tokens and hash").add_argument
    add("--tokenizer", choices=KINDS, default="wordpiece", help="default: %(default)s")
    add(
        "--vocab",
        metavar="FILE",
        type=Path,
        help="WordPiece vocabulary, a piece on each line (default: BERT's uncased English)",
    )
    add("--cased", action="store_true", help="keep case and accents (with --vocab or word)")
    add(
        "--max-tokens",
        type=integer(1),
        metavar="N",
        help="longest input; the model has as many positions (default: the preset's)",
    )
    add("--hash", choices=HASH_FAMILIES, default="poly", help="family (default: %(default)s)")
    add("--ngram", type=integer(1), default=3, metavar="N", help="longest n-gram (default: 3)")
    add("--boundary-marks", action="store_true", help="hash <token> in place of token")


def model_config(args: argparse.Namespace) -> ModelConfig:
    """The preset with what the options change."""
    preset = PRESETS[args.preset]
    shape = {name: getattr(args, name) or getattr(preset, name) for name in SHAPE}
    return dataclasses.replace(
        preset,
        **shape,
        max_position_embeddings=args.max_tokens or preset.max_position_embeddings,
        hash=dataclasses.replace(
            preset.hash,
            dimension=shape["hidden_size"],
            family=args.hash,
            max_ngram=args.ngram,
            boundary_marks=args.boundary_marks,
        ),
    )


def tokenizer(args: argparse.Namespace) -> Tokenizer:
    """The tokenizer that the options describe."""
    if args.tokenizer == "word":
        if args.vocab:
            raise UsageError("--vocab goes with --tokenizer wordpiece: words have no vocabulary")
        return Tokenizer.word(lowercase=not args.cased)
    if args.vocab is None:
        if args.cased:
            raise UsageError("--cased needs --vocab FILE with a cased vocabulary")
        return Tokenizer.wordpiece()
    from edgebert.export.vocabulary import build_tokenizer, read_vocab_txt

    try:
        pieces = read_vocab_txt(args.vocab)
    except OSError as error:
        raise DataError(f"{args.vocab}: cannot be read: {error.strerror}") from error
    if not any(pieces):
        raise DataError(f"{args.vocab}: holds no pieces, one a line: every word would be unknown")
    return Tokenizer(build_tokenizer("wordpiece", pieces, not args.cased))

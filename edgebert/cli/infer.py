"""``edgebert infer``: text in, labels and entities out."""

from __future__ import annotations

import argparse
import itertools
import sys
import warnings
from collections.abc import Iterable, Iterator
from typing import Any

from edgebert.builtin import DEFAULT
from edgebert.cli.options import MODEL_HELP
from edgebert.cli.output import print_json
from edgebert.errors import DataError, UsageError
from edgebert.model import Model, Result, TruncationWarning, load
from edgebert.sequence import Text

BATCH_SIZE = 256  # lines of a file read at a time

EXAMPLES = """examples:
  edgebert infer "a gripping film"
  edgebert infer -m home "turn the lights off"
  edgebert infer -m out/model.onnx "first text" "second text" --json
  edgebert infer -f reviews.txt > labels.tsv
  tail -f log.txt | edgebert infer -m model.ebm -
  printf 'a text\\tits pair\\n' | edgebert infer -m mrpc.ebm --pairs -
"""


def add_parser(subparsers: Any) -> None:
    """Add this command to the command line."""
    parser = subparsers.add_parser(
        "infer",
        help="classify texts, and find entities in them",
        description="Classify texts, and find entities in them. Prints label, score, entities and "
        "text, tab-separated, a line each; models without labels, or without tags, have no such "
        "columns.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("text", nargs="*", help="texts to classify; - reads lines from stdin")
    parser.add_argument(
        "-m",
        "--model",
        metavar="MODEL",
        help=f"{MODEL_HELP} (default: {DEFAULT})",
    )
    parser.add_argument("-f", "--file", metavar="FILE", help="read texts from FILE, one a line")
    parser.add_argument(
        "--pairs", action="store_true", help="each text is a pair: text, TAB, second text"
    )
    parser.add_argument(
        "--stride",
        type=int,
        metavar="N",
        help="read long texts in windows of which neighbours share N tokens, instead of cutting",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON document")


def run(args: argparse.Namespace) -> int:
    """Run the command."""
    num_sources = bool(args.text) + bool(args.file)
    if num_sources != 1 or ("-" in args.text and args.text != ["-"]):
        raise UsageError("give texts, or - for standard input, or -f FILE: one of the three")
    model = load(args.model)
    results = _results(model, _batches(args), args)
    if args.json:
        print_json(
            {
                "model": args.model,
                "engine": model.engine,
                "results": [_document(text, result, model) for text, result in results],
            }
        )
        return 0
    for text, result in results:
        shown = text if isinstance(text, str) else "\t".join(text)
        print(*_columns(result, model), shown, sep="\t", flush=args.text == ["-"])
    return 0


def _columns(result: Result, model: Model) -> list[str]:
    """Such as ``PlayMusic``, ``0.991``, ``artist=miles davis [5:16], service=spotify [20:27]``."""
    label = [result.label, f"{result.score:.3f}"] if model.labels else []
    entities = ", ".join(f"{entity} [{entity.begin}:{entity.end}]" for entity in result.entities)
    return [*label, *([entities] if model.config.tags else [])]


def _batches(args: argparse.Namespace) -> Iterator[list[Text]]:
    """Texts as they come: from a terminal or a pipe line by line, from a file many at a time."""
    if args.text == ["-"]:
        if sys.stdin is None:
            raise DataError("standard input is closed: give texts, or -f FILE")
        sys.stdin.reconfigure(encoding="utf-8-sig", errors="replace")  # type: ignore[union-attr]
        for line in sys.stdin:
            yield [_parse(line.rstrip("\r\n"), args.pairs)]
    elif args.file:
        with open(args.file, encoding="utf-8-sig", errors="replace") as lines:
            while batch := list(itertools.islice(lines, BATCH_SIZE)):
                yield [_parse(line.rstrip("\r\n"), args.pairs) for line in batch]
    else:
        yield [_parse(text, args.pairs) for text in args.text]


def _parse(text: str, pairs: bool) -> Text:
    if not pairs:
        return text
    first, tab, second = text.partition("\t")
    if not tab:
        raise DataError(f"--pairs wants text, TAB, second text; no TAB in: {text[:60]!r}")
    return first, second


def _results(
    model: Model, batches: Iterable[list[Text]], args: argparse.Namespace
) -> Iterator[tuple[Text, Result]]:
    num_cut = 0
    for batch in batches:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", TruncationWarning)
            results = model.infer(batch, stride=args.stride)
        num_cut += sum(result.num_dropped > 0 for result in results)
        yield from zip(batch, results, strict=True)
    if num_cut:
        hint = "" if args.pairs else "; --stride N reads them in windows"
        print(
            f"edgebert: {num_cut} text(s) longer than the model's {model.max_tokens} tokens were "
            f"cut{hint}",
            file=sys.stderr,
        )


def _document(text: Text, result: Result, model: Model) -> dict[str, Any]:
    document: dict[str, Any] = {"text": text}
    if model.labels:
        document |= {
            "label": result.label,
            "score": result.score,
            "probabilities": result.probabilities,
            "logits": result.logits.tolist(),
        }
    if model.config.tags:
        document["entities"] = [vars(entity) for entity in result.entities]
    return {**document, "num_dropped": result.num_dropped}

"""``edgebert models``: the models in the wheel, and the card of each."""

from __future__ import annotations

import argparse
import shutil
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from edgebert.builtin import DEFAULT, card, model_path, names
from edgebert.cli.output import print_json, print_table, thousands
from edgebert.engines import open_engine

EXAMPLES = """examples:
  edgebert models sentiment
  edgebert models --json
  edgebert infer -m home "turn the lights off"
  complete -W "$(edgebert models --names)" edgebert

A name stands for its file wherever a command takes one: infer, eval, bench, inspect, firmware.
"""


def add_parser(subparsers: Any) -> None:
    """Add this command to the command line."""
    parser = subparsers.add_parser(
        "models",
        help="list the models that came with edgebert",
        description="List the models that came with edgebert, or show the card of one: data, "
        "licence, metrics, seed, command, intended use and limits.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("name", metavar="NAME", nargs="?", help="show this model's card")
    group = parser.add_mutually_exclusive_group()
    group.add_argument("--json", action="store_true", help="print one JSON document")
    group.add_argument("--names", action="store_true", help="print the names alone, a line each")


def run(args: argparse.Namespace) -> int:
    """Run the command."""
    if args.names:
        print("\n".join(names()))
        return 0
    documents = [describe(name) for name in ([args.name] if args.name else names())]
    if args.json:
        print_json(documents[0] if args.name else documents)
    elif args.name:
        _print_card(documents[0])
    else:
        rows = [_row(document) for document in documents]
        print_table(("name", "what it tells", "bytes", "dev", "labels", "tags"), rows, texts=2)
        print(f"default: {DEFAULT}; edgebert models NAME shows a model's card")
    return 0


def describe(name: str) -> dict[str, Any]:
    """A model's card, with what its file says of itself."""
    path = model_path(name)
    engine = open_engine(path)
    return {
        "name": name,
        "bytes": path.stat().st_size,
        "dtype": engine.dtype,
        "tokenizer": engine.tokenizer.kind,
        "max_tokens": engine.config.max_position_embeddings,
        "labels": list(engine.config.labels),
        "tags": list(engine.config.tags),
        **card(name),
    }


def card_rows(document: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The card for people: (heading, text), without what the model has not."""
    training = document["training"]
    rows = [
        ("tells", document["does"]),
        ("file", f"{thousands(document['bytes'])} bytes, {document['dtype']}"),
        ("parameters", thousands(training["parameters"])),
        ("reads", f"{document['max_tokens']} tokens at most, tokenizer {document['tokenizer']}"),
        ("labels", _list(document["labels"])),
        ("entities", _list(sorted({tag[2:] for tag in document["tags"]} - {""}))),
        ("example", " → ".join(document.get("example", ()))),
        ("data", document["data"]),
        (f"dev, {document['dtype']}", _figures(document["dev"])),
        ("dev, f32", _figures(training["dev"])),
        ("command", document["command"]),
        ("training", _figures({k: v for k, v in training.items() if k not in _SHOWN})),
        ("versions", _figures(training["versions"])),
        ("intended use", document["use"]),
        ("limits", document["limits"]),
        ("notes", document["notes"]),
        ("licence", document["licence"]),
    ]
    return [(heading, text) for heading, text in rows if text]


_SHOWN = ("parameters", "dev", "versions")  # in rows of their own


def _print_card(document: Mapping[str, Any]) -> None:
    rows = [("model", document["name"]), *card_rows(document)]
    width = max(len(heading) for heading, _ in rows) + 2
    for heading, text in rows:
        columns = shutil.get_terminal_size((100, 0)).columns - width
        lines = textwrap.wrap(text, columns, break_on_hyphens=False, break_long_words=False)
        print(f"{heading:{width}}" + f"\n{' ' * width}".join(lines))


def _row(document: Mapping[str, Any]) -> list[str]:
    return [
        document["name"],
        document["does"],
        thousands(document["bytes"]),
        _figures({name: document["dev"][name] for name in document["metrics"]}),
        *(str(len(document[names])) if document[names] else "–" for names in ("labels", "tags")),
    ]


def _list(names: Sequence[str]) -> str:
    return f"{len(names)}: {', '.join(names)}" if names else ""


def _figures(values: Mapping[str, Any]) -> str:
    """The values that are no lists or documents, as ``name value, name value``."""
    shown = {k: round(v, 4) if isinstance(v, float) else v for k, v in values.items()}
    plain = (str, int, float, bool)
    return ", ".join(f"{k} {v}" for k, v in shown.items() if isinstance(v, plain))

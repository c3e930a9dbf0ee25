"""``edgebert inspect``: what a file holds and what running it takes."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edgebert.builtin import model_path
from edgebert.cli.options import MODEL_HELP
from edgebert.cli.output import print_json, thousands
from edgebert.engines import open_engine
from edgebert.engines.native import NativeEngine

ARENA_TOKENS = (16, 64, 128, 512)

EXAMPLES = """examples:
  edgebert inspect model.ebm
  edgebert inspect out/model.onnx --json
"""


def add_parser(subparsers: Any) -> None:
    """Add this command to the command line."""
    parser = subparsers.add_parser(
        "inspect",
        help="show what a file holds",
        description="Show a file's config, its sizes, and the arena it needs.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("file", metavar="MODEL", help=MODEL_HELP)
    parser.add_argument("--json", action="store_true", help="print one JSON document")


def run(args: argparse.Namespace) -> int:
    """Run the command."""
    document = describe(model_path(args.file))
    if args.json:
        print_json(document)
    else:
        _print_tree(document)
    return 0


def describe(path: Path) -> dict[str, Any]:
    """Everything that ``edgebert inspect`` prints, as one document."""
    engine = open_engine(path)
    config = engine.config.to_dict()
    hash_params = config.pop("hash")
    document: dict[str, Any] = {
        "file": str(path),
        "bytes": path.stat().st_size,
        "engine": engine.name,
        "dtype": engine.dtype,
        "config": config,
        "hash": hash_params,
        "tokenizer": {
            "kind": engine.tokenizer.kind,
            "lowercase": engine.tokenizer.lowercase,
            "bytes": len(engine.tokenizer.blob),
        },
    }
    if isinstance(engine, NativeEngine):
        model = engine.model
        document["isa"] = model.isa
        document["arena_bytes"] = {
            str(n): model.arena_size(n)
            for n in ARENA_TOKENS
            if n <= engine.config.max_position_embeddings
        }
    return document


def _print_tree(document: Mapping[str, Any], indent: str = "") -> None:
    width = max(len(key) for key in document)
    for key, value in document.items():
        if isinstance(value, Mapping):
            print(f"{indent}{key}")
            _print_tree(value, indent + "  ")
            continue
        if isinstance(value, list):
            value = ", ".join(map(str, value))
        elif isinstance(value, int) and not isinstance(value, bool) and key != "seed":
            value = thousands(value)
        print(f"{indent}{key:{width}}  {value}")

"""``edgebert bench``: the speed and memory of artifacts, side by side."""

from __future__ import annotations

import argparse
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from edgebert.bench import INPUTS, LENGTHS, bench
from edgebert.builtin import DEFAULT, model_path
from edgebert.cli.options import MODEL_HELP, integer
from edgebert.cli.output import print_json, print_table, thousands
from edgebert.errors import UsageError
from edgebert.evaluate import evaluate
from edgebert.sequence import Text
from edgebert.tsv import read_tsv

EXAMPLES = """examples:
  edgebert bench out/model.ebm out/model.onnx --tokens 8,32,128
  edgebert bench
  edgebert bench out/* --text "turn the lights off" --threads 2 --json
  edgebert bench out/* --data dev.tsv --plot speed.svg
  edgebert bench out/* --batch 256 --data dev.tsv
  edgebert bench out/*.ebm out/*.onnx model.pt
"""


def _lengths(text: str) -> list[int]:
    """The type of --tokens. [CLS] and [SEP] are 2."""
    return list(dict.fromkeys(map(integer(2), text.split(","))))


def _seconds(text: str) -> float:
    """The type of an option that is a time."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value <= 3600:
        raise argparse.ArgumentTypeError(f"{text!r} is not above 0 and up to 3600 seconds")
    return value


def add_parser(subparsers: Any) -> None:
    """Add this command to the command line."""
    parser = subparsers.add_parser(
        "bench",
        help="measure speed and memory, side by side",
        description="Measure latency, throughput and memory of artifacts, which take turns "
        "within one run.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add(
        "files",
        metavar="MODEL",
        nargs="*",
        help=f"{MODEL_HELP} (default: {DEFAULT})",
    )
    group = parser.add_mutually_exclusive_group()
    group.add_argument(
        "--tokens",
        metavar="N,...",
        type=_lengths,
        help="lengths of the texts, [CLS] and [SEP] included "
        f"(default: {','.join(map(str, LENGTHS))}, as far as the models take them)",
    )
    group.add_argument("--text", help="measure this text instead")
    add("--batch", metavar="N", type=integer(1), default=1, help="texts in a call (default: 1)")
    add(
        "--threads",
        metavar="N",
        type=integer(1, 1024),
        default=1,
        help="most threads for each engine (default: 1)",
    )
    add(
        "--seconds",
        metavar="S",
        type=_seconds,
        default=3.0,
        help="time for each length (default: 3)",
    )
    add(
        "--data",
        metavar="TSV",
        type=Path,
        help="labelled texts to measure accuracy on as well; with --batch, and neither --tokens "
        "nor --text, the first of them are what is in a call",
    )
    add("--plot", metavar="SVG", type=Path, help="draw latency, and with --data size and accuracy")
    add("--json", action="store_true", help="print one JSON document")


def run(args: argparse.Namespace) -> int:
    """Run the command."""
    if args.plot:
        from edgebert.plot import need_matplotlib, write_plot

        if args.plot.suffix != ".svg":
            raise UsageError(f"--plot writes SVG, so {args.plot} should end in .svg")
        need_matplotlib()  # now rather than when all is measured
    files = [model_path(model) for model in args.files or [DEFAULT]]
    metrics = [evaluate(file, args.data)["metrics"] for file in files] if args.data else []
    texts: Sequence[Text] | None = None if args.text is None else [args.text]
    if args.data and args.batch > 1 and not args.tokens and texts is None:
        texts = read_tsv(args.data).texts
    with _Bar() as bar:
        document = bench(
            files, args.tokens, texts, args.batch, args.threads, args.seconds, bar.update
        )
    for file, scores in zip(document["files"], metrics, strict=False):  # no data, no scores
        file["metrics"] = scores
    if args.plot:
        write_plot(document, args.plot)
    if args.json:
        print_json(document)
    else:
        _print(document)
    return 0


class _Bar:
    """Seconds measured, shown where there is a terminal and tqdm is installed."""

    def __enter__(self) -> _Bar:
        try:
            from tqdm.auto import tqdm
        except ImportError:  # of the extras; the figures are what matters
            self._bar = None
        else:
            shown = "{desc} {n:.0f} s"
            self._bar = tqdm(desc="measuring", bar_format=shown, leave=False, disable=None)
        return self

    def __exit__(self, *error: object) -> None:
        if self._bar is not None:
            self._bar.close()

    def update(self, seconds: float) -> None:
        """So much was measured since the last call."""
        if self._bar is not None:
            self._bar.update(seconds)


def _print(document: Mapping[str, Any]) -> None:
    machine, files = document["machine"], document["files"]
    packages = (f"{name} {version}" for name, version in machine["packages"].items())
    print(f"{machine['processor']}, {machine['cores']} cores, {machine['system']}")
    print(f"Python {machine['python']}, {', '.join(packages)}")
    print(f"threads: {document['threads']} at most; texts in a call: {document['batch']}")
    metrics = list(files[0].get("metrics", ()))[:1]
    print_table(
        ("file", "engine", "dtype", "bytes", "arena", "resident", "load", *metrics),
        [
            [
                file["file"],
                _engine(file),
                file["dtype"],
                *(_bytes(file[name]) for name in ("bytes", "arena_bytes", "resident_bytes")),
                f"{file['load_us'] / 1000:.2f} ms",
                *(f"{file['metrics'][metric]:.4f}" for metric in metrics),
            ]
            for file in files
        ],
    )
    for name, title in INPUTS.items():
        print(f"{title}: µs for a call")
        rows = [
            _row(file, result)
            for case in zip(*(_of_input(file, name) for file in files), strict=True)
            for file, result in zip(files, case, strict=True)
        ]
        columns = ("file", "tokens", "p50", "p90", "p99", "min", "texts/s", "tokens/s", "GMAC/s")
        print_table((*columns, "speed"), rows)


def _of_input(file: Mapping[str, Any], name: str) -> list[Mapping[str, Any]]:
    return [result for result in file["results"] if result["input"] == name]


def _row(file: Mapping[str, Any], result: Mapping[str, Any]) -> list[str]:
    times, tokens = result["us"], result["tokens"]
    return [
        file["file"],
        str(tokens) if isinstance(tokens, int) else f"{tokens:.1f} mean",
        *(f"{times[name]:,.1f}" for name in ("p50", "p90", "p99", "min")),
        f"{result['texts_per_second']:,.0f}",
        f"{result['tokens_per_second']:,.0f}",
        f"{result['linear_macs_per_second'] / 1e9:.1f}",
        f"{result['speed_to_first']:.2f} x",
    ]


def _engine(file: Mapping[str, Any]) -> str:
    return f"{file['engine']}, {file['isa']}" if file["isa"] else file["engine"]


def _bytes(number: int | None) -> str:
    return "–" if number is None else thousands(number)

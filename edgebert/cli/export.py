"""``edgebert export``: a checkpoint becomes files that run anywhere."""

from __future__ import annotations

import argparse
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from edgebert._native import ffi
from edgebert.cli.output import print_json, print_table, thousands
from edgebert.errors import EdgebertError, MissingPackageError, UsageError
from edgebert.export import WRITERS, write_model

if TYPE_CHECKING:
    from edgebert.export.checkpoint import Checkpoint, Probe

DTYPES = ("f32",)
HASH_BYTES = ffi.sizeof("eb_hash_params")  # all that is left of the embedding table
TOLERANCE = 1e-4  # float32 logits may differ this much from PyTorch's

EXAMPLES = """examples:
  edgebert export model.pt -o out/
  edgebert export model.pt -o out/ --to ebm
  edgebert export my-hugging-face-folder/ -o out/ --json
"""


def add_parser(subparsers: Any) -> None:
    """Add this command to the command line."""
    parser = subparsers.add_parser(
        "export",
        help="turn a checkpoint into files that run anywhere",
        description="Turn a checkpoint (model.pt, or a Hugging Face folder) into artifacts, and "
        "check each against the logits that PyTorch gave.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("checkpoint", metavar="CHECKPOINT", help="model.pt or a folder")
    parser.add_argument(
        "-o", "--output", metavar="DIR", default=".", help="folder to write to (default: here)"
    )
    parser.add_argument(
        "--to",
        metavar="FORMATS",
        default=",".join(WRITERS),
        help=f"comma-separated formats, of {', '.join(WRITERS)} (default: all)",
    )
    parser.add_argument(
        "--dtype",
        metavar="DTYPE",
        choices=DTYPES,
        default="f32",
        help=f"type of the weights, of {', '.join(DTYPES)}",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON document")


@dataclass(frozen=True)
class Artifact:
    """One written file: its path, where its bytes went, and how well it agrees with PyTorch."""

    path: Path
    bytes: int
    weights: int
    tokenizer: int
    difference: float | None
    note: str = ""


def run(args: argparse.Namespace) -> int:
    """Run the command."""
    formats = list(dict.fromkeys(name.strip() for name in args.to.split(",")))
    unknown = [name for name in formats if name not in WRITERS]
    if unknown:
        raise UsageError(f"unknown format {unknown[0]!r}: --to takes {', '.join(WRITERS)}")
    artifacts = export(Path(args.checkpoint), Path(args.output), formats)
    if args.json:
        print_json([{**vars(a), "path": str(a.path), "hash": HASH_BYTES} for a in artifacts])
    else:
        columns = ("file", "bytes", "weights", "tokenizer", "hash", "max |diff| to PyTorch")
        print_table(columns, [_row(artifact) for artifact in artifacts])
        for note in dict.fromkeys(a.note for a in artifacts if a.note):
            print(note)
    for artifact in artifacts:
        if artifact.difference is not None and not artifact.difference <= TOLERANCE:
            raise EdgebertError(
                f"{artifact.path} differs from PyTorch by {artifact.difference:.1e}, "
                f"more than {TOLERANCE:.0e}: do not use it, and please report this"
            )
    return 0


def export(checkpoint_path: Path, output: Path, formats: list[str]) -> list[Artifact]:
    """Write one artifact for each format and check it."""
    try:
        from edgebert.export.checkpoint import read_checkpoint
        from edgebert.export.spec import ModelSpec
    except ImportError as error:
        raise MissingPackageError(
            f"exporting needs the package {error.name}: pip install 'edgebert[export]'"
        ) from error
    if output.exists() and not output.is_dir():
        raise EdgebertError(f"{output} is not a folder: -o takes the name of one")
    checkpoint = read_checkpoint(checkpoint_path)
    spec = ModelSpec.from_checkpoint(checkpoint)
    probe = checkpoint.probe or _make_probe(checkpoint)
    output.mkdir(parents=True, exist_ok=True)
    source = checkpoint_path.resolve()
    stem = source.name if source.is_dir() else source.stem  # folders have no suffix: bert-v1.5/
    artifacts = []
    for name in formats:
        path = output / f"{stem}.{name}"
        write_model(spec, path)
        difference, note = _difference(path, probe)
        artifacts.append(
            Artifact(
                path, path.stat().st_size, spec.weight_bytes, len(spec.tokenizer), difference, note
            )
        )
    return artifacts


def _make_probe(checkpoint: Checkpoint) -> Probe | None:
    """PyTorch's own answers, where it is installed, for a checkpoint that holds none."""
    try:
        from edgebert.train.checkpoint import make_probe
    except ImportError:
        return None
    return make_probe(checkpoint)


def _difference(path: Path, probe: Probe | None) -> tuple[float | None, str]:
    """Largest difference of the artifact's logits to those that PyTorch gave, and a remark."""
    from edgebert.model import TruncationWarning, load

    if probe is None:
        return None, (
            "Not compared with PyTorch: the checkpoint holds no answers of it, and it is not "
            "installed: pip install 'edgebert[train]'"
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", TruncationWarning)
            logits = load(path).logits(list(probe.texts))  # a tuple of two would be a pair
    except MissingPackageError as error:
        return None, f"Not compared with PyTorch: {error}"
    return float(np.abs(logits - probe.logits).max()), ""


def _row(artifact: Artifact) -> list[str]:
    difference = "–" if artifact.difference is None else f"{artifact.difference:.1e}"
    sizes = (artifact.bytes, artifact.weights, artifact.tokenizer, HASH_BYTES)
    return [str(artifact.path), *map(thousands, sizes), difference]

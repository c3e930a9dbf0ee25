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
from edgebert.config import DTYPES
from edgebert.errors import EdgebertError, MissingPackageError, UsageError
from edgebert.export import WRITERS, write_model

if TYPE_CHECKING:
    from edgebert.export.checkpoint import Checkpoint, Probe
    from edgebert.export.spec import ModelSpec

HASH_BYTES = ffi.sizeof("eb_hash_params")  # all that is left of the embedding table
TOLERANCE = 1e-4  # float32 logits may differ this much from PyTorch's

EXAMPLES = """examples:
  edgebert export model.pt -o out/
  edgebert export model.pt -o out/ --to ebm
  edgebert export model.pt -o out/ --dtype f32,i8,i4 --calibrate train.tsv
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
        metavar="DTYPES",
        default="f32",
        help=f"comma-separated types of arithmetic, of {', '.join(DTYPES)} (default: f32)",
    )
    parser.add_argument(
        "--calibrate",
        metavar="TSV",
        type=Path,
        help="texts like those to come, to choose int8 scales by (default: plain English)",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON document")


@dataclass(frozen=True)
class Artifact:
    """One written file: its path, where its bytes went, and how well it agrees with PyTorch."""

    path: Path
    dtype: str
    bytes: int
    weights: int
    tokenizer: int
    difference: float | None
    note: str = ""


def run(args: argparse.Namespace) -> int:
    """Run the command."""
    formats = _chosen(args.to, tuple(WRITERS), "--to")
    dtypes = _chosen(args.dtype, DTYPES, "--dtype")
    wanted = [(d, f) for d in dtypes for f in formats if d in WRITERS[f].dtypes]
    for dtype in dtypes:
        if dtype not in dict(wanted):
            raise UsageError(f"{' and '.join(formats)} cannot be {dtype}: add ebm to --to")
    artifacts = export(Path(args.checkpoint), Path(args.output), wanted, args.calibrate)
    if args.json:
        print_json([{**vars(a), "path": str(a.path), "hash": HASH_BYTES} for a in artifacts])
    else:
        columns = (
            "file",
            "dtype",
            "bytes",
            "weights",
            "tokenizer",
            "hash",
            "max |diff| to PyTorch",
        )
        print_table(columns, [_row(artifact) for artifact in artifacts])
        for note in dict.fromkeys(a.note for a in artifacts if a.note):
            print(note)
    for artifact in artifacts:
        difference = artifact.difference
        if artifact.dtype == "f32" and difference is not None and not difference <= TOLERANCE:
            raise EdgebertError(
                f"{artifact.path} differs from PyTorch by {difference:.1e}, "
                f"more than {TOLERANCE:.0e}: do not use it, and please report this"
            )
    return 0


def _chosen(text: str, known: tuple[str, ...], option: str) -> list[str]:
    names = list(dict.fromkeys(name.strip() for name in text.split(",")))
    unknown = [name for name in names if name not in known]
    if unknown:
        raise UsageError(f"unknown {unknown[0]!r}: {option} takes {', '.join(known)}")
    return names


def export(
    checkpoint_path: Path, output: Path, wanted: list[tuple[str, str]], calibrate: Path | None
) -> list[Artifact]:
    """Write one artifact for each (dtype, format) and check it."""
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
    models, notes = {"f32": spec}, {"f32": ""}
    for dtype in dict(wanted):
        if dtype != "f32":
            models[dtype], notes[dtype] = _quantise(spec, calibrate, dtype)
    artifacts = []
    for dtype, suffix in wanted:
        path = output / (f"{stem}.{suffix}" if dtype == "f32" else f"{stem}-{dtype}.{suffix}")
        model = models[dtype]
        write_model(model, path)
        difference, note = _difference(path, probe)
        sizes = (path.stat().st_size, model.weight_bytes, len(model.tokenizer))
        artifacts.append(Artifact(path, dtype, *sizes, difference, notes[dtype] or note))
    return artifacts


def _quantise(spec: ModelSpec, calibrate: Path | None, dtype: str) -> tuple[ModelSpec, str]:
    """The integer model, and a line on what it lost."""
    from edgebert.export.calibrate import Texts, measure_loss
    from edgebert.export.quantise import quantise

    texts = Texts.read(calibrate)
    integers = quantise(spec, texts.calibration, dtype)
    loss = measure_loss(spec, integers, texts)
    note = f"{dtype} on {loss.num_texts} of {texts.name}: {loss.same:.1%} have the label of f32"
    if loss.accuracy:
        note += f"; accuracy {loss.accuracy[0]:.4f}, f32 {loss.accuracy[1]:.4f}"
    if loss.points > 1:
        where, error = loss.worst
        note += f". WARNING: {loss.points:.1f} points lost, most of it in {where} ({error:.1%} off)"
        if calibrate is None:
            note += ". Calibrate on your own texts: --calibrate train.tsv"
    return integers, note


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
    return [str(artifact.path), artifact.dtype, *map(thousands, sizes), difference]

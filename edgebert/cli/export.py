"""``edgebert export``: a checkpoint becomes files that run anywhere."""

from __future__ import annotations

import argparse
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from edgebert._native import ffi
from edgebert.cli.output import print_json, print_table, thousands
from edgebert.errors import EdgebertError, MissingPackageError, UsageError
from edgebert.export import DTYPES, WRITERS, write_model
from edgebert.export.recipe import VARIANTS, Recipe

if TYPE_CHECKING:
    from edgebert.engines import Outputs
    from edgebert.export.calibrate import Texts
    from edgebert.export.checkpoint import Checkpoint, Probe
    from edgebert.export.spec import ModelSpec

HASH_BYTES = ffi.sizeof("eb_hash_params")  # all that is left of the embedding table
TOLERANCES = {"f32": 1e-4, "f16": 1e-2}  # logits and vectors may differ this much from PyTorch's
LEAST_SAME_TAGS = 0.99  # where these are tolerances: tokens between two tags may get another
INTEGER_DTYPES = ("i8", "i4")

EXAMPLES = """examples:
  edgebert export model.pt -o out/
  edgebert export model.pt -o out/ --to ebm
  edgebert export model.pt -o out/ --dtype f32,i8,i4 --calibrate train.tsv
  edgebert export model.pt -o out/ --to tflite --dtype i8 --micro --tokens 64
  edgebert export model.pt -o out/ --to onnx --portable
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
    parser.add_argument(
        "--tokens",
        metavar="LENGTHS",
        help="comma-separated lengths that a .tflite file is to take, whose shapes are fixed "
        "(default: 16, 32, 64 and so on to the model's limit; in i8 32, 128, ...; --micro: 64)",
    )
    for name, what in VARIANTS.items():
        parser.add_argument(
            f"--{name}",
            dest="variants",
            action="append_const",
            const=name,
            help=f"write graphs ({' or '.join(_formats_of(name))}) that {what}",
        )
    parser.add_argument("--json", action="store_true", help="print one JSON document")


def _formats_of(what: str) -> list[str]:
    """The formats that have a dtype or a variant."""
    return [name for name, row in WRITERS.items() if what in (*row.dtypes, *row.forms)]


@dataclass(frozen=True)
class Artifact:
    """One written file: its path, where its bytes went, and how well it agrees with PyTorch.

    ``difference`` is the largest of logits and vectors, ``same_tags`` the share of tokens.
    """

    path: Path
    dtype: str
    variant: str
    bytes: int
    weights: int
    tokenizer: int
    difference: float | None
    same_tags: float | None
    note: str = ""


def run(args: argparse.Namespace) -> int:
    """Run the command."""
    formats = _chosen(args.to, tuple(WRITERS), "--to")
    dtypes = _chosen(args.dtype, DTYPES, "--dtype")
    wanted = _wanted(formats, dtypes, args.variants or [""], _lengths(args.tokens))
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
        difference, limit = artifact.difference, TOLERANCES.get(artifact.dtype)
        if limit is not None and difference is not None and not difference <= limit:
            raise EdgebertError(
                f"{artifact.path} differs from PyTorch by {difference:.1e}, "
                f"more than {limit:.0e}: do not use it, and please report this"
            )
        same_tags = artifact.same_tags
        if limit is not None and same_tags is not None and same_tags < LEAST_SAME_TAGS:
            raise EdgebertError(
                f"{artifact.path} gives only {same_tags:.1%} of tokens the tag that PyTorch gives: "
                "do not use it, and please report this"
            )
    return 0


def _wanted(
    formats: list[str], dtypes: list[str], variants: list[str], tokens: tuple[int, ...]
) -> list[tuple[str, Recipe]]:
    """What to write, as (format, recipe): each combination that exists."""
    wanted = [
        (suffix, Recipe(dtype, variant, tokens))
        for variant in dict.fromkeys(variants)
        for dtype in dtypes
        for suffix in formats
        if dtype in WRITERS[suffix].forms.get(variant, ())
    ]
    named = " and ".join(formats)
    options = [f"--{variant}" for variant in variants if variant]
    for what, option in zip([*dtypes, *filter(None, variants)], [*dtypes, *options], strict=True):
        if not any(suffix in _formats_of(what) for suffix in formats):
            raise UsageError(
                f"{named} cannot be {option}: --to {' or '.join(_formats_of(what))} can"
            )
    for dtype in dtypes:
        if not any(recipe.dtype == dtype for _, recipe in wanted):
            raise UsageError(f"{named} cannot be both {dtype} and {' or '.join(options)}")
    return wanted


def _lengths(text: str | None) -> tuple[int, ...]:
    if text is None:
        return ()
    try:
        lengths = sorted({int(length) for length in text.split(",")})
    except ValueError:
        lengths = [0]
    if lengths[0] < 2:
        raise UsageError(f"--tokens takes whole numbers of 2 or more, as in 16,32,64; not {text!r}")
    return tuple(lengths)


def _chosen(text: str, known: tuple[str, ...], option: str) -> list[str]:
    names = list(dict.fromkeys(name.strip() for name in text.split(",")))
    unknown = [name for name in names if name not in known]
    if unknown:
        raise UsageError(f"unknown {unknown[0]!r}: {option} takes {', '.join(known)}")
    return names


def export(
    checkpoint_path: Path, output: Path, wanted: list[tuple[str, Recipe]], calibrate: Path | None
) -> list[Artifact]:
    """Write one artifact for each (format, recipe) and check it."""
    from edgebert.export.checkpoint import read_checkpoint
    from edgebert.export.spec import ModelSpec

    if output.exists() and not output.is_dir():
        raise EdgebertError(f"{output} is not a folder: -o takes the name of one")
    checkpoint = read_checkpoint(checkpoint_path)
    spec = ModelSpec.from_checkpoint(checkpoint)
    probe = checkpoint.probe or _make_probe(checkpoint)
    output.mkdir(parents=True, exist_ok=True)
    source = checkpoint_path.resolve()
    stem = source.name if source.is_dir() else source.stem  # folders have no suffix: bert-v1.5/
    artifacts = []
    integers: dict[str, ModelSpec] = {}
    texts = exact = None
    if any(recipe.dtype in INTEGER_DTYPES for _, recipe in wanted):
        from edgebert.export.activations import observe
        from edgebert.export.calibrate import Texts, float_outputs
        from edgebert.export.quantise import quantise

        texts = Texts.read(calibrate)
        spec = replace(spec, activations=observe(spec, texts.calibration))
        exact = float_outputs(spec, texts)
    for suffix, recipe in wanted:
        dtype, model = recipe.dtype, spec
        if dtype in INTEGER_DTYPES and not WRITERS[suffix].quantises:
            if dtype not in integers:
                integers[dtype] = quantise(spec, dtype=dtype)
            model = integers[dtype]
        name = "-".join(filter(None, (stem, dtype.replace("f32", ""), recipe.variant)))
        path = output / f"{name}.{suffix}"
        write_model(model, path, recipe)
        difference, same_tags, note = _compare(path, probe, spec)
        if texts is not None and exact is not None and dtype in INTEGER_DTYPES:
            note = _loss(path, exact, texts, (spec, model)) or note
        sizes = (path.stat().st_size, model.weight_bytes(dtype), len(model.tokenizer))
        artifacts.append(Artifact(path, dtype, recipe.variant, *sizes, difference, same_tags, note))
    return artifacts


def _loss(path: Path, exact: Outputs, texts: Texts, models: tuple[ModelSpec, ModelSpec]) -> str:
    """A line on what an artifact of integers lost; empty if its engine is not installed."""
    from edgebert.export.calibrate import measure_loss, worst_layer

    try:
        loss = measure_loss(exact, path, texts, models[0])
    except MissingPackageError:
        return ""
    if loss is None:
        return f"{path.name}: no text of {texts.name} fits it; what it lost is not known"
    note = f"{path.name} on {loss.num_texts} of {texts.name}: {loss}"
    if loss.notable:
        note += f". WARNING: {loss.points:.1f} points lost"
        if models[1].dtype in INTEGER_DTYPES:
            where, error = worst_layer(*models, texts.texts)
            note += f", most of it in {where} ({error:.1%} off)"
        if texts.labels is None:
            note += ". Calibrate on your own texts: --calibrate train.tsv"
    return note


def _make_probe(checkpoint: Checkpoint) -> Probe | None:
    """PyTorch's own answers, where it is installed, for a checkpoint that holds none."""
    try:
        from edgebert.train.checkpoint import make_probe
    except ImportError:
        return None
    return make_probe(checkpoint)


def _compare(
    path: Path, probe: Probe | None, spec: ModelSpec
) -> tuple[float | None, float | None, str]:
    """How far the artifact is from what PyTorch said, as in Artifact, and a remark.

    Of texts that the artifact does not cut more than PyTorch did.
    """
    from edgebert.engines import open_engine
    from edgebert.export.calibrate import fitting

    unknown = (None, None)
    if probe is None:
        return *unknown, (
            "Not compared with PyTorch: the checkpoint holds no answers of it, and it is not "
            "installed: pip install 'edgebert[train]'"
        )
    try:
        engine = open_engine(path)
    except MissingPackageError as error:
        return *unknown, f"Not compared with PyTorch: {error}"
    longest = engine.config.max_position_embeddings
    rows = fitting(spec, probe.texts, longest)
    if not rows:
        return *unknown, f"Not compared with PyTorch: no text of its answers fits {longest} tokens"
    found = engine.run_texts([probe.texts[i] for i in rows])[0]
    numbers = [(found.logits, probe.logits), (found.pooled, probe.pooled)]
    differences = [np.abs(x - y[rows]).max(initial=0) for x, y in numbers if y is not None]
    same_tags = None
    if found.tag_scores is not None and probe.tags is not None:
        pairs = zip(found.tag_scores, probe.tags[rows], strict=True)
        same_tags = float(np.concatenate([x.argmax(1) == y[: len(x)] for x, y in pairs]).mean())
    return float(np.max(differences)), same_tags, ""


def _row(artifact: Artifact) -> list[str]:
    difference = "–" if artifact.difference is None else f"{artifact.difference:.1e}"
    sizes = (artifact.bytes, artifact.weights, artifact.tokenizer, HASH_BYTES)
    return [str(artifact.path), artifact.dtype, *map(thousands, sizes), difference]

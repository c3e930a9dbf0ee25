"""Every file that a checkpoint can become: its size, its accuracy, its distance to PyTorch.

python -m benchmarks.forms --data dev.tsv [--calibrate train.tsv] [-o DIR] [CHECKPOINT]

Formats, dtypes and variants are those of WRITERS (export/__init__.py). Logits are compared with
PyTorch's on all texts. What cannot be written or run is one line that says why.
"""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np

from benchmarks.machine import describe
from benchmarks.peers import CHECKPOINT
from edgebert.cli.output import print_table, thousands
from edgebert.errors import EdgebertError
from edgebert.export import WRITERS, write_model
from edgebert.export.activations import observe
from edgebert.export.calibrate import Texts
from edgebert.export.checkpoint import read_checkpoint
from edgebert.export.quantise import quantise
from edgebert.export.recipe import Recipe
from edgebert.export.spec import ModelSpec
from edgebert.model import load
from edgebert.tsv import read_tsv

PACKAGES = ("onnxruntime", "ai-edge-litert", "tflite-runtime", "torch")
COLUMNS = ("file", "bytes", "accuracy", "labels as PyTorch", "max |diff|", "rms", "engine")


def main(arguments: list[str] | None = None) -> None:
    """Write all forms, and print a row for each."""
    parser = argparse.ArgumentParser(description="Every file that a checkpoint can become.")
    parser.add_argument("checkpoint", nargs="?", type=Path, default=CHECKPOINT)
    parser.add_argument("--data", type=Path, required=True, help="labelled texts")
    parser.add_argument("--calibrate", type=Path, help="texts to choose int8 scales by")
    parser.add_argument("-o", "--output", type=Path, help="keep the files in this folder")
    options = parser.parse_args(arguments)
    dataset = read_tsv(options.data)
    exact = load(options.checkpoint).logits(dataset.texts)
    spec = ModelSpec.from_checkpoint(read_checkpoint(options.checkpoint))
    labels = np.array([spec.config.labels.index(label) for label in dataset.labels])
    spec = replace(spec, activations=observe(spec, Texts.read(options.calibrate).calibration))
    rows, missing = [_row(options.checkpoint, exact, exact, labels, "torch")], []
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.output or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        for suffix, writer in WRITERS.items():
            for variant, dtypes in writer.forms.items():
                for dtype in dtypes:
                    name = "-".join(filter(None, (options.checkpoint.stem, dtype, variant)))
                    path = folder / f"{name}.{suffix}"
                    exported = spec
                    if dtype != "f32" and not writer.quantises:
                        exported = quantise(spec, dtype=dtype)
                    try:
                        write_model(exported, path, Recipe(dtype, variant))
                        model = load(path)
                        rows.append(
                            _row(path, model.logits(dataset.texts), exact, labels, model.engine)
                        )
                    except EdgebertError as error:
                        missing.append(f"{path.name}: {error}")
    print(describe(*PACKAGES))
    print_table(COLUMNS, rows)
    print("\n".join(missing))


def _row(
    path: Path, logits: np.ndarray, exact: np.ndarray, labels: np.ndarray, engine: str
) -> list[str]:
    error = logits - exact
    return [
        path.name,
        thousands(path.stat().st_size),
        f"{100 * (logits.argmax(1) == labels).mean():.2f}",
        f"{100 * (logits.argmax(1) == exact.argmax(1)).mean():.2f}",
        f"{np.abs(error).max():.1e}",
        f"{np.sqrt((error**2).mean()):.1e}",
        engine,
    ]


if __name__ == "__main__":
    main()

"""From checkpoints to artifacts. Needs no torch; see the extra ``edgebert[export]``."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from edgebert.export.recipe import STANDARD, Recipe

if TYPE_CHECKING:
    from edgebert.export.spec import ModelSpec


class Writer(NamedTuple):
    """A file format.

    Attributes:
        target: its writer, imported when it is used.
        forms: the dtypes that it can hold, by variant: "" or one of VARIANTS.
        quantises: whether the writer converts a float32 spec, calibrated if that takes it, to other
            dtypes itself; else it wants the integers of quantise.py.
    """

    target: str
    forms: dict[str, tuple[str, ...]]
    quantises: bool = True

    @property
    def dtypes(self) -> tuple[str, ...]:
        """Those of files that are no variant."""
        return self.forms[""]


_ONNX = ("f32", "i8")
_TFLITE = ("f32", "f16", "i8")

# One row for each file format, by its suffix.
WRITERS = {
    "onnx": Writer(
        "edgebert.export.onnx:write_onnx", {"": _ONNX, "custom-op": _ONNX, "portable": _ONNX}
    ),
    "tflite": Writer(
        "edgebert.export.tflite:write_tflite",
        {"": _TFLITE, "custom-op": _TFLITE, "portable": _TFLITE, "micro": ("f32", "i8")},
    ),
    "ebm": Writer("edgebert.export.ebm:write_ebm", {"": ("f32", "i8", "i4")}, quantises=False),
}
DTYPES = tuple(dict.fromkeys(dtype for writer in WRITERS.values() for dtype in writer.dtypes))


def write_model(spec: ModelSpec, path: Path, recipe: Recipe = STANDARD) -> None:
    """Write ``spec`` in the format that the suffix of ``path`` names."""
    module, name = WRITERS[path.suffix[1:]].target.split(":")
    getattr(importlib.import_module(module), name)(spec, path, recipe)

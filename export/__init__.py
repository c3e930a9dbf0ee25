"""From checkpoints to artifacts. Needs no torch; see the extra ``edgebert[export]``."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from edgebert.export.spec import ModelSpec


class Writer(NamedTuple):
    """A file format: its writer, imported when it is used, and the dtypes that it can hold."""

    target: str
    dtypes: tuple[str, ...]


# One row for each file format, by its suffix.
WRITERS = {
    "onnx": Writer("edgebert.export.onnx:write_onnx", ("f32",)),
    "ebm": Writer("edgebert.export.ebm:write_ebm", ("f32", "i8", "i4")),
}


def write_model(spec: ModelSpec, path: Path) -> None:
    """Write ``spec`` in the format that the suffix of ``path`` names."""
    module, name = WRITERS[path.suffix[1:]].target.split(":")
    getattr(importlib.import_module(module), name)(spec, path)

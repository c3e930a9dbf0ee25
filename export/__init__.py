"""From checkpoints to artifacts. Needs no torch; see the extra ``edgebert[export]``."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edgebert.export.spec import ModelSpec

# One row for each file format: its suffix and its writer, imported when it is used.
WRITERS = {
    "onnx": "edgebert.export.onnx:write_onnx",
    "ebm": "edgebert.export.ebm:write_ebm",
}


def write_model(spec: ModelSpec, path: Path) -> None:
    """Write ``spec`` in the format that the suffix of ``path`` names."""
    module, name = WRITERS[path.suffix[1:]].split(":")
    getattr(importlib.import_module(module), name)(spec, path)

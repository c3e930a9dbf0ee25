"""The models in the wheel, by name: the file ``data/NAME.ebm`` and its card ``data/NAME.json``.

tools/make_models.py writes both, of models/cards.toml and the checkpoints there.
"""

from __future__ import annotations

import difflib
import json
import os
from pathlib import Path
from typing import Any

from edgebert.errors import ModelError

DATA = Path(__file__).parent / "data"
DEFAULT = "sentiment"


def names() -> list[str]:
    """The models that there are."""
    return sorted(path.stem for path in DATA.glob("*.json"))


def model_path(model: str | os.PathLike[str] | None) -> Path:
    """The file that somebody means.

    Args:
        model: a str without suffix and folder is the name of a model in the wheel, all else a path,
            as every model's file has a suffix; None is the default model.

    Raises:
        ModelError: no model has this name.
    """
    if model is None:
        return DATA / f"{DEFAULT}.ebm"
    path = Path(model)
    if not isinstance(model, str) or path.suffix or path.name != model:
        return path
    known = names()
    if model in known:
        return DATA / f"{model}.ebm"
    near = difflib.get_close_matches(model, known, n=1)
    hint = f"did you mean {near[0]}? " if near else ""
    raise ModelError(
        f"no model is called {model!r}: {hint}there are {', '.join(known)}; "
        "a file's name has a suffix, as in model.ebm"
    )


def card(name: str) -> dict[str, Any]:
    """What is known of a model in the wheel besides its file; ModelError as in model_path."""
    document: dict[str, Any] = json.loads(model_path(name).with_suffix(".json").read_text("utf-8"))
    return document

"""Writes the models in the wheel: ``make models``.

python tools/make_models.py [NAME...] [--data DIR]

Each table of models/cards.toml becomes edgebert/data/NAME.ebm, int8, and its card, NAME.json, with
the figures that this very file reaches on dev; then models/README.md shows all cards. A model
whose data set is not at hand keeps what it has.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

from edgebert.builtin import DATA, names
from edgebert.cli.export import export
from edgebert.cli.models import card_rows, describe
from edgebert.evaluate import evaluate
from edgebert.export.recipe import Recipe
from edgebert.export.torch_zip import TorchFile
from edgebert.files import write_atomically
from edgebert.model import load

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parent.parent
MODELS = ROOT / "models"
DTYPE = "i8"
README = """\
# Models in the wheel

Written by `make models` from [cards.toml](cards.toml), the checkpoints beside this file and what
their exports reach on dev. `edgebert models` lists them, `edgebert models NAME` shows a card,
`edgebert infer -m NAME "text"` and `edgebert.load("NAME")` use one. Figures on dev are of the file
in the wheel, run by the C library; `f32` are those of the training.

To add one: put its checkpoint here, give it a table in cards.toml, run `make models`.
"""


def make(name: str, row: dict[str, Any], data: Path) -> None:
    """Write one model and its card."""
    texts = data / row.pop("texts")
    checkpoint = MODELS / row.pop("checkpoint")
    with tempfile.TemporaryDirectory() as folder:
        wanted = [("ebm", Recipe(DTYPE))]
        (artifact,) = export(checkpoint, Path(folder), wanted, texts / "train.tsv")
        write_atomically(DATA / f"{name}.ebm", artifact.path.read_bytes())
    print(artifact.note or name)
    if "example" in row:
        row["example"] = [row["example"], str(load(DATA / f"{name}.ebm").infer(row["example"]))]
    with TorchFile(checkpoint) as file:
        training = file.content["training"]
    card = {
        **row,
        "checkpoint": checkpoint.relative_to(ROOT).as_posix(),
        "dev": evaluate(DATA / f"{name}.ebm", texts / "dev.tsv")["metrics"],
        "training": training,
    }
    text = json.dumps(card, indent=2, ensure_ascii=False)
    write_atomically(DATA / f"{name}.json", f"{text}\n".encode())


def readme() -> str:
    """All cards in Markdown."""
    text = README
    for name in names():
        text += f"\n## {name}\n\n| | |\n|---|---|\n"
        text += "".join(
            f"| {heading} | {words} |\n" for heading, words in card_rows(describe(name))
        )
    return text


def main() -> None:
    """Read cards.toml and write what it asks for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="default: all")
    default = Path(os.environ.get("EDGEBERT_DATA", ROOT.parent / "shared" / "data"))
    parser.add_argument("--data", type=Path, default=default, help="folder of data sets")
    options = parser.parse_args()
    rows = tomllib.loads((MODELS / "cards.toml").read_text("utf-8"))
    for name in options.names or rows:
        if name not in rows:
            parser.error(f"models/cards.toml has no table {name}: it has {', '.join(rows)}")
        if (options.data / rows[name]["texts"]).is_dir():
            make(name, rows[name], options.data)
        else:
            print(f"{name}: left as it is, {options.data} has no {rows[name]['texts']}")
    write_atomically(MODELS / "README.md", readme().encode())


if __name__ == "__main__":
    main()

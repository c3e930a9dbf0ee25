"""Writes tests/data/small.ebm and small_tags.ebm: models of random weights for the C tests."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from edgebert.export.ebm import write_ebm  # noqa: E402
from edgebert.export.vocabulary import build_tokenizer  # noqa: E402
from tests.heads import with_heads  # noqa: E402
from tests.models import SMALL, random_spec  # noqa: E402

PIECES = ["[UNK]", "one", "two", "film", "grip", "##ping", "un", "##expected", "##ly", ",", "!"]

if __name__ == "__main__":
    tokenizer = build_tokenizer("wordpiece", PIECES)
    for name, config in (("small", SMALL), ("small_tags", with_heads(SMALL, "labels and tags"))):
        spec = replace(random_spec(config), tokenizer=tokenizer)
        write_ebm(spec, ROOT / "tests" / "data" / f"{name}.ebm")

"""Writes tests/data/small.ebm: a model of random weights for the C tests."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from edgebert.export.ebm import write_ebm  # noqa: E402
from edgebert.export.vocabulary import build_tokenizer  # noqa: E402
from tests.models import random_spec  # noqa: E402

PIECES = ["[UNK]", "one", "two", "film", "grip", "##ping", "un", "##expected", "##ly", ",", "!"]

if __name__ == "__main__":
    spec = replace(random_spec(), tokenizer=build_tokenizer("wordpiece", PIECES))
    write_ebm(spec, ROOT / "tests" / "data" / "small.ebm")

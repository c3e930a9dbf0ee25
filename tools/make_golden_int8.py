"""Writes tests/data/small_{i8,i4}.ebm and tests/golden/{i8,i4}.txt: integer models, and answers.

Each line holds a text in hexadecimal and its logits in units of 2^-16, as the NumPy reference has
them; every C kernel on every processor must give the same.
"""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from edgebert import int8_reference  # noqa: E402
from edgebert.export.ebm import write_ebm  # noqa: E402
from edgebert.export.quantise import quantise  # noqa: E402
from tests.models import SMALL_I8, random_spec  # noqa: E402

TEXTS = [
    "",
    "a",
    "a gripping film",
    "not the worst sequel ever made , but it is hard to see who asked for it",
    "Ünï-cödé 日本語 \U0001f600 mixed with [MASK] and 0123456789 !?",
    "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen",
    "word " * 40,
    "x" * 100 + " " + "y" * 101,
]

if __name__ == "__main__":
    for dtype in ("i8", "i4"):
        spec = quantise(random_spec(SMALL_I8), TEXTS, dtype)
        write_ebm(spec, ROOT / "tests" / "data" / f"small_{dtype}.ebm")
        lines = ["# Made by tools/make_golden_int8.py, which explains the lines.\n"]
        for text in TEXTS:
            logits = int8_reference.answer(spec, text).logits
            lines.append(f"{text.encode().hex() or '-'} {' '.join(map(str, logits.tolist()))}\n")
        (ROOT / "tests" / "golden" / f"{dtype}.txt").write_text("".join(lines))

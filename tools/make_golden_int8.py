"""Writes integer models and their answers: tests/data/small_i8.ebm and tests/golden/i8.txt, ...

The models of tagging have no labels. Each line holds a text in hexadecimal, then what the NumPy
reference gives: logits in units of 2^-16; without labels, the pooled vector in the same, and the
scores of each token's tags. Every C kernel on every processor must give the same.
"""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from edgebert import int8_reference  # noqa: E402
from edgebert.export.ebm import write_ebm  # noqa: E402
from edgebert.export.quantise import quantise  # noqa: E402
from tests.heads import with_heads  # noqa: E402
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
    configs = {"i8": SMALL_I8, "tagging_i8": with_heads(SMALL_I8, "tagging")}
    configs |= {name.replace("i8", "i4"): config for name, config in configs.items()}
    for name, config in configs.items():
        spec = quantise(random_spec(config), TEXTS, name[-2:])
        write_ebm(spec, ROOT / "tests" / "data" / f"small_{name}.ebm")
        lines = ["# Made by tools/make_golden_int8.py, which explains the lines.\n"]
        for text in TEXTS:
            answer = int8_reference.answer(spec, text)
            numbers = [*(answer.logits if config.labels else answer.pooled)]
            numbers += [*int8_reference.tag_scores(answer).ravel()] if config.tags else []
            lines.append(f"{text.encode().hex() or '-'} {' '.join(map(str, numbers))}\n")
        (ROOT / "tests" / "golden" / f"{name}.txt").write_text("".join(lines))

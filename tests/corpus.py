"""Plain text to pretrain on."""

from __future__ import annotations

import gzip
import lzma
import random
from pathlib import Path


def sentences(count: int, seed: int = 0) -> list[str]:
    """Sentences in which a word follows from another: dogs bark, cats meow."""
    rng = random.Random(seed)
    verbs = {"dog": "barks", "cat": "meows", "cow": "moos", "duck": "quacks"}
    animals = rng.choices(list(verbs), k=count)
    return [f"the {animal} {verbs[animal]} ." for animal in animals]


def write_corpus(folder: Path) -> Path:
    """Files plain and packed, and in folders."""
    (folder / "more").mkdir(parents=True)
    (folder / "a.txt").write_text("\n".join(sentences(300)) + "\n")
    with gzip.open(folder / "b.txt.gz", "wt") as file:
        file.write("\n\n".join(sentences(40, 1)))
    with lzma.open(folder / "more" / "c.txt.xz", "wt") as file:
        file.write("\n".join(sentences(100, 2)) + "\n")
    return folder

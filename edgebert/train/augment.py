"""More texts to train on: variants of the data, and lines of plain text for a teacher to label.

For a teacher, words are dropped, or replaced by words of like vector in its table, as in TinyBERT
(Jiao et al., 2020); a teacher without such a table leaves words that are drawn from the data. With
tags, entities are exchanged by others of their type.
"""

from __future__ import annotations

import dataclasses
import random
import re
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from edgebert.errors import DataError
from edgebert.metrics import spans
from edgebert.sequence import Text
from edgebert.train.text_stream import find_files, read_lines
from edgebert.tsv import Dataset, split_words

if TYPE_CHECKING:
    from edgebert.train.teacher import Teacher

DROPPED = 0.1  # share of the words of a variant that are left out
REPLACED = 0.2  # share that are replaced
NUM_ALIKE = 10  # words that may replace one
DRAW = 0  # seed of the texts that a teacher labels: runs of all seeds share its answers
EXCHANGED = 0.5  # share of the entities of a variant that are others of their type
_SENTENCE_END = re.compile(r"(?:(?<=[.!?])|(?<=[.!?][\"')\]]))\s+")
_ROWS = 1024  # of the words' similarities, at a time


def variants(texts: Sequence[Text], copies: int, teacher: Teacher, seed: int) -> list[Text]:
    """``copies`` variants of each text; a variant may equal its text where that is short."""
    if not copies:
        return []
    rng = random.Random(seed)
    sides = [side for text in texts for side in ([text] if isinstance(text, str) else text)]
    words = [word for side in sides for word in side.split()]
    alike = _alike(teacher, sorted(set(words)))

    def vary(text: str) -> str:
        result = []
        for word in text.split():
            chance = rng.random()
            if chance < DROPPED:
                continue
            replace = chance < DROPPED + REPLACED
            result.append(rng.choice(alike.get(word) or words) if replace else word)
        return " ".join(result) or text

    return [
        vary(text) if isinstance(text, str) else (vary(text[0]), vary(text[1]))
        for _ in range(copies)
        for text in texts
    ]


def _alike(teacher: Teacher, words: Sequence[str]) -> dict[str, list[str]]:
    """For words that the teacher has a vector of: others, by cosine."""
    known, vectors = teacher.word_vectors([word for word in words if word.isalpha()])
    vectors = torch.nn.functional.normalize(vectors.float(), dim=1)
    count = min(NUM_ALIKE, len(known) - 1)
    if count < 1:
        return {}
    result = {}
    for start in range(0, len(known), _ROWS):
        nearest = (vectors[start : start + _ROWS] @ vectors.T).topk(count + 1).indices.tolist()
        for i, row in enumerate(nearest, start):
            result[known[i]] = [known[j] for j in row if j != i][:count]
    return result


def exchange_entities(data: Dataset, copies: int, seed: int) -> Dataset:
    """The data, and behind them ``copies`` variants of each text with entities of other texts.

    Args:
        data: texts with tags.
        copies: how many.
        seed: of what is exchanged.
    """
    assert data.tags is not None
    rng = random.Random(seed)
    texts = [split_words(str(text)) for text in data.texts]
    values: dict[str, list[list[str]]] = defaultdict(list)  # as often as they come
    for words, tags in zip(texts, data.tags, strict=True):
        for kind, begin, end in spans(tags):
            values[kind].append(words[begin:end])

    def vary(words: list[str], tags: list[str]) -> tuple[str, list[str]]:
        varied: list[str] = []
        their_tags: list[str] = []
        last = 0
        for kind, begin, end in (*spans(tags), ("", len(words), len(words))):
            varied += words[last:begin]
            their_tags += tags[last:begin]
            if kind:
                exchanged = rng.random() < EXCHANGED
                value = rng.choice(values[kind]) if exchanged else words[begin:end]
                varied += value
                their_tags += [f"B-{kind}"] + [f"I-{kind}"] * (len(value) - 1)
            last = end
        return " ".join(varied), their_tags

    rows = [vary(*row) for _ in range(copies) for row in zip(texts, data.tags, strict=True)]
    return dataclasses.replace(
        data,
        texts=[*data.texts, *(text for text, _ in rows)],
        labels=data.labels * (1 + copies),
        lines=data.lines * (1 + copies),
        tags=[*data.tags, *(tags for _, tags in rows)],
    )


def sample_lines(
    paths: Sequence[Path], count: int, seed: int, *, sentences: bool = False
) -> list[str]:
    """At most ``count`` lines of plain text, drawn evenly in one pass, in their order.

    Args:
        paths: files of :func:`edgebert.train.text_stream.find_files`, and folders of them. They
            may be larger than memory.
        count: how many.
        seed: of the drawing.
        sentences: cut the lines into sentences and draw of these.

    Raises:
        DataError: one cannot be read, or they hold no text.
    """
    rng = random.Random(seed)
    kept: list[tuple[int, str]] = []
    lines = (line for file in find_files(paths) for line in read_lines(file))
    if sentences:
        lines = (sentence for line in lines for sentence in _SENTENCE_END.split(line))
    for number, line in enumerate(line for line in map(str.strip, lines) if line):
        if number < count:
            kept.append((number, line))
        elif (slot := rng.randrange(number + 1)) < count:
            kept[slot] = (number, line)
    if not kept:
        raise DataError(f"{', '.join(map(str, paths))}: holds no text")
    return [line for _, line in sorted(kept)]

"""Tags of words as targets of tokens, and back.

A word's tag is that of its first token; the other tokens' tags mean nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import numpy as np
import torch
from torch import Tensor

from edgebert.config import ModelConfig
from edgebert.metrics import span_scores, spans
from edgebert.sequence import NO_WORD, from_texts
from edgebert.tokenizer import Tokenizer
from edgebert.tsv import Dataset, split_words

NO_TARGET = -100  # of tokens that begin no word; what cross_entropy leaves out


def first_tokens(data: Dataset, tokenizer: Tokenizer, config: ModelConfig) -> list[Tensor]:
    """Where each text's words begin: int64 [words], position of a token, -1 of words without.

    The C library tells, whose words are those of the data: tsv.py refuses other white space.
    """
    limit = config.max_position_embeddings
    sequences = from_texts(tokenizer, data.texts, limit, words=True)
    rows = []
    for text, words in zip(data.texts, sequences.words, strict=True):
        row = torch.full((len(split_words(cast("str", text))),), -1)
        numbers, positions = np.unique(words[:, 0], return_index=True)
        known = numbers != NO_WORD
        row[numbers[known].astype(np.int64)] = torch.from_numpy(positions[known])
        rows.append(row)
    return rows


def targets(data: Dataset, firsts: Sequence[Tensor], names: Sequence[str]) -> list[Tensor]:
    """For each text int64 [tokens up to its last word's first]: tags' numbers and NO_TARGET.

    Args:
        data: texts with tags.
        firsts: of :func:`first_tokens`.
        names: of the tags.
    """
    assert data.tags is not None
    numbers = {name: i for i, name in enumerate(names)}
    result = []
    for first, tags in zip(firsts, data.tags, strict=True):
        row = torch.full((int(first.max()) + 1 if len(first) else 0,), NO_TARGET)
        for position, tag in zip(first.tolist(), tags, strict=True):
            if position >= 0:
                row[position] = numbers[tag]
        result.append(row)
    return result


def tag_names(data: Dataset) -> tuple[str, ...]:
    """All tags of the data, ``O`` first."""
    assert data.tags is not None
    return ("O", *sorted({tag for tags in data.tags for tag in tags} - {"O"}))


class SpanJudge:
    """From the tags of a data set's tokens to the scores of :func:`edgebert.metrics.span_scores`.

    Args:
        data: texts with tags.
        firsts: of :func:`first_tokens`.
        names: of the tags.
    """

    def __init__(self, data: Dataset, firsts: Sequence[Tensor], names: Sequence[str]) -> None:
        assert data.tags is not None
        self._references = [list(spans(tags)) for tags in data.tags]
        self._firsts, self._names = firsts, names

    def __call__(self, tags: Sequence[Tensor]) -> dict[str, float]:
        """Scores of the number of each token's tag, int64 [tokens] for each text."""
        found = [
            list(spans([self._names[row[i]] if i >= 0 else "O" for i in first.tolist()]))
            for first, row in zip(self._firsts, tags, strict=True)
        ]
        return span_scores(self._references, found)

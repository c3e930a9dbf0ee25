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
from edgebert.entities import best_tags
from edgebert.metrics import span_scores, spans
from edgebert.sequence import NO_WORD, from_texts
from edgebert.tokenizer import Tokenizer
from edgebert.train.bert import Predictions
from edgebert.train.transitions import NO_TARGET
from edgebert.tsv import Dataset, split_words


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
    """From what a model says of a data set to the scores of :func:`edgebert.metrics.span_scores`.

    Args:
        data: texts with tags.
        firsts: of :func:`first_tokens`.
        names: of the tags.
    """

    def __init__(self, data: Dataset, firsts: Sequence[Tensor], names: Sequence[str]) -> None:
        assert data.tags is not None
        self._references = [list(spans(tags)) for tags in data.tags]
        self._firsts, self._names = firsts, names

    def __call__(self, predictions: Predictions) -> dict[str, float]:
        """The scores; words that have no token are ``O``."""
        assert predictions.tag_scores is not None and predictions.tag_transitions is not None
        found = []
        firsts = (first.numpy() for first in self._firsts)
        for first, scores in zip(firsts, predictions.tag_scores, strict=True):
            known = np.flatnonzero(first >= 0)
            words = np.zeros((len(known), 3), np.uint32)
            words[:, 0] = known
            best = best_tags(predictions.tag_transitions, words, scores[first[known]])
            tags = ["O"] * len(first)
            for i, tag in zip(known.tolist(), best.tolist(), strict=True):
                tags[i] = self._names[tag]
            found.append(list(spans(tags)))
        return span_scores(self._references, found)

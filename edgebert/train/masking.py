"""Masked language modelling: which tokens are hidden, and what is to be predicted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
NOT_PREDICTED = -1
MASKED, RANDOM = 0.8, 0.1  # of the chosen tokens; the rest stays as it is (BERT's shares)


@dataclass(frozen=True)
class Masked:
    """A batch, padded to its longest row.

    Attributes:
        tokens: the distinct tokens of the batch; the hash makes their vectors.
        ids: int64 [rows, longest], indices into ``tokens``.
        attention: bool [rows, longest], False where padded.
        targets: int64 [rows, longest], a class of the output vocabulary or NOT_PREDICTED.
    """

    tokens: list[str]
    ids: np.ndarray
    attention: np.ndarray
    targets: np.ndarray


class Masker:
    """Hides whole words: each with the same probability, and all of its pieces.

    Of the hidden tokens 80 % become ``[MASK]``, 10 % a random token of the output vocabulary, and
    10 % stay, as in BERT. Tokens outside the vocabulary are hidden too, but nothing is asked.

    Args:
        vocabulary: the output vocabulary; a token's class is its index.
        share: probability of a word, 0 to 1.
        pieces: whether ``##x`` continues a word.
    """

    def __init__(self, vocabulary: Sequence[str], share: float, pieces: bool) -> None:
        self._vocabulary, self._share, self._pieces = vocabulary, share, pieces
        self._classes = {token: i for i, token in enumerate(vocabulary)}

    def __call__(self, rows: Sequence[list[str]], rng: np.random.Generator) -> Masked:
        """Hide words of a batch."""
        numbers: dict[str, int] = {token: i for i, token in enumerate(SPECIAL)}
        ids = np.zeros((len(rows), max(map(len, rows))), np.int64)  # 0 is [PAD]
        for row, tokens in zip(ids, rows, strict=True):
            row[: len(tokens)] = [numbers.setdefault(token, len(numbers)) for token in tokens]
        distinct = list(numbers)
        classes = np.array([self._classes.get(token, NOT_PREDICTED) for token in distinct])
        continues = np.array([self._pieces and t.startswith("##") and t != "##" for t in distinct])

        hidden = choose_words(continues[ids], ids < len(SPECIAL), self._share, rng)
        targets = np.where(hidden, classes[ids], NOT_PREDICTED)
        attention = ids != 0
        draws = rng.random(ids.shape)
        is_random = hidden & (draws >= MASKED) & (draws < MASKED + RANDOM)
        ids[is_random] = [
            numbers.setdefault(self._vocabulary[i], len(numbers))
            for i in rng.integers(len(self._vocabulary), size=is_random.sum()).tolist()
        ]
        ids[hidden & (draws < MASKED)] = SPECIAL.index("[MASK]")
        return Masked(list(numbers), ids, attention, targets)


def choose_words(
    continues: np.ndarray, special: np.ndarray, share: float, rng: np.random.Generator
) -> np.ndarray:
    """Choose whole words, each with probability ``share``: bool [rows, tokens].

    Args:
        continues: bool [rows, tokens], whether a token continues the word before it.
        special: bool [rows, tokens], tokens that are never chosen, and no part of a word.
        share: 0 to 1.
        rng: random numbers.
    """
    starts = ~continues | special
    starts[:, 0] = True
    starts[:, 1:] |= special[:, :-1]  # a word that the last sequence began
    word = starts.ravel().cumsum().reshape(starts.shape) - 1
    chosen: np.ndarray = (rng.random(word.max() + 1) < share)[word] & ~special
    return chosen

"""A linear-chain conditional random field over the tags of words (Lafferty et al., 2001).

Which tags can follow each other is learned with the model: a sequence's score is the sum of its
tags' logits and of the transitions between them. The C library finds the best one (csrc/tags.c).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from edgebert.entities import STEPS

NO_TARGET = -100  # of tokens that begin no word
LEAST, MOST = -128 / STEPS, 127 / STEPS  # transitions that files can hold


def first_transitions(names: Sequence[str]) -> Tensor:
    """Where training starts: ``I-x`` follows ``B-x`` and ``I-x`` alone, the rest are alike.

    Args:
        names: of the tags.

    Returns:
        float32 [num_tags, num_tags + 1]; row: the tag, column: the one before, the last column
        the start of a text.
    """
    starts = torch.zeros(len(names), len(names) + 1)
    for row, name in zip(starts, names, strict=True):
        if name.startswith("I-"):
            befores = [other != "O" and other[2:] == name[2:] for other in names]
            row[torch.tensor([*befores, False]).logical_not()] = LEAST
    return starts


def padded(tags: Sequence[Tensor], logits: Tensor) -> Tensor:
    """Targets of tags.targets() as one tensor, int64 [batch, tokens], for logits of a batch."""
    targets = torch.full(logits.shape[:2], NO_TARGET)
    for row, tag in zip(targets, tags, strict=True):
        row[: len(tag)] = tag
    return targets.to(logits.device)


def path_loss(logits: Tensor, transitions: Tensor, targets: Tensor) -> Tensor:
    """Negative log-likelihood of the tags given, divided by the number of words.

    Args:
        logits: float32 [batch, tokens, num_tags].
        transitions: float32 [num_tags, num_tags + 1], as in :func:`first_transitions`.
        targets: int64 [batch, tokens], NO_TARGET where no word begins.
    """
    is_word = targets != NO_TARGET
    counts = is_word.sum(1)
    longest = int(counts.max())
    if longest == 0:
        return logits.sum() * 0.0
    first = is_word.logical_not().to(torch.uint8).argsort(dim=1, stable=True)[:, :longest]
    logits = logits.gather(1, first[..., None].expand(-1, -1, logits.shape[-1]))
    targets = targets.gather(1, first).clamp(min=0)
    is_word = torch.arange(longest, device=logits.device) < counts[:, None]

    transitions = transitions.clamp(LEAST, MOST)
    between, start = transitions[:, :-1], transitions[:, -1]
    scores = logits.gather(2, targets[..., None])[..., 0]
    scores = scores + torch.cat(
        [start[targets[:, :1]], between[targets[:, 1:], targets[:, :-1]]], dim=1
    )
    weights = between.T.exp()  # at least exp(-8), so that no logarithm below is of 0
    paths = start + logits[:, 0]  # log of the sum over all ways to each tag
    for i in range(1, longest):
        top = paths.detach().amax(1, keepdim=True)
        longer = ((paths - top).exp() @ weights).log() + top + logits[:, i]
        paths = torch.where(is_word[:, i, None], longer, paths)
    all_paths = paths.logsumexp(1) * (counts > 0)
    return (all_paths.sum() - (scores * is_word).sum()) / counts.sum()

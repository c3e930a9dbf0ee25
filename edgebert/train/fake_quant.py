"""Quantisation-aware training: the last epochs see weights as the artifact will hold them.

Each step runs with rounded matrices and changes the unrounded ones: the straight-through estimator
(Bengio et al., arXiv 1308.3432), as in Jacob et al. (arXiv 1712.05877). Activations stay as they
are: calibration takes care of them.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from edgebert._native import lib
from edgebert.export.four_bits import MOST, SCALES
from edgebert.export.roles import WORD_EMBEDDINGS

DTYPES = ("i8", "i4")
TRIED = 6  # scales, from the one that clips nothing downwards


@contextlib.contextmanager
def rounded(model: nn.Module, dtype: str | None) -> Iterator[None]:
    """Within, the matrices of ``model`` hold what a file of ``dtype`` can; afterwards as before.

    Args:
        model: of :func:`edgebert.train.bert.build`.
        dtype: of DTYPES; None changes nothing.
    """
    kept = {name: p.data for name, p in model.named_parameters()} if dtype else {}
    parameters = dict(model.named_parameters())
    try:
        for name, values in kept.items():
            if _is_rounded(name, values):
                parameters[name].data = round_to(values, dtype or "")
        yield
    finally:
        for name, values in kept.items():
            parameters[name].data = values


def _is_rounded(name: str, values: Tensor) -> bool:
    """Whether it is a matrix of integers in files; token types keep 16 bits, the hash has none."""
    return values.ndim == 2 and name != WORD_EMBEDDINGS and "token_type" not in name


def round_to(weight: Tensor, dtype: str) -> Tensor:
    """The nearest values that a file of ``dtype`` has for a matrix [out, in], as export does it.

    Int8 has one scale for each row. Four bits have in each row small scales of groups besides;
    rows that are no multiple of a group, which such files cannot have, are as in int8.
    """
    four = dtype == "i4" and weight.shape[1] % lib.EB_I4_GROUP == 0
    most = MOST * SCALES[-1] if four else 127
    steps = weight.abs().amax(dim=1, keepdim=True).clamp_min(1e-9) / most
    units = weight / steps
    return (_four_bits(units) if four else units.round()) * steps


def _four_bits(units: Tensor) -> Tensor:
    """export/four_bits.py's search, over the scales that win there."""
    groups = units.unflatten(1, (-1, lib.EB_I4_GROUP))
    largest = (groups.abs().amax(-1, keepdim=True) / MOST).ceil_().clamp_(SCALES[0], SCALES[-1])
    best, least = torch.zeros_like(groups), torch.full_like(largest, torch.inf)
    for smaller in range(TRIED):
        scale = (largest - smaller).clamp_min_(SCALES[0])
        candidate = (groups / scale).round_().clamp_(-MOST, MOST).mul_(scale)
        error = (candidate - groups).square_().sum(-1, keepdim=True)
        best = torch.where(error < least, candidate, best)
        least = torch.minimum(error, least)
    return best.flatten(1)

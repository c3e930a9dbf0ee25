"""Four-bit weights: int8 weights of which each group of 32 is a small scale times -7 to 7.

So a model of four bits is an int8 model that takes half the room; its arithmetic is the same.
"""

from __future__ import annotations

import numpy as np

from edgebert._native import lib

MOST = 7  # of a four-bit weight, before its scale
SCALES = range(1, 18)  # MOST times the largest fits int8


def to_four_bits(weights: np.ndarray) -> np.ndarray:
    """The nearest matrix that four bits can hold.

    Args:
        weights: [out, in] in units of int8, at most MOST * SCALES[-1]; in is a multiple of 32.

    Returns:
        Whole numbers of the same shape: in each group of 32 inputs a scale times -7 to 7.
    """
    groups = weights.reshape(len(weights), -1, lib.EB_I4_GROUP)
    best = np.zeros_like(groups)
    least = np.full((*groups.shape[:2], 1), np.inf)
    for scale in SCALES:
        candidate = np.clip(np.rint(groups / scale), -MOST, MOST) * scale
        error = ((candidate - groups) ** 2).sum(axis=-1, keepdims=True)
        best = np.where(error < least, candidate, best)
        least = np.minimum(error, least)
    return best.reshape(weights.shape)


def four_bit_scales(weights: np.ndarray) -> np.ndarray:
    """The scale of each group of a matrix of to_four_bits: int64 [out, in / 32]."""
    groups = weights.astype(np.int64).reshape(len(weights), -1, lib.EB_I4_GROUP)
    found = np.zeros(groups.shape[:2], np.int64)
    for scale in reversed(SCALES):
        fits = (groups % scale == 0).all(axis=-1) & (abs(groups).max(axis=-1) <= MOST * scale)
        found = np.where(fits, scale, found)
    assert found.all(), "not of to_four_bits"
    return found

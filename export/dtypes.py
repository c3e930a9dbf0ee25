"""Element types of checkpoints, by their safetensors names, as NumPy arrays."""

from __future__ import annotations

import numpy as np

_NUMPY = {
    "F64": "<f8",
    "F32": "<f4",
    "F16": "<f2",
    "BF16": "<u2",  # NumPy has none: widened to float32, which is exact
    "I64": "<i8",
    "I32": "<i4",
    "I16": "<i2",
    "I8": "i1",
    "U8": "u1",
    "BOOL": "?",
}


def item_size(dtype: str) -> int:
    """Bytes of one element; KeyError for an unknown type."""
    return np.dtype(_NUMPY[dtype]).itemsize


def from_bytes(data: bytes, dtype: str) -> np.ndarray:
    """One-dimensional array of little-endian elements; KeyError for an unknown type."""
    values = np.frombuffer(data, _NUMPY[dtype])
    return (values.astype(np.uint32) << 16).view(np.float32) if dtype == "BF16" else values

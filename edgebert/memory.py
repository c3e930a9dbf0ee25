"""Memory and statuses, as the C library wants and gives them."""

from __future__ import annotations

import numpy as np

from edgebert._native import ffi, lib


def aligned(size: int) -> np.ndarray:
    """Uninitialised uint8 memory, aligned as the C library asks."""
    memory = np.empty(size + lib.EB_ALIGNMENT, np.uint8)
    start = -memory.ctypes.data % lib.EB_ALIGNMENT
    return memory[start : start + size]


def status_text(status: int) -> str:
    """The C library's sentence for a status."""
    return str(ffi.string(lib.eb_status_text(status)).decode())

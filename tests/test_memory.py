"""What an inference leaves behind: nothing."""

from __future__ import annotations

import gc
import tracemalloc
from pathlib import Path

import pytest

import edgebert

DATA = Path(__file__).parent / "data"
CALLS = 1000


@pytest.mark.parametrize("name", ["small.ebm", "small_i8.ebm", "small_i4.ebm"])
def test_an_inference_keeps_no_memory(name: str) -> None:
    """NumPy's arrays count too. The C library has no malloc: tests/c/check_library.sh."""
    model = edgebert.load(DATA / name)
    texts = ["a gripping film", "dull , and long", "", "words " * 15]

    def run() -> int:
        for _ in range(CALLS // len(texts)):
            for text in texts:
                model.infer(text)
        gc.collect()
        return tracemalloc.get_traced_memory()[0]

    tracemalloc.start()
    try:
        growth = -run() + run()
    finally:
        tracemalloc.stop()
    assert growth < 8 * CALLS  # the smallest object of Python has 16 bytes

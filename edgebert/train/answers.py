"""A teacher's answers, kept in a file: a text is asked once, whatever else is asked with it."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor
from tqdm.auto import tqdm

from edgebert.sequence import Text
from edgebert.train.checkpoint import remembered, save_atomically

ASKED = 1024  # texts at a time
PAUSE = 60.0  # seconds of work between saves


class Answers:
    """Rows of numbers by text.

    Args:
        path: the file; made when there is something to keep.
        fingerprint: of the teacher and of how it reads. Answers of another are forgotten.
        width: of a row.
        dtype: of what is kept.
    """

    def __init__(
        self, path: Path, fingerprint: str, width: int, dtype: torch.dtype = torch.float32
    ) -> None:
        self._path, self._fingerprint, self._dtype = path, fingerprint, dtype
        self._values = torch.empty(0, width, dtype=dtype)
        self._rows: dict[int, int] = {}
        saved = remembered(path, fingerprint)
        if saved:
            self._values = saved["values"]
            self._rows = {key: row for row, key in enumerate(saved["keys"].tolist())}

    def to(self, texts: Sequence[Text], ask: Callable[[list[int]], Tensor]) -> Tensor:
        """One row for each text, float32 [len(texts), width].

        Args:
            texts: what was asked, or is to be.
            ask: answers to the texts of these numbers, [rows, width].
        """
        keys = [_key(text) for text in texts]
        first = {key: i for i, key in reversed(list(enumerate(keys))) if key not in self._rows}
        wanted = sorted(first.values())
        chunks, saved = [self._values], time.monotonic()
        try:
            for start in tqdm(range(0, len(wanted), ASKED), "teacher", leave=False, disable=None):
                numbers = wanted[start : start + ASKED]
                chunks.append(ask(numbers).to(self._dtype))
                for number in numbers:
                    self._rows[keys[number]] = len(self._rows)
                if time.monotonic() - saved > PAUSE:
                    chunks, saved = self._save(chunks), time.monotonic()
        finally:
            self._save(chunks)
        return self._values[[self._rows[key] for key in keys]].float()

    def _save(self, chunks: list[Tensor]) -> list[Tensor]:
        if len(chunks) > 1:
            self._values = torch.cat(chunks)[: len(self._rows)]  # an interrupt may come between
            keys = torch.tensor(list(self._rows))
            content = {"fingerprint": self._fingerprint, "keys": keys, "values": self._values}
            save_atomically(content, self._path)
        return [self._values]


def _key(text: Text) -> int:
    """64 bits of a text; two texts share theirs with odds of one in 10^8 among a million."""
    digest = hashlib.blake2b(repr(text).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little", signed=True)

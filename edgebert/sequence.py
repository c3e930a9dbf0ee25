"""Token sequences as the C library lays them out: flat bytes and ends, nothing padded."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from edgebert._native import ffi, lib
from edgebert.errors import DataError
from edgebert.tokenizer import Tokenizer, to_utf8, word_pointer

NO_WORD = lib.EB_NO_WORD  # index of the word of [CLS], [SEP] and all of a second text

Text = str | tuple[str, str]
"""One text, or a pair of texts."""


@dataclass(frozen=True)
class Sequences:
    """Model inputs, [CLS] and [SEP] included.

    Attributes:
        bytes: uint8 arrays, one for each sequence: its tokens' bytes one after another.
        ends: uint32 arrays: where each token ends in ``bytes``.
        types: uint8 arrays: each token's type id.
        num_dropped: for each sequence, how many tokens of its text were cut off.
        words: uint32 arrays [num_tokens, 3]: the index of each token's word in the text, or
            NO_WORD; and where it begins and ends in the bytes of ``to_utf8``. Empty arrays if words
            were not asked for.
    """

    bytes: list[np.ndarray]
    ends: list[np.ndarray]
    types: list[np.ndarray]
    num_dropped: list[int]
    words: list[np.ndarray]

    def __len__(self) -> int:
        return len(self.ends)

    def select(self, rows: Sequence[int]) -> Sequences:
        """The sequences with these indices, in this order."""
        return Sequences(*([column[i] for i in rows] for column in vars(self).values()))


def fill_text(struct: Any, text: Text, max_tokens: int) -> tuple[bytes, bytes | None]:
    """Point an ``eb_text *`` to a text or a pair; keep what is returned while C reads it."""
    a, b = (text, None) if isinstance(text, str) else text
    if b is not None and max_tokens < 3:
        raise DataError(f"a pair of texts takes 3 tokens or more; the model has {max_tokens}")
    a_utf8, b_utf8 = to_utf8(a), None if b is None else to_utf8(b)
    struct.a, struct.a_size = ffi.from_buffer(a_utf8), len(a_utf8)
    struct.b = ffi.NULL if b_utf8 is None else ffi.from_buffer(b_utf8)
    struct.b_size = 0 if b_utf8 is None else len(b_utf8)
    return a_utf8, b_utf8


def from_texts(
    tokenizer: Tokenizer,
    texts: Sequence[Text],
    max_tokens: int,
    type_vocab_size: int = 2,
    *,
    words: bool = False,
) -> Sequences:
    """Tokenize each text or pair; cut it to ``max_tokens`` where it is longer.

    With ``words``, find out of which word each token is.
    """
    result = Sequences([], [], [], [], [])
    rows = np.empty((max_tokens if words else 0, 3), np.uint32)
    types = np.empty(max_tokens, np.uint8)
    ends = np.empty(max_tokens, np.uint32)
    data = np.empty(16 * max_tokens + 1024, np.uint8)
    tokens = ffi.new("eb_tokens *")
    tokens.ends = ffi.from_buffer("uint32_t[]", ends)
    tokens.ends_capacity = max_tokens
    tokens.words = word_pointer(rows) if words else ffi.NULL
    text_struct = ffi.new("eb_text *")
    dropped = ffi.new("uint32_t *")
    for text in texts:
        kept = fill_text(text_struct, text, max_tokens)
        while True:
            tokens.bytes = ffi.from_buffer("uint8_t[]", data)
            tokens.bytes_capacity = data.size
            status = lib.eb_sequence(
                tokenizer.handle,
                text_struct,
                max_tokens,
                tokens,
                ffi.from_buffer("uint8_t[]", types),
                dropped,
            )
            assert status == lib.EB_OK, status
            if tokens.count == tokens.total:
                break
            data = np.empty(tokens.bytes_total, np.uint8)
        count = tokens.count
        result.bytes.append(data[: tokens.bytes_total].copy())
        result.ends.append(ends[:count].copy())
        result.types.append(np.minimum(types[:count], type_vocab_size - 1).astype(np.uint8))
        result.num_dropped.append(dropped[0])
        result.words.append(rows[:count].copy())
        del kept
    return result


def windows(tokenizer: Tokenizer, text: str, max_tokens: int, stride: int) -> Sequences:
    """The whole of a text as windows of ``max_tokens`` of which ``stride`` overlap."""
    data, ends, words = tokenizer.encode_words(text)
    result = Sequences([], [], [], [], [])
    no_word = np.array([[NO_WORD, 0, 0]], np.uint32)
    cls, sep = (np.frombuffer(special, np.uint8) for special in (b"[CLS]", b"[SEP]"))
    for first, last in _window_bounds(len(ends), max_tokens - 2, stride):
        begin = ends[first - 1] if first else 0
        inner = ends[first:last].astype(np.uint32) - np.uint32(begin) + np.uint32(cls.size)
        inner_end = inner[-1] if len(inner) else cls.size
        result.bytes.append(np.concatenate([cls, data[begin : begin + inner_end - cls.size], sep]))
        result.ends.append(
            np.concatenate([[cls.size], inner, [inner_end + sep.size]]).astype(np.uint32)
        )
        result.types.append(np.zeros(len(inner) + 2, np.uint8))
        result.num_dropped.append(0)
        result.words.append(np.concatenate([no_word, words[first:last], no_word]))
    return result


def join_windows(columns: Sequence[np.ndarray], stride: int) -> np.ndarray:
    """What was found for each token of :func:`windows`, without [CLS] and [SEP], as one array.

    Of the tokens that two windows share, the first half is taken from the first one: it knows more
    of what is around them.
    """
    first = stride - stride // 2
    last = len(columns) - 1
    return np.concatenate(
        [
            column[1 + (first if i else 0) : len(column) - 1 - (stride // 2 if i < last else 0)]
            for i, column in enumerate(columns)
        ]
    )


def _window_bounds(count: int, size: int, stride: int) -> Iterator[tuple[int, int]]:
    first = 0
    while True:
        yield first, min(first + size, count)
        if first + size >= count:
            return
        first += size - stride

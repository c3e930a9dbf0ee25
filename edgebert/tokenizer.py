"""Text to tokens, by the C library; docs/tokenizers.md says which tokens."""

from __future__ import annotations

import functools
from pathlib import Path

import numpy as np

from edgebert._native import ffi, lib
from edgebert.errors import ModelError
from edgebert.memory import aligned, status_text

KINDS = ("wordpiece", "word")  # position = EB_TOKENIZER_* in edgebert.h
BERT_UNCASED = Path(__file__).parent / "data" / "bert-base-uncased.tok"


def to_utf8(text: str) -> bytes:
    """The text for C. Lone surrogates become broken sequences, which the tokenizer skips."""
    return text.encode("utf-8", "surrogatepass")


def word_pointer(words: np.ndarray) -> ffi.CData:
    """An ``eb_word *`` to the rows of uint32 [count, 3]."""
    return ffi.cast("eb_word *", ffi.from_buffer(words))


def tokenizer_section(kind: str, lowercase: bool, vocabulary: bytes = b"") -> bytes:
    """A tokenizer section as artifacts hold it: a header, then the compiled vocabulary."""
    header = ffi.new(
        "eb_tokenizer_header *",
        {
            "kind": KINDS.index(kind),
            "lowercase": lowercase,
            "vocabulary_size": len(vocabulary),
        },
    )
    return bytes(ffi.buffer(header)) + vocabulary


class Tokenizer:
    """Splits text into tokens; threads may share it.

    Args:
        blob: a tokenizer section, as artifacts hold it.

    Raises:
        ModelError: the section is damaged.
    """

    def __init__(self, blob: bytes) -> None:
        self.blob = blob
        self._section = ffi.from_buffer(blob)
        size = ffi.new("size_t *")
        lib.eb_tokenizer_size(size)
        self._memory = aligned(size[0])
        handle = ffi.new("eb_tokenizer **")
        status = lib.eb_tokenizer_open(
            self._section, len(blob), ffi.from_buffer(self._memory), size[0], handle
        )
        if status != lib.EB_OK:
            raise ModelError(f"tokenizer: {status_text(status)}")
        self.handle = handle[0]

    @classmethod
    def from_bytes(cls, blob: bytes) -> Tokenizer:
        """Open a tokenizer section."""
        return cls(blob)

    @classmethod
    def word(cls, lowercase: bool = True) -> Tokenizer:
        """Words and punctuation marks as they are; no vocabulary."""
        return cls(tokenizer_section("word", lowercase))

    @classmethod
    @functools.cache
    def wordpiece(cls) -> Tokenizer:
        """BERT's uncased English WordPiece, whose vocabulary travels with the package."""
        return cls(BERT_UNCASED.read_bytes())

    @property
    def _header(self) -> ffi.CData:
        return ffi.cast("const eb_tokenizer_header *", self._section)

    @property
    def kind(self) -> str:
        """``wordpiece`` or ``word``."""
        return KINDS[self._header.kind]

    @property
    def lowercase(self) -> bool:
        """Whether text is lowercased and stripped of accents."""
        return bool(self._header.lowercase)

    def __contains__(self, piece: str) -> bool:
        """Whether the vocabulary has a piece (``##ing`` for a continuation)."""
        utf8 = to_utf8(piece)
        return bool(lib.eb_tokenizer_has(self.handle, utf8, len(utf8)))

    def encode(self, text: str) -> tuple[np.ndarray, np.ndarray]:
        """All tokens laid end to end: uint8 bytes, and uint32 where each token ends."""
        data, ends, _ = self._encode(text, words=False)
        return data, ends

    def encode_words(self, text: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The same, and each token's word: uint32 [num_tokens, 3].

        A word is what stands between white space. Its row holds its index in the text, and where
        it begins and ends in the bytes of :func:`to_utf8`.
        """
        return self._encode(text, words=True)

    def _encode(self, text: str, words: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        utf8 = to_utf8(text)
        data = np.empty(3 * len(utf8) + 16, np.uint8)
        ends = np.empty(len(utf8) + 4, np.uint32)
        while True:
            rows = np.empty((ends.size if words else 0, 3), np.uint32)
            tokens = ffi.new(
                "eb_tokens *",
                {
                    "bytes": ffi.from_buffer("uint8_t[]", data),
                    "bytes_capacity": data.size,
                    "ends": ffi.from_buffer("uint32_t[]", ends),
                    "ends_capacity": ends.size,
                    "words": word_pointer(rows) if words else ffi.NULL,
                },
            )
            lib.eb_tokenize(self.handle, utf8, len(utf8), tokens)
            if tokens.count == tokens.total:
                return data[: tokens.bytes_total], ends[: tokens.count], rows[: tokens.count]
            data = np.empty(tokens.bytes_total, np.uint8)
            ends = np.empty(tokens.total, np.uint32)

    def tokenize(self, text: str) -> list[str]:
        """The tokens as strings, without [CLS] and [SEP]."""
        data, ends = self.encode(text)
        utf8, start, tokens = data.tobytes(), 0, []
        for end in ends.tolist():
            tokens.append(utf8[start:end].decode())
            start = end
        return tokens

"""Tags of tokens become entities of a text; the C library does the same for devices."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edgebert._native import ffi, lib
from edgebert.tokenizer import to_utf8, word_pointer


@dataclass(frozen=True)
class Entity:
    """Something that a model found in a text: one or more whole words.

    Attributes:
        type: what it is: the name of its tag without ``B-`` or ``I-``.
        text: its words as they are written, with what is between them.
        begin: index of its first character in the text.
        end: index behind its last one.
    """

    type: str
    text: str
    begin: int
    end: int

    def __str__(self) -> str:
        return f"{self.type}={self.text}"


class EntityFinder:
    """Reads tags in the BIO scheme as conlleval does.

    Args:
        names: of all tags, in the order of their numbers: ``O``, ``B-city``, ``I-city`` ...
    """

    def __init__(self, names: Sequence[str]) -> None:
        self._utf8 = [name.encode() for name in names]
        self._names = ffi.new("eb_name[]", len(names))
        for struct, utf8 in zip(self._names, self._utf8, strict=True):
            struct.text, struct.size = ffi.from_buffer(utf8), len(utf8)

    def __call__(self, text: str, words: np.ndarray, tags: np.ndarray) -> tuple[Entity, ...]:
        """The entities of a text, in their order.

        Args:
            text: the text; of a pair, the first one.
            words: uint32 [num_tokens, 3], as in :class:`edgebert.sequence.Sequences`.
            tags: uint16 [num_tokens]: the number of each token's tag.
        """
        count = len(tags)
        entities, found = ffi.new("eb_entity[]", count), ffi.new("uint32_t *")
        status = lib.eb_find_entities(
            self._names,
            len(self._names),
            ffi.from_buffer("uint16_t[]", np.ascontiguousarray(tags, np.uint16)),
            word_pointer(np.ascontiguousarray(words, np.uint32)),
            count,
            entities,
            count,
            found,
        )
        if status != lib.EB_OK:
            raise ValueError("a tag has no name, or its name is none of the BIO scheme")
        utf8 = to_utf8(text)
        return tuple(_entity(utf8, entities[i]) for i in range(found[0]))


def _entity(utf8: bytes, entity: ffi.CData) -> Entity:
    text = utf8[entity.begin : entity.end].decode("utf-8", "surrogatepass")
    begin = len(utf8[: entity.begin].decode("utf-8", "surrogatepass"))
    name = ffi.unpack(entity.type, entity.type_size).decode()
    return Entity(name, text, begin, begin + len(text))

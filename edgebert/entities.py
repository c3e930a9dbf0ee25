"""Scores of tags become tags, and these entities of a text; the C library does both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edgebert._native import ffi, lib
from edgebert.tokenizer import to_utf8, word_pointer

STEPS = 16  # of files, in a transition of 1


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


def quantise_transitions(transitions: np.ndarray) -> np.ndarray:
    """How well tags follow each other in units of 1 / 16, as all files hold it: int8."""
    return np.clip(np.rint(transitions * STEPS), -128, 127).astype(np.int8)


def tag_scores(logits: np.ndarray) -> np.ndarray:
    """Logits of tags, float32 of any shape, in units of 1 / 256, as the decoder takes them."""
    logits = np.ascontiguousarray(logits, np.float32)
    scores = np.empty(logits.shape, np.int16)
    pointers = ffi.from_buffer("float[]", logits), ffi.from_buffer("int16_t[]", scores)
    lib.eb_tag_scores(pointers[0], logits.size, pointers[1])
    return scores


def best_tags(transitions: np.ndarray, words: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """The best sequence of tags of a text's words (Viterbi), uint16 [num_tokens].

    All tokens of a word have its tag; tokens of no word have 0.

    Args:
        transitions: int8 [num_tags, num_tags + 1], row: the tag, column: the tag before, the last
            one at the start of a text; in units of 1 / 16.
        words: uint32 [num_tokens, 3], as in :class:`edgebert.sequence.Sequences`.
        scores: int16 [num_tokens, num_tags], of :func:`tag_scores`.
    """
    used, tags = np.array(scores, np.int16, order="C"), np.empty(len(scores), np.uint16)
    status = lib.eb_best_tags(
        ffi.from_buffer("int8_t[]", np.ascontiguousarray(transitions, np.int8)),
        transitions.shape[0],
        word_pointer(words),
        len(used),
        ffi.from_buffer("int16_t[]", used),
        ffi.from_buffer("uint16_t[]", tags),
    )
    assert status == lib.EB_OK, status
    return tags


class EntityFinder:
    """Finds entities by scores of tags, which are read in the BIO scheme as conlleval does.

    Args:
        names: of all tags, in the order of their numbers: ``O``, ``B-city``, ``I-city`` ...
        transitions: as :func:`best_tags` takes them.
    """

    def __init__(self, names: Sequence[str], transitions: np.ndarray) -> None:
        self._transitions = transitions
        self._utf8 = [name.encode() for name in names]
        self._names = ffi.new("eb_name[]", len(names))
        for struct, utf8 in zip(self._names, self._utf8, strict=True):
            struct.text, struct.size = ffi.from_buffer(utf8), len(utf8)

    def __call__(self, text: str, words: np.ndarray, scores: np.ndarray) -> tuple[Entity, ...]:
        """The entities of a text, in their order.

        Args:
            text: the text; of a pair, the first one.
            words: uint32 [num_tokens, 3], as in :class:`edgebert.sequence.Sequences`.
            scores: int16 [num_tokens, num_tags], of :func:`tag_scores`.
        """
        count, tags = len(scores), best_tags(self._transitions, words, scores)
        entities, found = ffi.new("eb_entity[]", count), ffi.new("uint32_t *")
        status = lib.eb_find_entities(
            self._names,
            len(self._names),
            ffi.from_buffer("uint16_t[]", tags),
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

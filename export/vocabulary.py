"""Compiles a WordPiece vocabulary to the automaton that csrc/vocabulary.c searches in place.

The pieces become two minimal acyclic automata, one of initial and one of continuation pieces,
which share their states. An edge is one byte, nearly always, and at most three bytes of distance
to its child. docs/format.md tells the layout.
"""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from edgebert.errors import ModelError
from edgebert.tokenizer import KINDS, tokenizer_section

CONTINUATION = "##"

# The kind of an edge: the number of bytes of its distance, and flags.
_DISTANCE_SIZE = 3  # mask
_VARIANT = 4  # with no distance: no child; with one byte: an index into the shared children
_FINAL = 8  # a piece ends here
_LAST = 16  # of the state's edges
_NO_CHILD = _VARIANT
_SHARED_CHILD = _VARIANT | 1

_HEADER = struct.Struct("<II")  # bytes of edges, number of shared children
_ESCAPE = 255  # this code is followed by the edge's kind and label
_NUM_CODES = 256
_MAX_SHARED = 256
_OFFSET_SIZE = 3  # bytes of an offset into the edges
_ENTRY = struct.Struct("<I")  # of a first byte: offset of its child, 1 << 24 if a piece ends here
_FINAL_ENTRY = 1 << 24

_Edge = tuple[int, bool, int]  # label, whether a piece ends here, state it leads to
_LEAF = 0  # the state without edges


def read_vocab_txt(path: Path) -> list[str]:
    """The pieces of a Hugging Face ``vocab.txt``, one a line; ModelError if it is not UTF-8."""
    try:
        return path.read_text(encoding="utf-8").removesuffix("\n").split("\n")
    except UnicodeDecodeError as error:
        raise ModelError(f"{path} is not UTF-8 text: {error}") from error


def build_tokenizer(
    kind: str, vocabulary: Iterable[str] | None = None, lowercase: bool = True
) -> bytes:
    """A tokenizer section (docs/format.md)."""
    if kind not in KINDS:
        raise ModelError(f"unknown tokenizer {kind!r}: one of {', '.join(KINDS)}")
    compiled = compile_vocabulary(vocabulary or ()) if kind == "wordpiece" else b""
    return tokenizer_section(kind, lowercase, compiled)


def compile_vocabulary(pieces: Iterable[str]) -> bytes:
    """The vocabulary as artifacts hold it.

    Args:
        pieces: any strings; those that begin with ``##`` continue a word. Order and duplicates do
            not matter, and the empty string is left out.

    Raises:
        ModelError: the compiled vocabulary is larger than 16 MB, or a piece is no valid text.
    """
    words: tuple[set[bytes], set[bytes]] = (set(), set())
    for piece in pieces:
        continues = piece.startswith(CONTINUATION) and piece != CONTINUATION
        text = piece[len(CONTINUATION) :] if continues else piece
        try:
            words[continues].add(text.encode())
        except UnicodeEncodeError as error:
            raise ModelError(f"{piece!r} has a lone surrogate: no text can hold it") from error
    automaton = _Automaton()
    roots = [automaton.states[automaton.add(sorted(group - {b""}))] for group in words]
    # Only a layout shows which children are often met from afar, and then what edges there are.
    draft = _Layout(automaton, roots, shared=[], codes=[])
    shared = _most_common(draft.far, least=3, count=_MAX_SHARED)
    draft = _Layout(automaton, roots, shared, codes=[])
    codes = _most_common(draft.edges, least=1, count=_ESCAPE)
    layout = _Layout(automaton, roots, shared, codes)
    edges = bytes(reversed(layout.reversed))
    if len(edges) >= _FINAL_ENTRY:
        raise ModelError("the vocabulary is larger than 16 MB: leave out rare pieces")
    parts = [_HEADER.pack(len(edges), len(shared)), edges]
    parts.append(b"".join(map(bytes, codes)).ljust(2 * _NUM_CODES, b"\0"))
    for root in roots:
        entries = [len(edges)] * 256
        for label, final, child in root:
            entries[label] = len(edges) - layout.ends[child] | final * _FINAL_ENTRY
        parts.extend(map(_ENTRY.pack, entries))
    for state in shared:
        parts.append((len(edges) - layout.ends[state]).to_bytes(_OFFSET_SIZE, "little"))
    return b"".join(parts)


def decompile_vocabulary(data: bytes) -> list[str]:
    """The pieces of a compiled vocabulary, sorted; continuation pieces with their ``##``."""
    edges_size, num_shared = _HEADER.unpack_from(data)
    edges = data[_HEADER.size :][:edges_size]
    codes = data[_HEADER.size + edges_size :][: 2 * _NUM_CODES]
    shared = data[len(data) - _OFFSET_SIZE * num_shared :]
    firsts = data[_HEADER.size + edges_size + 2 * _NUM_CODES : len(data) - len(shared)]
    pieces, todo = [], []
    for i, (entry,) in enumerate(_ENTRY.iter_unpack(firsts)):
        text = (CONTINUATION.encode() if i >= 256 else b"") + bytes([i % 256])
        if entry & _FINAL_ENTRY:
            pieces.append(text.decode())
        todo.append((entry % _FINAL_ENTRY, text))
    while todo:
        at, prefix = todo.pop()
        last = at == edges_size  # no child
        while not last:
            code, at = edges[at], at + 1
            if code == _ESCAPE:
                kind, label = edges[at : at + 2]
                at += 2
            else:
                kind, label = codes[2 * code :][:2]
            text = prefix + bytes([label])
            size = kind & _DISTANCE_SIZE
            operand, at = int.from_bytes(edges[at : at + size], "little"), at + size
            child = kind & (_DISTANCE_SIZE | _VARIANT)
            if child == _SHARED_CHILD:
                offset = shared[_OFFSET_SIZE * operand :][:_OFFSET_SIZE]
                todo.append((int.from_bytes(offset, "little"), text))
            elif not child & _VARIANT:
                todo.append((at + operand, text))
            if kind & _FINAL:
                pieces.append(text.decode())
            last = bool(kind & _LAST)
    return sorted(pieces)


def _most_common(counts: Counter[Any], least: int, count: int) -> list[Any]:
    """At most ``count`` keys counted ``least`` times or more, by number of times, then by key."""
    ranked = sorted((-times, key) for key, times in counts.items() if times >= least)
    return [key for _, key in ranked[:count]]


class _Automaton:
    """Minimal acyclic automata that share states.

    They are built word by word from sorted words (Daciuk et al., Computational Linguistics 26(1),
    2000, algorithm 1).

    Attributes:
        states: the edges of each state, those first through which most pieces lead.
    """

    def __init__(self) -> None:
        self.states: list[tuple[_Edge, ...]] = [()]
        self._weights = [0]  # number of pieces that go on from each state
        self._numbers: dict[tuple[_Edge, ...], int] = {(): _LEAF}

    def add(self, words: Sequence[bytes]) -> int:
        """Adds the automaton of sorted, distinct, non-empty words; returns its first state."""
        path: list[list[_Edge]] = [[]]  # of each state along the last word, the edges so far
        previous = b""
        for word in words:
            common = 0
            while common < len(previous) and previous[common] == word[common]:
                common += 1
            self._close(path, common)
            for i in range(common, len(word)):
                path[i].append((word[i], i == len(word) - 1, _LEAF))
                path.append([])
            previous = word
        self._close(path, 0)
        return self._number(path[0])

    def _close(self, path: list[list[_Edge]], depth: int) -> None:
        """Numbers the states deeper than ``depth``, which no later word changes."""
        while len(path) > depth + 1:
            child = self._number(path.pop())
            label, final, _ = path[-1][-1]
            path[-1][-1] = (label, final, child)

    def _number(self, edges: Sequence[_Edge]) -> int:
        key = tuple(edges)
        if key not in self._numbers:
            weights = {label: final + self._weights[child] for label, final, child in edges}
            self._numbers[key] = len(self.states)
            self._weights.append(sum(weights.values()))
            # Heavy edges come first, where a search finds them soonest.
            self.states.append(tuple(sorted(edges, key=lambda e: (-weights[e[0]], e))))
        return self._numbers[key]


class _Layout:
    """The edges of all states as bytes, written from the last one to the first.

    So every child is written before its parents, and its distance from them is known.

    Attributes:
        reversed: the bytes, last one first.
        ends: for each state, number of bytes from its first edge to the end.
        far: for each state, number of edges to it that take more than one byte of distance.
        edges: for each (kind, label), the number of such edges.
    """

    def __init__(
        self,
        automaton: _Automaton,
        roots: Iterable[Sequence[_Edge]],
        shared: Sequence[int],
        codes: Sequence[tuple[int, int]],
    ) -> None:
        self.reversed = bytearray()
        self.ends = {_LEAF: 0}
        self.far: Counter[int] = Counter()
        self.edges: Counter[tuple[int, int]] = Counter()
        self._shared = {state: index for index, state in enumerate(shared)}
        self._codes = {edge: code for code, edge in enumerate(codes)}
        todo = [(child, False) for root in roots for _, _, child in root]
        while todo:
            state, children_written = todo.pop()
            if state in self.ends:
                continue
            edges = automaton.states[state]
            if children_written:
                self._write(edges)
                self.ends[state] = len(self.reversed)
            else:
                todo.append((state, True))
                todo.extend((child, False) for _, _, child in reversed(edges))

    def _write(self, edges: Sequence[_Edge]) -> None:
        # The child that begins right behind its parent needs no distance if its edge is the last.
        ordered = sorted(edges, key=lambda e: e[2] != _LEAF and self._distance(e[2]) == 0)
        for i, (label, final, child) in enumerate(reversed(ordered)):
            last = i == 0
            kind, operand = self._child(child, last)
            kind |= final * _FINAL | last * _LAST
            code = self._codes.get((kind, label))
            head = bytes([_ESCAPE, kind, label]) if code is None else bytes([code])
            self.reversed += (head + operand)[::-1]
            self.edges[kind, label] += 1

    def _distance(self, state: int) -> int:
        return len(self.reversed) - self.ends[state]

    def _child(self, child: int, last: bool) -> tuple[int, bytes]:
        """The kind and the distance bytes of an edge to the child."""
        if child == _LEAF:
            return _NO_CHILD, b""
        distance = self._distance(child)
        if distance == 0 and last:
            return 0, b""
        size = max(1, (distance.bit_length() + 7) // 8)
        if size > 1:
            self.far[child] += 1
            if child in self._shared:
                return _SHARED_CHILD, bytes([self._shared[child]])
        return size, distance.to_bytes(size, "little")

"""The hash embedding within an ONNX graph: of standard operators, or as one of edgebert's own.

Both start at token_bytes, uint8 [batch, tokens, bytes], and token_lengths, int32 [batch, tokens];
what lies behind a token's end does not matter. The bits are those of docs/design.md.
"""

from __future__ import annotations

import numpy as np
from onnx import TensorProto

from edgebert.config import HashParams
from edgebert.errors import ModelError
from edgebert.export.onnx_nodes import Nodes
from edgebert.hash import hash_struct
from edgebert.hash_reference import columns, multipliers

DOMAIN = "edgebert"  # of operators that csrc implements
OPERATOR = "HashEmbedding"
VERSION = 1

_END = np.iinfo(np.int64).max  # where a slice goes to the end


def add_hash_operator(graph: Nodes, params: HashParams, output: str) -> None:
    """One node, whose attributes are the fields of eb_hash_params."""
    attributes = {name: int(value) for name, value in hash_struct(params).items()}
    inputs = ["token_bytes", "token_lengths"]
    graph.node(OPERATOR, inputs, output, domain=DOMAIN, **attributes)


def add_portable_hash(graph: Nodes, params: HashParams, output: str) -> None:
    """Integer operators of ONNX, family poly.

    Raises:
        ModelError: the family is another.
    """
    if params.family != "poly":
        raise ModelError(
            f"portable graphs need the hash family poly, not {params.family}, which standard "
            "operators cannot compute: export a graph with --custom-op, or one without"
        )
    _PortableHash(graph, params).add(output)


HASHES = {"custom-op": add_hash_operator, "portable": add_portable_hash}  # by variant


class _PortableHash:
    """Hashes of the n-grams that begin at each byte, [batch, tokens, bytes, columns] in int64.

    Where no n-gram begins its hash s is set to 0, which adds nothing to the sum. The residue
    r = s h mod B becomes P by r = (s h + half) mod B - half, with half = (B - 1) / 2.
    """

    def __init__(self, graph: Nodes, params: HashParams) -> None:
        self.graph, self.params = graph, params
        self.zero, self.one = self.integer("zero", 0), self.integer("one", 1)
        self.modulus = self.integer("modulus", params.modulus)
        self.half = self.integer("half", params.modulus // 2)

    def add(self, output: str) -> None:
        text, lengths = self.text()
        longest = self.params.max_ngram
        size = self.size(self.slice(text, 0, 1 - longest, "begins"), "begins")
        positions = self.node("Range", [self.zero, size, self.one], "positions")
        halves = self.node("Mul", [size, self.half], "halves")
        h = multipliers(self.params)
        hashes, means = "", []
        for i, part in enumerate(columns(self.params), 1):
            hashes = self.rolled(hashes, self.slice(text, i - 1, i - longest, f"{i}/bytes"), i)
            if part.start == part.stop:
                continue
            before = self.integer(f"{i}/before", i - 1)
            count = self.node("Sub", [lengths, before], f"{i}/count")
            is_gram = self.node("Less", [positions, count], f"{i}/is_gram")
            grams = self.node("Where", [is_gram, hashes, self.zero], f"{i}/grams")
            means.append(self.mean(self.sums(grams, h[part], halves, i), count, i))
        self.graph.node("Concat", means, output, axis=-1)

    def text(self) -> tuple[str, str]:
        """Marked bytes [batch, tokens, bytes + max_ngram - 1], and lengths [batch, tokens, 1]."""
        marks = int(self.params.boundary_marks)
        pads = np.array([0, 0, marks, 0, 0, marks + self.params.max_ngram - 1])
        inputs = [
            self.node("Cast", ["token_bytes"], "bytes", to=TensorProto.INT64),
            self.graph.constant("hash/pads", pads),
            self.integer("begin", ord("<")),
        ]
        text = self.node("Pad", inputs, "text")
        column = self.node("Unsqueeze", ["token_lengths", self.axis(-1)], "column")
        lengths = self.node("Cast", [column], "lengths", to=TensorProto.INT64)
        if not marks:
            return text, lengths
        inputs = [self.zero, self.size(text, "text"), self.one]
        positions = self.node("Range", inputs, "text/positions")
        end = self.node("Add", [lengths, self.one], "end")
        is_end = self.node("Equal", [positions, end], "is_end")
        text = self.node("Where", [is_end, self.integer("mark", ord(">")), text], "marked")
        return text, self.node("Add", [lengths, self.integer("marks", 2)], "marked/lengths")

    def rolled(self, hashes: str, bytes_: str, i: int) -> str:
        """Hashes s of the n-grams of length i, from those shorter by a byte."""
        if hashes:
            moved = self.node("Mul", [hashes, self.integer("base", self.params.base)], f"{i}/moved")
            bytes_ = self.node("Add", [moved, bytes_], f"{i}/added")
        return self.node("Mod", [bytes_, self.modulus], f"{i}/hashes")

    def sums(self, grams: str, h: np.ndarray, halves: str, i: int) -> str:
        """S, [batch, tokens, columns]."""
        grams = self.node("Unsqueeze", [grams, self.axis(-1)], f"{i}/column")
        products = self.node("Mul", [grams, self.graph.constant(f"hash/{i}/h", h)], f"{i}/products")
        moved = self.node("Add", [products, self.half], f"{i}/products/moved")
        residues = self.node("Mod", [moved, self.modulus], f"{i}/residues")
        total = self.node("ReduceSum", [residues, self.axis(2)], f"{i}/residues/sum", keepdims=0)
        return self.node("Sub", [total, halves], f"{i}/sum")

    def mean(self, total: str, count: str, i: int) -> str:
        """float32(double(2 S) / double(n B))."""
        doubled = self.node("Add", [total, total], f"{i}/sum/doubled")
        count = self.node("Max", [count, self.one], f"{i}/count/least")
        divisor = self.node("Mul", [count, self.modulus], f"{i}/divisor")
        quotient = self.node(
            "Div", [self.double(doubled), self.double(divisor)], f"{i}/mean/double"
        )
        return self.node("Cast", [quotient], f"{i}/mean", to=TensorProto.FLOAT)

    def double(self, x: str) -> str:
        return self.graph.node("Cast", [x], f"{x}/double", to=TensorProto.DOUBLE)

    def size(self, x: str, name: str) -> str:
        """The last of three dimensions, as a scalar."""
        shape = self.node("Shape", [x], f"{name}/shape")
        return self.node("Gather", [shape, self.integer("last", 2)], f"{name}/size")

    def slice(self, x: str, start: int, stop: int, name: str) -> str:
        """Part of the last of three dimensions; to its end if ``stop`` is 0."""
        bounds = [self.axis(start), self.axis(stop or _END), self.axis(2)]
        return self.node("Slice", [x, *bounds], name)

    def axis(self, value: int) -> str:
        return self.graph.constant(f"hash/[{value}]", np.array([value], np.int64))

    def integer(self, name: str, value: int) -> str:
        return self.graph.constant(f"hash/{name}", np.int64(value))

    def node(self, operator: str, inputs: list[str], name: str, **attributes: int) -> str:
        return self.graph.node(operator, inputs, f"hash/{name}", **attributes)

"""The hash embedding within an ONNX graph: of standard operators, or as one of edgebert's own.

Both take token_bytes, uint8 [batch, tokens, bytes], and token_lengths, int32 [batch, tokens]; what
lies behind a token's end does not matter. The bits are those of docs/design.md.
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
_END = np.iinfo(np.int64).max  # of a slice: up to the end


def add_hash_operator(graph: Nodes, params: HashParams, output: str) -> None:
    """One node, whose attributes are the fields of eb_hash_params."""
    attributes = {name: int(value) for name, value in hash_struct(params).items()}
    inputs = ["token_bytes", "token_lengths"]
    graph.node(OPERATOR, inputs, output, domain=DOMAIN, **attributes)


def add_portable_hash(graph: Nodes, params: HashParams, output: str) -> None:
    """The same in integer operators of ONNX, family poly.

    Raises:
        ModelError: the family is another.
    """
    if params.family != "poly":
        raise ModelError(
            f"portable graphs need the hash family poly, not {params.family}: ONNX has no 32-bit "
            "exclusive or; export --custom-op, or a graph that starts at hash vectors"
        )
    _PortableHash(graph, params).add(output)


class _PortableHash:
    """Of n-grams at all positions at once: [batch, tokens, position, column], int64.

    A residue r becomes P = (r + half) mod B - half, with half = (B - 1) / 2. Where no n-gram begins,
    s is 0 and so is P.
    """

    def __init__(self, graph: Nodes, params: HashParams) -> None:
        self.graph, self.params = graph, params
        self.modulus = self.integer("modulus", params.modulus)
        self.half = self.integer("half", params.modulus // 2)

    def add(self, output: str) -> None:
        text, lengths = self.text()
        first = self.slice(text, 0, 1 - self.params.max_ngram, "first")
        size = self.node("Shape", [first], "size", start=2, end=3)
        scalar = self.constant("hash/scalar", np.empty(0, np.int64))
        limits = [self.constant("hash/begin", np.int64(0)), self.node("Reshape", [size, scalar], "count")]
        positions = self.node("Range", [*limits, self.constant("hash/step", np.int64(1))], "positions")

"""The hash embedding within a .tflite graph: of builtin operators, or as one of edgebert's own.

Both start at token_bytes, uint8 [1, tokens, bytes], and token_lengths, int32 [1, tokens]; what lies
behind a token's end does not matter. The integers are those of docs/design.md.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from edgebert._native import ffi
from edgebert.errors import ModelError
from edgebert.export.tflite_file import Operator, type_code
from edgebert.hash import hash_struct
from edgebert.hash_reference import columns, multipliers
from edgebert.tflite import OPERATOR

if TYPE_CHECKING:
    from edgebert.config import HashParams
    from edgebert.export.tflite_graph import Graph

_DIGIT, _DIGITS = 20, 3  # bits of a digit of the quotient, and how many: int64 has room for these


def add_hash_operator(graph: Graph, token_bytes: int, token_lengths: int) -> int:
    """One node, whose options are struct eb_hash_params."""
    params = graph.config.hash
    vectors = graph.tensor("hash", _shape(graph, token_lengths), np.float32)
    options = bytes(ffi.buffer(ffi.new("eb_hash_params *", hash_struct(params))))
    graph.graph.operators.append(
        Operator(OPERATOR, (token_bytes, token_lengths), (vectors,), custom_options=options)
    )
    return vectors


def add_portable_hash(graph: Graph, token_bytes: int, token_lengths: int) -> int:
    """Builtin operators, family poly; for tokens of up to 2048 bytes.

    Raises:
        ModelError: the family is another.
    """
    params = graph.config.hash
    if params.family != "poly":
        raise ModelError(
            f"portable graphs need the hash family poly, not {params.family}, which standard "
            "operators cannot compute: export a graph with --custom-op, or one without"
        )
    return _PortableHash(graph, params).add(token_bytes, token_lengths)


HASHES = {"custom-op": add_hash_operator, "portable": add_portable_hash}  # by variant


def _shape(graph: Graph, token_lengths: int) -> tuple[int, ...]:
    return (*graph.shape(token_lengths), graph.config.hash.dimension)


class _PortableHash:
    """Hashes of the n-grams that begin at each byte, [1, tokens, bytes, columns] in int64.

    Where no n-gram begins its hash s is set to 0, which adds nothing to the sum. The residue
    r = s h mod B becomes P by r = (s h + half) mod B - half, with half = (B - 1) / 2. Nothing
    depends on the number of bytes that the file gives, so that callers may change it.
    """

    def __init__(self, graph: Graph, params: HashParams) -> None:
        self.graph, self.params = graph, params
        self.zero, self.one = self.integer("zero", 0), self.integer("one", 1)
        self.modulus = self.integer("modulus", params.modulus)
        self.half = self.integer("half", params.modulus // 2)

    def add(self, token_bytes: int, token_lengths: int) -> int:
        text, positions, lengths = self.text(token_bytes, token_lengths)
        longest = self.params.max_ngram
        begins = self.slice(positions, 0, 1 - longest, "begins")
        ends = self.node("ADD", begins, self.one, "ends")
        halves = self.node("MUL", self.slice(ends, -1, 0, "size"), self.half, "halves")
        h = multipliers(self.params)
        hashes, means = None, []
        for i, part in enumerate(columns(self.params), 1):
            hashes = self.rolled(hashes, self.slice(text, i - 1, i - longest, f"{i}/bytes"), i)
            if part.start == part.stop:
                continue
            count = self.node("SUB", lengths, self.integer(f"{i}/before", i - 1), f"{i}/count")
            is_gram = self.node("LESS", begins, count, f"{i}/is_gram", np.bool_)
            grams = self.select(is_gram, hashes, self.zero, f"{i}/grams")
            sums = self.node("SUB", self.sums(grams, h[part], i), halves, f"{i}/sums")
            means.append(self.mean(sums, count, i))
        vectors = self.graph.tensor("hash", _shape(self.graph, token_lengths), np.float32)
        return self.graph.add("CONCATENATION", tuple(means), vectors, Axis=-1)

    def text(self, token_bytes: int, token_lengths: int) -> tuple[int, int, int]:
        """Marked bytes and their positions [1, tokens, bytes + max_ngram - 1], and lengths."""
        marks = int(self.params.boundary_marks)
        pads = np.array([[0, 0], [0, 0], [marks, marks + self.params.max_ngram - 1]], np.int32)
        n, tokens, width = self.graph.shape(token_bytes)
        inputs = (
            self.cast(token_bytes, "bytes", np.int64),
            self.constant("pads", pads),
            self.constant("begin", np.array([ord("<")], np.int64)),
        )
        shape = (n, tokens, width + int(pads.sum()))
        text = self.output("PADV2", inputs, "text", shape, np.int64)
        zeros = self.output("ZEROS_LIKE", (text,), "text/zeros", shape, np.int64)
        ones = self.node("ADD", zeros, self.one, "text/ones")
        axis = self.constant("last", np.array(2, np.int32))
        positions = self.output(
            "CUMSUM", (ones, axis), "text/positions", shape, np.int64, Exclusive=True
        )
        lengths = self.cast(self.unsqueeze(token_lengths, "column"), "lengths", np.int64)
        if not marks:
            return text, positions, lengths
        end = self.node("ADD", lengths, self.one, "end")
        is_end = self.node("EQUAL", positions, end, "is_end", np.bool_)
        text = self.select(is_end, self.integer("mark", ord(">")), text, "marked")
        return text, positions, self.node("ADD", lengths, self.integer("two", 2), "marked/lengths")

    def rolled(self, hashes: int | None, bytes_: int, i: int) -> int:
        """Hashes s of the n-grams of length i, from those shorter by a byte."""
        if hashes is not None:
            moved = self.node("MUL", hashes, self.integer("base", self.params.base), f"{i}/moved")
            bytes_ = self.node("ADD", moved, bytes_, f"{i}/added")
        return self.node("FLOOR_MOD", bytes_, self.modulus, f"{i}/hashes")

    def sums(self, grams: int, h: np.ndarray, i: int) -> int:
        """Of the residues, each greater by half than P: [1, tokens, columns]."""
        grams, factors = self.unsqueeze(grams, f"{i}/column"), self.constant(f"{i}/h", h)
        products = self.node("MUL", grams, factors, f"{i}/products")
        moved = self.node("ADD", products, self.half, f"{i}/products/moved")
        residues = self.node("FLOOR_MOD", moved, self.modulus, f"{i}/residues")
        n, tokens, _, size = self.graph.shape(residues)
        inputs = (residues, self.constant("bytes/axis", np.array([2], np.int32)))
        return self.output("SUM", inputs, f"{i}/residues/sum", (n, tokens, size), np.int64)

    def mean(self, sums: int, count: int, i: int) -> int:
        """2 S / (n B) as float32."""
        doubled = self.node("ADD", sums, sums, f"{i}/sums/doubled")
        count = self.node("MAXIMUM", count, self.one, f"{i}/count/least")
        divisor = self.node("MUL", count, self.modulus, f"{i}/divisor")
        quotient = self.cast(self.quotient(doubled, divisor, i), f"{i}/quotient", np.float32)
        unit = self.constant("unit", np.array([2.0 ** -(_DIGIT * _DIGITS)], np.float32))
        return self.node("MUL", quotient, unit, f"{i}/mean", np.float32)

    def quotient(self, rest: int, divisor: int, i: int) -> int:
        """The quotient in units of the last digit.

        TensorFlow Lite divides neither integers of 64 bits nor doubles, so this is a long division
        whose digits float32 estimates. They have a sign, and may be off by one: the next one then
        makes up for it. The error, below 2^-59, and that the definition rounds twice, may show in
        the last bit of one value in some 10^8.
        """
        radix = self.integer("radix", 2**_DIGIT)
        estimator = self.cast(divisor, f"{i}/divisor/float", np.float32)
        quotient = None
        for place in range(1, _DIGITS + 1):
            name = f"{i}/digit{place}"
            moved = self.node("MUL", rest, radix, f"{name}/moved")
            floats = self.cast(moved, f"{name}/moved/float", np.float32)
            estimate = self.node("DIV", floats, estimator, f"{name}/estimate", np.float32)
            digit = self.cast(estimate, name, np.int64)
            product = self.node("MUL", digit, divisor, f"{name}/product")
            rest = self.node("SUB", moved, product, f"{name}/rest")
            if quotient is not None:
                digit = self.node(
                    "ADD", self.node("MUL", quotient, radix, f"{name}/before"), digit, f"{name}/sum"
                )
            quotient = digit
        assert quotient is not None
        return quotient

    # ---- tensors and operators ----

    def slice(self, x: int, start: int, stop: int, name: str) -> int:
        """Part of the last of three dimensions; to its end if ``stop`` is 0."""
        begin, end = (
            self.constant(f"slice/{value}", np.array([0, 0, value], np.int32))
            for value in (start, stop)
        )
        step = self.constant("slice/step", np.ones(3, np.int32))
        *shape, size = self.graph.shape(x)
        shape.append(len(range(size)[start : stop or None]))
        masks = {"BeginMask": 0b011, "EndMask": 0b011 if stop else 0b111}
        return self.output(
            "STRIDED_SLICE", (x, begin, end, step), name, tuple(shape), np.int64, **masks
        )

    def select(self, condition: int, yes: int, no: int, name: str) -> int:
        inputs = (condition, yes, no)
        return self.output("SELECT_V2", inputs, name, self.graph.shape(condition), np.int64)

    def unsqueeze(self, x: int, name: str) -> int:
        """With one dimension more at the end."""
        shape = self.graph.shape(x)
        axis = self.constant(f"axis{len(shape)}", np.array([len(shape)], np.int32))
        return self.output("EXPAND_DIMS", (x, axis), name, (*shape, 1), self.graph.type(x))

    def cast(self, x: int, name: str, dtype: Any) -> int:
        kinds = {"InDataType": self.graph.type(x), "OutDataType": dtype}
        options = {key: type_code(kind) for key, kind in kinds.items()}
        return self.output("CAST", (x,), name, self.graph.shape(x), dtype, **options)

    def node(self, operator: str, a: int, b: int, name: str, dtype: Any = np.int64) -> int:
        """An operator of two inputs that go by element."""
        shape = np.broadcast_shapes(self.graph.shape(a), self.graph.shape(b))
        return self.output(operator, (a, b), name, shape, dtype)

    def output(
        self,
        operator: str,
        inputs: tuple[int, ...],
        name: str,
        shape: tuple[int, ...],
        dtype: Any,
        **options: Any,
    ) -> int:
        output = self.graph.tensor(f"hash/{name}", shape, dtype)
        return self.graph.add(operator, inputs, output, **options)

    def integer(self, name: str, value: int) -> int:
        return self.constant(name, np.array(value, np.int64))

    def constant(self, name: str, values: np.ndarray) -> int:
        return self.graph.constant(f"hash/{name}", values)

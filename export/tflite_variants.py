"""Smaller changes to the .tflite graph: weights in float16, and TensorFlow Lite Micro's operators.

TensorFlow Lite Micro registers neither GELU nor an error function, so that has to be composed.
"""

from __future__ import annotations

import numpy as np

from edgebert.export.float_reference import ERF_COEFFICIENTS, ERF_SLOPE
from edgebert.export.tflite_graph import Graph
from edgebert.export.tflite_i8 import Int8Graph, between

_GELU_LINEAR = 2 * (2 / np.pi) ** 0.5
_GELU_CUBIC = 0.044715 * _GELU_LINEAR
_GELU_END = 3.0  # beyond, GELU(x) is x or 0 to 0.004
_LOGISTIC_END = 6.5  # beyond, a logistic is 0 or 1 to half a step of int8


class Float16Graph(Graph):
    """Matrices in float16; engines widen them once, when they load the file."""

    def matrix(self, name: str, values: np.ndarray) -> int:
        """A constant of two dimensions, as float32 again."""
        narrow = self.constant(f"{name}/f16", values.astype(np.float16))
        if name not in self.constants:
            self.constants[name] = self.op("DEQUANTIZE", (narrow,), name, values.shape)
        return self.constants[name]


class MicroGraph(Graph):
    """float32 for TensorFlow Lite Micro."""

    def gelu(self, x: int, name: str) -> int:
        """(x + |x| erf(|x| / sqrt(2))) / 2, with erf as in float_reference.py."""
        shape = self.shape(x)

        def constant(value: float) -> int:
            return self.constant(f"gelu/{value:.9g}", np.array([value], np.float32))

        def op(operator: str, a: int, b: int, part: str) -> int:
            return self.op(operator, (a, b), f"{name}/{part}", shape)

        size = self.op("ABS", (x,), f"{name}/abs", shape)
        scaled = op("MUL", size, constant(ERF_SLOPE / 2**0.5), "scaled")
        t = op("DIV", constant(1.0), op("ADD", scaled, constant(1.0), "divisor"), "t")
        leading, *rest, _ = ERF_COEFFICIENTS  # whose last is 0
        terms = op("MUL", t, constant(leading), "term0")
        for i, coefficient in enumerate(rest, 1):
            terms = op("ADD", terms, constant(coefficient), f"sum{i}")
            terms = op("MUL", terms, t, f"term{i}")
        square = op("MUL", x, op("MUL", x, constant(-0.5), "half"), "exponent")
        tail = op("MUL", terms, self.op("EXP", (square,), f"{name}/exp", shape), "tail")
        erf = op("SUB", constant(1.0), tail, "erf")
        doubled = op("ADD", x, op("MUL", size, erf, "product"), "doubled")
        return op("MUL", doubled, constant(0.5), "gelu")


class MicroInt8Graph(Int8Graph):
    """int8 for TensorFlow Lite Micro."""

    def gelu(self, x: int, name: str) -> int:
        """X * logistic(x * (a + b x^2)), which is GELU to 0.0005 (arXiv 1606.08415, section 2).

        A table would be exact, but takes int32 indices and so twice the arena.
        """
        shape = self.shape(x)

        def op(operator: str, a: int, b: int, part: str, low: float, high: float) -> int:
            self.between[f"{name}/{part}"] = between(low, high)
            return self.op(operator, (a, b), f"{name}/{part}", shape)

        def constant(value: float) -> int:
            return self.matrix(f"gelu/{value:.5g}", np.array([value], np.float32))

        square = op("MUL", x, x, "square", 0, _GELU_END**2)
        most = _GELU_LINEAR + _GELU_CUBIC * _GELU_END**2
        cubic = op("MUL", square, constant(_GELU_CUBIC), "cubic", 0, most - _GELU_LINEAR)
        slope = op("ADD", cubic, constant(_GELU_LINEAR), "slope", 0, most)
        scaled = op("MUL", x, slope, "scaled", -_LOGISTIC_END, _LOGISTIC_END)
        gate = self.op("LOGISTIC", (scaled,), f"{name}/logistic", shape)
        return self.op("MUL", (x, gate), name, shape)

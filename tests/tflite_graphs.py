"""The graphs of .tflite files, and how tests read them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import pytest

from edgebert.export.activations import observe
from edgebert.export.recipe import Recipe
from edgebert.export.spec import ModelSpec
from edgebert.sequence import Text

tflite = pytest.importorskip("tflite", reason="needs edgebert[export]")

F32, F16, I8 = Recipe(), Recipe("f16"), Recipe("i8")
MICRO, MICRO_I8 = Recipe(variant="micro"), Recipe("i8", "micro")
RECIPES = {"f32": F32, "f16": F16, "i8": I8, "micro": MICRO, "i8-micro": MICRO_I8}
TEXTS: list[Text] = ["", "a gripping film", ("a", "pair")]

every_recipe = pytest.mark.parametrize("kind", RECIPES)


def calibrated(spec: ModelSpec) -> ModelSpec:
    return replace(spec, activations=observe(spec, TEXTS))


def changed(spec: ModelSpec, role: str, change: Callable[[np.ndarray], np.ndarray]) -> ModelSpec:
    """The spec with other values for the weights of a role, in all layers."""
    weights = (replace(w, values=change(w.values)) if w.role == role else w for w in spec.weights)
    return replace(spec, weights=tuple(weights))


class TensorView(NamedTuple):
    """A tensor as the package tflite reads it."""

    name: str
    shape: tuple[int, ...]
    kind: str
    scales: tuple[float, ...]
    zero_points: tuple[int, ...]
    axis: int


def kind_name(code: int) -> str:
    return next(name for name, value in vars(tflite.TensorType).items() if value == code).lower()


def view(tensor: Any) -> TensorView:
    q = tensor.Quantization()
    scales, zero_points = (), ()
    if q is not None and q.ScaleLength():
        scales, zero_points = tuple(q.ScaleAsNumpy().tolist()), tuple(q.ZeroPointAsNumpy().tolist())
    return TensorView(
        tensor.Name().decode(),
        tuple(tensor.Shape(i) for i in range(tensor.ShapeLength())),
        kind_name(tensor.Type()),
        scales,
        zero_points,
        q.QuantizedDimension() if q is not None else 0,
    )


def parse(file: bytes) -> Any:
    assert tflite.Model.ModelBufferHasIdentifier(file, 0)
    return tflite.Model.GetRootAsModel(file, 0)


def subgraphs(model: Any) -> list[Any]:
    return [model.Subgraphs(i) for i in range(model.SubgraphsLength())]


def tensors(graph: Any) -> list[TensorView]:
    return [view(graph.Tensors(i)) for i in range(graph.TensorsLength())]


def operators(model: Any, graph: Any) -> list[tuple[str, list[int], list[int]]]:
    """Of each its name, and the indices of its inputs and outputs."""
    names = {v: k for k, v in vars(tflite.BuiltinOperator).items() if isinstance(v, int)}
    found = []
    for i in range(graph.OperatorsLength()):
        op = graph.Operators(i)
        code = model.OperatorCodes(op.OpcodeIndex())
        assert code.DeprecatedBuiltinCode() == min(code.BuiltinCode(), 127)
        assert code.CustomCode() is None and op.CustomOptionsLength() == 0
        name = names[code.BuiltinCode()]
        found.append((name, op.InputsAsNumpy().tolist(), op.OutputsAsNumpy().tolist()))
    return found

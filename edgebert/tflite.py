"""The operator HashEmbedding for TensorFlow Lite, which is called LiteRT now.

A graph that ``edgebert export --custom-op`` wrote starts at the tokens' bytes. Two packages can run
it: tflite-runtime 2.14, whose interpreter takes a function that registers the operator::

    import edgebert.tflite, tflite_runtime.interpreter

    interpreter = tflite_runtime.interpreter.InterpreterWithCustomOps(
        custom_op_registerers=[edgebert.tflite.register], model_path="model.tflite"
    )

and ai-edge-litert, 2.1 or later, which takes custom operators in its C API alone
(:mod:`edgebert.litert`). :func:`open_graph` uses the one that is installed.
"""

from __future__ import annotations

import ctypes
import functools
import importlib.util
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from edgebert.errors import MissingPackageError, ModelError
from edgebert.ort import library_path

__all__ = ["OPERATOR", "Graph", "Signature", "Tensor", "library_path", "open_graph", "register"]

OPERATOR = "edgebert.HashEmbedding"

_NAME = OPERATOR.encode()  # of which the runtime keeps the address

# tflite::MutableOpResolver::AddCustom(char const*, TfLiteRegistration const*, int)
_ADD_CUSTOM = "_ZN6tflite17MutableOpResolver9AddCustomEPKcPK18TfLiteRegistrationi"


@dataclass(frozen=True)
class Tensor:
    """An input or output of a graph, with the shape that the file gives it.

    Integers of a quantised tensor mean ``(value - zero_point) * scale``; else the scale is 0.
    """

    dtype: np.dtype
    shape: tuple[int, ...]
    scale: float = 0.0
    zero_point: int = 0


@dataclass(frozen=True)
class Signature:
    """A way to run a graph: names and types of what goes in and comes out."""

    inputs: dict[str, Tensor]
    outputs: dict[str, Tensor]


class Graph(Protocol):
    """A .tflite file, ready to run; threads may share it, and wait for each other."""

    signatures: dict[str, Signature]

    def run(
        self, inputs: Mapping[str, np.ndarray], signature: str | None = None
    ) -> dict[str, np.ndarray]:
        """Run a signature.

        Args:
            inputs: an array for each input, of its type, and of its shape too unless the file
                lets it have others.
            signature: its key; None for the first.

        Returns:
            Each of its outputs.

        Raises:
            ModelError: an input is missing or of another type, or an operator refuses its inputs.
        """


def open_graph(path: str | Path) -> Graph:
    """Open a .tflite file, with the operator, in ai-edge-litert or else in tflite-runtime.

    Raises:
        MissingPackageError: neither is installed.
        ModelError: the package cannot load the file.
    """
    if importlib.util.find_spec("ai_edge_litert"):
        from edgebert.litert import CompiledGraph

        return CompiledGraph(Path(path))
    if importlib.util.find_spec("tflite_runtime"):
        return InterpreterGraph(Path(path))
    raise MissingPackageError(
        "running .tflite files needs LiteRT (pip install 'edgebert[tflite]') or tflite-runtime 2.14"
    )


@functools.cache
def _add_custom() -> tuple[Any, int]:
    """The runtime's function that adds an operator, and what to add."""
    from tflite_runtime import interpreter

    wrapper = ctypes.CDLL(interpreter._interpreter_wrapper.__file__)
    try:
        add = getattr(wrapper, _ADD_CUSTOM)
    except AttributeError as error:
        raise MissingPackageError(
            "this tflite-runtime takes no custom operators: pip install tflite-runtime==2.14.0"
        ) from error
    add.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p, ctypes.c_int]
    add.restype = None
    registration = ctypes.CDLL(library_path()).edgebert_tflite_registration
    registration.restype = ctypes.c_void_p
    return add, registration()


def register(resolver: int) -> None:
    """Add the operator to the ``MutableOpResolver`` at an address, as tflite-runtime asks for."""
    add, registration = _add_custom()
    add(resolver, _NAME, registration, 1)


class InterpreterGraph:
    """A graph in tflite-runtime's interpreter."""

    def __init__(self, path: Path) -> None:
        from tflite_runtime.interpreter import InterpreterWithCustomOps

        _add_custom()  # raises here, not within the interpreter
        self._lock = threading.Lock()
        try:
            interpreter = InterpreterWithCustomOps(
                custom_op_registerers=[register], model_path=str(path)
            )
            keys = interpreter.get_signature_list()
            self._runners = {key: interpreter.get_signature_runner(key) for key in keys}
        except (RuntimeError, ValueError) as error:
            raise ModelError(f"tflite-runtime cannot load {path.name}: {error}") from error
        self.signatures = {
            key: Signature(
                _tensors(runner.get_input_details()), _tensors(runner.get_output_details())
            )
            for key, runner in self._runners.items()
        }

    def run(
        self, inputs: Mapping[str, np.ndarray], signature: str | None = None
    ) -> dict[str, np.ndarray]:
        """As :meth:`Graph.run` says."""
        runner = self._runners[signature or next(iter(self._runners))]
        with self._lock:
            try:
                return dict(runner(**inputs))
            except (RuntimeError, ValueError) as error:
                raise ModelError(f"tflite-runtime: {error}") from error


def _tensors(details: Mapping[str, Mapping[str, Any]]) -> dict[str, Tensor]:
    return {
        name: Tensor(np.dtype(one["dtype"]), tuple(map(int, one["shape"])), *one["quantization"])
        for name, one in details.items()
    }

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
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from edgebert.errors import MissingPackageError, ModelError
from edgebert.ort import library_path

__all__ = ["OPERATOR", "Graph", "library_path", "open_graph", "register"]

OPERATOR = "edgebert.HashEmbedding"

_NAME = OPERATOR.encode()  # of which the runtime keeps the address

# tflite::MutableOpResolver::AddCustom(char const*, TfLiteRegistration const*, int)
_ADD_CUSTOM = "_ZN6tflite17MutableOpResolver9AddCustomEPKcPK18TfLiteRegistrationi"


class Graph(Protocol):
    """A .tflite file, ready to run; threads may share it, and wait for each other."""

    def run(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Run the first signature.

        Args:
            inputs: an array for each of its inputs, of that input's type; the graph is resized to
                their shapes if it has others.

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
            self._interpreter = InterpreterWithCustomOps(
                custom_op_registerers=[register], model_path=str(path)
            )
            self._run = self._interpreter.get_signature_runner()
        except (RuntimeError, ValueError) as error:
            raise ModelError(f"tflite-runtime cannot load {path.name}: {error}") from error

    def run(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """As :meth:`Graph.run` says."""
        with self._lock:
            try:
                return dict(self._run(**inputs))
            except (RuntimeError, ValueError) as error:
                raise ModelError(f"tflite-runtime: {error}") from error

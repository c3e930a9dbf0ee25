"""Runs .tflite files: in LiteRT, as TensorFlow Lite is called now, or in tflite-runtime.

Graphs that ``edgebert export --custom-op`` wrote start at the tokens' bytes, which the operator
HashEmbedding makes vectors of. Of tflite-runtime 2.14 the interpreter takes a function that
registers it::

    import edgebert.tflite, tflite_runtime.interpreter

    interpreter = tflite_runtime.interpreter.InterpreterWithCustomOps(
        custom_op_registerers=[edgebert.tflite.register], model_path="model.tflite"
    )

LiteRT, 2.1 or later, takes custom operators in its C API alone (:mod:`edgebert.litert`).
:func:`open_graph` uses the one that is installed.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import importlib
import io
import os
import threading
from collections.abc import Iterator, Mapping
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


# The packages that have an interpreter, best first, and what to do if one does not start.
RUNTIMES = {
    "ai_edge_litert": "pip install --upgrade ai-edge-litert",
    "tflite_runtime": "it needs Python 3.11 or older and pip install 'numpy<2'; or use LiteRT: "
    "pip install 'edgebert[tflite]'",
}


def open_graph(path: str | Path, custom_op: bool = True, threads: int | None = None) -> Graph:
    """Open a .tflite file in ai-edge-litert or else in tflite-runtime.

    Args:
        path: the file.
        custom_op: whether it has the operator HashEmbedding.
        threads: most threads that a run may use; None leaves it to the package.

    Raises:
        MissingPackageError: neither is installed, or the one that is does not start.
        ModelError: the package cannot load the file.
    """
    module = _interpreter_module()
    with without_reports():
        if custom_op and module.__name__.startswith("ai_edge_litert"):
            from edgebert.litert import CompiledGraph

            return CompiledGraph(Path(path))
        return InterpreterGraph(module, Path(path), custom_op, threads)


_standard_error = threading.RLock()  # it is one for the process
if hasattr(os, "register_at_fork"):  # no child is born while it leads nowhere
    os.register_at_fork(
        before=_standard_error.acquire,
        after_in_parent=_standard_error.release,
        after_in_child=_standard_error.release,
    )


@contextlib.contextmanager
def without_reports() -> Iterator[None]:
    """Without what LiteRT writes on accelerators, there or not: it offers no switch for it."""
    with _standard_error:
        try:
            kept = os.dup(2)
        except OSError:  # there is no standard error
            yield
            return
        nowhere = os.open(os.devnull, os.O_WRONLY)
        try:
            os.dup2(nowhere, 2)
            yield
        finally:
            os.dup2(kept, 2)
            os.close(kept)
            os.close(nowhere)


def _interpreter_module() -> Any:
    """That of the first package of RUNTIMES that is installed."""
    for package, remedy in RUNTIMES.items():
        try:
            with contextlib.redirect_stderr(io.StringIO()):  # NumPy's pages on older packages
                return importlib.import_module(f"{package}.interpreter")
        except ModuleNotFoundError as error:
            if error.name not in (package, f"{package}.interpreter"):
                raise MissingPackageError(f"{package} does not start: {remedy}") from error
        except (ImportError, AttributeError) as error:
            raise MissingPackageError(f"{package} does not start: {remedy}") from error
    raise MissingPackageError(
        "running .tflite files needs LiteRT (or tflite-runtime 2.14): pip install "
        "'edgebert[tflite]'"
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
    """A graph in an interpreter; with the operator, in tflite-runtime's."""

    def __init__(
        self, module: Any, path: Path, custom_op: bool = False, threads: int | None = None
    ) -> None:
        self._package = module.__name__.split(".")[0]
        self._lock = threading.Lock()  # tensors are the interpreter's own state
        make = module.Interpreter
        if custom_op:
            _add_custom()  # raises here, not within the interpreter
            make = functools.partial(
                module.InterpreterWithCustomOps, custom_op_registerers=[register]
            )
        try:
            interpreter = make(model_path=str(path), num_threads=threads)
            interpreter.allocate_tensors()
            keys = interpreter.get_signature_list()
            self._runners = {key: interpreter.get_signature_runner(key) for key in keys}
        except SystemError as error:  # where NumPy is not of the version it was built for
            remedy = RUNTIMES[self._package]
            raise MissingPackageError(f"{self._package} does not start: {remedy}") from error
        except (RuntimeError, ValueError) as error:
            reason = str(error).splitlines()[0]
            raise ModelError(f"{self._package} cannot load {path.name}: {reason}") from error
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
                raise ModelError(f"{self._package}: {error}") from error


def _tensors(details: Mapping[str, Mapping[str, Any]]) -> dict[str, Tensor]:
    return {
        name: Tensor(np.dtype(one["dtype"]), tuple(map(int, one["shape"])), *one["quantization"])
        for name, one in details.items()
    }

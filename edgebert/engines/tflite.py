"""Runs .tflite files in LiteRT or tflite-runtime; the C kernel computes the graph's input."""

from __future__ import annotations

import contextlib
import importlib
import io
import struct
import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from edgebert.engines.batches import padded_inputs
from edgebert.errors import MissingPackageError, ModelError
from edgebert.hash import HashEmbedding
from edgebert.metadata import CONFIG, DTYPE, TOKENIZER, check_seal, decode_config
from edgebert.sequence import Sequences, Text, from_texts
from edgebert.tokenizer import Tokenizer

# The packages that have an interpreter, best first, and what to do if one does not start.
RUNTIMES = {
    "ai_edge_litert": "pip install --upgrade ai-edge-litert",
    "tflite_runtime": "it needs Python 3.11 or older and pip install 'numpy<2'; or use LiteRT: "
    "pip install 'edgebert[tflite]'",
}


class TfliteEngine:
    """An interpreter with a signature for each length; threads wait for each other."""

    name = "tflite"

    def __init__(self, path: Path, threads: int | None = None) -> None:
        file = path.read_bytes()
        check_seal(file)
        metadata = read_metadata(file)
        config = decode_config(metadata.get(CONFIG, b"").decode("utf-8", "replace"))
        self.dtype = metadata.get(DTYPE, b"f32").decode("ascii", "replace")
        self.tokenizer = Tokenizer.from_bytes(metadata.get(TOKENIZER, b""))
        self._hash = HashEmbedding(config.hash)
        self._lock = threading.Lock()  # an interpreter's tensors are its own state
        module = _interpreter_module()
        try:
            interpreter = module.Interpreter(model_content=file, num_threads=threads)
            keys = list(interpreter.get_signature_list())
            self._signatures = sorted(
                (_Signature(interpreter, key) for key in keys), key=lambda one: one.tokens
            )
        except (RuntimeError, ValueError, TypeError, KeyError) as error:
            reason = str(error).splitlines()[0]
            raise ModelError(f"{module.__name__.split('.')[0]} cannot load it: {reason}") from error
        longest = self._signatures[-1].tokens if self._signatures else 0
        if longest < 2:
            raise ModelError("it has no signature that takes tokens")
        self.config = replace(
            config, max_position_embeddings=min(config.max_position_embeddings, longest)
        )

    def run(self, sequences: Sequences) -> tuple[np.ndarray, np.ndarray]:
        """Run one sequence after the other, each padded to the next length that the file has."""
        logits = np.empty((len(sequences), self.config.num_labels), np.float32)
        pooled = np.empty((len(sequences), self.config.hidden_size), np.float32)
        for i, ends in enumerate(sequences.ends):
            signature = next(one for one in self._signatures if one.tokens >= len(ends))
            feeds = padded_inputs(sequences.select([i]), self._hash, signature.tokens)
            with self._lock:
                outputs = signature.run(feeds)
            logits[i], pooled[i] = outputs["logits"], outputs["pooled"]
        return logits, pooled

    def run_texts(self, texts: Sequence[Text]) -> tuple[np.ndarray, np.ndarray, list[int]]:
        """Tokenize the texts and run them."""
        limit, types = self.config.max_position_embeddings, self.config.type_vocab_size
        sequences = from_texts(self.tokenizer, texts, limit, types)
        return *self.run(sequences), sequences.num_dropped


class _Signature:
    """A subgraph for one length, with inputs and outputs as real numbers."""

    def __init__(self, interpreter: Any, key: str) -> None:
        self._runner = interpreter.get_signature_runner(key)
        self._inputs = self._runner.get_input_details()
        self._outputs = self._runner.get_output_details()
        self.tokens = int(self._inputs["attention_mask"]["shape"][1])

    def run(self, feeds: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        found = self._runner(
            **{name: _stored(values, self._inputs[name]) for name, values in feeds.items()}
        )
        return {name: _real(values, self._outputs[name]) for name, values in found.items()}


def _stored(values: np.ndarray, detail: dict[str, Any]) -> np.ndarray:
    """Values as the tensor holds them; masks and types are integers as they are."""
    dtype = detail["dtype"]
    if dtype == np.int8 and values.dtype == np.float32:
        scale, zero_point = detail["quantization"]
        values = np.clip(np.rint(values / np.float32(scale)) + zero_point, -128, 127)
    return values.astype(dtype)


def _real(values: np.ndarray, detail: dict[str, Any]) -> np.ndarray:
    if values.dtype == np.float32:
        return values
    scale, zero_point = detail["quantization"]
    return (values.astype(np.float32) - zero_point) * np.float32(scale)


def read_metadata(file: bytes) -> dict[str, bytes]:
    """The metadata of a .tflite file: what each entry's buffer holds.

    Raises:
        ModelError: these bytes are not a .tflite file.
    """
    try:
        import tflite
    except ImportError as error:
        raise MissingPackageError(
            "running .tflite files needs the package tflite: pip install 'edgebert[tflite]'"
        ) from error
    try:
        model = tflite.Model.GetRootAsModel(file, 0)
        entries = (model.Metadata(i) for i in range(model.MetadataLength()))
        return {
            entry.Name().decode(): model.Buffers(entry.Buffer()).DataAsNumpy().tobytes()
            for entry in entries
            if model.Buffers(entry.Buffer()).DataLength()
        }
    except (struct.error, IndexError, ValueError, AttributeError, TypeError) as error:
        raise ModelError(f"not a .tflite file: {error}") from error


def _interpreter_module() -> Any:
    """The first package of RUNTIMES that is installed."""
    for package, remedy in RUNTIMES.items():
        try:
            with contextlib.redirect_stderr(io.StringIO()):  # NumPy's pages on older packages
                return importlib.import_module(f"{package}.interpreter")
        except ModuleNotFoundError as error:
            if error.name != package:
                raise MissingPackageError(f"{package} does not start: {remedy}") from error
        except (ImportError, AttributeError) as error:
            raise MissingPackageError(f"{package} does not start: {remedy}") from error
    raise MissingPackageError(
        "running .tflite files needs LiteRT (or tflite-runtime): pip install 'edgebert[tflite]'"
    )

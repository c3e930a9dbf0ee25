"""Runs .onnx files in ONNX Runtime; the C kernel computes hash vectors that a graph does not."""

from __future__ import annotations

import contextlib
import io
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from edgebert.engines import Outputs
from edgebert.engines.batches import (
    as_outputs,
    check_sizes,
    in_batches,
    output_names,
    padded_inputs,
    padded_tokens,
    run_tokenized,
)
from edgebert.engines.forks import PerProcess
from edgebert.errors import MissingPackageError, ModelError
from edgebert.hash import HashEmbedding
from edgebert.metadata import DTYPE, VARIANT, check_seal, decode_metadata, find_entry
from edgebert.ort import library_path
from edgebert.sequence import Sequences
from edgebert.tokenizer import Tokenizer

OLDEST = (1, 17)  # ONNX Runtime that is tested

_MOST_RESIDUES = 1 << 24  # that a portable graph computes at a time: 128 MiB of int64


class OnnxEngine:
    """An ONNX Runtime session on the CPU; sessions may be shared by threads."""

    name = "onnx"

    def __init__(self, path: Path, threads: int | None = None) -> None:
        onnxruntime = _onnxruntime()
        self._file = file = path.read_bytes()
        self.threads = threads
        check_seal(file)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads or 0  # 0: as many as there are cores
        options.log_severity_level = 4  # failures reach the user as our own errors
        self._variant = find_entry(file, VARIANT)
        try:
            if self._variant == "custom-op":
                options.register_custom_ops_library(library_path())
            make = partial(
                onnxruntime.InferenceSession, file, options, providers=["CPUExecutionProvider"]
            )
            session = make()
            metadata = session.get_modelmeta().custom_metadata_map
        except Exception as error:  # onnxruntime raises many classes, some of them private
            raise ModelError(f"ONNX Runtime cannot load it: {_reason(error)}") from error
        self.config, tokenizer, self.tag_transitions = decode_metadata(metadata)
        values = [*session.get_inputs(), *session.get_outputs()]
        self._session = PerProcess(session, make)
        check_sizes(self.config, {value.name: value.shape for value in values})
        self._names = output_names(self.config)
        self.dtype = metadata.get(DTYPE, "f32")
        self.tokenizer = Tokenizer.from_bytes(tokenizer)
        self._hash = HashEmbedding(self.config.hash)

    def file(self) -> bytes:
        """See Engine."""
        return self._file

    def run(self, sequences: Sequences) -> Outputs:
        """Run sequences of like length together."""
        return in_batches(sequences, self.config, self._run)

    run_texts = run_tokenized

    def _run(self, batch: Sequences) -> Outputs:
        if not self._variant:
            return as_outputs(self._outputs(padded_inputs(batch, self._hash)))
        feeds = padded_tokens(batch)
        if self._variant != "portable":
            return as_outputs(self._outputs(feeds))
        each = feeds["token_bytes"][0].size * self.config.hidden_size
        rows = max(1, _MOST_RESIDUES // each)
        parts = [
            self._outputs({name: values[start : start + rows] for name, values in feeds.items()})
            for start in range(0, len(batch), rows)
        ]
        found = {name: np.concatenate([part[name] for part in parts]) for name in self._names}
        return as_outputs(found)

    def _outputs(self, feeds: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        try:
            values = self._session().run(self._names, feeds)
        except Exception as error:  # as above
            raise ModelError(f"ONNX Runtime cannot run it: {_reason(error)}") from error
        return dict(zip(self._names, values, strict=True))


def _reason(error: Exception) -> str:
    return str(error).splitlines()[0]


def _onnxruntime() -> Any:
    """The package, if it is new enough and works."""
    try:
        with contextlib.redirect_stderr(io.StringIO()):  # NumPy's pages on packages older than it
            import onnxruntime
    except ModuleNotFoundError as error:
        raise MissingPackageError(
            "running .onnx files needs ONNX Runtime: pip install 'edgebert[onnx]'"
        ) from error
    except ImportError as error:
        raise MissingPackageError(
            "ONNX Runtime does not start, most likely it is older than NumPy: "
            "pip install --upgrade onnxruntime"
        ) from error
    version = onnxruntime.__version__
    if tuple(map(int, version.split(".")[:2])) < OLDEST:
        raise MissingPackageError(
            f"ONNX Runtime {version} is too old: pip install --upgrade onnxruntime"
        )
    return onnxruntime

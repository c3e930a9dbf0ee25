"""Runs .onnx files in ONNX Runtime; the C kernel computes the graph's input, the hash vectors."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from edgebert.engines.batches import in_batches, padded_inputs
from edgebert.errors import MissingPackageError, ModelError
from edgebert.hash import HashEmbedding
from edgebert.metadata import check_seal, decode_metadata
from edgebert.sequence import Sequences, Text, from_texts
from edgebert.tokenizer import Tokenizer


class OnnxEngine:
    """An ONNX Runtime session on the CPU; sessions may be shared by threads."""

    name = "onnx"

    def __init__(self, path: Path, threads: int | None = None) -> None:
        try:
            import onnxruntime
        except ImportError as error:
            raise MissingPackageError(
                "running .onnx files needs ONNX Runtime: pip install 'edgebert[onnx]'"
            ) from error
        file = path.read_bytes()
        check_seal(file)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads or 0  # 0: as many as there are cores
        options.log_severity_level = 4  # failures reach the user as our own errors
        try:
            self._session = onnxruntime.InferenceSession(
                file, options, providers=["CPUExecutionProvider"]
            )
            metadata = self._session.get_modelmeta().custom_metadata_map
        except Exception as error:  # onnxruntime raises many classes, some of them private
            reason = str(error).splitlines()[0]
            raise ModelError(f"ONNX Runtime cannot load it: {reason}") from error
        self.config, tokenizer = decode_metadata(metadata)
        self.tokenizer = Tokenizer.from_bytes(tokenizer)
        self._hash = HashEmbedding(self.config.hash)

    def run(self, sequences: Sequences) -> tuple[np.ndarray, np.ndarray]:
        """Run sequences of like length together."""
        return in_batches(sequences, self.config, self._run)

    def run_texts(self, texts: Sequence[Text]) -> tuple[np.ndarray, np.ndarray, list[int]]:
        """Tokenize the texts and run them."""
        limit, types = self.config.max_position_embeddings, self.config.type_vocab_size
        sequences = from_texts(self.tokenizer, texts, limit, types)
        return *self.run(sequences), sequences.num_dropped

    def _run(self, batch: Sequences) -> tuple[np.ndarray, np.ndarray]:
        outputs: tuple[np.ndarray, np.ndarray] = self._session.run(
            ["logits", "pooled"], padded_inputs(batch, self._hash)
        )
        return outputs

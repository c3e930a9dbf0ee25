"""Runs .tflite files in LiteRT or tflite-runtime; the C kernel computes the graph's input."""

from __future__ import annotations

import struct
from dataclasses import replace
from pathlib import Path

import numpy as np

from edgebert.engines import Outputs
from edgebert.engines.batches import (
    as_outputs,
    check_sizes,
    in_batches,
    padded_inputs,
    padded_tokens,
    run_tokenized,
)
from edgebert.engines.forks import PerProcess
from edgebert.errors import MissingPackageError, ModelError
from edgebert.files import temporary_file
from edgebert.hash import HashEmbedding
from edgebert.metadata import DTYPE, VARIANT, check_seal, decode_metadata
from edgebert.sequence import Sequences
from edgebert.tflite import Graph, Signature, Tensor, open_graph
from edgebert.tokenizer import Tokenizer


class TfliteEngine:
    """A graph with a signature for each length; threads wait for each other."""

    name = "tflite"

    def __init__(self, path: Path, threads: int | None = None) -> None:
        self._file = file = path.read_bytes()
        self.threads = threads
        check_seal(file)
        metadata = read_metadata(file)
        config, tokenizer, self.tag_transitions = decode_metadata(metadata)
        self.dtype = metadata.get(DTYPE, b"f32").decode("ascii", "replace")
        self.tokenizer = Tokenizer.from_bytes(tokenizer)
        self._hash = HashEmbedding(config.hash)
        variant = metadata.get(VARIANT, b"")
        self._takes_tokens = variant in (b"custom-op", b"portable")
        graph = open_graph(path, variant == b"custom-op", threads)
        for signature in graph.signatures.values():
            tensors = {**signature.inputs, **signature.outputs}
            check_sizes(config, {name: tensor.shape for name, tensor in tensors.items()})
        self._lengths = sorted(
            (_length(signature, self._takes_tokens), key)
            for key, signature in graph.signatures.items()
        )
        if not self._lengths or self._lengths[-1][0] < 2:
            raise ModelError("it has no signature that takes tokens")
        longest = min(config.max_position_embeddings, self._lengths[-1][0])
        self.config = replace(config, max_position_embeddings=longest)

        def make() -> Graph:
            with temporary_file(file, ".tflite") as copy:  # at its path may be another by now
                return open_graph(copy, variant == b"custom-op", threads)

        self._graph = PerProcess(graph, make)

    def file(self) -> bytes:
        """See Engine."""
        return self._file

    def run(self, sequences: Sequences) -> Outputs:
        """Run one sequence after the other, each padded to the next length that the file has."""
        return in_batches(sequences, self.config, self._run, batch_size=1)

    def _run(self, sequence: Sequences) -> Outputs:
        count = len(sequence.ends[0])
        tokens, key = next(length for length in self._lengths if length[0] >= count)
        graph = self._graph()
        signature = graph.signatures[key]
        if self._takes_tokens:
            feeds = padded_tokens(sequence, tokens)
        else:
            feeds = padded_inputs(sequence, self._hash, tokens)
        stored = {name: _stored(x, signature.inputs[name]) for name, x in feeds.items()}
        outputs = graph.run(stored, key)
        return as_outputs({name: _real(x, signature.outputs[name]) for name, x in outputs.items()})

    run_texts = run_tokenized


def _length(signature: Signature, takes_tokens: bool) -> int:
    """For how many tokens it is; ModelError if it does not take what is fed."""
    tokens = {"token_bytes", "token_lengths"} if takes_tokens else {"inputs_embeds"}
    needed = {*tokens, "attention_mask", "token_type_ids"}
    if signature.inputs.keys() != needed or len(signature.inputs["attention_mask"].shape) != 2:
        raise ModelError("it does not take the inputs that its metadata tell of")
    return signature.inputs["attention_mask"].shape[1]


def _stored(values: np.ndarray, tensor: Tensor) -> np.ndarray:
    """Values as the tensor holds them; masks, types and bytes are integers as they are."""
    if values.dtype == np.float32 and tensor.dtype == np.int8:
        steps = np.rint(values / np.float32(tensor.scale)) + tensor.zero_point
        values = np.clip(steps, -128, 127)
    return values.astype(tensor.dtype)


def _real(values: np.ndarray, tensor: Tensor) -> np.ndarray:
    if tensor.dtype == np.float32:
        return values
    return (values.astype(np.float32) - tensor.zero_point) * np.float32(tensor.scale)


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

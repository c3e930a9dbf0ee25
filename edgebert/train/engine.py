"""Runs checkpoints (.pt) in PyTorch: the reference that artifacts are compared with.

What PyTorch gets are the same batches of hash vectors as ONNX Runtime.
"""

from __future__ import annotations

from pathlib import Path

from edgebert.engines import Outputs
from edgebert.engines.batches import as_outputs, in_batches, padded_inputs, run_tokenized
from edgebert.errors import MissingPackageError, ModelError
from edgebert.hash import HashEmbedding
from edgebert.sequence import Sequences


class TorchEngine:
    """Transformers' BERT on the CPU, as it is: not compiled, not traced.

    PyTorch has one number of threads for a whole process, so ``threads`` sets that of every model.
    """

    name = "torch"
    dtype = "f32"

    def __init__(self, path: Path, threads: int | None = None) -> None:
        try:
            import torch

            from edgebert.train.bert import run, transitions_of
            from edgebert.train.checkpoint import load_torch
        except ImportError as error:
            raise MissingPackageError(
                "running .pt files needs PyTorch: pip install 'edgebert[train]'; "
                "edgebert export makes files that do not"
            ) from error
        try:
            self._model, self.config, self.tokenizer = load_torch(path)
        except ModelError as error:  # which names the file, as the caller will
            raise ModelError(str(error).removeprefix(f"{path}: ")) from error
        if threads:
            torch.set_num_threads(threads)
        self.tag_transitions = transitions_of(self._model)
        self._path, self.threads = path, threads
        self._torch, self._answer = torch, run
        self._hash = HashEmbedding(self.config.hash)

    def file(self) -> bytes:
        """See Engine; as it is now at its path."""
        return self._path.read_bytes()

    def run(self, sequences: Sequences) -> Outputs:
        """Run sequences of like length together."""
        with self._torch.inference_mode():
            return in_batches(sequences, self.config, self._run)

    run_texts = run_tokenized

    def _run(self, batch: Sequences) -> Outputs:
        inputs = padded_inputs(batch, self._hash)
        tensors = {name: self._torch.from_numpy(values) for name, values in inputs.items()}
        output = self._answer(self._model, tensors)
        return as_outputs({k: v.numpy() for k, v in vars(output).items() if v is not None})

"""Writes .ebm: our own flat file, used in place by the C library. Layout: csrc/format.h."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from edgebert._native import ffi, lib
from edgebert.config import ACTIVATIONS, TASKS, ModelConfig
from edgebert.export.spec import ModelSpec
from edgebert.files import write_atomically
from edgebert.hash import hash_struct


class _File:
    """Bytes that grow by aligned sections; each remembers where it went."""

    def __init__(self, header_size: int) -> None:
        self.data = bytearray(header_size)

    def append(self, section: bytes) -> dict[str, int]:
        """Append a section, aligned; return its eb_span."""
        self.data += bytes(-len(self.data) % lib.EB_ALIGNMENT)
        span = {"offset": len(self.data), "size": len(section)}
        self.data += section
        return span


def ebm_bytes(spec: ModelSpec) -> bytes:
    """The whole file."""
    file = _File(ffi.sizeof("eb_file_header"))
    tokenizer = file.append(spec.tokenizer)
    labels = [file.append(label.encode()) for label in spec.config.labels]
    label_spans = file.append(_struct("eb_span[]", labels))
    tensors = []
    for weight in spec.weights:
        is_matrix = weight.role.endswith("_weight")  # [out, in] in PyTorch, [in, out] in the file
        values = np.atleast_2d(weight.values.T if is_matrix else weight.values).astype("<f4")
        tensors.append(
            {
                "role": getattr(lib, f"EB_{weight.role.upper()}"),
                "layer": weight.layer,
                "dtype": lib.EB_DTYPE_F32,
                "rows": values.shape[0],
                "cols": values.shape[1],
                "data": file.append(values.tobytes()),
            }
        )
    tensor_spans = file.append(_struct("eb_tensor[]", tensors))
    header = {
        "magic": lib.EB_FILE_MAGIC,
        "version": lib.EB_FILE_VERSION,
        "file_size": len(file.data),
        "config": _config(spec.config),
        "hash": hash_struct(spec.config.hash),
        "tokenizer": tokenizer,
        "labels": label_spans,
        "tensors": tensor_spans,
    }
    header_struct = ffi.new("eb_file_header *", header)
    file.data[: ffi.sizeof("eb_file_header")] = ffi.buffer(header_struct)
    checksum = lib.eb_file_checksum(ffi.from_buffer(file.data), len(file.data))
    header_struct.checksum = checksum
    file.data[: ffi.sizeof("eb_file_header")] = ffi.buffer(header_struct)
    return bytes(file.data)


def write_ebm(spec: ModelSpec, path: Path) -> None:
    """Write ``spec`` to ``path``, or nothing if that fails."""
    write_atomically(path, ebm_bytes(spec))


def _config(config: ModelConfig) -> dict[str, Any]:
    return {
        "hidden_size": config.hidden_size,
        "num_hidden_layers": config.num_hidden_layers,
        "num_attention_heads": config.num_attention_heads,
        "intermediate_size": config.intermediate_size,
        "max_position_embeddings": config.max_position_embeddings,
        "type_vocab_size": config.type_vocab_size,
        "num_labels": config.num_labels,
        "task": TASKS.index(config.task),
        "activation": ACTIVATIONS.index(config.hidden_act),
        "layer_norm_eps": config.layer_norm_eps,
    }


def _struct(ctype: str, values: list[dict[str, Any]]) -> bytes:
    return bytes(ffi.buffer(ffi.new(ctype, values)))

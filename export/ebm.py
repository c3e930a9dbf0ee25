"""Writes .ebm: our own flat file, used in place by the C library. Layout: csrc/format.h."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from edgebert._native import ffi, lib
from edgebert.export.four_bits import four_bit_scales
from edgebert.export.recipe import STANDARD, Recipe
from edgebert.export.spec import ModelSpec, Weight
from edgebert.files import write_atomically
from edgebert.hash import hash_struct
from edgebert.native import config_struct

_NUMPY = {
    lib.EB_DTYPE_F32: "<f4",
    lib.EB_DTYPE_I8: "i1",
    lib.EB_DTYPE_I4: "i1",
    lib.EB_DTYPE_I16: "<i2",
    lib.EB_DTYPE_I32: "<i4",
}


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
    labels, tags = (_names(file, names) for names in (spec.config.labels, spec.config.tags))
    config = ffi.new("eb_config *", config_struct(spec.config, spec.dtype))
    tensors = []
    for weight in spec.weights:
        tensor = ffi.new("eb_tensor *", {"layer": weight.layer})
        role = getattr(lib, f"EB_{weight.role.upper()}")
        assert lib.eb_tensor_of_role(config, role, tensor) == lib.EB_OK, weight.role
        data = _stored(weight, tensor.dtype)
        assert len(data) == tensor.data.size, weight.role
        tensor.data = file.append(data)
        tensors.append(tensor[0])
    tensor_spans = file.append(_struct("eb_tensor[]", tensors))
    header = {
        "magic": lib.EB_FILE_MAGIC,
        "version": lib.EB_FILE_VERSION,
        "file_size": len(file.data),
        "config": config[0],
        "hash": hash_struct(spec.config.hash),
        "tokenizer": tokenizer,
        "labels": labels,
        "tags": tags,
        "tensors": tensor_spans,
    }
    header_struct = ffi.new("eb_file_header *", header)
    file.data[: ffi.sizeof("eb_file_header")] = ffi.buffer(header_struct)
    checksum = lib.eb_file_checksum(ffi.from_buffer(file.data), len(file.data))
    header_struct.checksum = checksum
    file.data[: ffi.sizeof("eb_file_header")] = ffi.buffer(header_struct)
    return bytes(file.data)


def write_ebm(spec: ModelSpec, path: Path, recipe: Recipe = STANDARD) -> None:
    """Write ``spec`` to ``path``, or nothing if that fails; its dtype is the file's."""
    write_atomically(path, ebm_bytes(spec))


def _names(file: _File, names: Sequence[str]) -> dict[str, int]:
    """Append names and a list of their spans; return the list's."""
    spans = [file.append(name.encode()) for name in names]
    return file.append(_struct("eb_span[]", spans))


def _stored(weight: Weight, dtype: int) -> bytes:
    """A tensor's bytes: matrices, [out, in] in PyTorch, in the blocks that format.h describes."""
    values = weight.values.astype(_NUMPY[dtype], casting="same_kind")
    is_matrix = weight.role.endswith("_weight") and values.ndim == 2
    if not is_matrix and dtype != lib.EB_DTYPE_I4:
        return values.tobytes()
    num_out, num_in = values.shape
    padded = np.zeros((-(-num_out // lib.EB_BLOCK) * lib.EB_BLOCK, num_in), values.dtype)
    padded[:num_out] = values
    if dtype == lib.EB_DTYPE_I4:
        return _four_bits(padded)
    return _blocks(padded, 1 if dtype == lib.EB_DTYPE_F32 else 4).tobytes()


def _blocks(matrix: np.ndarray, group: int) -> np.ndarray:
    """[out, in] as [out / 16, in / group, 16, group]."""
    num_out, num_in = matrix.shape
    blocks = matrix.reshape(num_out // lib.EB_BLOCK, lib.EB_BLOCK, num_in // group, group)
    return blocks.transpose(0, 2, 1, 3)


def _four_bits(matrix: np.ndarray) -> bytes:
    """int8 weights of to_four_bits as scales and halves of bytes (csrc/kernels/i4.h)."""
    num_out, num_in = matrix.shape
    scales = four_bit_scales(matrix)  # [out, in / 32]
    nibbles = matrix // np.repeat(scales, lib.EB_I4_GROUP, axis=1) + 8
    groups = _blocks(nibbles.astype(np.uint8), 4).reshape(num_out // lib.EB_BLOCK, num_in // 4, 64)
    halves = groups[:, :, :32] | groups[:, :, 32:] << 4
    by_block = _blocks(scales.astype(np.uint8), 1).reshape(num_out // lib.EB_BLOCK, -1)
    return np.concatenate([by_block, halves.reshape(len(halves), -1)], axis=1).tobytes()


def _struct(ctype: str, values: list[Any]) -> bytes:
    return bytes(ffi.buffer(ffi.new(ctype, values)))

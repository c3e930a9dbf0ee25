"""Reads files of ``torch.save`` without PyTorch: a zip of one pickle and one file per storage."""

from __future__ import annotations

import zipfile
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from edgebert.errors import ModelError
from edgebert.export.dtypes import from_bytes, item_size
from edgebert.export.torch_pickle import MAX_BYTES, Storage, StoredTensor, read_pickle

_ZIP = b"PK\x03\x04"
_LEGACY_PICKLE = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."  # torch's magic number, pickled
_TAR_MAGIC = slice(257, 262)
_SAVE_AGAIN = "open it in PyTorch and torch.save it again"


class TorchFile:
    """An open file of ``torch.save``; use it in a ``with`` statement.

    Attributes:
        content: what was saved, as plain data, with StoredTensor in place of tensors.
    """

    content: Any

    def __init__(self, path: Path) -> None:
        """Open and check the file; ModelError if it is not one or is damaged."""
        with path.open("rb") as file:
            _check_kind(file.read(512))
        try:
            self._zip = zipfile.ZipFile(path)
        except Exception as error:  # zipfile has no base class for what damaged files raise
            raise ModelError(
                "the file is damaged or truncated: its zip has no directory"
            ) from error
        try:
            self._root = self._find_root()
            self._unread = path.stat().st_size  # entries that overlap could add up to more
            self._storages: dict[Storage, np.ndarray] = {}
            byte_order = f"{self._root}byteorder"
            if byte_order in self._zip.namelist() and self._read(byte_order, 16) != b"little":
                raise ModelError("the file was saved on a big-endian machine")
            self.content = read_pickle(self._read(f"{self._root}data.pkl", MAX_BYTES))
        except BaseException:
            self._zip.close()
            raise

    def __enter__(self) -> TorchFile:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._zip.close()

    def array(self, tensor: StoredTensor) -> np.ndarray:
        """The tensor's values, C-contiguous; bfloat16 becomes float32, exactly."""
        values = self._storage(tensor.storage)[tensor.offset :]
        # A dimension of 1 is never stepped along, and its stride may be any number.
        strides = [
            stride * values.itemsize if n > 1 else 0
            for n, stride in zip(tensor.shape, tensor.strides, strict=True)
        ]
        view = np.lib.stride_tricks.as_strided(values, tensor.shape, strides, writeable=False)
        return np.ascontiguousarray(view).reshape(tensor.shape)

    def _storage(self, storage: Storage) -> np.ndarray:
        """All elements of a storage, which several tensors may share."""
        if storage not in self._storages:
            size = storage.size * item_size(storage.dtype)
            data = self._read(f"{self._root}data/{storage.key}", size)
            if len(data) != size:
                raise ModelError(f"the file is damaged: storage {storage.key} has a wrong size")
            self._storages[storage] = from_bytes(data, storage.dtype)
        return self._storages[storage]

    def _find_root(self) -> str:
        names = self._zip.namelist()
        if any(name.endswith("/constants.pkl") for name in names):
            raise ModelError("a TorchScript archive: save the model's state dict instead")
        pickles = [name for name in names if name.count("/") == 1 and name.endswith("/data.pkl")]
        if len(pickles) != 1:
            raise ModelError("a zip file, but not one that torch.save wrote")
        return pickles[0].removesuffix("data.pkl")

    def _read(self, name: str, most: int) -> bytes:
        """An entry's bytes, at most ``most`` of them, with their CRC checked."""
        try:
            entry = self._zip.getinfo(name)
        except KeyError:
            raise ModelError(f"the file is damaged: {name.partition('/')[2]} is missing") from None
        if entry.compress_type != zipfile.ZIP_STORED:
            raise ModelError(f"the file is compressed: {_SAVE_AGAIN}")
        self._unread -= entry.file_size
        if entry.file_size > most or self._unread < 0:
            raise ModelError(f"the file is damaged: {name.partition('/')[2]} is too large")
        try:
            return self._zip.read(entry)
        except Exception as error:  # see above
            raise ModelError(f"the file is damaged: {error}") from error


def _check_kind(start: bytes) -> None:
    if not start:
        raise ModelError("the file is empty")
    if start.startswith(_LEGACY_PICKLE) or start[_TAR_MAGIC] == b"ustar":
        raise ModelError(f"in PyTorch's format before 1.6: {_SAVE_AGAIN}")
    if not start.startswith(_ZIP):
        raise ModelError("not a checkpoint: neither a file of torch.save nor a folder")

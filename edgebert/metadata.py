"""What rides inside a standard graph (.onnx, .tflite): config, tokenizer, version, checksum.

Writers and engines share these names, so this module imports no graph library.
"""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Mapping

from edgebert.config import ModelConfig
from edgebert.errors import ModelError
from edgebert.version import __version__

CONFIG = "edgebert.config"  # JSON of ModelConfig.to_dict()
TOKENIZER = "edgebert.tokenizer"  # the tokenizer section (docs/format.md); in .onnx in base 85
DTYPE = "edgebert.dtype"  # of its arithmetic: f32, i8
VARIANT = "edgebert.variant"  # one of VARIANTS (export/recipe.py); empty if it starts at vectors
VERSION = "edgebert.version"  # that wrote the file
CHECKSUM = "edgebert.crc32"  # last in the file: CRC-32 of every byte before, 8 hex digits

_UNSEALED = "00000000"


def encode_metadata(
    config: ModelConfig, tokenizer: bytes, dtype: str = "f32", variant: str = ""
) -> dict[str, str]:
    """The entries to store, in this order; :func:`seal` fills in the last one's value."""
    return {
        CONFIG: json.dumps(config.to_dict(), ensure_ascii=False),
        TOKENIZER: base64.b85encode(tokenizer).decode("ascii"),
        DTYPE: dtype,
        VARIANT: variant,
        VERSION: __version__,
        CHECKSUM: _UNSEALED,
    }


def decode_metadata(metadata: Mapping[str, str | bytes]) -> tuple[ModelConfig, bytes]:
    """Config and tokenizer section; ModelError if they are missing or wrong.

    What is bytes in a format that can hold them is bytes here.
    """
    missing = [key for key in (CONFIG, TOKENIZER) if key not in metadata]
    if missing:
        raise ModelError(f"not exported by edgebert: the metadata lacks {', '.join(missing)}")
    tokenizer = metadata[TOKENIZER]
    try:
        config = json.loads(metadata[CONFIG])
        if isinstance(tokenizer, str):
            tokenizer = base64.b85decode(tokenizer)
    except (ValueError, RecursionError) as error:
        raise ModelError(f"the metadata is damaged: {error}") from error
    return ModelConfig.from_dict(config), tokenizer


def find_entry(file: bytes, key: str) -> str:
    """The value of a short entry in an .onnx file, without a library that reads these; else ""."""
    _, found, behind = file.rpartition(key.encode() + b"\x12")
    return behind[1 : 1 + behind[0]].decode() if found else ""


def seal(file: bytes) -> bytes:
    """The file with its checksum; it must end in the value of the CHECKSUM entry."""
    body = file[: -len(_UNSEALED)]
    if file[len(body) :] != _UNSEALED.encode():
        raise ValueError("the file does not end in the empty checksum")
    return body + _checksum(body)


def check_seal(file: bytes) -> None:
    """Raise ModelError if the bytes changed since :func:`seal`."""
    body = file[: -len(_UNSEALED)]
    if CHECKSUM.encode() not in body[-64:] or file[len(body) :] != _checksum(body):
        raise ModelError("not written by edgebert, or damaged or changed since (wrong checksum)")


def _checksum(body: bytes) -> bytes:
    return f"{zlib.crc32(body):08x}".encode()

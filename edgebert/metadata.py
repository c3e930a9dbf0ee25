"""What rides inside a standard graph (.onnx, .tflite): config, tokenizer, version, checksum.

Writers and engines share these names, so this module imports no graph library.
"""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from edgebert.config import ModelConfig
from edgebert.errors import ModelError
from edgebert.version import __version__

CONFIG = "edgebert.config"  # JSON of ModelConfig.to_dict()
TOKENIZER = "edgebert.tokenizer"  # the tokenizer section (docs/format.md); in .onnx in base 85
TRANSITIONS = "edgebert.tag_transitions"  # int8 (docs/format.md) in base 85; empty without tags
DTYPE = "edgebert.dtype"  # of its arithmetic: f32, i8
VARIANT = "edgebert.variant"  # one of VARIANTS (export/recipe.py); empty if it starts at vectors
VERSION = "edgebert.version"  # that wrote the file
CHECKSUM = "edgebert.crc32"  # last in the file: CRC-32 of every byte before, 8 hex digits

_UNSEALED = "00000000"


class Metadata(NamedTuple):
    """What an engine needs to know of a graph.

    Attributes:
        config: the model's.
        tokenizer: the tokenizer section (docs/format.md).
        tag_transitions: int8 [num_tags, num_tags + 1], as edgebert.entities.best_tags takes it.
    """

    config: ModelConfig
    tokenizer: bytes
    tag_transitions: np.ndarray


def encode_metadata(
    config: ModelConfig,
    tokenizer: bytes,
    tag_transitions: bytes = b"",
    dtype: str = "f32",
    variant: str = "",
) -> dict[str, str]:
    """The entries to store, in this order; :func:`seal` fills in the last one's value."""
    return {
        CONFIG: json.dumps(config.to_dict(), ensure_ascii=False),
        TOKENIZER: base64.b85encode(tokenizer).decode("ascii"),
        TRANSITIONS: base64.b85encode(tag_transitions).decode("ascii"),
        DTYPE: dtype,
        VARIANT: variant,
        VERSION: __version__,
        CHECKSUM: _UNSEALED,
    }


def decode_metadata(metadata: Mapping[str, str | bytes]) -> Metadata:
    """Read :func:`encode_metadata`'s entries; ModelError if they are missing or wrong.

    What is bytes in a format that can hold them is bytes here.
    """
    missing = [key for key in (CONFIG, TOKENIZER) if key not in metadata]
    if missing:
        raise ModelError(f"not exported by edgebert: the metadata lacks {', '.join(missing)}")
    tokenizer = metadata[TOKENIZER]
    try:
        config = json.loads(metadata[CONFIG])
        transitions = base64.b85decode(metadata.get(TRANSITIONS, ""))
        if isinstance(tokenizer, str):
            tokenizer = base64.b85decode(tokenizer)
    except (ValueError, RecursionError) as error:
        raise ModelError(f"the metadata is damaged: {error}") from error
    known = ModelConfig.from_dict(config)
    shape = known.num_tags, known.num_tags_and_start
    if len(transitions) != shape[0] * shape[1]:
        raise ModelError("the metadata is damaged: the transitions are not those of its tags")
    return Metadata(known, tokenizer, np.frombuffer(transitions, np.int8).reshape(shape))


def find_entry(file: bytes, key: str) -> str:
    """The value of a short entry in an .onnx file, without a library that reads these; else ""."""
    _, found, behind = file.rpartition(key.encode() + b"\x12")
    return behind[1 : 1 + behind[0]].decode(errors="replace") if found else ""


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

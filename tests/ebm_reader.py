"""A reader of .ebm files made from docs/format.md alone: it shares no code with the project.

What the C library says of a file, and what it finds in one, is compared with this reader.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import mmh3
import numpy as np

OK, TRUNCATED, FOREIGN, VERSION, CHECKSUM, CORRUPT, UNSUPPORTED = 0, 3, 4, 5, 6, 7, 8

CONFIG = (
    "hidden_size",
    "num_hidden_layers",
    "num_attention_heads",
    "intermediate_size",
    "max_position_embeddings",
    "type_vocab_size",
    "num_labels",
    "num_tags",
    "task",
    "activation",
    "dtype",
    "layer_norm_eps",
)
HASH = ("family", "dimension", "max_ngram", "modulus", "base", "seed", "boundary_marks")
HEADER = struct.Struct("<4s3I11If7I8I")  # magic ... checksum, config, hash, four spans
RECORD = struct.Struct("<2H5I")
F32, I8, I4, I16, I32 = range(5)
NUMPY = {F32: "<f4", I8: "<i1", I16: "<i2", I32: "<i4"}

# The table of roles: where, rows, columns, whether it is a matrix, dtype in i8 models, and in f32.
_H, _INNER = "hidden_size", "intermediate_size"
ROLES: list[tuple[str, str, int | str, int | str, bool, int, int | None]] = [
    ("position_embeddings", "embeddings", "max_position_embeddings", _H, False, I8, F32),
    ("token_type_embeddings", "embeddings", "type_vocab_size", _H, False, I16, F32),
    ("embeddings_norm_weight", "embeddings", 1, _H, False, I16, F32),
    ("embeddings_norm_bias", "embeddings", 1, _H, False, I16, F32),
    ("qkv_weight", "layer", _H, "three", True, I8, F32),
    ("qkv_bias", "layer", 1, "three", False, I32, F32),
    ("attention_output_weight", "layer", _H, _H, True, I8, F32),
    ("attention_output_bias", "layer", 1, _H, False, I32, F32),
    ("attention_norm_weight", "layer", 1, _H, False, I16, F32),
    ("attention_norm_bias", "layer", 1, _H, False, I16, F32),
    ("intermediate_weight", "layer", _H, _INNER, True, I8, F32),
    ("intermediate_bias", "layer", 1, _INNER, False, I32, F32),
    ("output_weight", "layer", _INNER, _H, True, I8, F32),
    ("output_bias", "layer", 1, _H, False, I32, F32),
    ("output_norm_weight", "layer", 1, _H, False, I16, F32),
    ("output_norm_bias", "layer", 1, _H, False, I16, F32),
    ("pooler_weight", "labels", _H, _H, True, I8, F32),
    ("pooler_bias", "labels", 1, _H, False, I32, F32),
    ("classifier_weight", "labels", _H, "num_labels", True, I8, F32),
    ("classifier_bias", "labels", 1, "num_labels", False, I32, F32),
    ("qkv_multiplier", "layer", 1, "three", False, I16, None),
    ("attention_output_multiplier", "layer", 1, _H, False, I16, None),
    ("intermediate_multiplier", "layer", 1, _INNER, False, I16, None),
    ("output_multiplier", "layer", 1, _H, False, I16, None),
    ("pooler_multiplier", "labels", 1, _H, False, I32, None),
    ("classifier_multiplier", "labels", 1, "num_labels", False, I32, None),
    ("gelu_table", "layer", 1, 256, False, I8, None),
    ("layer_scales", "layer", 1, 16, False, I32, None),
    ("model_scales", "embeddings", 1, 6, False, I32, None),
    ("tagger_weight", "tags", _H, "num_tags", True, I8, F32),
    ("tagger_bias", "tags", 1, "num_tags", False, I32, F32),
    ("tagger_multiplier", "tags", 1, "num_tags", False, I32, None),
    ("tag_transitions", "tags", "num_tags", "tags_and_start", False, I8, I8),
]

# Least and largest of each number of layer_scales, and of the first of model_scales.
LAYER_SCALES = [
    ("qkv_shift", 0, 31),
    ("qkv_bits", 0, 8),
    ("softmax_multiplier", 0, 32767),
    ("softmax_shift", 0, 30),
    ("context_multiplier", 0, 4161409),
    ("context_bits", 0, 8),
    ("attention_output_shift", 0, 31),
    ("attention_factor", 0, 256),
    ("attention_norm.bits", 0, 8),
    ("attention_norm.epsilon", 0, 32767),
    ("intermediate_shift", 0, 31),
    ("intermediate_bits", 0, 8),
    ("output_shift", 0, 31),
    ("output_factor", 0, 256),
    ("output_norm.bits", 0, 8),
    ("output_norm.epsilon", 0, 32767),
]
MODEL_SCALES = [
    ("position_multiplier", 0, 32767),
    ("embeddings_norm.bits", 0, 8),
    ("embeddings_norm.epsilon", 0, 32767),
]


@dataclass
class File:
    """What a file holds.

    Attributes:
        config: by the names of CONFIG.
        hash: by the names of HASH.
        labels: their bytes.
        tags: their bytes.
        tensors: (role's name, layer) -> values; matrices are [out, in], as in PyTorch.
        tokenizer: the section.
    """

    config: dict[str, Any]
    hash: dict[str, int]
    labels: list[bytes]
    tags: list[bytes]
    tensors: dict[tuple[str, int], np.ndarray]
    tokenizer: bytes


class Refused(Exception):
    """A reader must refuse the file, with a status."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


def read(file: bytes) -> File:
    """Read a file, or raise Refused."""

    def must(condition: bool, status: int = CORRUPT) -> None:
        if not condition:
            raise Refused(status)

    must(file[:4] == b"EBM1", FOREIGN)
    must(len(file) >= HEADER.size, TRUNCATED)
    _, version, size, checksum, *rest = HEADER.unpack_from(file)
    must(version != 0)
    must(version == 1, VERSION)
    must(len(file) >= size, TRUNCATED)
    must(size >= HEADER.size)
    must(checksum == mmh3.hash(file[16:size], seed=1, signed=False), CHECKSUM)
    config = dict(zip(CONFIG, rest, strict=False))
    hash_ = dict(zip(HASH, rest[12:], strict=False))
    spans = list(zip(rest[19::2], rest[20::2], strict=True))
    must(hash_["family"] <= 1, UNSUPPORTED)
    must(hash_["dimension"] == config["hidden_size"] and _is_config(config))
    known = config["task"] <= 3 and config["activation"] == 0 and config["dtype"] <= I4
    must(known, UNSUPPORTED)
    must(_has_kernels(config) and _is_hash(hash_))

    def part(span: tuple[int, int], alignment: int) -> bytes:
        offset, length = span
        must(offset >= HEADER.size and offset % alignment == 0 and offset + length <= size)
        return file[offset : offset + length]

    tokenizer, labels, tags, directory = spans
    must(len(part(directory, 4)) % RECORD.size == 0)
    records = RECORD.iter_unpack(part(directory, 4))
    tensors = {}
    for name, layer, expected in _expected(config):
        number, at, *told, offset, length = next(records, (len(ROLES),) * 7)
        must(number < len(ROLES) and ROLES[number][0] == name)
        dtype, rows, cols, is_matrix = expected
        must((at, *told) == (layer, dtype, rows, cols))
        must(length == _bytes(dtype, rows, cols, is_matrix))
        tensors[name, layer] = _values(part((offset, length), 16), *expected)
    must(next(records, None) is None)
    must(_scales_are_right(config, tensors))

    def names(span: tuple[int, int], count: int) -> list[bytes]:
        data = part(span, 4)
        must(len(data) == 8 * count)
        found = [part(each, 1) for each in struct.iter_unpack("<2I", data)]
        must(sum(map(len, found)) <= size)
        return found

    found_labels = names(labels, config["num_labels"])
    found_tags = names(tags, config["num_tags"])
    must(all(tag == b"O" or (tag[:2] in (b"B-", b"I-") and len(tag) > 2) for tag in found_tags))
    section = part(tokenizer, 4)
    must(len(section) >= 12)
    kind, lowercase, vocabulary_size = struct.unpack_from("<3I", section)
    must(kind <= 1, UNSUPPORTED)
    must(lowercase <= 1 and vocabulary_size == len(section) - 12)
    if kind == 1:
        must(vocabulary_size == 0)
    else:
        must(vocabulary_size >= 8 + 512 + 2048)
        edges, shared = struct.unpack_from("<2I", section, 12)
        must(8 + edges + 512 + 2048 + 3 * shared == vocabulary_size)
    return File(config, hash_, found_labels, found_tags, tensors, section)


def _is_config(c: dict[str, Any]) -> bool:
    ranges = {
        "hidden_size": (1, 4096),
        "num_hidden_layers": (1, 64),
        "num_attention_heads": (1, c["hidden_size"]),
        "intermediate_size": (1, 16384),
        "max_position_embeddings": (2, 65536),
        "type_vocab_size": (1, 256),
        "num_labels": (0, 65536),
        "num_tags": (0, 4096),
    }
    if not all(least <= c[name] <= most for name, (least, most) in ranges.items()):
        return False
    heads = {
        0: c["num_labels"] > 0,
        1: c["num_labels"] == 1,
        2: c["num_labels"] == c["num_tags"] == 0,
        3: c["num_labels"] == 0 and c["num_tags"] > 0,
    }
    divides = c["hidden_size"] % c["num_attention_heads"] == 0
    return divides and heads.get(c["task"], True) and 0.0 <= c["layer_norm_eps"] < 1.0


def _has_kernels(c: dict[str, Any]) -> bool:
    group = {F32: 1, I8: 16, I4: 32}[c["dtype"]]
    head_size = c["hidden_size"] // c["num_attention_heads"]
    of_heads = c["dtype"] == F32 or head_size % 16 == 0
    return of_heads and c["hidden_size"] % group == 0 and c["intermediate_size"] % group == 0


def _is_hash(h: dict[str, int]) -> bool:
    return (
        1 <= h["max_ngram"] <= 16
        and 3 <= h["modulus"] <= 2147483647
        and h["modulus"] % 2 == 1
        and 1 <= h["base"] < h["modulus"]
        and h["boundary_marks"] <= 1
    )


def _expected(c: dict[str, Any]) -> Iterator[tuple[str, int, tuple[int, int, int, bool]]]:
    """Name, layer, and dtype, rows, columns, is_matrix of each tensor, in the order of files."""
    extents = {**c, "three": 3 * c["hidden_size"], "tags_and_start": c["num_tags"] + 1}
    has = {"labels": c["num_labels"] > 0, "tags": c["num_tags"] > 0}
    for place in ("embeddings", "layer", "labels", "tags"):
        for layer in range(c["num_hidden_layers"] if place == "layer" else 1):
            for name, where, first, second, is_matrix, integer, real in ROLES:
                dtype = real if c["dtype"] == F32 else integer
                if where != place or dtype is None or not has.get(where, True):
                    continue
                rows, cols = (e if isinstance(e, int) else extents[e] for e in (first, second))
                if c["dtype"] == I4 and (is_matrix or name == "position_embeddings"):
                    dtype = I4
                yield name, layer, (dtype, rows, cols, is_matrix)


def _bytes(dtype: int, rows: int, cols: int, is_matrix: bool) -> int:
    if dtype == I4:
        inputs, outputs = (rows, cols) if is_matrix else (cols, rows)
        blocks = math.ceil(outputs / 16)
        return blocks * (inputs // 32 * 16 + inputs // 4 * 32)
    stored = math.ceil(cols / 16) * 16 if is_matrix else cols
    return rows * stored * np.dtype(NUMPY[dtype]).itemsize


def _values(data: bytes, dtype: int, rows: int, cols: int, is_matrix: bool) -> np.ndarray:
    if dtype == I4:
        return _four_bits(data, *((rows, cols) if is_matrix else (cols, rows)))
    values = np.frombuffer(data, NUMPY[dtype])
    if not is_matrix:
        return values.reshape(rows, cols)
    group = 1 if dtype == F32 else 4
    blocks = values.reshape(-1, rows // group, 16, group)
    return blocks.transpose(0, 2, 1, 3).reshape(-1, rows)[:cols]


def _four_bits(data: bytes, inputs: int, outputs: int) -> np.ndarray:
    """A matrix [out, in] from blocks of scales and halves of bytes."""
    blocks = np.frombuffer(data, "<u1").reshape(math.ceil(outputs / 16), -1).astype(int)
    count = inputs // 32 * 16
    scales = blocks[:, :count].reshape(-1, inputs // 32, 16).transpose(0, 2, 1)
    halves = blocks[:, count:].reshape(-1, inputs // 4, 32)
    numbers = np.concatenate([halves & 15, halves >> 4], axis=2).reshape(-1, inputs // 4, 16, 4)
    weights = numbers.transpose(0, 2, 1, 3).reshape(-1, inputs) - 8
    return (weights * scales.reshape(-1, inputs // 32).repeat(32, axis=1))[:outputs]


def _scales_are_right(c: dict[str, Any], tensors: dict[tuple[str, int], np.ndarray]) -> bool:
    if c["dtype"] == F32:
        return True
    checks = []
    scales = tensors["model_scales", 0].ravel().tolist()
    checks += [lo <= x <= hi for x, (_, lo, hi) in zip(scales, MODEL_SCALES, strict=False)]
    for shift, count in zip(
        scales[3:], (c["num_labels"], c["num_labels"], c["num_tags"]), strict=True
    ):
        checks.append(1 <= shift <= 62 if count else shift == 0)
    for layer in range(c["num_hidden_layers"]):
        scales = tensors["layer_scales", layer].ravel().tolist()
        checks += [lo <= x <= hi for x, (_, lo, hi) in zip(scales, LAYER_SCALES, strict=True)]
    return all(checks)

"""The .ebm file: what goes in comes out, and damaged files are refused with one clear error."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import edgebert
from edgebert._native import ffi, lib
from edgebert.config import HashParams
from edgebert.export.ebm import ebm_bytes, write_ebm
from edgebert.native import NativeModel
from tests.models import SMALL, random_spec


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("ebm") / "small.ebm"
    write_ebm(random_spec(), path)
    return path


@pytest.mark.parametrize(
    "config",
    [
        SMALL,
        replace(SMALL, task="regression", labels=("similarity",), num_hidden_layers=1),
        replace(SMALL, hash=HashParams("murmur3", 24, 5, 257, 7, 1, True), type_vocab_size=1),
        replace(SMALL, labels=("ja", "näin", "", "日本語")),
        replace(SMALL, tags=("O", "B-città", "I-città")),
        replace(SMALL, task="tagging", labels=(), tags=("B-x",)),
        replace(SMALL, task="embedding", labels=()),
    ],
)
def test_the_config_survives_the_file(config: edgebert.ModelConfig, tmp_path: Path) -> None:
    write_ebm(random_spec(config), tmp_path / "m.ebm")
    read_back = edgebert.load(tmp_path / "m.ebm").config
    eps = np.float32(config.layer_norm_eps)  # stored as float32
    assert replace(read_back, layer_norm_eps=0) == replace(config, layer_norm_eps=0)
    assert read_back.layer_norm_eps == eps


def test_export_is_deterministic() -> None:
    assert ebm_bytes(random_spec()) == ebm_bytes(random_spec())


def _refused(data: bytes, path: Path) -> str:
    path.write_bytes(data)
    with pytest.raises(edgebert.ModelError) as error:
        edgebert.load(path)
    return str(error.value)


def test_bit_flips_are_refused(file: Path, tmp_path: Path) -> None:
    data, rng = file.read_bytes(), random.Random(1)
    for _ in range(500):
        flipped = bytearray(data)
        flipped[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        assert len(_refused(bytes(flipped), tmp_path / "flipped.ebm").splitlines()) == 1


def test_truncated_files_are_refused(file: Path, tmp_path: Path) -> None:
    data, rng = file.read_bytes(), random.Random(2)
    for size in [0, 1, 3, 4, 5, len(data) - 1, *(rng.randrange(len(data)) for _ in range(500))]:
        _refused(data[:size], tmp_path / "short.ebm")


def test_foreign_files_are_refused(tmp_path: Path) -> None:
    rng = random.Random(3)
    for _ in range(500):
        _refused(rng.randbytes(rng.randrange(2000)), tmp_path / "foreign.ebm")
    assert "not an edgebert model" in _refused(b"PK\3\4" + bytes(5000), tmp_path / "zip.ebm")


def test_impossible_values_behind_a_right_checksum_are_refused_or_harmless(tmp_path: Path) -> None:
    """A hostile file has a right checksum: every header field and record is checked by itself."""
    data = ebm_bytes(random_spec())
    header_size = ffi.sizeof("eb_file_header")
    header = ffi.from_buffer("eb_file_header *", data)
    directory = (header.tensors.offset, header.tensors.offset + header.tensors.size)
    spans = (header.labels.offset, header.labels.offset + header.labels.size)
    tokenizer = (header.tokenizer.offset, header.tokenizer.offset + header.tokenizer.size)
    rng, path, refused = random.Random(4), tmp_path / "hostile.ebm", 0
    for _ in range(2000):
        hostile = bytearray(data)
        for _ in range(rng.choice([1, 1, 1, 2, 8])):
            start, stop = rng.choice([(16, header_size), directory, spans, tokenizer])
            at = rng.randrange(start, stop - 3) & ~3
            value = rng.choice([0, 1, 2**31, 2**32 - 1, 4 * rng.randrange(2**10), len(data)])
            hostile[at : at + 4] = value.to_bytes(4, "little")
        checksum = lib.eb_file_checksum(ffi.from_buffer(hostile), len(hostile))
        hostile[12:16] = checksum.to_bytes(4, "little")
        path.write_bytes(hostile)
        try:
            result = edgebert.load(path).infer("some harmless text", stride=None)
            assert result.label in edgebert.load(path).labels
        except edgebert.ModelError:
            refused += 1
    assert refused > 1000


IMPOSSIBLE = "the file is damaged: a value in it is impossible"
FEATURE = "the file needs a feature that this build of edgebert does not have"
NEWER = "the file was made by a newer edgebert: update edgebert to read it"


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("config.task", 1, IMPOSSIBLE),  # a regression with three labels
        ("config.task", 2, IMPOSSIBLE),  # an embedding with labels
        ("config.task", 4, FEATURE),
        ("config.num_tags", 1, IMPOSSIBLE),  # without names or weights
        ("config.activation", 1, FEATURE),
        ("hash.family", 2, FEATURE),
        ("hash.modulus", 4, IMPOSSIBLE),
        ("version", 0, IMPOSSIBLE),
        ("version", 2, NEWER),
    ],
)
def test_the_error_tells_a_damaged_file_from_a_newer_one(
    name: str, value: int, message: str, tmp_path: Path
) -> None:
    data = bytearray(ebm_bytes(random_spec()))
    part = ffi.from_buffer("eb_file_header *", data)
    *structs, field = name.split(".")
    for struct in structs:
        part = getattr(part, struct)
    setattr(part, field, value)
    data[12:16] = lib.eb_file_checksum(ffi.from_buffer(data), len(data)).to_bytes(4, "little")
    assert _refused(bytes(data), tmp_path / "changed.ebm") == f"changed.ebm: {message}"


def test_a_newer_format_version_is_refused_by_name(file: Path, tmp_path: Path) -> None:
    data = bytearray(file.read_bytes())
    data[4] += 1
    assert "newer edgebert" in _refused(bytes(data), tmp_path / "new.ebm")


def test_bytes_behind_the_end_do_no_harm(file: Path, tmp_path: Path) -> None:
    """Flash pages and padded partitions: the file says itself where it ends."""
    padded = tmp_path / "padded.ebm"
    padded.write_bytes(file.read_bytes() + b"\xff" * 4096)
    same = edgebert.load(padded).logits("text") == edgebert.load(file).logits("text")
    assert same.all()


def test_the_file_is_mapped_not_copied(file: Path) -> None:
    model = NativeModel(file)
    assert model._memory.size < 4096 + 8 * SMALL.hidden_size

"""What docs/format.md promises: others can read our files, and old ones are read for ever."""

from __future__ import annotations

import json
import random
import struct
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgebert import int8_reference
from edgebert._native import ffi, lib
from edgebert.config import HashParams, ModelConfig
from edgebert.errors import ModelError
from edgebert.export.ebm import ebm_bytes
from edgebert.export.float_reference import forward
from edgebert.export.quantise import quantise
from edgebert.export.spec import ModelSpec, Weight
from edgebert.export.vocabulary import build_tokenizer
from edgebert.hash import HashEmbedding
from edgebert.memory import aligned
from edgebert.model import load
from edgebert.sequence import from_texts
from edgebert.tokenizer import Tokenizer
from tests.conftest import REPO
from tests.heads import TAGS
from tests.models import SMALL, random_spec

ebm_reader = pytest.importorskip("tests.ebm_reader", reason="needs the package mmh3")

MODELS, COPIES = 100, 10  # of each model the file as it is, and damaged ones
PIECES = ["[UNK]", "one", "two", "film", "grip", "##ping", "un", "##expected", "##ly", ",", "!"]
TEXTS = ["", "One unexpectedly gripping film, two!", "x y z " * 9]
DTYPES = ("f32", "i8", "i4")
VERSION_1 = REPO / "tests" / "data" / "version_1"
HANDLE = 1 << 17  # bytes, more than any of these models needs


def drawn_config(rng: random.Random) -> ModelConfig:
    """Any task, shape and hash; of a shape that has integer kernels too."""
    heads: list[dict[str, Any]] = [
        {"labels": tuple(f"l{i}" for i in range(rng.randrange(1, 20)))},
        {"labels": ("no", "ja", ""), "tags": TAGS[: rng.randrange(1, len(TAGS) + 1)]},
        {"task": "regression", "labels": ("x",), "tags": rng.choice([(), TAGS])},
        {"task": "tagging", "labels": (), "tags": (*TAGS, "B-\u00e9t\u00e9")},
        {"task": "embedding", "labels": ()},
    ]
    num_heads = rng.randrange(1, 4)
    hidden = 32 * num_heads
    modulus = rng.choice([1_000_000_007, 257, 3])
    return replace(
        SMALL,
        hidden_size=hidden,
        num_attention_heads=num_heads,
        num_hidden_layers=rng.randrange(1, 4),
        intermediate_size=32 * rng.randrange(1, 5),
        max_position_embeddings=rng.randrange(4, 40),
        type_vocab_size=rng.randrange(1, 3),
        hash=HashParams(
            rng.choice(["poly", "murmur3"]),
            hidden,
            rng.randrange(1, 6),
            modulus,
            rng.randrange(1, modulus),
            rng.randrange(2**32),
            rng.random() < 0.5,
        ),
        **rng.choice(heads),
    )


def drawn_spec(rng: random.Random) -> ModelSpec:
    spec = random_spec(drawn_config(rng), rng.randrange(1000))
    if rng.random() < 0.5:
        spec = replace(spec, tokenizer=build_tokenizer("wordpiece", PIECES))
    dtype = rng.choice(DTYPES)
    return spec if dtype == "f32" else quantise(spec, TEXTS, dtype)


def damaged(file: bytes, rng: random.Random) -> bytes:
    """A few numbers of the header, the records, the names' spans or the tokenizer are others.

    Most have a right checksum, as a forger's have.
    """
    sections = struct.iter_unpack("<2I", file[92:124])
    spans = [(16, 108), (4, 12), *((at, size) for at, size in sections if size)]
    data = bytearray(file)
    for _ in range(rng.choice([1, 1, 1, 2, 4])):
        at, size = rng.choice(spans)
        at += rng.randrange(max(1, size - 3)) & ~3
        (old,) = struct.unpack_from("<I", data, at)
        others = [0, 1, old ^ 1 << rng.randrange(32), old + 16, old + 1, 2**32 - 1, len(file)]
        struct.pack_into("<I", data, at, rng.choice(others) % 2**32)
    del data[len(file) - rng.choice([0, 0, 0, 1, 40]) :]
    if rng.random() < 0.9:
        end = struct.unpack_from("<I", data, 8)[0]
        checksum = ebm_reader.mmh3.hash(bytes(data[16:end]), seed=1, signed=False)
        struct.pack_into("<I", data, 12, checksum)
    return bytes(data)


def status_of(file: bytes) -> int:
    """What eb_model_open says."""
    data, handle = aligned(max(1, len(file))), aligned(HANDLE)
    data[: len(file)] = np.frombuffer(file, np.uint8)
    pointers = ffi.from_buffer(data), ffi.from_buffer(handle)
    model = ffi.new("eb_model **")
    return int(lib.eb_model_open(pointers[0], len(file), pointers[1], HANDLE, model))


def spec_of(found: Any) -> ModelSpec:
    """What the reader found as the references take it."""
    numbers = found.config
    config = ModelConfig(
        **{name: numbers[name] for name in ebm_reader.CONFIG[:6]},
        layer_norm_eps=numbers["layer_norm_eps"],
        task=("classification", "regression", "embedding", "tagging")[numbers["task"]],
        labels=tuple(label.decode() for label in found.labels),
        tags=tuple(tag.decode() for tag in found.tags),
        hash=HashParams(
            **{
                **found.hash,
                "family": ("poly", "murmur3")[found.hash["family"]],
                "boundary_marks": bool(found.hash["boundary_marks"]),
            }
        ),
    )
    vectors = {name for name, _, rows, *_ in ebm_reader.ROLES if rows == 1}
    weights = (
        Weight(name, layer, values.ravel() if name in vectors else values)
        for (name, layer), values in found.tensors.items()
    )
    dtype = DTYPES[numbers["dtype"]]
    return ModelSpec(config, found.tokenizer, tuple(weights), dtype)


def check_answers(found: Any, path: Path) -> None:
    """What the C library computes from the file follows from what the reader found in it."""
    spec, engine = spec_of(found), load(path)._engine
    eps = spec.config.layer_norm_eps  # a float32 as its digits, and as it is
    assert replace(engine.config, layer_norm_eps=eps) == spec.config
    outputs = engine.run_texts(TEXTS)[0]
    limit, types = spec.config.max_position_embeddings, spec.config.type_vocab_size
    sequences = from_texts(Tokenizer(found.tokenizer), TEXTS, limit, types)
    for i, text in enumerate(TEXTS):
        if spec.dtype == "f32":
            hashes = HashEmbedding(spec.config.hash).embed(sequences.bytes[i], sequences.ends[i])
            answer = forward(spec, hashes, sequences.types[i])
            np.testing.assert_allclose(outputs.logits[i], answer.logits, atol=1e-4)
            np.testing.assert_allclose(outputs.pooled[i], answer.pooled, atol=1e-4)
        else:
            exact = int8_reference.answer(spec, text)
            np.testing.assert_array_equal(outputs.logits[i] * np.float32(65536), exact.logits)


@pytest.mark.filterwarnings("ignore::edgebert.TruncationWarning")
def test_the_library_and_a_reader_by_the_document_agree_on_a_thousand_files(
    tmp_path: Path,
) -> None:
    rng, statuses = random.Random(0), []
    for _ in range(MODELS):
        spec = drawn_spec(rng)
        whole = ebm_bytes(spec)
        for copy in range(COPIES):
            file = whole if copy == 0 else damaged(whole, rng)
            try:
                found, told = ebm_reader.read(file), lib.EB_OK
            except ebm_reader.Refused as refused:
                found, told = None, refused.status
            assert status_of(file) == told
            statuses.append(told)
            if copy == 0:
                assert found is not None
                for weight in spec.weights:
                    values = found.tensors[weight.role, weight.layer]
                    np.testing.assert_array_equal(
                        values.reshape(weight.values.shape), weight.values, weight.role
                    )
                (tmp_path / "model.ebm").write_bytes(file)
                check_answers(found, tmp_path / "model.ebm")
    assert len(statuses) == 1000
    assert set(statuses) == {0, 3, 5, 6, 7, 8}
    assert MODELS + 50 < statuses.count(lib.EB_OK) < 500  # some damage changes nothing of note


def test_foreign_bytes_are_told_from_short_ones() -> None:
    for file in (b"", b"EBM", b"EBM1", b"PK\3\4" + bytes(200), b"EBM1" + bytes(119)):
        with pytest.raises(ebm_reader.Refused) as refused:
            ebm_reader.read(file)
        assert refused.value.status == status_of(file)


@pytest.mark.filterwarnings("ignore::edgebert.TruncationWarning")
@pytest.mark.parametrize("name", json.loads((VERSION_1 / "answers.json").read_text("utf-8")))
def test_files_of_the_first_version_answer_as_they_did(name: str) -> None:
    model = load(VERSION_1 / f"{name}.ebm")
    tolerance = 1e-5 if name.startswith("f32") else 0
    answers = json.loads((VERSION_1 / "answers.json").read_text("utf-8"))[name]
    outputs = model._engine.run_texts([answer["text"] for answer in answers])[0]
    for i, answer in enumerate(answers):
        for found, told in ((outputs.logits, "logits"), (outputs.pooled, "pooled")):
            np.testing.assert_allclose(found[i], np.float32(answer[told]), tolerance, tolerance)
        entities = model.infer(answer["text"]).entities if model.config.tags else ()
        assert [[e.type, e.begin, e.end] for e in entities] == answer["entities"]


@pytest.mark.parametrize("version", [2, 3, 2**32 - 1])
def test_a_file_of_a_later_version_is_refused_by_name(version: int, tmp_path: Path) -> None:
    file = bytearray((VERSION_1 / "f32-labels.ebm").read_bytes())
    struct.pack_into("<I", file, 4, version)
    (tmp_path / "model.ebm").write_bytes(file)
    with pytest.raises(ModelError, match="made by a newer edgebert: update edgebert"):
        load(tmp_path / "model.ebm")

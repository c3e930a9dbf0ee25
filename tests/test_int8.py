"""int8 models: C gives the reference's bytes, accuracy stays, bad models are refused."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import edgebert
from edgebert import int8_reference
from edgebert._native import ffi, lib
from edgebert.cli import main
from edgebert.config import HashParams
from edgebert.export import write_model
from edgebert.export.calibrate import (
    Loss,
    Texts,
    float_outputs,
    layer_errors,
    measure_loss,
    worst_layer,
)
from edgebert.export.checkpoint import read_checkpoint
from edgebert.export.ebm import ebm_bytes
from edgebert.export.four_bits import four_bit_scales, to_four_bits
from edgebert.export.quantise import quantise
from edgebert.export.spec import ModelSpec
from edgebert.native import NativeModel
from edgebert.tsv import read_tsv
from tests.conftest import REPO
from tests.heads import HEADS, TAGS, with_heads
from tests.models import SMALL, SMALL_I8, random_spec

CHECKPOINT = REPO / "models" / "uno-sst2.pt"
SAMPLE = REPO / "tests" / "data" / "sst2_dev_head.tsv"
TEXTS: list[edgebert.sequence.Text] = [
    "",
    "a gripping film",
    ("a pair of", "texts , the second of them longer than the first"),
    "long " * 36,
    "Ünï 日本語 \U0001f600 !",
]


@pytest.fixture(scope="module")
def uno() -> ModelSpec:
    return ModelSpec.from_checkpoint(read_checkpoint(CHECKPOINT))


def load(spec: ModelSpec, folder: Path) -> edgebert.Model:
    write_model(spec, folder / "model.ebm")
    return edgebert.load(folder / "model.ebm")


def scaled(spec: ModelSpec, prefix: str, factor: float) -> ModelSpec:
    """The model with the weights whose role begins so made larger or smaller."""
    weights = (
        replace(w, values=w.values * np.float32(factor)) if w.role.startswith(prefix) else w
        for w in spec.weights
    )
    return replace(spec, weights=tuple(weights))


def reference(spec: ModelSpec, text: edgebert.sequence.Text) -> np.ndarray:
    return int8_reference.answer(spec, text).logits.astype(np.float32) / np.float32(65536)


def check_by_reference(
    spec: ModelSpec, model: edgebert.Model, text: edgebert.sequence.Text
) -> None:
    """Logits, pooled vector and the scores of tags are the reference's."""
    answer = int8_reference.answer(spec, text)
    outputs, _ = model._engine.run_texts([text])
    unit = np.float32(2048 if spec.config.labels else 65536)
    np.testing.assert_array_equal(outputs.logits[0] * np.float32(65536), answer.logits)
    np.testing.assert_array_equal(outputs.pooled[0] * unit, answer.pooled)
    if spec.config.tags:
        assert outputs.tag_scores is not None
        np.testing.assert_array_equal(outputs.tag_scores[0], int8_reference.tag_scores(answer))
    assert (outputs.tag_scores is not None) == bool(spec.config.tags)


@pytest.mark.parametrize(
    "config",
    [
        SMALL_I8,
        replace(SMALL_I8, hidden_size=32, num_attention_heads=1, hash=HashParams(dimension=32)),
        replace(SMALL_I8, num_attention_heads=4, intermediate_size=32, type_vocab_size=1),
        replace(SMALL_I8, hash=HashParams("murmur3", 64, 5, 257, 7, 1, True)),
        replace(SMALL_I8, layer_norm_eps=1e-3, task="regression", labels=("x",)),
        replace(SMALL_I8, labels=tuple(map(str, range(37)))),
        replace(SMALL_I8, hidden_size=128, intermediate_size=256, hash=HashParams(dimension=128)),
        *(with_heads(SMALL_I8, name) for name in HEADS),
        replace(with_heads(SMALL_I8, "tagging"), num_hidden_layers=1),
        # More tags than are taken at a time.
        replace(SMALL_I8, tags=("O", *(f"B-{i}" for i in range(299)))),
        replace(SMALL_I8, task="regression", labels=("x",), tags=TAGS),
    ],
)
@pytest.mark.parametrize("dtype", ["i8", "i4"])
def test_the_c_library_gives_the_bytes_of_the_reference(
    config: edgebert.ModelConfig, dtype: str, tmp_path: Path
) -> None:
    spec = quantise(random_spec(config), TEXTS, dtype)
    model = load(spec, tmp_path)
    for text in TEXTS:
        check_by_reference(spec, model, text)


@pytest.mark.parametrize("name", HEADS)
def test_every_instruction_set_tags_and_embeds_alike(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = quantise(random_spec(with_heads(SMALL_I8, name)), TEXTS)
    load(spec, tmp_path)
    for isa in ("scalar", NativeModel(tmp_path / "model.ebm").isa):
        monkeypatch.setenv("EDGEBERT_ISA", isa)
        for text in TEXTS:
            check_by_reference(spec, edgebert.load(tmp_path / "model.ebm"), text)


def test_the_mean_of_nothing_is_nothing_and_of_much_has_length_1() -> None:
    np.testing.assert_array_equal(int8_reference.mean(np.zeros((3, 4), np.int64)), np.zeros(4))
    longest = np.broadcast_to(np.int64(127), (65536, 4096))
    np.testing.assert_array_equal(int8_reference.mean(longest), np.full(4096, 1024))  # 2^10


def test_int8_vectors_have_length_1_and_are_close_to_float32(tmp_path: Path) -> None:
    spec = random_spec(with_heads(SMALL_I8, "embedding"))
    exact = load(spec, tmp_path).encode(TEXTS)
    found = load(quantise(spec, TEXTS), tmp_path).encode(TEXTS)
    for vectors in (exact, found):
        np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=2e-5)
    assert (exact * found).sum(axis=1).min() > 0.99


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> tuple[ModelSpec, edgebert.Model]:
    spec = quantise(random_spec(SMALL_I8), TEXTS)
    return spec, load(spec, tmp_path_factory.mktemp("int8"))


@settings(max_examples=200)
@given(text=st.text(max_size=80))
def test_any_text_gives_the_bytes_of_the_reference(
    small: tuple[ModelSpec, edgebert.Model], text: str
) -> None:
    spec, model = small
    np.testing.assert_array_equal(model.logits(text)[0], reference(spec, text))


def test_the_hash_in_integers_is_the_hash() -> None:
    for params in (HashParams(), HashParams("murmur3", 64, 5, 257, 7, 1, True)):
        for token in (b"", b"a", b"film", b"##ing", bytes(range(200))):
            integers = int8_reference.hash_embed_i16(token, params)
            exact = edgebert.hash.HashEmbedding(params)([token])[0]
            np.testing.assert_allclose(integers / 2**13, exact, atol=0.51 / 2**13)


def test_int8_is_close_to_float32(uno: ModelSpec, tmp_path: Path) -> None:
    dataset = read_tsv(SAMPLE)
    int8 = quantise(uno, Texts.read(None).calibration)
    path = tmp_path / "f32.ebm"
    write_model(uno, path)
    exact, integers = edgebert.load(path).logits(dataset.texts), load(int8, tmp_path)
    differences = np.abs(integers.logits(dataset.texts) - exact)
    assert differences.mean() < 0.03
    assert path.stat().st_size > 3 * (tmp_path / "model.ebm").stat().st_size
    assert (tmp_path / "model.ebm").stat().st_size - len(uno.tokenizer) <= 320_000
    errors = layer_errors(uno, int8, dataset.texts[:3])
    assert next(iter(errors)) == "embeddings_norm" and len(errors) == 5
    assert all(0 < error < 0.05 for error in errors.values())


def test_int8_keeps_the_accuracy_on_sst2_dev(
    uno: ModelSpec, shared_data: Path, tmp_path: Path
) -> None:
    int8 = quantise(uno, Texts.read(shared_data / "sst2" / "train.tsv").calibration)
    model, dev = load(int8, tmp_path), read_tsv(shared_data / "sst2" / "dev.tsv")
    results = model.infer(dev.texts)
    right = [r.label == label for r, label in zip(results, dev.labels, strict=True)]
    assert np.mean(right) >= 0.8314 - 0.003
    for i in range(len(dev)):
        np.testing.assert_array_equal(results[i].logits, reference(int8, dev.texts[i]))


def test_four_bits_are_close_to_float32_and_half_as_large(uno: ModelSpec, tmp_path: Path) -> None:
    texts = read_tsv(SAMPLE).texts
    write_model(uno, tmp_path / "f32.ebm")
    exact = edgebert.load(tmp_path / "f32.ebm").logits(texts)
    four = quantise(uno, Texts.read(None).calibration, "i4")
    assert np.abs(load(four, tmp_path).logits(texts) - exact).mean() < 0.12
    assert (tmp_path / "model.ebm").stat().st_size - len(uno.tokenizer) < 180_000


@given(st.integers(0, 2**32 - 1))
def test_four_bits_hold_what_they_say(seed: int) -> None:
    weights = np.random.default_rng(seed).normal(0, 30, (3, 64)).clip(-119, 119)
    rounded = to_four_bits(weights)
    scales = np.repeat(four_bit_scales(rounded), 32, axis=1)
    assert (abs(rounded) <= 7 * scales).all() and (rounded % scales == 0).all()
    errors = ((rounded - weights) ** 2).reshape(3, 2, 32).sum(axis=-1)
    assert (errors <= 32 * 8.5**2).all()  # as the largest scale would have it
    np.testing.assert_array_equal(to_four_bits(rounded), rounded)


def test_a_broken_model_is_said_to_have_lost(uno: ModelSpec, tmp_path: Path) -> None:
    dataset = read_tsv(SAMPLE)
    texts = Texts("sample", dataset.texts, dataset.labels)
    exact, file = float_outputs(uno, texts), tmp_path / "model.ebm"
    int8 = quantise(uno, texts.calibration)
    write_model(int8, file)
    loss = measure_loss(exact, file, texts, uno)
    assert loss and loss.points <= 1
    weights = [
        replace(w, values=w.values * 0) if (w.role, w.layer) == ("output_weight", 1) else w
        for w in int8.weights
    ]
    broken = replace(int8, weights=tuple(weights))
    write_model(broken, file)
    loss = measure_loss(exact, file, texts, uno)
    assert loss and loss.points > 1
    assert worst_layer(uno, broken, texts.texts)[0] == "output_norm of layer 1"


@pytest.mark.parametrize("heads", HEADS)
def test_loss_is_of_all_that_a_model_gives(heads: str, tmp_path: Path) -> None:
    spec, file = random_spec(with_heads(SMALL_I8, heads)), tmp_path / "model.ebm"
    texts = Texts("texts", TEXTS, None)
    exact = float_outputs(spec, texts)
    write_model(spec, file)
    none = measure_loss(exact, file, texts, spec)
    assert none and abs(none.points) < 1e-5 and not none.notable
    write_model(random_spec(spec.config, seed=1), file)  # another model
    loss = measure_loss(exact, file, texts, spec)
    assert loss and loss.points > 10
    measured = {name for name in ("same", "same_tags", "cosine") if getattr(loss, name) is not None}
    assert (
        measured
        == {
            "labels and tags": {"same", "same_tags"},
            "tagging": {"same_tags"},
            "embedding": {"cosine"},
        }[heads]
    )
    assert ("have f32's label" in str(loss)) == bool(spec.config.labels)


def test_shapes_without_integer_kernels_are_refused() -> None:
    for dtype in ("i8", "i4"):
        with pytest.raises(edgebert.ModelError, match="multiples of 16"):
            quantise(random_spec(SMALL), TEXTS, dtype)


def test_weights_beyond_integers_are_refused() -> None:
    spec = random_spec(SMALL_I8)
    huge = [
        replace(w, values=w.values * 1e9) if w.role == "embeddings_norm_bias" else w
        for w in spec.weights
    ]
    with pytest.raises(edgebert.ModelError, match="export f32"):
        quantise(replace(spec, weights=tuple(huge)), TEXTS)


@pytest.mark.parametrize(
    ("prefix", "factor"),
    [("position", 1e-5), ("attention_output_", 0), ("intermediate_", 0), ("qkv_", 1e-6)],
)
def test_parts_that_learned_nothing_are_no_obstacle(prefix: str, factor: float) -> None:
    spec = scaled(random_spec(SMALL_I8), prefix, factor)
    assert worst_layer(spec, quantise(spec, TEXTS), TEXTS)[1] < 0.1


def test_a_bias_without_weights_is_kept(tmp_path: Path) -> None:
    spec = scaled(random_spec(SMALL_I8), "pooler_weight", 0)
    spec = scaled(spec, "attention_output_weight", 0)
    int8 = quantise(spec, TEXTS)
    write_model(spec, tmp_path / "f32.ebm")
    exact = edgebert.load(tmp_path / "f32.ebm").logits(TEXTS)
    np.testing.assert_allclose(load(int8, tmp_path).logits(TEXTS), exact, atol=0.02)


def test_logits_beyond_32_bits_are_refused() -> None:
    with pytest.raises(edgebert.ModelError, match="classifier may give numbers beyond 32 bits"):
        quantise(scaled(random_spec(SMALL_I8), "classifier_weight", 1e5), TEXTS)


def test_a_text_may_be_shorter_than_its_arena_has_room_for(tmp_path: Path) -> None:
    config = replace(
        SMALL_I8,
        hidden_size=16,
        num_attention_heads=1,
        intermediate_size=16,
        max_position_embeddings=1100,
        hash=HashParams(dimension=16),
    )
    write_model(quantise(random_spec(config), TEXTS), tmp_path / "model.ebm")
    model = NativeModel(tmp_path / "model.ebm")
    sizes = [model.arena_size(n) for n in range(1, 1101)]
    assert sizes == sorted(sizes)


def test_hostile_integers_behind_a_right_checksum_are_refused_or_harmless(tmp_path: Path) -> None:
    data = ebm_bytes(quantise(random_spec(SMALL_I8), TEXTS))
    rng, path, refused = random.Random(5), tmp_path / "hostile.ebm", 0
    for _ in range(600):
        hostile = bytearray(data)
        for _ in range(rng.choice([1, 8, 400])):
            at = rng.randrange(ffi.sizeof("eb_file_header"), len(data) - 3) & ~3
            value = rng.choice([0, 1, 2**31 - 1, 2**31, 2**32 - 1, rng.randrange(2**32)])
            hostile[at : at + 4] = value.to_bytes(4, "little")
        checksum = lib.eb_file_checksum(ffi.from_buffer(hostile), len(hostile))
        hostile[12:16] = checksum.to_bytes(4, "little")
        path.write_bytes(hostile)
        try:
            edgebert.load(path).logits("some harmless text of a few words")
        except edgebert.ModelError:
            refused += 1
    assert 0 < refused < 600


def test_export_writes_both_types_and_says_what_was_lost(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["export", str(CHECKPOINT), "-o", str(tmp_path), "--dtype", "f32,f16,i8,i4", "--json"]
    assert main([*command, "--calibrate", str(SAMPLE)]) == 0
    documents = {Path(d["path"]).name: d for d in json.loads(capsys.readouterr().out)}
    types = {"f32": "uno-sst2", "f16": "uno-sst2-f16", "i8": "uno-sst2-i8", "i4": "uno-sst2-i4"}
    formats = {"f32": ("onnx", "tflite", "ebm"), "f16": ("tflite",), "i4": ("ebm",)}
    formats["i8"] = formats["f32"]
    names = {f"{types[dtype]}.{suffix}": dtype for dtype in types for suffix in formats[dtype]}
    assert {name: document["dtype"] for name, document in documents.items()} == names
    for name, dtype in names.items():
        lossy = dtype in ("i8", "i4")
        assert ("have f32's label; accuracy 0." in documents[name]["note"]) == lossy
    weights = {name: document["weights"] for name, document in documents.items()}
    assert weights["uno-sst2-i8.ebm"] < 0.3 * weights["uno-sst2.ebm"]
    assert weights["uno-sst2-i4.ebm"] < 0.6 * weights["uno-sst2-i8.ebm"]
    assert weights["uno-sst2-f16.tflite"] < 0.6 * weights["uno-sst2.tflite"]


def test_a_format_without_int8_is_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", str(CHECKPOINT), "--to", "onnx", "--dtype", "i4"]) == 2
    assert "--to ebm can" in capsys.readouterr().err


def test_every_instruction_set_gives_the_same_bytes(
    uno: ModelSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = read_tsv(SAMPLE).texts[:50]
    best = load(quantise(uno, Texts.read(None).calibration), tmp_path)
    monkeypatch.setenv("EDGEBERT_ISA", "scalar")
    scalar = edgebert.load(tmp_path / "model.ebm")
    assert NativeModel(tmp_path / "model.ebm").isa == "scalar"
    np.testing.assert_array_equal(scalar.logits(texts), best.logits(texts))
    np.testing.assert_array_equal(scalar.encode(texts), best.encode(texts))
    monkeypatch.setenv("EDGEBERT_ISA", "z80")
    with pytest.raises(edgebert.EdgebertError, match="EDGEBERT_ISA=z80"):
        edgebert.load(tmp_path / "model.ebm")


@pytest.mark.parametrize(
    ("num_texts", "same", "notable"),
    [(64, 62 / 64, False), (64, 60 / 64, True), (4096, 0.991, False), (4096, 0.989, True)],
)
def test_a_loss_is_warned_of_where_it_is_no_chance(
    num_texts: int, same: float, notable: bool
) -> None:
    assert Loss(num_texts, same, None).notable == notable

"""The hash in TensorFlow Lite's builtin operators: the bits of every other implementation."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings

import edgebert
from edgebert.config import HashParams
from edgebert.errors import ModelError
from edgebert.export import write_model
from edgebert.export.activations import observe
from edgebert.export.checkpoint import read_checkpoint
from edgebert.export.recipe import Recipe
from edgebert.export.spec import ModelSpec
from edgebert.hash_reference import hash_embed
from edgebert.sequence import Text
from edgebert.tflite import RUNTIMES
from edgebert.tsv import read_tsv
from tests.conftest import REPO
from tests.golden_hash import golden_vectors
from tests.hash_cases import padded, poly_params, token_lists
from tests.models import SMALL, random_spec

tflite = pytest.importorskip("tflite", reason="needs edgebert[export]")

from edgebert.export.tflite import tflite_file  # noqa: E402
from edgebert.export.tflite_file import tflite_bytes  # noqa: E402
from edgebert.export.tflite_graph import Graph  # noqa: E402

Embed = Callable[[np.ndarray, np.ndarray], np.ndarray]

PORTABLE = Recipe(variant="portable")
UNO = REPO / "models" / "uno-sst2.pt"
TEXTS: list[Text] = ["", "one", ("a pair", "of two texts"), "ünï 日本 " + "x" * 100, "é" * 100]

every_kernel = pytest.mark.parametrize("delegate", [True, False], ids=["xnnpack", "builtin"])


def spec_of(params: HashParams) -> ModelSpec:
    config = replace(SMALL, hidden_size=params.dimension, num_attention_heads=1, hash=params)
    return ModelSpec(config, b"", ())


def portable_hash(params: HashParams, tokens: int, delegate: bool = True) -> Embed:
    """From token bytes and lengths to the bits of hash vectors."""
    graph = Graph(spec_of(params), tokens, "portable")
    graph.graph.outputs = {"vectors": graph.hash()}
    run = runner(tflite_bytes([graph.graph], "the hash alone", {"name": b"value"}), delegate)

    def embed(token_bytes: np.ndarray, lengths: np.ndarray) -> np.ndarray:
        vectors: np.ndarray = run(token_bytes=token_bytes, token_lengths=lengths)["vectors"]
        return vectors.view(np.uint32)

    return embed


def runner(file: bytes, delegate: bool) -> Any:
    """The only signature of a file, in the runtime that is installed."""
    for package in RUNTIMES:
        try:
            module = importlib.import_module(f"{package}.interpreter")
        except ImportError:
            continue
        types = module.OpResolverType
        kind = types.AUTO if delegate else types.BUILTIN_WITHOUT_DEFAULT_DELEGATES
        interpreter = module.Interpreter(model_content=file, experimental_op_resolver_type=kind)
        return interpreter.get_signature_runner()
    pytest.skip("needs edgebert[tflite]")


def bits(tokens: Sequence[bytes], params: HashParams) -> np.ndarray:
    return hash_embed(tokens, params).view(np.uint32)


@every_kernel
def test_golden_vectors(delegate: bool) -> None:
    vectors = 0
    for params, tokens, expected in golden_vectors():
        if params.family == "poly":
            embed = portable_hash(params, len(tokens), delegate)
            np.testing.assert_array_equal(embed(*padded(tokens))[0], expected, str(params))
            vectors += len(tokens)
    assert vectors > 200


@settings(max_examples=60)
@given(poly_params, token_lists)
def test_any_params_and_tokens_give_the_bits_of_the_reference(
    params: HashParams, tokens: list[bytes]
) -> None:
    found = portable_hash(params, len(tokens))(*padded(tokens, 1))[0]
    np.testing.assert_array_equal(found, bits(tokens, params))


@pytest.mark.parametrize("modulus", [1_000_000_007, 2**31 - 1])
def test_means_of_many_ngrams_are_rounded_as_doubles_are(modulus: int) -> None:
    params = HashParams(dimension=256, modulus=modulus)
    rng = np.random.default_rng(0)
    tokens = [rng.bytes(n) for n in range(1, 129)]
    found = portable_hash(params, len(tokens))(*padded(tokens))[0]
    np.testing.assert_array_equal(found, bits(tokens, params))


def test_the_longest_tokens() -> None:
    params = HashParams(dimension=12, modulus=2**31 - 1)
    tokens = [b"\xff" * 2048, bytes(range(256)) * 8]
    found = portable_hash(params, 2)(*padded(tokens))[0]
    np.testing.assert_array_equal(found, bits(tokens, params))


@pytest.mark.parametrize("marks", [False, True])
def test_tokens_shorter_than_every_ngram(marks: bool) -> None:
    params = HashParams(max_ngram=9, boundary_marks=marks)
    for tokens in ([b"a"], [b"", b"ab"], [b"\0", b"\xff\0"]):
        found = portable_hash(params, len(tokens))(*padded(tokens))[0]
        np.testing.assert_array_equal(found, bits(tokens, params))


@every_kernel
def test_callers_may_change_the_number_of_bytes_at_each_run(delegate: bool) -> None:
    params, tokens = HashParams(dimension=30), [b"film", b"", b"##ing"]
    embed = portable_hash(params, 3, delegate)
    for more in (0, 20, 3, 20):
        found = embed(*padded(tokens, more))[0]
        np.testing.assert_array_equal(found, bits(tokens, params), str(more))


def test_murmur3_is_refused_with_a_way_out() -> None:
    spec = random_spec(replace(SMALL, hash=HashParams("murmur3", dimension=24)))
    with pytest.raises(ModelError, match=r"poly, not murmur3.*--custom-op"):
        tflite_file(spec, PORTABLE)


@pytest.mark.parametrize("dtype", ["f32", "f16", "i8"])
def test_no_operator_is_custom(dtype: str) -> None:
    spec = random_spec()
    file = tflite_file(
        replace(spec, activations=observe(spec, TEXTS)), replace(PORTABLE, dtype=dtype)
    )
    model = tflite.Model.GetRootAsModel(file, 0)
    codes = [model.OperatorCodes(i) for i in range(model.OperatorCodesLength())]
    assert tflite.BuiltinOperator.CUMSUM in {code.BuiltinCode() for code in codes}
    assert tflite.BuiltinOperator.CUSTOM not in {code.BuiltinCode() for code in codes}


@pytest.mark.parametrize("dtype", ["f32", "f16", "i8"])
@pytest.mark.parametrize(
    ("tokenizer", "params"),
    [
        ("wordpiece", HashParams(dimension=24)),
        ("word", HashParams("poly", 24, 6, 257, 7, 1, True)),
    ],
)
def test_models_answer_as_those_that_start_at_vectors(
    dtype: str, tokenizer: str, params: HashParams, tmp_path: Path
) -> None:
    spec = random_spec(replace(SMALL, hash=params, max_position_embeddings=60), tokenizer=tokenizer)
    spec = replace(spec, activations=observe(spec, TEXTS))
    models = []
    for variant in ("", "portable"):
        path = tmp_path / f"m{variant}.tflite"
        write_model(spec, path, Recipe(dtype, variant))
        models.append(edgebert.load(path))
    expected, found = (model.logits(TEXTS) for model in models)
    np.testing.assert_allclose(found, expected, atol=1e-6)
    expected, found = (model.encode(TEXTS) for model in models)
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_uno_agrees_with_the_native_runtime_on_sst2(tmp_path: Path, shared_data: Path) -> None:
    spec = ModelSpec.from_checkpoint(read_checkpoint(UNO))
    dataset = read_tsv(shared_data / "sst2" / "dev.tsv")
    write_model(spec, tmp_path / "m.tflite", PORTABLE)
    write_model(spec, tmp_path / "m.ebm")
    found, expected = (
        edgebert.load(tmp_path / f"m.{suffix}").logits(dataset.texts)
        for suffix in ("tflite", "ebm")
    )
    np.testing.assert_allclose(found, expected, atol=1e-5)

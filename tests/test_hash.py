"""The hash embedding: every implementation gives the golden vectors' bits, and each other's."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import mmh3
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgebert.config import HASH_FAMILIES, HashParams
from edgebert.errors import ModelError
from edgebert.hash import HashEmbedding
from edgebert.hash_reference import columns, hash_embed, multipliers, murmur3_32
from tests.golden_hash import golden_vectors
from tests.hash_cases import hash_params

Embed = Callable[[Sequence[bytes], HashParams], np.ndarray]


def embed_c(tokens: Sequence[bytes], params: HashParams) -> np.ndarray:
    return HashEmbedding(params)(tokens)


def embed_torch(tokens: Sequence[bytes], params: HashParams) -> np.ndarray:
    from edgebert.train.hash_layer import HashEmbedding as TorchHashEmbedding

    return TorchHashEmbedding(params).table(tokens).numpy()


@pytest.fixture(params=["numpy", "c", "torch"])
def embed(request: pytest.FixtureRequest) -> Embed:
    if request.param == "torch":
        pytest.importorskip("torch", reason="needs edgebert[train]")
    return {"numpy": hash_embed, "c": embed_c, "torch": embed_torch}[request.param]


def test_golden_vectors(embed: Embed) -> None:
    vectors = 0
    for params, tokens, bits in golden_vectors():
        np.testing.assert_array_equal(embed(tokens, params).view(np.uint32), bits, str(params))
        vectors += len(tokens)
    assert vectors > 400


def test_the_worked_example_of_the_design(embed: Embed) -> None:
    params = HashParams(dimension=3, max_ngram=2, modulus=257)
    assert multipliers(params).tolist() == [144, 228, 151]
    expected = np.array([[2 * 67 / (2 * 257), -190 / 257, 174 / 257]]).astype(np.float32)
    np.testing.assert_array_equal(embed([b"ab"], params), expected)


@given(st.binary(max_size=40), st.integers(0, 2**32 - 1))
def test_murmur3_is_mmh3(data: bytes, seed: int) -> None:
    assert murmur3_32(data, seed) == mmh3.hash(data, seed, signed=False)


@given(st.integers(0, 2**32 - 1), st.sampled_from([3, 257, 1_000_000_007, 2**31 - 1]))
def test_multipliers_come_from_mmh3(seed: int, modulus: int) -> None:
    expected = [
        1 + mmh3.hash(j.to_bytes(4, "little"), seed, signed=False) % (modulus - 1)
        for j in range(300)
    ]
    got = multipliers(HashParams(dimension=300, modulus=modulus, seed=seed))
    assert got.tolist() == expected


def test_murmur3_family_is_mmh3_of_each_gram_and_column(embed: Embed) -> None:
    params = HashParams("murmur3", dimension=12, max_ngram=5)
    token = b"embedding"
    (vector,) = embed([token], params)
    for i, part in enumerate(columns(params), 1):
        grams = [token[g : g + i] for g in range(len(token) - i + 1)]
        for column, h in zip(vector[part], multipliers(params)[part].tolist(), strict=True):
            residues = [mmh3.hash(gram, h, signed=False) % params.modulus for gram in grams]
            total = sum(r - params.modulus * (r > params.modulus // 2) for r in residues)
            assert column == np.float32(2 * total / (len(grams) * params.modulus))


all_params = hash_params(*HASH_FAMILIES)
any_token = st.one_of(
    st.binary(max_size=200), st.text(max_size=200).map(lambda t: t.encode(errors="ignore")[:200])
)


def assert_all_agree(tokens: Sequence[bytes], params: HashParams) -> None:
    expected = hash_embed(tokens, params)
    assert np.abs(expected).max(initial=0.0) <= 1.0
    bits = expected.view(np.uint32)
    np.testing.assert_array_equal(embed_c(tokens, params).view(np.uint32), bits)
    try:
        got = embed_torch(tokens, params)
    except ModuleNotFoundError:  # torch is optional; test_golden_vectors says that it is missing
        return
    np.testing.assert_array_equal(got.view(np.uint32), bits)


@given(st.lists(any_token, max_size=4), all_params)
def test_any_token_and_params_give_the_same_bits(tokens: list[bytes], params: HashParams) -> None:
    assert_all_agree(tokens, params)


@pytest.mark.parametrize("family", HASH_FAMILIES)
def test_default_params_give_the_same_bits_on_random_utf8(family: str) -> None:
    random = np.random.default_rng(0)
    planes = [(0x20, 0x7F), (0xA0, 0x800), (0x800, 0xD800), (0x10000, 0x11000)]
    tokens = []
    for size in range(1, 201, 3 if family == "poly" else 20):
        text = "".join(chr(random.integers(*planes[random.integers(4)])) for _ in range(size))
        tokens.append(text.encode()[:size])
    assert_all_agree(tokens, HashParams(family))


def test_very_long_tokens_give_the_same_bits() -> None:
    tokens = [bytes(range(256)) * 300, b"\xff" * 70_001]
    assert_all_agree(tokens, HashParams(dimension=20, modulus=2**31 - 1, boundary_marks=True))


@pytest.mark.parametrize("marks", [False, True])
def test_tokens_without_ngrams_are_zero(embed: Embed, marks: bool) -> None:
    params = HashParams(max_ngram=5, dimension=64, boundary_marks=marks)
    (vector,) = embed([b"a"], params)
    used = columns(params)[: 3 if marks else 1][-1].stop
    assert vector[:used].all() and not vector[used:].any()


def test_marks_are_ordinary_bytes(embed: Embed) -> None:
    marked = embed([b"word", b""], HashParams(boundary_marks=True))
    np.testing.assert_array_equal(marked, embed([b"<word>", b"<>"], HashParams()))


@pytest.mark.parametrize(
    "change",
    [
        {"family": "murmur3"},
        {"max_ngram": 4},
        {"modulus": 998_244_353},
        {"base": 33},
        {"seed": 43},
        {"boundary_marks": True},
    ],
    ids=str,
)
def test_each_parameter_changes_the_vector(embed: Embed, change: dict[str, int]) -> None:
    default, changed = HashParams(), replace(HashParams(), **change)  # type: ignore[arg-type]
    assert (embed([b"gripping"], default) != embed([b"gripping"], changed)).any()


@pytest.mark.parametrize(
    "change",
    [
        {"dimension": 0},
        {"dimension": 4097},
        {"max_ngram": 0},
        {"max_ngram": 17},
        {"modulus": 1},
        {"modulus": 1_000_000_006},
        {"modulus": 2**31 + 1},
        {"base": 0},
        {"base": 1_000_000_007},
    ],
    ids=str,
)
def test_impossible_parameters_are_refused(change: dict[str, int]) -> None:
    with pytest.raises(ModelError, match="hash parameters"):
        HashEmbedding(replace(HashParams(), **change))  # type: ignore[arg-type]


def test_strings_are_hashed_as_utf8() -> None:
    embed = HashEmbedding(HashParams())
    np.testing.assert_array_equal(embed(["naïve"]), embed(["naïve".encode()]))


@pytest.mark.parametrize(
    ("data", "ends", "message"),
    [
        (np.uint8, np.array([1, 2, 3]), "must be uint8 and ends uint32"),  # what np.cumsum gives
        (np.int16, np.array([1, 2, 3], np.uint32), "must be uint8 and ends uint32"),
        (np.uint8, np.array([2, 1], np.uint32), "must ascend"),
        (np.uint8, np.array([2, 4], np.uint32), "not go beyond"),
    ],
)
def test_tokens_beyond_the_data_are_refused(data: type, ends: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        HashEmbedding(HashParams()).embed(np.zeros(3, data), ends)


def test_no_tokens_no_vectors(embed: Embed) -> None:
    assert embed([], HashParams()).shape == (0, 128)


class TestTorchLayer:
    """What the module promises beyond its table."""

    @pytest.fixture(autouse=True)
    def _torch(self) -> None:
        pytest.importorskip("torch", reason="needs edgebert[train]")

    @pytest.mark.parametrize("family", HASH_FAMILIES)
    @pytest.mark.parametrize("marks", [False, True])
    def test_padding_is_ignored_in_any_shape(self, family: str, marks: bool) -> None:
        import torch

        from edgebert.train.hash_layer import HashEmbedding as TorchHashEmbedding

        params = HashParams(family, dimension=30, boundary_marks=marks)
        layer = TorchHashEmbedding(params)
        tokens = [b"", b"a", b"film", b"plot\xff", b"##ing", b"xy"]
        padded = torch.full((2, 3, 9), 0xEE, dtype=torch.uint8)
        for row, token in zip(padded.view(6, 9), tokens, strict=True):
            row[: len(token)] = torch.tensor(list(token))
        lengths = torch.tensor([len(token) for token in tokens]).view(2, 3)
        vectors = layer(padded, lengths)
        assert vectors.dtype == torch.float32 and vectors.shape == (2, 3, 30)
        np.testing.assert_array_equal(vectors.view(6, 30).numpy(), hash_embed(tokens, params))

    def test_nothing_is_learned_or_saved(self) -> None:
        from edgebert.train.hash_layer import HashEmbedding as TorchHashEmbedding

        layer = TorchHashEmbedding(HashParams())
        assert not layer.state_dict() and not list(layer.parameters())

    def test_impossible_lengths_are_refused(self) -> None:
        import torch

        from edgebert.train.hash_layer import HashEmbedding as TorchHashEmbedding

        layer = TorchHashEmbedding(HashParams())
        data = torch.zeros(2, 4, dtype=torch.uint8)
        for lengths in ([5, 0], [-1, 0], [1]):
            with pytest.raises(ValueError, match="length"):
                layer(data, torch.tensor(lengths))

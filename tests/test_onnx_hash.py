"""The hash in standard ONNX operators: the bits of every other implementation."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper

from edgebert.config import HashParams
from edgebert.errors import ModelError
from edgebert.export.onnx import IR_VERSION, OPSET
from edgebert.export.onnx_hash import add_portable_hash
from edgebert.export.onnx_nodes import Nodes
from edgebert.hash_reference import hash_embed
from tests.golden_hash import golden_vectors
from tests.hash_cases import padded, poly_params, token_lists
from tests.onnx_sessions import session

Embed = Callable[[np.ndarray, np.ndarray], np.ndarray]


def portable_hash(params: HashParams, optimise: bool = True) -> Embed:
    """From token bytes and lengths to the bits of hash vectors."""
    nodes = Nodes()
    add_portable_hash(nodes, params, "vectors")
    lengths = ["batch", "tokens"]
    graph = helper.make_graph(
        nodes.nodes,
        "hash",
        [
            helper.make_tensor_value_info("token_bytes", TensorProto.UINT8, [*lengths, "bytes"]),
            helper.make_tensor_value_info("token_lengths", TensorProto.INT32, lengths),
        ],
        [helper.make_tensor_value_info("vectors", TensorProto.FLOAT, [*lengths, params.dimension])],
        list(nodes.constants.values()),
    )
    opsets = [helper.make_opsetid("", OPSET)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION)
    onnx.checker.check_model(model, full_check=True)
    run = session(model.SerializeToString(), optimise).run

    def embed(token_bytes: np.ndarray, lengths: np.ndarray) -> np.ndarray:
        feeds = {"token_bytes": token_bytes, "token_lengths": lengths}
        vectors: np.ndarray = run(["vectors"], feeds)[0]
        return vectors.view(np.uint32)

    return embed


@pytest.mark.parametrize("optimise", [True, False])
def test_golden_vectors(optimise: bool) -> None:
    vectors = 0
    for params, tokens, bits in golden_vectors():
        if params.family == "poly":
            embed = portable_hash(params, optimise)
            np.testing.assert_array_equal(embed(*padded(tokens))[0], bits, str(params))
            vectors += len(tokens)
    assert vectors > 200


@settings(max_examples=60)
@given(poly_params, token_lists, st.integers(0, 3))
def test_any_params_and_tokens_give_the_bits_of_the_reference(
    params: HashParams, tokens: list[bytes], more: int
) -> None:
    expected = hash_embed(tokens, params).view(np.uint32)
    np.testing.assert_array_equal(portable_hash(params)(*padded(tokens, more))[0], expected)


@pytest.mark.parametrize("marks", [False, True])
@pytest.mark.parametrize("optimise", [True, False])
def test_tokens_shorter_than_every_ngram(marks: bool, optimise: bool) -> None:
    params = HashParams(max_ngram=9, boundary_marks=marks)
    embed = portable_hash(params, optimise)
    for tokens in ([b""], [b"a"], [b"", b"ab"], [b"\0", b"\xff\0"]):
        expected = hash_embed(tokens, params).view(np.uint32)
        np.testing.assert_array_equal(embed(*padded(tokens))[0], expected)


def test_each_text_of_a_batch_has_its_own_tokens() -> None:
    params = HashParams(dimension=30)
    rows = [[b"film", b"##ing", b""], [b"a", b"", b"plot\xff"]]
    parts = [padded([*row, b"longest!"]) for row in rows]
    token_bytes, lengths = (np.concatenate(part) for part in zip(*parts, strict=True))
    vectors = portable_hash(params)(token_bytes, lengths)
    assert vectors.shape == (2, 4, 30)
    for row, found in zip(rows, vectors, strict=True):
        np.testing.assert_array_equal(found[:3], hash_embed(row, params).view(np.uint32))


def test_murmur3_is_refused_with_a_way_out() -> None:
    with pytest.raises(ModelError, match=r"poly, not murmur3.*--custom-op"):
        add_portable_hash(Nodes(), HashParams("murmur3"), "vectors")

"""The ONNX graph: valid, small, standard, and the same numbers as Transformers' BERT."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

from edgebert.config import HashParams, ModelConfig
from edgebert.errors import ModelError
from edgebert.export.onnx import OPSET, onnx_bytes, write_onnx
from edgebert.export.spec import ModelSpec
from edgebert.metadata import (
    CONFIG,
    TOKENIZER,
    TRANSITIONS,
    check_seal,
    decode_metadata,
    encode_metadata,
)
from tests.heads import HEADS, OUTPUTS, TAGS, check_close, references, with_heads
from tests.models import SMALL, random_spec
from tests.onnx_sessions import session


def shape(hidden: int, layers: int, heads: int, inner: int, positions: int) -> ModelConfig:
    return ModelConfig(
        hidden,
        layers,
        heads,
        inner,
        positions,
        hash=HashParams(dimension=hidden),
        labels=("a", "b"),
    )


SHAPES = {
    "mini": shape(256, 4, 4, 1024, 512),
    "tiny": shape(128, 2, 2, 512, 512),
    "uno": shape(128, 2, 2, 256, 128),
    "nano": shape(64, 2, 2, 128, 64),
    "odd": replace(shape(21, 1, 3, 17, 40), type_vocab_size=3, labels=("x", "y", "z")),
    "regression": replace(shape(32, 3, 1, 48, 40), task="regression", labels=("similarity",)),
    "eps": replace(shape(32, 1, 4, 48, 40), layer_norm_eps=1e-3),
}


def unit_gain_spec(config: ModelConfig) -> ModelSpec:
    """A random model whose products keep the size of what they get, as trained ones do.

    Larger weights amplify float32 rounding, PyTorch's own included, from layer to layer.
    """
    spec = random_spec(config)
    weights = [
        replace(w, values=w.values / np.float32(w.values.std() * w.values.shape[1] ** 0.5))
        if w.values.ndim == 2
        else w
        for w in spec.weights
    ]
    return replace(spec, weights=tuple(weights))


def inputs(config: ModelConfig, batch: int, tokens: int, padded: bool) -> dict[str, np.ndarray]:
    """Random vectors; pairs of texts; row i has 3 * i tokens less than row 0 if padded."""
    rng = np.random.default_rng(batch * 1000 + tokens)
    embeds = rng.uniform(-1, 1, (batch, tokens, config.hidden_size)).astype(np.float32)
    lengths = np.maximum(tokens - 3 * np.arange(batch) * padded, 1)
    return {
        "inputs_embeds": embeds,
        "attention_mask": (np.arange(tokens) < lengths[:, None]).astype(np.int64),
        "token_type_ids": rng.integers(0, config.type_vocab_size, (batch, tokens)),
    }


@pytest.mark.parametrize("name", SHAPES)
def test_the_graph_gives_what_transformers_gives(name: str) -> None:
    torch = pytest.importorskip("torch", reason="compares with PyTorch")
    from tests.torch_models import bert

    spec = unit_gain_spec(SHAPES[name])
    model = bert(spec)
    sessions = [session(onnx_bytes(spec), optimise) for optimise in (True, False)]
    longest = min(spec.config.max_position_embeddings, 128)
    for batch, tokens, padded in [(1, 1, False), (1, longest, False), (4, 13, True), (2, 7, False)]:
        feeds = inputs(spec.config, batch, tokens, padded)
        tensors = {key: torch.from_numpy(values) for key, values in feeds.items()}
        with torch.no_grad():
            pooled = model.bert(**tensors).pooler_output.numpy()
            logits = model(**tensors).logits.numpy()
        for onnx_session in sessions:
            found_logits, found_pooled = onnx_session.run(["logits", "pooled"], feeds)
            np.testing.assert_allclose(found_pooled, pooled, atol=1e-5, rtol=0)
            np.testing.assert_allclose(found_logits, logits, atol=1e-5, rtol=0)


@pytest.mark.parametrize("heads", HEADS)
def test_all_heads_give_what_the_float_reference_gives(heads: str) -> None:
    """Of each text in a batch of mixed lengths, as if it were alone."""
    spec = unit_gain_spec(with_heads(SHAPES["uno"], heads))
    feeds = inputs(spec.config, 5, 17, padded=True)
    for optimise in (True, False):
        run = session(onnx_bytes(spec), optimise)
        assert [output.name for output in run.get_outputs()] == OUTPUTS[heads]
        found = dict(zip(OUTPUTS[heads], run.run(None, feeds), strict=True))
        check_close(found, references(spec, feeds), 1e-5)


@pytest.mark.parametrize("heads", HEADS)
def test_all_heads_give_what_pytorch_gives(heads: str) -> None:
    torch = pytest.importorskip("torch", reason="compares with PyTorch")
    from edgebert.train.bert import run
    from tests.torch_models import bert

    spec = unit_gain_spec(with_heads(SHAPES["uno"], heads))
    feeds = inputs(spec.config, 5, 17, padded=True)
    tensors = {key: torch.from_numpy(values) for key, values in feeds.items()}
    with torch.no_grad():
        expected = run(bert(spec), tensors)
    found = session(onnx_bytes(spec)).run(None, feeds)
    real = feeds["attention_mask"] == 1
    for name, values in zip(OUTPUTS[heads], found, strict=True):
        x, y = values, getattr(expected, name).numpy()
        if name == "tag_logits":
            x, y = x[real], y[real]
        np.testing.assert_allclose(x, y, atol=1e-5, rtol=0, err_msg=name)


def test_a_mean_of_nothing_is_nothing() -> None:
    spec = random_spec(with_heads(SMALL, "embedding"))
    spec = replace(
        spec, weights=tuple(replace(w, values=np.zeros_like(w.values)) for w in spec.weights)
    )
    pooled = session(onnx_bytes(spec)).run(["pooled"], inputs(spec.config, 2, 5, padded=True))[0]
    np.testing.assert_array_equal(pooled, np.zeros((2, 24)))


@pytest.fixture(scope="module")
def spec() -> ModelSpec:
    return random_spec(SHAPES["uno"])


def test_padding_changes_nothing(spec: ModelSpec) -> None:
    run = session(onnx_bytes(spec)).run
    feeds = inputs(spec.config, 3, 20, padded=True)
    together = run(["logits"], feeds)[0]
    for i, length in enumerate(feeds["attention_mask"].sum(axis=1)):
        alone = run(["logits"], {key: values[i : i + 1, :length] for key, values in feeds.items()})
        np.testing.assert_allclose(together[i], alone[0][0], atol=1e-5)


def test_the_file_is_a_valid_standard_graph(spec: ModelSpec, tmp_path: Path) -> None:
    write_onnx(spec, tmp_path / "uno.onnx")
    model = onnx.load(tmp_path / "uno.onnx")
    onnx.checker.check_model(model, full_check=True)
    assert [(o.domain, o.version) for o in model.opset_import] == [("", OPSET)]
    assert not {node.domain for node in model.graph.node} - {""}
    names = [node.name for node in model.graph.node]
    assert len(set(names)) == len(names) and all(names)
    assert "inputs_embeds   float [batch, tokens, 128]" in model.doc_string
    assert [i.name for i in model.graph.input] == [
        "inputs_embeds",
        "attention_mask",
        "token_type_ids",
    ]


def test_uno_is_at_most_1_25_mb_beside_its_tokenizer(spec: ModelSpec) -> None:
    assert len(onnx_bytes(replace(spec, tokenizer=b""))) <= 1_250_000
    largest = replace(spec, tokenizer=random.Random(1).randbytes(64_000))
    assert len(onnx_bytes(largest)) - len(onnx_bytes(replace(spec, tokenizer=b""))) <= 80_010


def test_onnx_runtime_fuses_gelu_and_scale(spec: ModelSpec, tmp_path: Path) -> None:
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "optimised.onnx")
    options.log_severity_level = 3  # it warns that such a file is for this machine only
    onnxruntime.InferenceSession(onnx_bytes(spec), options, providers=["CPUExecutionProvider"])
    operators = [node.op_type for node in onnx.load(tmp_path / "optimised.onnx").graph.node]
    layers = spec.config.num_hidden_layers
    assert operators.count("BiasGelu") == operators.count("FusedMatMul") == layers
    assert "Erf" not in operators


def test_export_is_deterministic(spec: ModelSpec) -> None:
    assert onnx_bytes(spec) == onnx_bytes(spec)


@pytest.mark.parametrize(
    "config",
    [
        SMALL,
        SHAPES["regression"],
        replace(SMALL, labels=("ja", "näin", "", '"日本語"\n')),
        replace(SMALL, tags=TAGS),
    ],
)
def test_config_and_tokenizer_ride_inside(config: ModelConfig) -> None:
    spec = replace(random_spec(config), tokenizer=bytes(range(256)) * 3 + b"\0")
    metadata = session(onnx_bytes(spec)).get_modelmeta().custom_metadata_map
    found = decode_metadata(metadata)
    assert (found.config, found.tokenizer) == (config, spec.tokenizer)
    assert found.tag_transitions.tobytes() == spec.tag_transitions
    assert found.tag_transitions.shape == (config.num_tags, config.num_tags + 1)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        (CONFIG, "{"),
        (CONFIG, "[" * 100_000),
        (CONFIG, "[]"),
        (CONFIG, "{}"),
        (CONFIG, "null"),
        (CONFIG, '{"labels": ["a"], "hash": {"dimension": 127}}'),
        (CONFIG, '{"labels": ["\\ud800"], "hash": {}}'),
        (CONFIG, '{"labels": 3, "hash": {}}'),
        (CONFIG, '{"labels": ["a"], "hash": {}, "layer_norm_eps": NaN}'),
        (CONFIG, '{"labels": ["a"], "hash": {}, "hidden_size": true}'),
        (TOKENIZER, "\n"),
        (TOKENIZER, "é"),
        (TRANSITIONS, "é"),
        (TRANSITIONS, "00"),  # a byte, for a model without tags
    ],
)
def test_wrong_metadata_is_one_error(key: str, value: str) -> None:
    metadata = encode_metadata(SMALL, b"tokenizer")
    with pytest.raises(ModelError) as error:
        decode_metadata({**metadata, key: value})
    assert len(str(error.value).splitlines()) == 1
    if key == TRANSITIONS:
        return
    with pytest.raises(ModelError, match=key):
        decode_metadata({name: text for name, text in metadata.items() if name != key})


def test_every_damage_breaks_the_seal() -> None:
    file, rng = onnx_bytes(random_spec()), random.Random(5)
    check_seal(file)
    for _ in range(500):
        flipped = bytearray(file)
        flipped[rng.randrange(len(file))] ^= 1 << rng.randrange(8)
        foreign = rng.randbytes(rng.randrange(2000))
        for damaged in (bytes(flipped), file[: rng.randrange(len(file))], foreign):
            with pytest.raises(ModelError, match="checksum"):
                check_seal(damaged)

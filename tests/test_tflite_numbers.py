"""The TFLite graph: PyTorch's numbers, and finite ones whatever the weights are."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from edgebert.engines.batches import padded_inputs
from edgebert.errors import ModelError
from edgebert.export.activations import observe
from edgebert.export.quantise import channel_scales
from edgebert.export.recipe import Recipe
from edgebert.export.roles import all_roles
from edgebert.export.spec import ModelSpec
from edgebert.export.tflite import lengths, tflite_file
from edgebert.export.tflite_i8 import Int8Graph, between
from edgebert.hash import HashEmbedding
from edgebert.sequence import Text, from_texts
from edgebert.tokenizer import Tokenizer
from tests.heads import HEADS, OUTPUTS, check_alike, check_close, references, with_heads
from tests.models import SMALL, SMALL_I8, random_spec
from tests.test_onnx_writer import SHAPES, inputs, unit_gain_spec

pytest.importorskip("tflite", reason="needs edgebert[export]")

from tests.tflite_graphs import (
    RECIPES,
    calibrated,
    changed,
    every_recipe,
    parse,
    subgraphs,
    tensors,
)


@pytest.fixture(scope="module")
def spec() -> ModelSpec:
    """Of the UNO model's shape."""
    return calibrated(random_spec(SHAPES["uno"]))


class Runner:
    """A file in LiteRT, with XNNPACK's kernels or with TensorFlow Lite's own."""

    def __init__(self, file: bytes, delegate: bool = True) -> None:
        module = pytest.importorskip("ai_edge_litert.interpreter", reason="needs edgebert[tflite]")
        types = module.OpResolverType
        kind = types.AUTO if delegate else types.BUILTIN_WITHOUT_DEFAULT_DELEGATES
        self.interpreter = module.Interpreter(
            model_content=file, experimental_op_resolver_type=kind
        )

    def __call__(self, tokens: int, feeds: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """Logits and pooled vectors of a batch."""
        found = self.outputs(tokens, feeds)
        return np.array(found["logits"]), np.array(found["pooled"])

    def outputs(self, tokens: int, feeds: dict[str, np.ndarray]) -> dict[str, list[np.ndarray]]:
        """All outputs of a batch, row by row, each padded to ``tokens``."""
        run = self.interpreter.get_signature_runner(f"tokens_{tokens}")
        inner, outer = run.get_input_details(), run.get_output_details()
        rows = []
        for i in range(len(feeds["attention_mask"])):
            row = {name: values[i : i + 1] for name, values in feeds.items()}
            found = run(**{k: stored(pad(v, tokens), inner[k]) for k, v in row.items()})
            rows.append({name: real(values, outer[name])[0] for name, values in found.items()})
        return {name: [row[name] for row in rows] for name in outer}


def pad(values: np.ndarray, tokens: int) -> np.ndarray:
    widths = [(0, 0), (0, tokens - values.shape[1]), (0, 0)]
    return np.pad(values, widths[: values.ndim])


def stored(values: np.ndarray, detail: dict[str, Any]) -> np.ndarray:
    if detail["dtype"] == np.int8 and values.dtype == np.float32:
        scale, zero_point = detail["quantization"]
        values = np.clip(np.rint(values / scale + zero_point), -128, 127)
    return values.astype(detail["dtype"])


def real(values: np.ndarray, detail: dict[str, Any]) -> np.ndarray:
    scale, zero_point = detail["quantization"]
    return (values - np.float32(zero_point)) * np.float32(scale) if scale else values


def recipe_for(kind: str, *tokens: int) -> Recipe:
    """With these lengths; of --micro, which has one, the longest."""
    recipe = RECIPES[kind]
    return replace(recipe, tokens=tokens[-1:] if recipe.variant else tokens)


@pytest.mark.parametrize("name", SHAPES)
def test_the_graph_gives_what_transformers_gives(name: str) -> None:
    torch = pytest.importorskip("torch", reason="compares with PyTorch")
    from tests.torch_models import bert

    spec = unit_gain_spec(SHAPES[name])
    model, longest = bert(spec), min(spec.config.max_position_embeddings, 128)
    tolerances = {"f32": 1e-5, "micro": 1e-5, "f16": 1e-2}
    recipes = {kind: recipe_for(kind, 7, longest) for kind in tolerances}
    runners = [
        (kind, Runner(tflite_file(spec, recipe), delegate))
        for kind, recipe in recipes.items()
        for delegate in (True, False)
        if not (delegate and recipe.variant)  # which microcontrollers do not have
    ]
    for batch, tokens, padded in [(1, 1, False), (1, longest, False), (4, 13, True), (2, 7, False)]:
        feeds = inputs(spec.config, batch, tokens, padded)  # pairs of texts
        with torch.no_grad():
            found = model.bert(**{key: torch.from_numpy(values) for key, values in feeds.items()})
            expected = model.classifier(found.pooler_output).numpy()
        for kind, run in runners:
            for length in (n for n in recipes[kind].tokens if n >= tokens):
                logits, pooled = run(length, feeds)
                tolerance = tolerances[kind]
                np.testing.assert_allclose(pooled, found.pooler_output, atol=tolerance, rtol=0)
                np.testing.assert_allclose(logits, expected, atol=tolerance, rtol=0)


@pytest.mark.parametrize("delegate", [True, False], ids=["xnnpack", "builtin"])
@pytest.mark.parametrize("heads", HEADS)
def test_all_heads_give_what_the_float_reference_gives(heads: str, delegate: bool) -> None:
    """Of each text in a batch of mixed lengths, as if it were alone."""
    spec = unit_gain_spec(with_heads(SHAPES["uno"], heads))
    feeds = inputs(spec.config, 5, 17, padded=True)
    expected = references(spec, feeds)
    for kind, tolerance in {"f32": 1e-5, "micro": 1e-5, "f16": 1e-2}.items():
        for tokens in (17, 40):
            file = tflite_file(spec, recipe_for(kind, tokens))
            graph = subgraphs(parse(file))[0]
            names = [graph.Tensors(i).Name().decode() for i in graph.OutputsAsNumpy()]
            assert names == OUTPUTS[heads]
            check_close(Runner(file, delegate).outputs(tokens, feeds), expected, tolerance)


def random_texts(count: int, most_words: int) -> list[Text]:
    rng = np.random.default_rng(0)
    words = ["".join(map(chr, rng.integers(97, 123, 5))) for _ in range(400)]
    return [" ".join(rng.choice(words, rng.integers(1, most_words))) for _ in range(count)]


@pytest.mark.parametrize("heads", HEADS)
def test_all_heads_in_int8_are_near_float(heads: str) -> None:
    """With little padding as with much."""
    spec, texts = unit_gain_spec(with_heads(SHAPES["tiny"], heads)), random_texts(24, 30)
    spec = replace(spec, activations=observe(spec, texts[8:]))
    sequences = from_texts(Tokenizer(spec.tokenizer), texts[:8], 40)
    feeds = padded_inputs(sequences, HashEmbedding(spec.config.hash))
    expected = references(spec, feeds)
    for kind in ("i8", "i8-micro"):
        for tokens in (40, 511):
            file = tflite_file(spec, recipe_for(kind, tokens))
            for delegate in (True, False):
                found = Runner(file, delegate).outputs(tokens, feeds)
                check_alike(found, expected, error=0.15, same_tags=0.9)


@pytest.mark.parametrize("kind", ["i8", "i8-micro"])
def test_a_mean_in_int8_is_of_as_many_tokens_as_it_takes(kind: str) -> None:
    spec = calibrated(unit_gain_spec(with_heads(SHAPES["tiny"], "embedding")))
    feeds = inputs(spec.config, 3, 511, padded=True)
    expected = references(spec, feeds)
    file = tflite_file(spec, recipe_for(kind, 511))
    check_alike(Runner(file).outputs(511, feeds), expected, error=0.4, same_tags=1)


@pytest.mark.parametrize("delegate", [True, False], ids=["xnnpack", "builtin"])
@every_recipe
def test_padding_changes_nothing(kind: str, delegate: bool, spec: ModelSpec) -> None:
    run = Runner(tflite_file(spec, RECIPES[kind]), delegate)
    every = [n for n in lengths(spec.config, RECIPES[kind]) if n >= 20]
    short, long = every[0], every[-1]
    feeds = inputs(spec.config, 3, 20, padded=True)
    expected = run(short, feeds)[0]
    feeds["inputs_embeds"][feeds["attention_mask"] == 0] = 1.0
    np.testing.assert_allclose(run(long, feeds)[0], expected, atol=2e-5 if "8" not in kind else 0.1)


@pytest.mark.parametrize("name", SHAPES)
def test_int8_is_near_float_in_any_shape(name: str) -> None:
    spec, texts = unit_gain_spec(SHAPES[name]), random_texts(16, 30)
    spec = replace(spec, activations=observe(spec, texts))
    sequences = from_texts(Tokenizer(spec.tokenizer), texts, 40)
    feeds = padded_inputs(sequences, HashEmbedding(spec.config.hash))
    exact = Runner(tflite_file(spec, recipe_for("f32", 40)))(40, feeds)[1]
    for kind in ("i8", "i8-micro"):
        file = tflite_file(spec, recipe_for(kind, 40))
        for delegate in (True, False):
            found = Runner(file, delegate)(40, feeds)[1]
            assert np.sqrt(np.mean((found - exact) ** 2)) < 0.1 * exact.std()


# ---- weights that are not as weights should be ----

CHANGES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "zero": np.zeros_like,
    "equal": np.ones_like,
    "zero rows": lambda x: np.concatenate([0 * x[:5], x[5:]]),
    "tiny": lambda x: x * np.float32(1e-30),
    "huge": lambda x: x * np.float32(1e6),
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("kind", ["i8", "i8-micro"])
def test_degenerate_weights_give_finite_numbers(kind: str, change: str) -> None:
    plain = random_spec(SMALL_I8)
    feeds = inputs(plain.config, 2, 9, padded=True)
    for role in sorted({role.name for role, _ in all_roles(plain.config)}):
        spec = calibrated(changed(plain, role, CHANGES[change]))
        try:
            file = tflite_file(spec, recipe_for(kind, 16))
        except ModelError as error:  # LiteRT would abort the process
            assert change == "huge" and "too small for int8" in str(error)
            continue
        found = [t for graph in subgraphs(parse(file)) for t in tensors(graph)]
        scales = np.array([scale for t in found for scale in t.scales])
        assert np.isfinite(scales).all() and (scales > 0).all(), role
        for delegate in (True, False):
            logits, pooled = Runner(file, delegate)(16, feeds)
            assert np.isfinite(logits).all() and np.isfinite(pooled).all(), role


finite = st.floats(-(2.0**100), 2.0**100, width=32)


@functools.cache
def small_int8_graph() -> Int8Graph:
    return Int8Graph(calibrated(random_spec(SMALL)), 4)


@given(hnp.arrays(np.float32, st.tuples(st.integers(1, 5), st.integers(1, 5)), elements=finite))
def test_any_weight_has_scales_and_integers(weight: np.ndarray) -> None:
    scales = channel_scales(weight).astype(np.float32)
    assert np.isfinite(scales).all() and (scales > 0).all()
    assert (np.abs(np.rint(weight / scales[:, None])) <= 127).all()
    graph = small_int8_graph()
    graph.constants.clear()
    tensor = graph.graph.tensors[graph.matrix("weight", weight)]
    assert tensor.quantisation is not None and tensor.data is not None
    scale = float(np.float32(tensor.quantisation.scale[0]))
    assert 0 < scale < np.inf
    values = np.frombuffer(tensor.data, np.int8).reshape(weight.shape) * scale
    np.testing.assert_allclose(values, weight, atol=scale * 0.51)


@given(st.floats(-1e30, 1e30), st.floats(-1e30, 1e30))
def test_any_range_has_a_quantisation_with_zero(a: float, b: float) -> None:
    low, high = min(a, b), max(a, b)
    quantisation = between(low, high)
    scale = np.float32(quantisation.scale[0])
    assert 0 < scale < np.inf
    assert -128 <= quantisation.zero_point <= 127
    ends = scale * (np.array([-128, 127]) - np.float64(quantisation.zero_point))
    assert ends[0] <= low + scale and ends[1] >= high - scale

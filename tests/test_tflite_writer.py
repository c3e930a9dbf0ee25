"""The TFLite graph: builtin operators, one set of weights, and PyTorch's numbers."""

from __future__ import annotations

import functools
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from edgebert.engines.batches import padded_inputs
from edgebert.errors import ModelError
from edgebert.export import write_model
from edgebert.export.activations import observe
from edgebert.export.quantise import channel_scales
from edgebert.export.recipe import Recipe
from edgebert.export.roles import all_roles
from edgebert.export.spec import ModelSpec
from edgebert.export.tflite import lengths, tflite_file
from edgebert.export.tflite_i8 import Int8Graph, between
from edgebert.hash import HashEmbedding
from edgebert.metadata import (
    CHECKSUM,
    CONFIG,
    DTYPE,
    TOKENIZER,
    TRANSITIONS,
    VARIANT,
    VERSION,
    decode_metadata,
)
from edgebert.sequence import Text, from_texts
from edgebert.tokenizer import Tokenizer
from edgebert.version import __version__
from tests.heads import HEADS, OUTPUTS, check_alike, check_close, references, with_heads
from tests.models import SMALL, SMALL_I8, random_spec
from tests.test_onnx_writer import SHAPES, inputs, unit_gain_spec

tflite = pytest.importorskip("tflite", reason="needs edgebert[export]")

F32, F16, I8 = Recipe(), Recipe("f16"), Recipe("i8")
MICRO, MICRO_I8 = Recipe(variant="micro"), Recipe("i8", "micro")
RECIPES = {"f32": F32, "f16": F16, "i8": I8, "micro": MICRO, "i8-micro": MICRO_I8}
TEXTS: list[Text] = ["", "a gripping film", ("a", "pair")]

# Of which all are in TensorFlow Lite's list; those of --micro in that of TensorFlow Lite Micro too.
EVERYWHERE = (
    "ADD BATCH_MATMUL FULLY_CONNECTED GATHER MEAN MUL RESHAPE RSQRT SLICE SOFTMAX SUB TANH "
    "TRANSPOSE"
)
OPERATORS = {
    "f32": f"{EVERYWHERE} CAST GELU",
    "f16": f"{EVERYWHERE} CAST GELU DEQUANTIZE",
    "i8": f"{EVERYWHERE} GELU",
    "micro": f"{EVERYWHERE} CAST ABS DIV EXP",
    "i8-micro": f"{EVERYWHERE} LOGISTIC",
}

every_recipe = pytest.mark.parametrize("kind", RECIPES)


def calibrated(spec: ModelSpec) -> ModelSpec:
    return replace(spec, activations=observe(spec, TEXTS))


def changed(spec: ModelSpec, role: str, change: Callable[[np.ndarray], np.ndarray]) -> ModelSpec:
    """The spec with other values for the weights of a role, in all layers."""
    weights = (replace(w, values=change(w.values)) if w.role == role else w for w in spec.weights)
    return replace(spec, weights=tuple(weights))


@pytest.fixture(scope="module")
def spec() -> ModelSpec:
    """Of the UNO model's shape."""
    return calibrated(random_spec(SHAPES["uno"]))


# ---- what is in the file ----


class TensorView(NamedTuple):
    """A tensor as the package tflite reads it."""

    name: str
    shape: tuple[int, ...]
    kind: str
    scales: tuple[float, ...]
    zero_points: tuple[int, ...]
    axis: int


def kind_name(code: int) -> str:
    return next(name for name, value in vars(tflite.TensorType).items() if value == code).lower()


def view(tensor: Any) -> TensorView:
    q = tensor.Quantization()
    scales, zero_points = (), ()
    if q is not None and q.ScaleLength():
        scales, zero_points = tuple(q.ScaleAsNumpy().tolist()), tuple(q.ZeroPointAsNumpy().tolist())
    return TensorView(
        tensor.Name().decode(),
        tuple(tensor.Shape(i) for i in range(tensor.ShapeLength())),
        kind_name(tensor.Type()),
        scales,
        zero_points,
        q.QuantizedDimension() if q is not None else 0,
    )


def parse(file: bytes) -> Any:
    assert tflite.Model.ModelBufferHasIdentifier(file, 0)
    return tflite.Model.GetRootAsModel(file, 0)


def subgraphs(model: Any) -> list[Any]:
    return [model.Subgraphs(i) for i in range(model.SubgraphsLength())]


def tensors(graph: Any) -> list[TensorView]:
    return [view(graph.Tensors(i)) for i in range(graph.TensorsLength())]


def operators(model: Any, graph: Any) -> list[tuple[str, list[int], list[int]]]:
    """Of each its name, and the indices of its inputs and outputs."""
    names = {v: k for k, v in vars(tflite.BuiltinOperator).items() if isinstance(v, int)}
    found = []
    for i in range(graph.OperatorsLength()):
        op = graph.Operators(i)
        code = model.OperatorCodes(op.OpcodeIndex())
        assert code.DeprecatedBuiltinCode() == min(code.BuiltinCode(), 127)
        assert code.CustomCode() is None and op.CustomOptionsLength() == 0
        name = names[code.BuiltinCode()]
        found.append((name, op.InputsAsNumpy().tolist(), op.OutputsAsNumpy().tolist()))
    return found


@every_recipe
def test_only_builtin_operators_in_an_order_that_can_run(kind: str, spec: ModelSpec) -> None:
    model = parse(tflite_file(spec, RECIPES[kind]))
    assert model.Version() == 3
    for graph in subgraphs(model):
        known = set(graph.InputsAsNumpy().tolist())
        known |= {i for i in range(graph.TensorsLength()) if graph.Tensors(i).Buffer()}
        used = set()
        for name, feeds, results in operators(model, graph):
            assert set(feeds) <= known
            assert not set(results) & known
            known |= set(results)
            used.add(name)
        assert known == set(range(graph.TensorsLength())), "tensors that nothing makes"
        assert used == set(OPERATORS[kind].split())


@every_recipe
def test_a_mean_is_of_builtin_operators(kind: str, spec: ModelSpec) -> None:
    config = with_heads(spec.config, "embedding")
    model = parse(tflite_file(calibrated(random_spec(config)), RECIPES[kind]))
    used = {name for graph in subgraphs(model) for name, _, _ in operators(model, graph)}
    assert used == {*OPERATORS[kind].split(), "L2_NORMALIZATION"} - {"TANH"}


@every_recipe
def test_names_are_unique_and_shapes_are_known(kind: str, spec: ModelSpec) -> None:
    model = parse(tflite_file(spec, RECIPES[kind]))
    for graph in subgraphs(model):
        found = tensors(graph)
        names = [tensor.name for tensor in found]
        assert all(names) and len(set(names)) == len(names)
        assert all(size > 0 for tensor in found for size in tensor.shape)
        assert all(np.isfinite(scale) and scale > 0 for t in found for scale in t.scales)


@every_recipe
def test_each_length_has_a_signature(kind: str, spec: ModelSpec) -> None:
    recipe = RECIPES[kind]
    model = parse(tflite_file(spec, recipe))
    expected = lengths(spec.config, recipe)
    assert model.SignatureDefsLength() == model.SubgraphsLength() == len(expected)
    integer, real = ("int8", "int8") if recipe.dtype == "i8" else ("int32", "float32")
    for i, n in enumerate(expected):
        signature = model.SignatureDefs(i)
        graph = model.Subgraphs(signature.SubgraphIndex())
        assert signature.SignatureKey() == graph.Name() == f"tokens_{n}".encode()
        found = tensors(graph)
        public: dict[str, Any] = {}
        for kind_of, order in (("Inputs", graph.InputsAsNumpy), ("Outputs", graph.OutputsAsNumpy)):
            count = getattr(signature, f"{kind_of}Length")()
            maps = [getattr(signature, kind_of)(j) for j in range(count)]
            assert [m.TensorIndex() for m in maps] == order().tolist()
            public |= {m.Name().decode(): found[m.TensorIndex()][1:3] for m in maps}
        assert public == {
            "inputs_embeds": ((1, n, 128), real),
            "attention_mask": ((1, n), integer),
            "token_type_ids": ((1, n), "int32"),
            "logits": ((1, 2), real),
            "pooled": ((1, 128), real),
        }


@pytest.mark.parametrize("kind", ["i8", "i8-micro"])
def test_dense_layers_have_a_scale_for_each_channel(kind: str, spec: ModelSpec) -> None:
    model = parse(tflite_file(spec, RECIPES[kind]))
    for graph in subgraphs(model):
        found = tensors(graph)
        layers = [feeds for name, feeds, _ in operators(model, graph) if name == "FULLY_CONNECTED"]
        assert len(layers) == 6 * spec.config.num_hidden_layers + 2
        for x, weight, bias in ([found[i] for i in feeds] for feeds in layers):
            assert (x.kind, weight.kind, bias.kind) == ("int8", "int8", "int32")
            assert len(weight.scales) == len(bias.scales) == weight.shape[0]
            assert not any((*weight.zero_points, *bias.zero_points, weight.axis, bias.axis))
            sums = np.float32(x.scales[0]) * np.array(weight.scales, np.float32)
            np.testing.assert_allclose(bias.scales, sums, rtol=1e-6)
        real = [t.name for t in found if t.kind == "float32"]
        assert not real, "int8 from end to end"


@every_recipe
def test_metadata_ride_inside_and_the_checksum_is_last(kind: str, spec: ModelSpec) -> None:
    recipe = RECIPES[kind]
    config = replace(spec.config, labels=("", 'näin\n"日本語"'))
    spec = replace(spec, config=config, tokenizer=bytes(range(256)) * 3 + b"\0")
    file = tflite_file(spec, recipe)
    model = parse(file)
    assert b"edgebert.config" in model.Description()
    entries = [model.Metadata(i) for i in range(model.MetadataLength())]
    found = {
        e.Name().decode(): model.Buffers(e.Buffer()).DataAsNumpy().tobytes()
        for e in entries
        if model.Buffers(e.Buffer()).DataLength()
    }
    assert list(found) == [
        name
        for name in (CONFIG, TOKENIZER, TRANSITIONS, DTYPE, VARIANT, VERSION, CHECKSUM)
        if name in found
    ]
    assert decode_metadata(found)[:2] == (spec.config, spec.tokenizer)
    del found[CONFIG], found[TOKENIZER]
    assert found.pop(VARIANT, b"").decode() == recipe.variant
    assert found == {
        DTYPE: recipe.dtype.encode(),
        VERSION: __version__.encode(),
        CHECKSUM: f"{zlib.crc32(file[:-8]):08x}".encode(),
    }
    assert file.endswith(found[CHECKSUM])


@every_recipe
def test_export_is_deterministic(kind: str, spec: ModelSpec) -> None:
    assert tflite_file(spec, RECIPES[kind]) == tflite_file(spec, RECIPES[kind])


@pytest.mark.parametrize("kind", ["f32", "f16", "i8"])
def test_several_lengths_share_their_weights(kind: str, spec: ModelSpec) -> None:
    one = len(tflite_file(spec, replace(RECIPES[kind], tokens=(64,))))
    four = len(tflite_file(spec, replace(RECIPES[kind], tokens=(16, 32, 64, 128))))
    assert four - one < 3 * 12_000


@pytest.mark.parametrize(
    ("kind", "most"),
    [("f32", 1_230_000), ("micro", 1_230_000), ("f16", 640_000), ("i8", 340_000)],
)
def test_uno_fits_its_size_beside_its_tokenizer(kind: str, most: int, spec: ModelSpec) -> None:
    """With it, whose 59,785 bytes stand as they are: 1.30 MB in float32 and 0.40 MB in int8."""
    assert len(tflite_file(replace(spec, tokenizer=b"."), RECIPES[kind])) <= most
    blob = bytes(60_000)
    assert len(tflite_file(replace(spec, tokenizer=blob), RECIPES[kind])) <= most + len(blob)


# ---- which lengths ----


@pytest.mark.parametrize(
    ("limit", "recipe", "expected"),
    [
        (512, F32, [16, 32, 64, 128, 256, 512]),
        (100, F16, [16, 32, 64, 100]),
        (32, F32, [16, 32]),
        (10, F32, [10]),
        (512, I8, [32, 128, 512]),
        (20, I8, [20]),
        (512, MICRO, [64]),
        (40, MICRO_I8, [40]),
        (40, Recipe(tokens=(2, 7, 40)), [2, 7, 40]),
        (40, Recipe(variant="micro", tokens=(16,)), [16]),
    ],
)
def test_lengths(limit: int, recipe: Recipe, expected: list[int]) -> None:
    assert list(lengths(replace(SMALL, max_position_embeddings=limit), recipe)) == expected


def test_a_mean_in_int8_is_of_no_more_tokens_than_its_weights_have_steps_for() -> None:
    config = with_heads(replace(SMALL, max_position_embeddings=1024), "embedding")
    assert list(lengths(config, I8)) == [32, 128, 511]
    assert list(lengths(config, F16))[-1] == 1024
    with pytest.raises(ModelError, match="--tokens 512: a mean in int8 takes at most 511"):
        lengths(config, Recipe("i8", tokens=(512,)))


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        (Recipe(tokens=(16, 21)), "--tokens 21: the model takes at most 20"),
        (Recipe(variant="micro", tokens=(21,)), "--tokens 21: the model takes at most 20"),
        (Recipe(variant="micro", tokens=(8, 16)), "--micro takes one length"),
        (Recipe("f16", "micro"), "--micro has no f16"),
    ],
)
def test_what_cannot_be_written_is_one_line(recipe: Recipe, message: str, tmp_path: Path) -> None:
    with pytest.raises(ModelError) as error:
        write_model(random_spec(), tmp_path / "m.tflite", recipe)
    assert str(error.value).startswith(message) and len(str(error.value).splitlines()) == 1
    assert not list(tmp_path.iterdir())


# ---- what it computes ----


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


def test_int8_needs_calibration() -> None:
    with pytest.raises(ModelError, match="activations"):
        tflite_file(random_spec(), I8)

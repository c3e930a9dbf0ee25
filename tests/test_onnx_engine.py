"""The engine for .onnx files gives what the C library gives, and refuses damaged files."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import edgebert
import edgebert.ort
from edgebert.engines import open_engine
from edgebert.engines.batches import BATCH_SIZE
from edgebert.export import write_model
from edgebert.export.recipe import Recipe
from edgebert.metadata import encode_metadata, seal
from edgebert.sequence import Text
from edgebert.tokenizer import Tokenizer
from tests.heads import HEADS, TAGS, check_outputs, with_heads
from tests.models import SMALL, random_spec

TEXTS: list[Text] = [
    "",
    "one",
    ("a pair", "of two texts"),
    "a much longer text, of many words",
    "ünï 日本",
]


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("onnx") / "small.onnx"
    write_model(random_spec(), path)
    return path


@pytest.mark.parametrize("variant", ["", "portable", "custom-op"])
@pytest.mark.parametrize("heads", HEADS)
def test_both_engines_agree_on_all_heads(heads: str, variant: str, tmp_path: Path) -> None:
    """More texts than a batch has, of mixed lengths; of padding there are no tags."""
    if variant == "custom-op" and not Path(edgebert.ort.library_path()).is_file():
        pytest.skip("needs the library of operators")
    spec = random_spec(with_heads(SMALL, heads))
    write_model(spec, tmp_path / "m.onnx", Recipe(variant=variant))
    write_model(spec, tmp_path / "m.ebm")
    texts: list[Text] = ["word " * (i * 7 % 13) + str(i) for i in range(BATCH_SIZE + 3)]
    onnx, native = (open_engine(tmp_path / name) for name in ("m.onnx", "m.ebm"))
    check_outputs(onnx.run_texts(texts)[0], native.run_texts(texts)[0], tolerance=2e-5)


@pytest.mark.parametrize(
    "config", [SMALL, replace(SMALL, task="regression", labels=("x",), type_vocab_size=1)]
)
def test_both_engines_agree(config: edgebert.ModelConfig, tmp_path: Path) -> None:
    for name in ("m.onnx", "m.ebm"):
        write_model(random_spec(config, tokenizer="wordpiece"), tmp_path / name)
    onnx, native = edgebert.load(tmp_path / "m.onnx"), edgebert.load(tmp_path / "m.ebm")
    assert (onnx.engine, native.engine) == ("onnx", "native")
    np.testing.assert_allclose(onnx.logits(TEXTS), native.logits(TEXTS), atol=2e-5)
    np.testing.assert_allclose(onnx.encode(TEXTS), native.encode(TEXTS), atol=2e-5)


def test_batches_keep_their_order(file: Path) -> None:
    model = edgebert.load(file)
    texts = ["word " * (i * 7 % 13) + str(i) for i in range(2 * BATCH_SIZE + 3)]
    singles = np.concatenate([model.logits(text) for text in texts])
    np.testing.assert_allclose(model.logits(texts), singles, atol=1e-5)


def test_an_empty_batch_is_no_error(file: Path) -> None:
    assert edgebert.load(file).infer([]) == []


def test_a_graph_without_an_output_of_its_config_is_refused(tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx", reason="needs the package onnx")
    write_model(random_spec(), tmp_path / "m.onnx")
    model = onnx.load(tmp_path / "m.onnx")
    tagged = replace(SMALL, tags=TAGS)
    transitions = bytes(tagged.num_tags * tagged.num_tags_and_start)
    entries = encode_metadata(tagged, Tokenizer.word().blob, transitions)
    del model.metadata_props[:]
    metadata = onnx.ModelProto()
    for key, value in entries.items():
        metadata.metadata_props.add(key=key, value=value)
    (tmp_path / "m.onnx").write_bytes(
        seal(model.SerializeToString() + metadata.SerializeToString())
    )
    with pytest.raises(edgebert.ModelError, match="does not give the tag_logits"):
        edgebert.load(tmp_path / "m.onnx")


@pytest.mark.parametrize("variant", ["", "portable", "custom-op"])
@pytest.mark.parametrize("damage", ["flipped", "truncated", "foreign"])
def test_damaged_files_are_refused(damage: str, variant: str, tmp_path: Path) -> None:
    path = tmp_path / "damaged.onnx"
    write_model(random_spec(), path, Recipe(variant=variant))
    data, rng = path.read_bytes(), random.Random(damage)
    for _ in range(500):
        if damage == "flipped":
            damaged = bytearray(data)
            damaged[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        elif damage == "truncated":
            damaged = bytearray(data[: rng.randrange(len(data))])
        else:
            damaged = bytearray(rng.randbytes(rng.randrange(3000)))
        path.write_bytes(damaged)
        with pytest.raises(edgebert.ModelError, match=r"^damaged.onnx: .*$"):
            edgebert.load(path)


def test_a_graph_of_somebody_else_is_refused(tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx", reason="needs the package onnx")
    node = onnx.helper.make_node("Identity", ["x"], ["y"])
    tensors = [onnx.helper.make_tensor_value_info(n, onnx.TensorProto.FLOAT, [1]) for n in "xy"]
    graph = onnx.helper.make_graph([node], "other", tensors[:1], tensors[1:])
    onnx.save(onnx.helper.make_model(graph), tmp_path / "other.onnx")
    with pytest.raises(edgebert.ModelError, match="not written by edgebert, or damaged or changed"):
        edgebert.load(tmp_path / "other.onnx")

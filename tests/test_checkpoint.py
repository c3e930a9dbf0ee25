"""Checkpoints: what is read is what was saved, and everything else is one clear error."""

from __future__ import annotations

import json
import random
import shutil
import subprocess
import sys
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from edgebert.errors import ModelError
from edgebert.export.checkpoint import Checkpoint, read_checkpoint
from edgebert.export.roles import WORD_EMBEDDINGS, state_shapes
from edgebert.export.spec import ModelSpec
from edgebert.hash import HashEmbedding

TINY = Path(__file__).parent / "data" / "tiny.pt"  # written by tests/torch_models.py
VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "a", "film", "##s", "é", "語"]


def write_folder(folder: Path, checkpoint: Checkpoint, **changes: Any) -> Path:
    """A Hugging Face folder of the checkpoint; ``changes`` are of its config.json."""
    folder.mkdir(parents=True, exist_ok=True)
    config = checkpoint.config
    table = HashEmbedding(config.hash)(VOCABULARY)
    save_file({**checkpoint.state, WORD_EMBEDDINGS: table}, folder / "model.safetensors")
    (folder / "vocab.txt").write_text("\n".join(VOCABULARY) + "\n", encoding="utf-8")
    document = {key: value for key, value in config.to_dict().items() if key != "hash"}
    document |= {
        "model_type": "bert",
        "id2label": {str(i): label for i, label in enumerate(config.labels)},
        "edgebert": {"hash": config.to_dict()["hash"], "tokenizer": "wordpiece"},
    }
    (folder / "config.json").write_text(json.dumps({**document, **changes}))
    return folder


def add_checksum(folder: Path) -> None:
    document = json.loads((folder / "config.json").read_text())
    checksum = zlib.crc32((folder / "model.safetensors").read_bytes())
    document["edgebert"]["crc32"] = f"{checksum:08x}"
    (folder / "config.json").write_text(json.dumps(document))


@pytest.fixture(scope="module")
def tiny() -> Checkpoint:
    return read_checkpoint(TINY)


@pytest.fixture
def folder(tmp_path: Path, tiny: Checkpoint) -> Path:
    return write_folder(tmp_path / "bert", tiny)


def same(a: Checkpoint, b: Checkpoint) -> bool:
    """Equal to the bit."""
    return (
        (a.config, a.tokenizer) == (b.config, b.tokenizer)
        and a.state.keys() == b.state.keys()
        and all(a.state[name].tobytes() == b.state[name].tobytes() for name in a.state)
        and (a.probe is None) == (b.probe is None)
        and (
            a.probe is None
            or b.probe is None
            or (a.probe.texts, a.probe.logits.tobytes())
            == (b.probe.texts, b.probe.logits.tobytes())
        )
    )


def refused(path: Path) -> str:
    with pytest.raises(ModelError) as error:
        read_checkpoint(path)
    message = str(error.value)
    assert message.startswith(str(path)) and len(message.splitlines()) == 1
    return message


def test_a_checkpoint_of_torch_is_read(tiny: Checkpoint) -> None:
    assert tiny.config.labels == ("negative", "positive")
    assert {name: values.shape for name, values in tiny.state.items()} == state_shapes(tiny.config)
    assert tiny.probe is not None
    assert tiny.probe.texts == ("a film", ("one", "two"))
    np.testing.assert_array_equal(tiny.probe.logits, [[0.5, -1], [2, 3]])


def test_reading_and_writing_import_no_torch(tmp_path: Path) -> None:
    program = f"""
import sys
sys.modules["torch"] = sys.modules["transformers"] = None  # an import would fail
from pathlib import Path
from edgebert.export import write_model
from edgebert.export.checkpoint import read_checkpoint
from edgebert.export.spec import ModelSpec
spec = ModelSpec.from_checkpoint(read_checkpoint({str(TINY)!r}))
for suffix in ("ebm", "onnx"):
    write_model(spec, Path({str(tmp_path)!r}) / f"tiny.{{suffix}}")
"""
    subprocess.run([sys.executable, "-c", program], check=True)
    assert {path.name for path in tmp_path.iterdir()} == {"tiny.ebm", "tiny.onnx"}


def test_a_spec_stacks_query_key_and_value(tiny: Checkpoint) -> None:
    spec = ModelSpec.from_checkpoint(tiny)
    name = "bert.encoder.layer.0.attention.self.{}.weight"
    parts = [tiny.state[name.format(part)] for part in ("query", "key", "value")]
    np.testing.assert_array_equal(spec.weight("qkv_weight"), np.concatenate(parts))
    assert spec.weight_bytes() == sum(values.nbytes for values in tiny.state.values())
    assert all(w.values.dtype == np.float32 and w.values.flags.c_contiguous for w in spec.weights)


def test_a_folder_holds_the_same_model(folder: Path, tiny: Checkpoint) -> None:
    read = read_checkpoint(folder)
    assert read.probe is None
    assert same(read, replace(tiny, tokenizer=read.tokenizer, probe=None))
    add_checksum(folder)
    assert same(read, read_checkpoint(folder))


def test_a_folder_of_transformers_is_read(tmp_path: Path, tiny: Checkpoint) -> None:
    torch = pytest.importorskip("torch", reason="needs PyTorch to write files")
    from tests.torch_models import bert

    model = bert(ModelSpec.from_checkpoint(tiny), vocab_size=len(VOCABULARY))
    table = HashEmbedding(tiny.config.hash)(VOCABULARY)
    model.bert.embeddings.word_embeddings.weight.data = torch.tensor(table)
    model.config.edgebert = {"hash": tiny.config.to_dict()["hash"], "tokenizer": "wordpiece"}
    model.save_pretrained(tmp_path / "bert")
    (tmp_path / "bert" / "vocab.txt").write_text("\n".join(VOCABULARY), encoding="utf-8")
    read = read_checkpoint(tmp_path / "bert")
    assert same(read, replace(tiny, tokenizer=read.tokenizer, probe=None))


def test_half_precision_folders_are_read(folder: Path, tiny: Checkpoint) -> None:
    path = folder / "model.safetensors"
    save_file({name: values.astype(np.float16) for name, values in load_file(path).items()}, path)
    name = "classifier.weight"
    expected = tiny.state[name].astype(np.float16).astype(np.float32)
    np.testing.assert_array_equal(read_checkpoint(folder).state[name], expected)


def edit_safetensors(folder: Path, edit: Callable[[dict[str, np.ndarray]], Any]) -> None:
    tensors = {n: v.copy() for n, v in load_file(folder / "model.safetensors").items()}
    edit(tensors)
    save_file(tensors, folder / "model.safetensors")


def test_a_damaged_tokenizer_is_refused(tmp_path: Path, tiny: Checkpoint) -> None:
    pytest.importorskip("torch", reason="needs PyTorch to write files")
    from tests.torch_models import save_checkpoint

    spec = replace(ModelSpec.from_checkpoint(tiny), tokenizer=b"not a tokenizer section")
    save_checkpoint(spec, tmp_path / "model.pt")
    assert "tokenizer" in refused(tmp_path / "model.pt")


@pytest.mark.parametrize("row", range(len(VOCABULARY)))
def test_a_learned_table_is_refused_with_the_way_out(folder: Path, row: int) -> None:
    """One bit of one row is enough."""

    def learn(tensors: dict[str, np.ndarray]) -> None:
        value = tensors[WORD_EMBEDDINGS][row, 3]
        tensors[WORD_EMBEDDINGS][row, 3] = np.nextafter(value, np.float32(2))

    edit_safetensors(folder, learn)
    message = refused(folder)
    assert f"learned table (the row of {VOCABULARY[row]!r} is not" in message
    assert f"edgebert train --init {folder} --data train.tsv --dev dev.tsv -o model.pt" in message


def test_a_table_in_a_pt_file_is_checked_as_well(tmp_path: Path, tiny: Checkpoint) -> None:
    torch = pytest.importorskip("torch", reason="needs PyTorch to write files")
    path = tmp_path / "m.pt"
    content = torch.load(TINY, weights_only=True)
    table = torch.tensor(HashEmbedding(tiny.config.hash)(VOCABULARY))
    content["state_dict"][WORD_EMBEDDINGS] = table
    torch.save({**content, "vocabulary": VOCABULARY}, path)
    assert same(read_checkpoint(path), tiny)
    torch.save(content, path)
    assert "no vocabulary to check them with" in refused(path)
    table[2, 0] += 1e-6
    torch.save({**content, "vocabulary": VOCABULARY}, path)
    assert "save_pretrained('DIR'), and train it" in refused(path)
    assert "edgebert train --init DIR --data train.tsv --dev dev.tsv -o model.pt" in refused(path)


def test_a_table_of_another_hash_is_refused(folder: Path, tiny: Checkpoint) -> None:
    other = replace(tiny.config, hash=replace(tiny.config.hash, seed=43))
    write_folder(folder.parent / "other", replace(tiny, config=other))
    shutil.copy(folder.parent / "other" / "model.safetensors", folder)
    assert "learned table" in refused(folder)


def test_a_folder_that_names_no_hash_is_a_learned_table(tmp_path: Path, tiny: Checkpoint) -> None:
    message = refused(write_folder(tmp_path, tiny, edgebert=None))
    assert "learned table" in message and "edgebert train --init" in message


def test_a_table_without_its_vocabulary_is_refused(folder: Path) -> None:
    (folder / "vocab.txt").write_text("\n".join(VOCABULARY[:-1]))
    assert "edgebert train --init" in refused(folder)


WEIGHT = "bert.encoder.layer.0.output.dense.weight"


@pytest.mark.parametrize(
    ("edit", "expected"),
    [
        (lambda t: t.pop(WEIGHT), f"has '{WEIGHT}', this has not"),
        (lambda t: t.update(extra=np.zeros(2, np.float32)), "has 'extra'"),
        (lambda t: t.update({WEIGHT: t[WEIGHT].T.copy()}), "has shape (12, 8), its config says"),
        (lambda t: t[WEIGHT].__setitem__((0, 0), np.nan), f"{WEIGHT} holds values that are not"),
        (lambda t: t[WEIGHT].__setitem__((0, 0), np.inf), "not finite: the training diverged"),
        (lambda t: t.update({WEIGHT: t[WEIGHT].astype(np.int32)}), "holds int32"),
        (lambda t: t.update({WEIGHT: t[WEIGHT].astype(np.float64) * 1e300}), "not finite"),
    ],
)
def test_a_wrong_weight_is_named(
    folder: Path, edit: Callable[[dict[str, np.ndarray]], Any], expected: str
) -> None:
    edit_safetensors(folder, edit)
    assert expected in refused(folder)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"hidden_act": "relu"}, "hidden_act must be one of"),
        ({"model_type": "roberta"}, "model_type is 'roberta'"),
        ({"position_embedding_type": "relative_key"}, "position_embedding_type"),
        ({"hidden_size": 16}, "dimension must be hidden_size"),
        ({"num_attention_heads": 3}, "heads must divide hidden_size"),
        ({"num_hidden_layers": 2}, "has 'bert.encoder.layer.1."),
        ({"num_hidden_layers": 10**9}, "num_hidden_layers must be 1 to"),
        ({"layer_norm_eps": "small"}, "layer_norm_eps"),
        ({"id2label": {"1": "a"}}, "id2label"),
        ({"id2label": {"0": "a", "1": ["b"]}}, "labels must be"),
        ({"problem_type": "multi_label_classification"}, "several labels"),
        ({"edgebert": {"hash": {"family": "sha"}, "tokenizer": "word"}}, "hash family"),
        (
            {"edgebert": {"hash": {"dimension": 8}, "tokenizer": "bytes"}},
            "unknown tokenizer 'bytes'",
        ),
    ],
)
def test_a_config_that_edgebert_cannot_run_is_refused(
    tmp_path: Path, tiny: Checkpoint, changes: dict[str, Any], expected: str
) -> None:
    assert expected in refused(write_folder(tmp_path, tiny, **changes))


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "vocab.txt"])
def test_a_missing_file_is_named(folder: Path, name: str) -> None:
    (folder / name).unlink()
    assert f"the folder has no {name}" in refused(folder)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", "empty"),
        (b"text\tlabel\n", "not a checkpoint"),
        (b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.", "torch.save it again"),
        (bytes(257) + b"ustar" + bytes(300), "torch.save it again"),
        (b"PK\x03\x04" + bytes(100), "damaged or truncated"),
    ],
)
def test_foreign_files_are_told_apart(data: bytes, expected: str, tmp_path: Path) -> None:
    (tmp_path / "m.pt").write_bytes(data)
    assert expected in refused(tmp_path / "m.pt")


def test_a_file_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    assert "No such file" in refused(tmp_path / "m.pt")


def corruptions(data: bytes, rng: random.Random) -> list[tuple[str, bytes]]:
    """500 of each kind."""
    result = []
    for _ in range(500):
        flipped = bytearray(data)
        flipped[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        result.append(("flipped", bytes(flipped)))
        result.append(("truncated", data[: rng.randrange(len(data))]))
        foreign = data[: rng.choice([0, 4, 200])] + rng.randbytes(rng.randrange(2000))
        result.append(("foreign", foreign))
    return result


def test_damaged_pt_files_are_refused_or_read_the_same(tmp_path: Path, tiny: Checkpoint) -> None:
    """Harmless are flips in what zip stores twice, in dates and in padding."""
    path = tmp_path / "m.pt"
    for kind, data in corruptions(TINY.read_bytes(), random.Random(1)):
        path.write_bytes(data)
        try:
            read = read_checkpoint(path)
        except ModelError:
            continue
        assert kind == "flipped" and same(read, tiny)


@pytest.mark.parametrize(("name", "count"), [("model.safetensors", 1500), ("vocab.txt", 500)])
def test_damaged_folders_are_refused_or_read_the_same(folder: Path, name: str, count: int) -> None:
    add_checksum(folder)
    expected = read_checkpoint(folder)
    for _, data in corruptions((folder / name).read_bytes(), random.Random(2))[:count]:
        (folder / name).write_bytes(data)
        try:
            read = read_checkpoint(folder)
        except ModelError:
            continue
        assert same(read, expected)


def test_a_damaged_config_is_refused_or_a_config(folder: Path) -> None:
    """A changed digit or letter may be as good as the first: but nothing else ever happens."""
    for _, data in corruptions((folder / "config.json").read_bytes(), random.Random(3))[:500]:
        (folder / "config.json").write_bytes(data)
        try:
            assert type(read_checkpoint(folder)) is Checkpoint
        except ModelError:
            continue


def test_a_changed_safetensors_header_is_refused_or_harmless(folder: Path) -> None:
    """Without a checksum in config.json, names, types, shapes and offsets are still checked."""
    path, rng, refusals = folder / "model.safetensors", random.Random(4), 0
    data = path.read_bytes()
    header_end = 8 + int.from_bytes(data[:8], "little")
    for _ in range(300):
        changed = bytearray(data)
        changed[rng.randrange(header_end)] = rng.randrange(32, 127)
        path.write_bytes(changed)
        try:
            assert type(read_checkpoint(folder)) is Checkpoint
        except ModelError:
            refusals += 1
    assert refusals > 150

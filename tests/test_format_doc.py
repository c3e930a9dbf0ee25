"""docs/format.md says what the code does: its tables, ranges, statuses and examples are checked."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgebert._native import ffi, lib
from edgebert.config import ACTIVATIONS, HASH_FAMILIES, TASKS, HashParams
from edgebert.export.ebm import ebm_bytes
from edgebert.export.roles import all_roles
from edgebert.export.vocabulary import compile_vocabulary
from edgebert.memory import aligned
from edgebert.tokenizer import BERT_UNCASED, KINDS, Tokenizer
from tests.conftest import REPO
from tests.heads import TAGS
from tests.models import SMALL, random_spec

DOCUMENT = (REPO / "docs" / "format.md").read_text(encoding="utf-8")
ENUMERATIONS = {
    "config.task": TASKS,
    "config.activation": ACTIVATIONS,
    "hash.family": HASH_FAMILIES,
    "kind": KINDS,
}
TAGGED = replace(SMALL, tags=TAGS)
SIZES = ("hidden_size", "num_labels", "num_tags")
EXAMPLE = compile_vocabulary(["do", "dog", "dig", "##ing"])


def table_behind(text: str) -> list[list[str]]:
    """Cells of the first table behind ``text``, without its head; backquotes are dropped."""
    lines = DOCUMENT[DOCUMENT.index(text) :].splitlines()
    first = next(i for i, line in enumerate(lines) if line.startswith("|"))
    rows = []
    for line in lines[first + 2 :]:
        if not line.startswith("|"):
            break
        rows.append([cell.strip().replace("`", "") for cell in line.strip("|").split("|")])
    return rows


def code_with(text: str) -> str:
    """The Python example that contains ``text``."""
    return next(c for c in re.findall(r"```python\n(.*?)```", DOCUMENT, re.S) if text in c)


def layout(struct: str, prefix: str = "", base: int = 0) -> list[tuple[int, int, str]]:
    """Offset, size and name of a struct's fields, nested ones taken apart."""
    fields = []
    for name, field in ffi.typeof(struct).fields:
        if field.type.kind == "struct":
            fields += layout(field.type.cname, f"{prefix}{name}.", base + field.offset)
        else:
            size = ffi.sizeof(field.type)
            fields.append((base + field.offset, size, prefix + name))
    return fields


HEADER = table_behind("`eb_file_header`")
RANGES = [(name, allowed) for _, _, name, _, allowed in HEADER if " to " in allowed]


@pytest.mark.parametrize("struct", ["eb_file_header", "eb_tensor", "eb_tokenizer_header"])
def test_tables_have_the_layout_of_the_structs(struct: str) -> None:
    size = re.search(f"`{struct}`, ([0-9]+) bytes", DOCUMENT)
    assert size and int(size[1]) == ffi.sizeof(struct)
    told = [(int(o), int(n), name) for o, n, name, *_ in table_behind(f"`{struct}`, ")]
    assert told == layout(struct)


def test_enumerations_have_the_numbers_of_the_code() -> None:
    rows = {name: allowed for _, _, name, _, allowed in HEADER + table_behind("`eb_tokenizer_h")}
    for name, values in ENUMERATIONS.items():
        assert rows[name] == ", ".join(f"{i} {value}" for i, value in enumerate(values))


def test_roles_have_the_numbers_and_shapes_of_the_code() -> None:
    # No two dimensions are alike.
    config = replace(SMALL, type_vocab_size=5, tags=tuple(f"B-{i}" for i in range(7)))
    c_config = ffi.new("eb_config *", {n: getattr(config, n) for n in _dimensions(config)})
    table = []
    for numbers, names, rows, cols, i8 in table_behind("| role | name |"):
        types = i8.partition(", in ")[0].partition(", head")[0].partition(", emb")[0].split(", ")
        for digits, name, dtype in zip(numbers.split(", "), names.split(", "), types, strict=True):
            told_rows = "1" if name.endswith("bias") else rows
            table.append((int(digits), name, told_rows, cols, dtype))
    one_layer = replace(config, num_hidden_layers=1)
    floats = [name for number, name, *_ in table if number < 20 or number in (29, 30, 32)]
    assert floats == [role.name for role, _ in all_roles(one_layer)]
    assert [number for number, *_ in table] == list(range(lib.EB_NUM_ROLES))
    tensor = ffi.new("eb_tensor *")
    for number, name, rows, cols, dtype in table:
        assert number == getattr(lib, f"EB_{name.upper()}")
        for model in (lib.EB_DTYPE_F32, lib.EB_DTYPE_I8, lib.EB_DTYPE_I4):
            c_config.dtype = model
            status = lib.eb_tensor_of_role(c_config, number, tensor)
            if name not in floats and model == lib.EB_DTYPE_F32:
                assert status == lib.EB_ERROR_ARGUMENT
                continue
            assert status == lib.EB_OK
            assert [_value(rows, config), _value(cols, config)] == [tensor.rows, tensor.cols]
            expected = "F32" if model == lib.EB_DTYPE_F32 else dtype.upper()
            if model == lib.EB_DTYPE_I4 and dtype == "i8" and rows != "1":
                expected = "I4"
            if name == "tag_transitions":
                expected = "I8"
            assert tensor.dtype == getattr(lib, f"EB_DTYPE_{expected}")


def _dimensions(config: Any) -> list[str]:
    return [n for n, _ in ffi.typeof("eb_config").fields if type(getattr(config, n, "")) is int]


def _value(expression: str, config: Any) -> int:
    """Of a product such as ``3 · hidden_size``, or of ``num_tags + 1``."""
    expression, _, added = expression.partition(" + ")
    product = 1
    for factor in expression.split(" · "):
        product *= int(factor) if factor.isdigit() else getattr(config, factor)
    return product + int(added or 0)


def test_statuses_have_the_numbers_of_the_code() -> None:
    statuses = re.findall(r"(\d+) `(EB_ERROR_\w+)`", DOCUMENT)
    assert len(statuses) > 10
    assert all(int(number) == getattr(lib, name) for number, name in statuses)


def _status(data: bytes, **values: int) -> int:
    """What eb_model_size says of a file with other values in its header, ``__`` for a dot."""
    file = aligned(len(data))
    file[:] = np.frombuffer(data, np.uint8)
    pointer = ffi.from_buffer("eb_file_header *", file)
    for name, value in values.items():
        *path, field = name.split("__")
        struct = pointer
        for step in path:
            struct = getattr(struct, step)
        setattr(struct, field, value)
    pointer.checksum = lib.eb_file_checksum(pointer, len(data))
    return int(lib.eb_model_size(pointer, len(data), ffi.new("size_t *")))


@pytest.mark.parametrize(("name", "allowed"), RANGES)
def test_ranges_are_those_that_the_library_checks(name: str, allowed: str) -> None:
    limits = {"hidden_size": SMALL.hidden_size, "modulus - 1": SMALL.hash.modulus - 1}
    least, most = (int(limits.get(end, end)) for end in allowed.split(" to "))
    data = ebm_bytes(random_spec(replace(SMALL, hash=HashParams(dimension=24, base=1))))

    def status(value: int) -> int:
        values = {name.replace(".", "__"): value}
        if name == "config.hidden_size":
            values |= {"hash__dimension": value, "config__num_attention_heads": 1}
        if name == "config.num_labels" and value == 0:
            values["config__task"] = TASKS.index("embedding")
        return _status(data, **values)

    assert status(least) == status(most) == lib.EB_OK
    for outside in (least - 1, most + 1):
        if 0 <= outside < 2**32:
            assert status(outside) == lib.EB_ERROR_CORRUPT


def test_the_reader_in_the_document_finds_all_tensors() -> None:
    pytest.importorskip("mmh3", reason="needs the package mmh3")
    spec = random_spec()
    names: dict[str, Any] = {}
    exec(code_with("def read_tensors"), names)
    tensors = names["read_tensors"](ebm_bytes(spec) + b"behind the end")
    assert len(tensors) == len(spec.weights)
    for weight in spec.weights:
        role = getattr(lib, f"EB_{weight.role.upper()}")
        rows, cols, data = tensors[role, weight.layer]
        values = np.frombuffer(data, "<f4")
        if weight.role.endswith("_weight") and weight.values.ndim == 2:
            values = values.reshape(-1, rows, 16).transpose(1, 0, 2).reshape(rows, -1)[:, :cols]
        values = values.reshape(rows, cols)
        stored = weight.values.T if weight.role.endswith("_weight") else weight.values
        np.testing.assert_array_equal(values, np.atleast_2d(stored))


def test_the_scales_are_those_of_the_structs() -> None:
    pytest.importorskip("mmh3", reason="needs the package mmh3")
    from tests.ebm_reader import LAYER_SCALES, MODEL_SCALES

    for name, ranges in (("layer_scales", LAYER_SCALES), ("model_scales", MODEL_SCALES)):
        told = table_behind(f"| `{name}` | allowed |")
        assert told[: len(ranges)] == [[field, f"{lo} to {hi}"] for field, lo, hi in ranges]
        names = [field for cell, _ in told for field in cell.split(", ")]
        assert names == [field for _, _, field in layout(f"eb_{name}")]


def test_the_counts_of_labels_and_tensors_are_those_of_files() -> None:
    told = {name: allowed for _, _, name, _, allowed in HEADER}
    assert told["labels.size"] == "8 · num_labels"
    assert told["tags.size"] == "8 · num_tags"
    counts = "24 · (4 + 12 · num_hidden_layers), and 24 · 4 with labels, 24 · 3 with tags"
    assert told["tensors.size"] == f"f32: {counts}"
    both = replace(SMALL, tags=("O", "B-x"))
    for config in (SMALL, both, replace(both, task="tagging", labels=())):
        data = ebm_bytes(random_spec(config))
        header = ffi.from_buffer("eb_file_header *", data)
        assert header.labels.size == 8 * config.num_labels
        assert header.tags.size == 8 * config.num_tags
        tensors = 4 + 12 * config.num_hidden_layers
        tensors += 4 * bool(config.labels) + 3 * bool(config.tags)
        assert header.tensors.size == 24 * tensors


def longest(v: bytes, word: bytes, continuation: bool = False) -> int:
    """Bytes of the longest piece that ``word`` begins with, by the document's words alone."""

    def number(at: int, size: int) -> int:
        return int.from_bytes(v[at : at + size], "little")

    size, num_shared = number(0, 4), number(4, 4)
    edges, codes, firsts, shared = 8, 8 + size, 520 + size, 2568 + size
    entry = number(firsts + 4 * (256 * continuation + word[0]), 4)
    found, at = entry >> 24 & 1, entry & 0xFFFFFF
    for i in range(1, len(word)):
        kind, label = 0, -1
        while label != word[i]:
            if kind & 16 or at >= size:
                return found
            code = v[edges + at]
            pair = edges + at + 1 if code == 255 else codes + 2 * code
            kind, label = v[pair : pair + 2]
            at += 3 if code == 255 else 1
            operand, at = number(edges + at, kind & 3), at + (kind & 3)
        if kind & 8:
            found = i + 1
        match kind & 7:
            case 0 | 1 | 2 | 3:
                at += operand
            case 4:
                at = size
            case 5:
                assert operand < num_shared
                at = number(shared + 3 * operand, 3)
    return found


@pytest.mark.parametrize("continuation", [False, True])
def test_a_reader_by_the_document_finds_what_the_library_finds(continuation: bool) -> None:
    blob = BERT_UNCASED.read_bytes()
    tokenizer, vocabulary = Tokenizer(blob), blob[ffi.sizeof("eb_tokenizer_header") :]
    text = "[UNK] unaffordable filmography zzyzx ##x łódź 映画 ² # 1999 internationalisation"
    for word in text.split():
        for start in range(len(word)):
            pieces = [word[start:end] for end in range(start + 1, len(word) + 1)]
            mark = "##" if continuation else ""
            known = [len(p.encode()) for p in pieces if _has(tokenizer, mark, p)]
            assert longest(vocabulary, word[start:].encode(), continuation) == max(known, default=0)


def _has(tokenizer: Tokenizer, mark: str, piece: str) -> bool:
    """An initial piece never begins with the mark, unless it is nothing else."""
    return mark + piece in tokenizer and (bool(mark) or piece[:2] != "##" or piece == "##")


def test_the_walks_through_the_example_end_as_told() -> None:
    assert "`dogs`" in DOCUMENT and "3 bytes" in DOCUMENT
    assert longest(EXAMPLE, b"dogs") == 3
    assert "`dirt`" in DOCUMENT and "0 bytes" in DOCUMENT
    assert longest(EXAMPLE, b"dirt") == 0
    assert longest(EXAMPLE, b"ing", continuation=True) == 3


def test_the_example_vocabulary_has_these_bytes() -> None:
    told = bytearray(len(EXAMPLE))
    firsts = slice(8 + 6 + 512, 8 + 6 + 512 + 2048)
    told[firsts] = (6).to_bytes(4, "little") * 512
    for offset, dump, _ in table_behind("### Example"):
        data = bytes.fromhex(dump)
        told[int(offset) : int(offset) + len(data)] = data
    assert told == EXAMPLE
    assert f"make {len(EXAMPLE)} bytes" in DOCUMENT


def test_the_onnx_example_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("onnxruntime", reason="needs the package onnxruntime")
    pytest.importorskip("onnx", reason="needs the package onnx")
    from edgebert.export.onnx import write_onnx

    write_onnx(random_spec(TAGGED), tmp_path / "model.onnx")
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    exec(code_with("onnxruntime"), names)
    told = {name: shape for _, name, _, shape, _ in table_behind("## .onnx")}
    found = {v.name: v.shape for v in [*_ends(names["session"])]}
    sizes = {name: getattr(TAGGED, name) for name in SIZES}
    for name, shape in told.items():
        axes = shape.strip("[]").split(", ")
        assert found.pop(name) == [sizes.get(axis, axis) for axis in axes]
    assert not found
    assert names["logits"].shape == (1, SMALL.num_labels)
    keys = [key for key, _ in table_behind("| metadata key")]
    assert sorted(keys) == sorted(names["session"].get_modelmeta().custom_metadata_map)


def test_graphs_that_start_at_tokens_take_what_is_told() -> None:
    onnxruntime = pytest.importorskip("onnxruntime", reason="needs the package onnxruntime")
    pytest.importorskip("onnx", reason="needs the package onnx")
    from edgebert.export.onnx import onnx_bytes
    from edgebert.export.recipe import Recipe

    session = onnxruntime.InferenceSession(onnx_bytes(random_spec(), Recipe(variant="portable")))
    found = [(v.name, v.type, v.shape) for v in session.get_inputs()]
    told = [
        (name, f"tensor({kind})", shape.strip("[]").split(", "))
        for _, name, kind, shape, _ in table_behind("### Graphs that start at tokens")
    ]
    assert found[:-2] == told


def test_the_tflite_example_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("ai_edge_litert", reason="needs the package ai-edge-litert")
    pytest.importorskip("tflite", reason="needs the package tflite")
    from edgebert.export.recipe import Recipe
    from edgebert.export.tflite import write_tflite

    write_tflite(random_spec(TAGGED), tmp_path / "model.tflite", Recipe(tokens=(16,)))
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    exec(code_with("get_signature_runner"), names)
    sizes = {"N": 16, **{name: getattr(TAGGED, name) for name in SIZES}}
    found = {**names["run"].get_input_details(), **names["run"].get_output_details()}
    for _, name, kind, _, shape, _ in table_behind("## .tflite"):
        axes = [sizes.get(axis, axis) for axis in shape.strip("[]").split(", ")]
        detail = found.pop(name)
        assert list(map(str, detail["shape"])) == list(map(str, axes))
        assert np.dtype(detail["dtype"]).name == kind
    assert not found
    assert names["logits"].shape == (1, SMALL.num_labels)
    keys = [key for key, _ in table_behind("| metadata key")]
    assert sorted(keys) == sorted(names["buffers"])


def _ends(session: Any) -> list[Any]:
    return [*session.get_inputs(), *session.get_outputs()]


def test_the_keys_of_a_checkpoint_are_those_that_are_written(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch", reason="needs the package torch")
    pytest.importorskip("transformers", reason="needs the package transformers")
    from edgebert.export.torch_zip import TorchFile
    from edgebert.train.bert import Predictions, build
    from edgebert.train.checkpoint import save, save_encoder

    state, answers = build(SMALL).state_dict(), Predictions(torch.zeros(1, SMALL.num_labels))
    save(tmp_path / "m.pt", SMALL, state, Tokenizer.word(), ["text"], answers, {})
    save_encoder(tmp_path / "e.pt", SMALL, state, Tokenizer.word(), {})
    with TorchFile(tmp_path / "m.pt") as model, TorchFile(tmp_path / "e.pt") as encoder:
        written = list({**model.content, **encoder.content})
    assert [key for key, *_ in table_behind("## model.pt")] == [*written, "vocabulary"]

"""What people read when a model's file is wrong, or what runs it."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import edgebert
from edgebert import litert, tflite
from edgebert.builtin import names
from edgebert.config import ModelConfig
from edgebert.engines import Outputs
from edgebert.engines.batches import check_sizes
from edgebert.engines.native import NativeEngine
from edgebert.export import write_model
from edgebert.export.recipe import Recipe
from edgebert.hash import HashEmbedding
from edgebert.metadata import CONFIG, TRANSITIONS, decode_metadata, encode_metadata, seal
from edgebert.native import NativeModel
from edgebert.sequence import from_texts
from edgebert.tokenizer import Tokenizer
from tests.custom_op_models import attributes, custom_options, tflite_model
from tests.heads import TAGS
from tests.messages import Cause, check, each, fail, file
from tests.models import SMALL, random_spec

DATA = Path(__file__).parent / "data"


def _config(**changes: Any) -> Cause:
    document = {**SMALL.to_dict(), **changes}
    return lambda *_: ModelConfig.from_dict(document)


def _hash(**changes: Any) -> Cause:
    return _config(hash={**SMALL.to_dict()["hash"], **changes})


CONFIGS: dict[str, Cause] = {
    "is incomplete: 'labels'": lambda *_: ModelConfig.from_dict({}),
    "is incomplete: 'hash'": lambda *_: ModelConfig.from_dict({"labels": []}),
    "is incomplete: 'list' object has no attribute 'items'": lambda *_: ModelConfig.from_dict([]),  # type: ignore[arg-type]
    "is invalid: hash must be an object": _config(hash=None),
    "unexpected keyword argument 'sha'": _hash(sha=1),
    "is invalid: labels must be a list": _config(labels="yes"),
    "is invalid: tags must be a list": _config(tags="O"),
    "is invalid: hidden_size must be 1 to 4096": _config(hidden_size=0),
    "is invalid: num_hidden_layers must be 1 to 64": _config(num_hidden_layers="2"),
    "is invalid: num_attention_heads must be 1 to 4096": _config(num_attention_heads=5000),
    "is invalid: intermediate_size must be 1 to 16384": _config(intermediate_size=1.5),
    "is invalid: max_position_embeddings must be 2 to 65536": _config(max_position_embeddings=1),
    "is invalid: type_vocab_size must be 1 to 256": _config(type_vocab_size=True),
    "is invalid: max_ngram must be 1 to 16": _hash(max_ngram=17),
    "is invalid: modulus must be 3 to 2147483647": _hash(modulus=2),
    "is invalid: base must be 1 to 2147483646": _hash(base=0),
    "is invalid: seed must be 0 to 4294967295": _hash(seed=-1),
    "is invalid: layer_norm_eps must be from 0.0 to below 1.0": _config(layer_norm_eps=1.0),
    "is invalid: heads must divide hidden_size": _config(num_attention_heads=7),
    "is invalid: hidden_act must be one of ('gelu',)": _config(hidden_act="relu"),
    "is invalid: task must be one of ('classification', 'regression', ": _config(task="ranking"),
    "is invalid: labels must be at most 65536 texts": _config(labels=["yes", 3]),
    "is invalid: classification and regression have labels, other": _config(task="embedding"),
    "is invalid: tags must be at most 4096 of the form O, B-name or I-name": _config(tags=["x"]),
    "is invalid: no tag may come twice": _config(tags=["O", "O"]),
    "is invalid: tagging has tags": _config(task="tagging", labels=[]),
    "is invalid: embedding has no tags": _config(task="embedding", labels=[], tags=["O"]),
    "is invalid: regression has one label": _config(task="regression"),
    "is invalid: hash family must be one of ('poly', 'murmur3')": _hash(family="sha"),
    "is invalid: the hash dimension must be hidden_size": _hash(dimension=8),
    "is invalid: the hash modulus must be odd": _hash(modulus=1_000_000),
    "is invalid: the hash base must be below its modulus": _hash(base=31, modulus=31),
    "is invalid: boundary_marks must be true or false": _hash(boundary_marks=1),
}


@each(CONFIGS)
def test_a_config_that_no_model_has_is_refused_by_its_rule(
    message: str, cause: Cause, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    check(message, cause, tmp_path, monkeypatch)


def _wrong_isa(folder: Path, patch: pytest.MonkeyPatch) -> None:
    patch.setenv("EDGEBERT_ISA", "mmx")
    edgebert.load()


def _no_right_to_read(folder: Path, patch: pytest.MonkeyPatch) -> None:
    path = file(folder / "m.onnx", b"a graph")
    patch.setattr(Path, "read_bytes", fail(PermissionError(13, "Permission denied")))
    pytest.importorskip("onnxruntime", reason="needs the package onnxruntime")
    edgebert.load(path)


def _header(position: int, value: bytes) -> Cause:
    """Loads an .ebm whose bytes from a position on are others; its checksum comes first."""

    def load(folder: Path, _: pytest.MonkeyPatch) -> None:
        data = bytearray((DATA / "small.ebm").read_bytes())
        data[position : position + len(value)] = value
        edgebert.load(file(folder / "m.ebm", bytes(data)))

    return load


def _too_many_tokens(*_: Any) -> None:
    NativeModel(DATA / "small.ebm").arena_size(100_000)


def _metadata(**changes: str) -> Cause:
    entries = encode_metadata(SMALL, b"tokenizer")
    names = {"config": CONFIG, "transitions": TRANSITIONS}
    entries.update({names[name]: value for name, value in changes.items()})
    return lambda *_: decode_metadata(entries)


def _sealed_noise(suffix: str, package: str) -> Cause:
    def load(folder: Path, _: pytest.MonkeyPatch) -> None:
        pytest.importorskip(package, reason=f"needs the package {package}")
        noise = bytes(range(64)) + b"edgebert.crc32" + b"00000000"
        edgebert.load(file(folder / f"m{suffix}", seal(noise)))

    return load


def _nan(folder: Path, patch: pytest.MonkeyPatch) -> None:
    patch.setattr(
        "edgebert.engines.native.NativeEngine.run_texts",
        lambda self, texts: (Outputs(np.full((1, 2), np.nan), np.zeros((1, 128))), [0]),
    )
    edgebert.load().infer("a gripping film")


FILES: dict[str, Cause] = {
    "the engine native gives [nan, nan]: upgrade its package, or export the model again": _nan,
    "tokenizer: the file is truncated: it is shorter than its header says": lambda *_: Tokenizer(
        b""
    ),
    "a pair of texts takes 3 tokens or more; the model has 2": lambda *_: from_texts(
        Tokenizer.word(), [("a", "b")], 2
    ),
    f"no model is called 'hone': did you mean home? there are {', '.join(names())}; a file's name "
    "has a suffix, as in model.ebm": lambda *_: edgebert.load("hone"),
    "m.pdf has none of the known suffixes .ebm, .onnx, .tflite, .pt": lambda folder, _: (
        edgebert.load(file(folder / "m.pdf", b"x"))
    ),
    "m.ebm does not exist": lambda folder, _: edgebert.load(folder / "m.ebm"),
    "m.ebm is not a file": lambda folder, _: edgebert.load(
        file(folder / "m.ebm" / "x", b"").parent
    ),
    "m.onnx: Permission denied": _no_right_to_read,
    "m.ebm: the file is empty": lambda folder, _: edgebert.load(file(folder / "m.ebm", b"")),
    "m.ebm: not an edgebert model (.ebm) file": _header(0, b"x"),
    "m.ebm: the file was made by a newer edgebert: update edgebert": _header(4, b"\xff"),
    "m.ebm: the file is damaged: its checksum is wrong": _header(-1, b"x"),
    "m.ebm: the file is truncated: it is shorter than its header says": lambda folder, _: (
        edgebert.load(file(folder / "m.ebm", (DATA / "small.ebm").read_bytes()[:-100]))
    ),
    "more tokens than the model has positions": _too_many_tokens,
    "EDGEBERT_ISA=mmx: this build or processor has no such instruction set; unset it": _wrong_isa,
    "hash parameters HashParams(family='poly', dimension=0": lambda *_: HashEmbedding(
        replace(SMALL.hash, dimension=0)
    ),
    "the metadata is damaged: Expecting value": _metadata(config="no JSON"),
    "the metadata is damaged: bad base85 character at position 0": _metadata(transitions='"'),
    "the metadata is damaged: the transitions are not those of its tags": _metadata(
        transitions="00"
    ),
    "not exported by edgebert: the metadata lacks edgebert.config, edgebert.tokenizer": (
        lambda *_: decode_metadata({})
    ),
    "it does not give the tag_logits that its metadata tell of": lambda *_: check_sizes(
        replace(SMALL, tags=TAGS), {"logits": (1, 3), "pooled": (1, 24)}
    ),
    "its pooled are not of the size 24 that its metadata tell": lambda *_: check_sizes(
        SMALL, {"logits": (1, 3), "pooled": (1, 8)}
    ),
    "m.onnx: ONNX Runtime cannot load it: ": _sealed_noise(".onnx", "onnxruntime"),
    "m.tflite: not a .tflite file: ": _sealed_noise(".tflite", "tflite"),
}


@each(FILES)
def test_a_file_that_is_no_model_is_refused_with_why(
    message: str, cause: Cause, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    check(message, cause, tmp_path, monkeypatch)


def _graph(folder: Path, *shape: int, resizable: bool = True, noise: bool = False) -> Any:
    """A graph with the operator, compiled by LiteRT."""
    pytest.importorskip("ai_edge_litert", reason="needs the package ai-edge-litert")
    pytest.importorskip("tflite", reason="needs the package tflite")
    if not Path(tflite.library_path()).is_file():
        pytest.skip("needs the library of operators")
    model = tflite_model(custom_options(attributes(SMALL.hash)), shape, resizable=resizable)
    path = file(folder / "m.tflite", b"noise" if noise else model)
    with tflite.without_reports():
        return litert.CompiledGraph(path)


def _run(*shape: int, lengths: Any = np.int32, resizable: bool = True, value: int = 1) -> Cause:
    def run(folder: Path, _: pytest.MonkeyPatch) -> None:
        graph = _graph(folder, 1, 1, 1, resizable=resizable)
        token_lengths = np.full(shape[:-1], value, lengths)
        graph.run({"token_bytes": np.zeros(shape, np.uint8), "token_lengths": token_lengths})

    return run


def _old_litert(folder: Path, patch: pytest.MonkeyPatch) -> None:
    """Its library lacks what ours needs: here, it is another one."""
    package = SimpleNamespace(__file__=str(folder / "__init__.py"))
    patch.setitem(sys.modules, "ai_edge_litert", package)
    (folder / "libLiteRt.so").symlink_to(edgebert._native.__file__)
    litert._libraries.__wrapped__()


def _old_tflite_runtime(folder: Path, patch: pytest.MonkeyPatch) -> None:
    wrapper = SimpleNamespace(__file__=edgebert._native.__file__)
    interpreter = SimpleNamespace(_interpreter_wrapper=wrapper)
    patch.setitem(sys.modules, "tflite_runtime", SimpleNamespace(interpreter=interpreter))
    tflite._add_custom.__wrapped__()


def _interpreter(**methods: Any) -> Any:
    """A module of an interpreter with one signature, whose runner takes anything."""
    runner = SimpleNamespace(get_input_details=dict, get_output_details=dict)
    made = SimpleNamespace(
        allocate_tensors=lambda: None,
        get_signature_list=lambda: ["tokens"],
        get_signature_runner=lambda key: runner,
    )
    names = {"__name__": "tflite_runtime.interpreter", "Interpreter": lambda **_: made}
    return SimpleNamespace(**{**names, **methods})


def _interpreter_that_fails(folder: Path, _: pytest.MonkeyPatch) -> None:
    graph = tflite.InterpreterGraph(_interpreter(), folder / "m.tflite")
    graph._runners["tokens"] = fail(ValueError("Got value of type INT64 but expected INT32"))
    graph.run({})


def _no_signature(folder: Path, patch: pytest.MonkeyPatch) -> None:
    graph = SimpleNamespace(signatures={})
    patch.setattr("edgebert.engines.tflite.open_graph", lambda *_: graph)
    pytest.importorskip("tflite", reason="needs the packages tflite and flatbuffers")
    write_model(random_spec(), folder / "m.tflite", Recipe(tokens=(2,)))
    edgebert.load(folder / "m.tflite")


def _engine(folder: Path) -> NativeEngine:
    path = folder / "m.ebm"
    write_model(random_spec(), path)
    return NativeEngine(path)


def _cut_for_another_model(folder: Path, _: pytest.MonkeyPatch) -> None:
    """Sequences that the caller cut himself, for another model."""
    engine = _engine(folder)
    engine.run(from_texts(engine.tokenizer, ["one " * 30], 25))


def _no_room_for_specials(folder: Path, _: pytest.MonkeyPatch) -> None:
    """No file says so; a configuration that was changed by hand does."""
    engine = _engine(folder)
    engine.config = replace(engine.config)
    object.__setattr__(engine.config, "max_position_embeddings", 1)
    engine.run_texts(["one"])


RUNTIMES: dict[str, Cause] = {
    "more tokens than the model has positions": _cut_for_another_model,
    "the memory given is too small": _no_room_for_specials,
    "LiteRT cannot load m.tflite": lambda folder, _: _graph(folder, 1, 1, 1, noise=True),
    "needs the input token_lengths as int32": _run(1, 1, 1, lengths=np.int64),
    "LiteRT failed with status ": _run(1, 2, 1, resizable=False),
    ": pip install --upgrade ai-edge-litert, or export the model again": _run(
        1, 2, 1, resizable=False
    ),
    "LiteRT: edgebert.HashEmbedding: token 0 has length 9, but room for 8 bytes": _run(
        1, 1, 8, value=9
    ),
    "this ai-edge-litert takes no custom operators: pip install 'ai-edge-litert>=2.1.6'": (
        _old_litert
    ),
    "this tflite-runtime takes no custom operators: pip install tflite-runtime==2.14.0": (
        _old_tflite_runtime
    ),
    "tflite_runtime does not start: it needs Python 3.11 or older and pip install 'numpy<2'": (
        lambda folder, _: tflite.InterpreterGraph(
            _interpreter(Interpreter=fail(SystemError("initialization failed"))), folder
        )
    ),
    "tflite_runtime cannot load m.tflite: no model": lambda folder, _: tflite.InterpreterGraph(
        _interpreter(Interpreter=fail(ValueError("no model\nand more"))), folder / "m.tflite"
    ),
    "tflite_runtime: Got value of type INT64 but expected INT32": _interpreter_that_fails,
    "m.tflite: it has no signature that takes tokens": _no_signature,
}


@each(RUNTIMES)
def test_a_runtime_that_will_not_do_is_named(
    message: str, cause: Cause, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    check(message, cause, tmp_path, monkeypatch)

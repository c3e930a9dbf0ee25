"""Reads a Hugging Face folder: config.json, model.safetensors, vocab.txt.

Its config.json needs an entry that says how the word embeddings were computed, and may hold a
checksum, because safetensors files have none::

    "edgebert": {"hash": {"family": "poly", "dimension": 128, ...},
                 "tokenizer": "wordpiece",
                 "crc32": "89abcdef"}
"""

from __future__ import annotations

import json
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from edgebert.config import BERT_FIELDS, ModelConfig
from edgebert.errors import MissingPackageError, ModelError
from edgebert.export.checkpoint import Checkpoint, checked_state
from edgebert.export.dtypes import from_bytes
from edgebert.export.hash_table import LearnedTableError, check_table
from edgebert.export.roles import WORD_EMBEDDINGS, state_shapes
from edgebert.export.vocabulary import build_tokenizer, read_vocab_txt

# Options of BertConfig that change what is computed: the values that a classifier has.
_FIXED = {"model_type": "bert", "position_embedding_type": "absolute", "is_decoder": False}


def read_folder(folder: Path) -> Checkpoint:
    """Read a folder of ``save_pretrained``; ModelError or LearnedTableError if that fails."""
    document = _json(folder / "config.json")
    extra = document.get("edgebert")
    if not isinstance(extra, dict):
        raise LearnedTableError(
            'its config.json has no entry "edgebert" with the hash: the word embeddings are a '
            "learned table"
        )
    config = _config(document, extra)
    vocabulary = _vocabulary(folder / "vocab.txt")
    tensors = _safetensors(folder / "model.safetensors", extra.get("crc32"))
    if WORD_EMBEDDINGS in tensors:
        check_table(tensors[WORD_EMBEDDINGS], vocabulary, config.hash)
    state = checked_state(
        state_shapes(config),
        {name: values.shape for name, values in tensors.items()},
        tensors.__getitem__,
    )
    return Checkpoint(config, state, _tokenizer(folder, extra, vocabulary))


def _config(document: dict[str, Any], extra: dict[str, Any]) -> ModelConfig:
    for name, value in _FIXED.items():
        if document.get(name, value) != value:
            raise ModelError(f"its {name} is {document[name]!r:.40}; edgebert reads {value!r} only")
    if document.get("problem_type") == "multi_label_classification":
        raise ModelError("it gives several labels at once; edgebert has classifiers of one label")
    names = document.get("id2label", {"0": "LABEL_0", "1": "LABEL_1"})
    if not isinstance(names, dict) or set(names) != {str(i) for i in range(len(names))}:
        raise ModelError("the id2label of its config.json does not number the labels from 0")
    missing = [name for name in BERT_FIELDS if name not in document]
    if missing:
        raise ModelError(f"its config.json has no {missing[0]}")
    labels = [names[str(i)] for i in range(len(names))]
    return ModelConfig.from_dict(
        {
            **{name: document[name] for name in BERT_FIELDS},
            "task": "regression" if len(labels) == 1 else "classification",
            "labels": labels,
            "hash": extra.get("hash"),
        }
    )


def _json(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(_read(path))
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{path.name} is not JSON: {error}") from error
    if not isinstance(document, dict):
        raise ModelError(f"{path.name} is not a JSON object")
    return document


def _vocabulary(path: Path) -> list[str]:
    try:
        return read_vocab_txt(path)
    except FileNotFoundError as error:
        raise ModelError(f"the folder has no {path.name}") from error


def _safetensors(path: Path, checksum: object) -> dict[str, np.ndarray]:
    try:
        import safetensors
    except ImportError as error:
        raise MissingPackageError(
            "reading .safetensors files needs a package: pip install 'edgebert[export]'"
        ) from error
    data = _read(path)
    if checksum is not None and checksum != f"{zlib.crc32(data):08x}":
        raise ModelError(f"{path.name} is damaged, or changed since config.json was written")
    try:
        tensors = safetensors.deserialize(data)  # type: ignore[no-untyped-call]
    except safetensors.SafetensorError as error:
        raise ModelError(f"{path.name} is damaged: {error}") from error
    try:
        return {
            name: from_bytes(tensor["data"], tensor["dtype"]).reshape(tensor["shape"])
            for name, tensor in tensors
        }
    except KeyError as error:
        raise ModelError(f"{path.name} holds elements of type {error}") from error


def _tokenizer(folder: Path, extra: dict[str, Any], vocabulary: list[str]) -> bytes:
    options = folder / "tokenizer_config.json"
    lowercase = _json(options).get("do_lower_case", True) if options.exists() else True
    if type(lowercase) is not bool:
        raise ModelError(f"the do_lower_case of its {options.name} is neither true nor false")
    return build_tokenizer(extra.get("tokenizer", "wordpiece"), vocabulary, lowercase)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise ModelError(f"the folder has no {path.name}") from error

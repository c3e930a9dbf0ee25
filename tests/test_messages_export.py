"""What people read when a checkpoint is wrong, or cannot be exported as they ask."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgebert.config import BERT_FIELDS, HashParams
from edgebert.export import checkpoint, hugging_face, vocabulary
from edgebert.export.checkpoint import checked_state, read_checkpoint
from edgebert.export.hash_table import check_table
from edgebert.export.roles import WORD_EMBEDDINGS
from edgebert.export.torch_pickle import MAX_BYTES, read_pickle
from edgebert.export.torch_zip import TorchFile
from tests.messages import Cause, check, each, file, without, zip_file
from tests.models import SMALL

TINY = Path(__file__).parent / "data" / "tiny.pt"
TABLE = np.zeros((1, 8), np.float32)


def _foreign(data: bytes) -> Cause:
    return lambda folder, _: read_checkpoint(file(folder / "m.pt", data))


def _zipped(*names: str, compression: int = zipfile.ZIP_STORED) -> Cause:
    return lambda folder, _: read_checkpoint(
        zip_file(folder / "m.pt", *names, compression=compression)
    )


def _damaged(edit: Callable[[dict[str, bytes]], Any]) -> Cause:
    """Reads a checkpoint with other entries in its zip."""

    def read(folder: Path, _: pytest.MonkeyPatch) -> None:
        with zipfile.ZipFile(TINY) as source:
            entries = {name.partition("/")[2]: source.read(name) for name in source.namelist()}
        edit(entries)
        with zipfile.ZipFile(folder / "m.pt", "w") as target:
            for name, data in entries.items():
                target.writestr(f"m/{name}", data)
        read_checkpoint(folder / "m.pt")

    return read


def _flipped(folder: Path, _: pytest.MonkeyPatch) -> None:
    path = zip_file(folder / "m.pt", "m/data.pkl")
    data = bytearray(path.read_bytes())
    data[data.index(b"\x80\x02}.")] ^= 1
    read_checkpoint(file(path, bytes(data)))


def _content(edit: Callable[[dict[str, Any]], Any]) -> Cause:
    """Reads a checkpoint of which other things were saved."""

    class Edited(TorchFile):
        def __init__(self, path: Path) -> None:
            super().__init__(path)
            edit(self.content)

    def read(_: Path, patch: pytest.MonkeyPatch) -> None:
        patch.setattr(checkpoint, "TorchFile", Edited)
        read_checkpoint(TINY)

    return read


def _probe(**changes: Any) -> Cause:
    """Reads one whose probe has a tensor of the weights, or something else, in its place."""

    def edit(content: dict[str, Any]) -> None:
        tensor = next(iter(content["state_dict"].values()))
        content["probe"].update({k: tensor if v is None else v for k, v in changes.items()})

    return _content(edit)


CHECKPOINTS: dict[str, Cause] = {
    "m.pt: cannot be read: No such file or directory": lambda folder, _: read_checkpoint(
        folder / "m.pt"
    ),
    "m.pt: the file is empty": _foreign(b""),
    "m.pt: not a checkpoint: neither a file of torch.save nor a folder": _foreign(b"text\tlabel"),
    "m.pt: the file is damaged or truncated: its zip has no directory": _foreign(
        TINY.read_bytes()[:5000]
    ),
    "in PyTorch's format before 1.6: open it in PyTorch and torch.save it again": _foreign(
        bytes(257) + b"ustar" + bytes(300)
    ),
    "a zip file, but not one that torch.save wrote": _zipped("a/data.pkl", "b/data.pkl"),
    "a TorchScript archive: save the model's state dict instead": _zipped(
        "a/data.pkl", "a/constants.pkl"
    ),
    "the file is compressed: open it in PyTorch and torch.save it again": _zipped(
        "a/data.pkl", "a/version", compression=zipfile.ZIP_DEFLATED
    ),
    "the file was saved on a big-endian machine": _zipped("a/data.pkl", "a/byteorder"),
    "the file is damaged: data/0 is missing": _damaged(lambda entries: entries.pop("data/0")),
    "the file is damaged: storage 0 has a wrong size": _damaged(
        lambda entries: entries.update({"data/0": b""})
    ),
    "the file is damaged: data/0 is too large": _damaged(
        lambda entries: entries.update({"data/0": entries["data/0"] + b"more"})
    ),
    "the file is damaged: Bad CRC-32 for file": _flipped,
    "its pickle has 4194305 bytes, more than 4194304": lambda *_: read_pickle(bytes(MAX_BYTES + 1)),
    "its pickle is malformed: ": lambda *_: read_pickle(b"\x80\x02\xff."),
    "its pickle has no end; it was not read any further and nothing of it was run": lambda *_: (
        read_pickle(b"\x80\x02}")
    ),
    "saved by another program: edgebert reads its own .pt, and folders of save_pretrained": (
        _content(lambda content: content.pop("edgebert"))
    ),
    "made by a newer edgebert: update edgebert to read it": _content(
        lambda content: content.update(edgebert=9)
    ),
    "a pretrained encoder without a head: edgebert train --init starts from it": _content(
        lambda content: content.update(kind="encoder")
    ),
    "not a checkpoint of edgebert: its 'config' is not a dict": _content(
        lambda content: content.update(config=[])
    ),
    "its tokenizer is not of bytes": _content(
        lambda content: content.update(tokenizer=next(iter(content["state_dict"].values())))
    ),
    "it holds word embeddings but no vocabulary to check them with; to keep its encoder, save ": (
        _content(
            lambda content: content["state_dict"].update(
                {WORD_EMBEDDINGS: next(iter(content["state_dict"].values()))}
            )
        )
    ),
    "its probe's logits have shape (6, 8)": _probe(logits=None),
    "its probe's pooled have shape (6, 8)": _probe(pooled=None),
    "its probe's tags have shape (6, 8)": _probe(tags=None),
    'its "probe\'s tags" is not a StoredTensor': _probe(tags=[1]),
    "its probe holds something that is not a text or a pair of texts": _probe(texts=["a", ["b"]]),
    "the state dict of a BERT classifier has 'a' and 1 more, this has not": lambda *_: (
        checked_state({"a": (1,), "b": (1,)}, {}, lambda name: TABLE)
    ),
    "no BERT classifier of this config has 'x'": lambda *_: checked_state(
        {"a": (1,)}, {"a": (1,), "x": (1,)}, lambda name: TABLE
    ),
    "a has shape (2,), its config says (1,)": lambda *_: checked_state(
        {"a": (1,)}, {"a": (2,)}, lambda name: TABLE
    ),
    "a holds int64, not floating-point numbers": lambda *_: checked_state(
        {"a": (1,)}, {"a": (1,)}, lambda name: np.zeros(1, np.int64)
    ),
    "a holds values that are not finite: the training diverged": lambda *_: checked_state(
        {"a": (1,)}, {"a": (1,)}, lambda name: np.full(1, np.nan)
    ),
    "its word embeddings have shape (1, 8), the hash of its vocabulary (2, 8)": lambda *_: (
        check_table(TABLE, ["a", "b"], HashParams(dimension=8))
    ),
    "its word embeddings are a learned table (the row of 'a' is not the hash of it)": lambda *_: (
        check_table(TABLE, ["a"], HashParams(dimension=8))
    ),
}


@each(CHECKPOINTS)
def test_a_checkpoint_that_is_wrong_is_refused_with_why(
    message: str, cause: Cause, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    check(message, cause, tmp_path, monkeypatch)


def _folder_config(**changes: Any) -> Cause:
    values = SMALL.to_dict()
    document = {name: values[name] for name in BERT_FIELDS} | changes
    document = {name: value for name, value in document.items() if value is not ...}
    return lambda *_: hugging_face._config(document, {"hash": values["hash"]})


def _safetensors_of(dtype: str) -> bytes:
    header = json.dumps({"a": {"dtype": dtype, "shape": [1], "data_offsets": [0, 1]}}).encode()
    return len(header).to_bytes(8, "little") + header + b"\0"


def _safetensors(data: bytes, checksum: str | None = None) -> Cause:
    def read(folder: Path, _: pytest.MonkeyPatch) -> None:
        pytest.importorskip("safetensors", reason="needs the package safetensors")
        hugging_face._safetensors(file(folder / "m.safetensors", data), checksum)

    return read


def _no_safetensors(folder: Path, patch: pytest.MonkeyPatch) -> None:
    without(patch, "safetensors")
    hugging_face._safetensors(folder / "m.safetensors", None)


def _small_vocabulary(folder: Path, patch: pytest.MonkeyPatch) -> None:
    patch.setattr(vocabulary, "_FINAL_ENTRY", 4)
    vocabulary.build_tokenizer("wordpiece", ["several", "pieces"], True)


FOLDERS: dict[str, Cause] = {
    "the folder has no config.json": lambda folder, _: read_checkpoint(folder),
    "config.json is not JSON: ": lambda folder, _: hugging_face._json(
        file(folder / "config.json", "{")
    ),
    "config.json is not a JSON object": lambda folder, _: hugging_face._json(
        file(folder / "config.json", "[]")
    ),
    'its config.json has no entry "edgebert" with the hash: the word embeddings are a learned': (
        lambda folder, _: read_checkpoint(file(folder / "config.json", "{}").parent)
    ),
    "its model_type is 'roberta'; edgebert reads 'bert' only": _folder_config(model_type="roberta"),
    "its is_decoder is True; edgebert reads False only": _folder_config(is_decoder=True),
    "its position_embedding_type is 'relative_key'; edgebert reads 'absolute' only": (
        _folder_config(position_embedding_type="relative_key")
    ),
    "it gives several labels at once; edgebert has classifiers of one label": _folder_config(
        problem_type="multi_label_classification"
    ),
    "the id2label of its config.json does not number the labels from 0": _folder_config(
        id2label={"1": "a"}
    ),
    "its config.json has no hidden_size": _folder_config(hidden_size=...),
    "the folder has no vocab.txt": lambda folder, _: hugging_face._vocabulary(folder / "vocab.txt"),
    "vocab.txt is not UTF-8 text: ": lambda folder, _: hugging_face._vocabulary(
        file(folder / "vocab.txt", b"\xff\n")
    ),
    "m.safetensors is damaged: ": _safetensors(b"{}"),
    "m.safetensors is damaged, or changed since config.json was written": _safetensors(
        _safetensors_of("U8"), "00000000"
    ),
    "m.safetensors holds elements of type ": _safetensors(_safetensors_of("F8_E5M2")),
    "reading .safetensors files needs a package: pip install 'edgebert[export]'": _no_safetensors,
    "the do_lower_case of its tokenizer_config.json is neither true nor false": lambda folder, _: (
        hugging_face._tokenizer(
            file(folder / "tokenizer_config.json", '{"do_lower_case": 3}').parent, {}, []
        )
    ),
    "unknown tokenizer 'bytes': one of wordpiece, word": lambda *_: vocabulary.build_tokenizer(
        "bytes"
    ),
    "'\\ud800' has a lone surrogate: no text can hold it": lambda *_: vocabulary.build_tokenizer(
        "wordpiece", ["\ud800"], True
    ),
    "the vocabulary is larger than 16 MB: leave out rare pieces": _small_vocabulary,
}


@each(FOLDERS)
def test_a_hugging_face_folder_that_is_wrong_is_refused_with_why(
    message: str, cause: Cause, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    check(message, cause, tmp_path, monkeypatch)

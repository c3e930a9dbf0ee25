"""Reads trained checkpoints: ``model.pt`` of ``edgebert train``, or a Hugging Face folder.

Reading executes no code from the file and needs no PyTorch. Everything is checked, so that what
comes out is a model: names, shapes, finite values, and that word embeddings, if there are any,
are the hash and not a learned table.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edgebert.config import ModelConfig
from edgebert.errors import ModelError
from edgebert.export.hash_table import LearnedTableError, check_table
from edgebert.export.roles import WORD_EMBEDDINGS, encoder_shapes, state_shapes
from edgebert.export.torch_pickle import StoredTensor
from edgebert.export.torch_zip import TorchFile
from edgebert.tokenizer import Tokenizer

FORMAT_VERSION = 1  # value of "edgebert" in a model.pt
ENCODER = "encoder"  # value of "kind" in one without a head
NO_TAG = -1  # in the tags of a probe, behind a text's last token

# Buffers that some versions of Transformers save; their values follow from the config.
_IGNORED = {"bert.embeddings.position_ids", "bert.embeddings.token_type_ids"}


@dataclass(frozen=True)
class Probe:
    """What PyTorch answered when the checkpoint was saved, to compare exports with.

    Attributes:
        texts: texts, or pairs of texts.
        logits: float32 [len(texts), num_labels].
        pooled: float32 [len(texts), hidden_size]; None if it was not saved.
        tags: the number of each token's tag, [CLS] and [SEP] included, int64 [len(texts), longest],
            NO_TAG behind the last; None if it was not saved.
    """

    texts: tuple[str | tuple[str, str], ...]
    logits: np.ndarray
    pooled: np.ndarray | None = None
    tags: np.ndarray | None = None


@dataclass(frozen=True)
class Checkpoint:
    """A trained model as it was saved.

    Attributes:
        config: its shape, labels and hash.
        state: float32 weights by Hugging Face name, exactly those of roles.state_shapes(), or
            encoder_shapes() of one without a head.
        tokenizer: the tokenizer section (docs/format.md).
        probe: None if the checkpoint has none.
    """

    config: ModelConfig
    state: dict[str, np.ndarray]
    tokenizer: bytes
    probe: Probe | None = None


def read_checkpoint(path: str | os.PathLike[str], needs_head: bool = True) -> Checkpoint:
    """Read a ``model.pt`` or a folder of ``save_pretrained``.

    Args:
        path: file or folder.
        needs_head: refuse what ``edgebert pretrain`` writes: an encoder without a head.

    Raises:
        ModelError: it is missing, damaged, foreign, of another architecture, or its word
            embeddings were learned. One line, which says what to do.
    """
    path = Path(path)
    try:
        if path.is_dir():
            from edgebert.export.hugging_face import read_folder

            return read_folder(path)
        return _read_torch_file(path, needs_head)
    except LearnedTableError as error:
        first = "" if path.is_dir() else "save it as a folder, model.save_pretrained('DIR'), and "
        raise ModelError(
            f"{path}: {error}; to keep its encoder, {first}train it behind the hash instead: "
            f"edgebert train --init {path if path.is_dir() else 'DIR'} "
            "--data train.tsv --dev dev.tsv -o model.pt"
        ) from error
    except ModelError as error:
        raise ModelError(f"{path}: {' '.join(str(error).split())}") from error  # one line
    except OSError as error:
        raise ModelError(f"{path}: cannot be read: {error.strerror}") from error


def _read_torch_file(path: Path, needs_head: bool) -> Checkpoint:
    with TorchFile(path) as file:
        content = _expect(file.content, dict, "content")
        version = content.get("edgebert")
        if version is None:
            raise ModelError(
                "saved by another program: edgebert reads its own .pt, and folders of "
                "save_pretrained (docs/training.md)"
            )
        if version != FORMAT_VERSION:
            raise ModelError("made by a newer edgebert: update edgebert to read it")
        config = ModelConfig.from_dict(_expect(content.get("config"), dict, "config"))
        has_head = content.get("kind") != ENCODER
        if needs_head and not has_head:
            raise ModelError(
                "a pretrained encoder without a head: edgebert train --init starts from it"
            )
        tensors = _expect(content.get("state_dict"), dict, "state_dict")
        for name, tensor in tensors.items():
            _expect(tensor, StoredTensor, name)
        tokenizer = file.array(_expect(content.get("tokenizer"), StoredTensor, "tokenizer"))
        if tokenizer.dtype != np.uint8:
            raise ModelError("its tokenizer is not of bytes")
        if WORD_EMBEDDINGS in tensors:
            check_table(
                file.array(tensors[WORD_EMBEDDINGS]), content.get("vocabulary"), config.hash
            )
        return Checkpoint(
            config,
            checked_state(
                state_shapes(config) if has_head else encoder_shapes(config),
                {name: tensor.shape for name, tensor in tensors.items()},
                lambda name: file.array(tensors[name]),
            ),
            Tokenizer(tokenizer.tobytes()).blob,
            _probe(content.get("probe"), config, file.array),
        )


def checked_state(
    expected: Mapping[str, tuple[int, ...]],
    shapes: Mapping[str, tuple[int, ...]],
    read: Callable[[str], np.ndarray],
) -> dict[str, np.ndarray]:
    """The weights as float32, once their names and shapes are those that a config expects."""
    missing = [name for name in expected if name not in shapes]
    unexpected = [
        name for name in shapes if name not in expected and name not in {*_IGNORED, WORD_EMBEDDINGS}
    ]
    if missing:
        raise ModelError(f"the state dict of a BERT classifier has {_list(missing)}, this has not")
    if unexpected:
        raise ModelError(f"no BERT classifier of this config has {_list(unexpected)}")
    for name, shape in expected.items():
        if shapes[name] != shape:
            raise ModelError(f"{name} has shape {shapes[name]}, its config says {shape}")
    return {name: _finite(name, read(name)) for name in expected}


def _finite(name: str, values: np.ndarray) -> np.ndarray:
    if values.dtype.kind != "f":
        raise ModelError(f"{name} holds {values.dtype}, not floating-point numbers")
    with np.errstate(over="ignore"):  # a float64 beyond float32 becomes infinite: refused below
        values = values.astype(np.float32)
    if not np.isfinite(values).all():
        raise ModelError(f"{name} holds values that are not finite: the training diverged")
    return values


def _probe(
    probe: Any, config: ModelConfig, read: Callable[[StoredTensor], np.ndarray]
) -> Probe | None:
    if probe is None:
        return None
    texts = _expect(_expect(probe, dict, "probe").get("texts"), list, "probe's texts")

    def vectors(name: str, size: int) -> np.ndarray:
        values = _expect(probe.get(name), StoredTensor, f"probe's {name}")
        if values.shape != (len(texts), size):
            raise ModelError(f"its probe's {name} have shape {values.shape}")
        return _finite("probe", read(values))

    none = np.empty((len(texts), 0), np.float32)
    logits = vectors("logits", config.num_labels) if config.labels else none
    pooled = vectors("pooled", config.hidden_size) if "pooled" in probe else None
    tags = None
    if "tags" in probe:
        tags = read(_expect(probe["tags"], StoredTensor, "probe's tags"))
        if tags.dtype != np.int64 or tags.ndim != 2 or len(tags) != len(texts):
            raise ModelError(f"its probe's tags have shape {tags.shape}")
    return Probe(tuple(map(_text, texts)), logits, pooled, tags)


def _text(text: Any) -> str | tuple[str, str]:
    match text:
        case str():
            return text
        case [str(a), str(b)]:
            return a, b
    raise ModelError("its probe holds something that is not a text or a pair of texts")


def _expect(value: Any, kind: type, what: str) -> Any:
    if type(value) is not kind:
        raise ModelError(f"not a checkpoint of edgebert: its {what!r:.80} is not a {kind.__name__}")
    return value


def _list(names: list[str]) -> str:
    return f"{names[0]!r:.80}" + (f" and {len(names) - 1} more" if len(names) > 1 else "")

"""Weights to start from: another model's encoder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch

from edgebert.errors import ModelError
from edgebert.export.checkpoint import read_checkpoint
from edgebert.export.roles import WORD_EMBEDDINGS
from edgebert.train.bert import Bert


def load_encoder(model: Bert, path: Path) -> tuple[list[str], list[str]]:
    """Take every weight of ``path`` that fits the model by name and shape.

    The word embeddings are never taken: the hash stands in their place.

    Args:
        model: is changed.
        path: a ``model.pt`` of ours, a Hugging Face folder (model.safetensors), or an ``.npz``
            with Hugging Face's names.

    Returns:
        The names of the weights that were taken, and of those that kept their fresh values.

    Raises:
        ModelError: the file cannot be read, or no weight of its encoder fits.
    """
    taken, fresh = take_weights(model, _weights(path))
    if not any(".encoder.layer." in name for name in taken):
        raise ModelError(
            f"{path}: no weight of its encoder has the shape of this preset's: choose the --preset "
            "of its size"
        )
    return taken, fresh


def take_weights(model: Bert, source: Mapping[str, np.ndarray]) -> tuple[list[str], list[str]]:
    """:func:`load_encoder` from weights by name, which may have none that fits."""
    target = model.state_dict()
    target.pop(WORD_EMBEDDINGS)
    taken = [name for name in target if name in source and source[name].shape == target[name].shape]
    with torch.no_grad():
        for name in taken:
            target[name].copy_(torch.from_numpy(source[name].astype(np.float32)))
    return taken, [name for name in target if name not in taken]


def _weights(path: Path) -> dict[str, np.ndarray]:
    """Weights by the name that they have in a ``BertForSequenceClassification``."""
    if not path.exists():
        raise ModelError(f"{path} does not exist")
    if path.is_file() and path.suffix == ".pt":
        return read_checkpoint(path, needs_head=False).state
    try:
        if path.suffix == ".npz":
            with np.load(path, allow_pickle=False) as file:
                weights = dict(file)
        else:
            from safetensors.numpy import load_file

            weights = load_file(path / "model.safetensors" if path.is_dir() else path)
    except OSError as error:
        raise ModelError(f"{path}: cannot be read: {error.strerror or error}") from error
    except Exception as error:  # NumPy and safetensors raise many kinds for a damaged file
        raise ModelError(f"{path}: cannot be read: {error}") from error
    # A bare BertModel is saved without the prefix that its classifier has.
    bare = ("embeddings.", "encoder.", "pooler.")
    return {
        f"bert.{name}" if name.startswith(bare) else name: values
        for name, values in weights.items()
    }

"""Writes ``model.pt`` and reads it back into PyTorch.

The file is one ``torch.save`` of plain types, for ``torch.load(weights_only=True)``; it holds no
embedding table. :mod:`edgebert.export.checkpoint` reads it without torch.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from edgebert.config import ModelConfig
from edgebert.errors import EdgebertError
from edgebert.export.checkpoint import (
    ENCODER,
    FORMAT_VERSION,
    NO_TAG,
    Checkpoint,
    Probe,
    read_checkpoint,
)
from edgebert.export.roles import encoder_shapes, state_shapes
from edgebert.files import replacing
from edgebert.sequence import Text
from edgebert.tokenizer import Tokenizer
from edgebert.train.bert import Bert, Predictions, answers, build

PROBE_TEXTS = (
    "",
    "a gripping film with a wonderful cast",
    "Turn the lights off in the kitchen at half past ten, please!",
    "Ünïcode, 日本語 & unbelievably-long-hyphenated-words " * 20,
)


def save_atomically(content: Any, path: Path) -> None:
    """``torch.save``, such that ``path`` is never half a file."""
    try:
        with replacing(path) as temporary, temporary.open("wb") as file:
            torch.save(content, file)
    except RuntimeError as error:  # torch's own, after a write that failed
        cause = error.__context__
        reason = cause.strerror if isinstance(cause, OSError) else str(error).splitlines()[0]
        raise EdgebertError(f"cannot write {path}: {reason}") from error


def save(
    path: Path,
    config: ModelConfig,
    state: Mapping[str, Tensor],
    tokenizer: Tokenizer,
    probe_texts: Sequence[Text],
    probe: Predictions,
    training: Mapping[str, Any],
) -> None:
    """Write a checkpoint.

    Args:
        path: file to write.
        config: shape, labels and hash.
        state: the model's state dict; what is not a weight of the config is left out.
        tokenizer: the tokenizer that it was trained with.
        probe_texts: texts, or pairs, to compare exports by.
        probe: what the model answers to them.
        training: plain facts of how it was trained.
    """
    content = {
        **_content(config, state, state_shapes(config), tokenizer, training),
        "probe": {
            "texts": [text if isinstance(text, str) else list(text) for text in probe_texts],
            **({"logits": probe.logits} if config.labels else {}),
            **({} if probe.pooled is None else {"pooled": probe.pooled}),
            **({} if probe.tag_scores is None else {"tags": _likeliest_tags(probe)}),
        },
    }
    save_atomically(content, path)


def save_encoder(
    path: Path,
    config: ModelConfig,
    state: Mapping[str, Tensor],
    tokenizer: Tokenizer,
    training: Mapping[str, Any],
) -> None:
    """Write a checkpoint without a head, to start others from; arguments as in :func:`save`."""
    content = _content(config, state, encoder_shapes(config), tokenizer, training)
    save_atomically({**content, "kind": ENCODER}, path)


def _content(
    config: ModelConfig,
    state: Mapping[str, Tensor],
    names: Iterable[str],
    tokenizer: Tokenizer,
    training: Mapping[str, Any],
) -> dict[str, Any]:
    return {
        "edgebert": FORMAT_VERSION,
        "config": config.to_dict(),
        "state_dict": {
            # clone: a view would take its whole storage into the file
            name: state[name].detach().to("cpu", torch.float32).clone()
            for name in names
        },
        "tokenizer": torch.frombuffer(bytearray(tokenizer.blob), dtype=torch.uint8),
        "training": dict(training),
    }


def remembered(memory: Path, fingerprint: str) -> dict[str, Any] | None:
    """What an interrupted run of the same job left; None if there is nothing of use."""
    if not memory.exists():
        return None
    try:
        content: dict[str, Any] = torch.load(memory, map_location="cpu", weights_only=True)
    except Exception:  # torch raises many kinds for a damaged file; then we start over
        return None
    return content if content.get("fingerprint") == fingerprint else None


def load_torch(
    path: str | os.PathLike[str],
) -> tuple[Bert, ModelConfig, Tokenizer]:
    """Read a checkpoint into PyTorch, in evaluation mode.

    Its vocabulary is empty: :func:`edgebert.train.bert.answers` fills it for the texts at hand.

    Raises:
        ModelError: the file is not a checkpoint of ours, or damaged.
    """
    checkpoint = read_checkpoint(path)
    return _to_torch(checkpoint), checkpoint.config, Tokenizer(checkpoint.tokenizer)


def make_probe(checkpoint: Checkpoint) -> Probe:
    """What PyTorch answers to a few texts, for a checkpoint that holds no such answers."""
    model, tokenizer = _to_torch(checkpoint), Tokenizer(checkpoint.tokenizer)
    answer = answers(model, checkpoint.config, tokenizer, PROBE_TEXTS)
    return Probe(
        PROBE_TEXTS,
        answer.logits.numpy(),
        None if answer.pooled is None else answer.pooled.numpy(),
        None if answer.tag_scores is None else _likeliest_tags(answer).numpy(),
    )


def _likeliest_tags(answer: Predictions) -> Tensor:
    """Of each token by itself: int64 [n, longest], NO_TAG behind a text's last token."""
    rows = [torch.from_numpy(scores.argmax(1)) for scores in answer.tag_scores or ()]
    return pad_sequence(rows, True, NO_TAG)


def _to_torch(checkpoint: Checkpoint) -> Bert:
    model = build(checkpoint.config)
    state = {name: torch.from_numpy(values) for name, values in checkpoint.state.items()}
    model.load_state_dict(state, strict=False)  # read_checkpoint has seen to names and shapes
    return model.eval()

"""What a model's heads are, as its graphs need to know."""

from __future__ import annotations

from edgebert.config import ModelConfig


def reads_all_tokens(config: ModelConfig) -> bool:
    """Whether the heads need every token's last hidden state, not that of [CLS] alone."""
    return bool(config.tags) or not config.labels


def description(config: ModelConfig) -> str:
    """What the model is, to begin a sentence with."""
    if config.labels:
        return "A text classifier"
    return "A tagger of words" if config.tags else "A sentence encoder"

"""What engines of padded graphs share: batches of like length, and the graph's inputs."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from edgebert.config import ModelConfig
from edgebert.hash import HashEmbedding
from edgebert.sequence import Sequences

BATCH_SIZE = 32  # sequences of like length, padded to the longest of them


def in_batches(
    sequences: Sequences,
    config: ModelConfig,
    run: Callable[[Sequences], tuple[np.ndarray, np.ndarray]],
) -> tuple[np.ndarray, np.ndarray]:
    """Run sequences of like length together; logits and pooled vectors in the order given."""
    logits = np.empty((len(sequences), config.num_labels), np.float32)
    pooled = np.empty((len(sequences), config.hidden_size), np.float32)
    by_length = sorted(range(len(sequences)), key=lambda i: len(sequences.ends[i]))
    for start in range(0, len(by_length), BATCH_SIZE):
        rows = by_length[start : start + BATCH_SIZE]
        logits[rows], pooled[rows] = run(sequences.select(rows))
    return logits, pooled


def padded_inputs(batch: Sequences, embedding: HashEmbedding) -> dict[str, np.ndarray]:
    """The standard graph's inputs, zero behind each sequence's end.

    Hash vectors are float32 [n, longest, dimension]; mask and token types int64 [n, longest].
    """
    shape = (len(batch), max(len(ends) for ends in batch.ends))
    embeds = np.zeros((*shape, embedding.params.dimension), np.float32)
    mask = np.zeros(shape, np.int64)
    types = np.zeros(shape, np.int64)
    for i in range(len(batch)):
        length = len(batch.ends[i])
        embeds[i, :length] = embedding.embed(batch.bytes[i], batch.ends[i])
        mask[i, :length] = 1
        types[i, :length] = batch.types[i]
    return {"inputs_embeds": embeds, "attention_mask": mask, "token_type_ids": types}

"""What engines of padded graphs share: batches of like length, and the graph's inputs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from edgebert.config import ModelConfig
from edgebert.engines import Engine, Outputs
from edgebert.entities import tag_scores
from edgebert.errors import ModelError
from edgebert.hash import HashEmbedding
from edgebert.sequence import Sequences, Text, from_texts

BATCH_SIZE = 32  # sequences of like length, padded to the longest of them


def output_names(config: ModelConfig) -> list[str]:
    """The outputs of a model's graph."""
    labels, tags = (["logits"] if config.labels else []), (["tag_logits"] if config.tags else [])
    return [*labels, "pooled", *tags]


def check_sizes(config: ModelConfig, shapes: Mapping[str, Sequence[object]]) -> None:
    """Raise ModelError if inputs or outputs of a graph are not those of its metadata."""
    sizes = {
        "inputs_embeds": config.hidden_size,
        "logits": config.num_labels,
        "pooled": config.hidden_size,
        "tag_logits": config.num_tags,
    }
    for name in output_names(config):
        if name not in shapes:
            raise ModelError(f"it does not give the {name} that its metadata tell of")
    for name, shape in shapes.items():
        if name in sizes and (not shape or shape[-1] != sizes[name]):
            raise ModelError(f"its {name} are not of the size {sizes[name]} that its metadata tell")


def as_outputs(found: Mapping[str, np.ndarray]) -> Outputs:
    """A graph's outputs, by name, of a batch; scores of tags are as padded as they are."""
    pooled, scores = found["pooled"], None
    if "tag_logits" in found:
        scores = list(tag_scores(found["tag_logits"]))
    return Outputs(found.get("logits", pooled[:, :0]), pooled, scores)


def run_tokenized(engine: Engine, texts: Sequence[Text]) -> tuple[Outputs, list[int]]:
    """``run_texts`` of an engine that takes tokens."""
    limit, types = engine.config.max_position_embeddings, engine.config.type_vocab_size
    sequences = from_texts(engine.tokenizer, texts, limit, types)
    return engine.run(sequences), sequences.num_dropped


def in_batches(
    sequences: Sequences,
    config: ModelConfig,
    run: Callable[[Sequences], Outputs],
    batch_size: int = BATCH_SIZE,
) -> Outputs:
    """Run sequences of like length together; outputs in the order given.

    ``run`` gives scores of tags as long as the sequences, or padded.
    """
    logits = np.empty((len(sequences), config.num_labels), np.float32)
    pooled = np.empty((len(sequences), config.hidden_size), np.float32)
    scores = empty_scores(sequences, config)
    by_length = sorted(range(len(sequences)), key=lambda i: len(sequences.ends[i]))
    for start in range(0, len(by_length), batch_size):
        rows = by_length[start : start + batch_size]
        outputs = run(sequences.select(rows))
        logits[rows], pooled[rows] = outputs.logits, outputs.pooled
        for i, found in zip(rows, outputs.tag_scores or (), strict=False):
            scores[i][:] = found[: len(scores[i])]
    return Outputs(logits, pooled, scores if config.num_tags else None)


def empty_scores(sequences: Sequences, config: ModelConfig) -> list[np.ndarray]:
    """Room for the scores of all tokens' tags: int16 [num_tokens, num_tags] of each sequence."""
    return [np.empty((len(ends), config.num_tags), np.int16) for ends in sequences.ends]


def padded_inputs(
    batch: Sequences, embedding: HashEmbedding, tokens: int = 0
) -> dict[str, np.ndarray]:
    """The standard graph's inputs: float32 [n, longest, dimension], two int64 [n, longest].

    ``longest`` is that of the batch, but at least ``tokens``.
    """
    masks = _padded_masks(batch, tokens)
    embeds = np.zeros((*masks["attention_mask"].shape, embedding.params.dimension), np.float32)
    for i, ends in enumerate(batch.ends):
        embeds[i, : len(ends)] = embedding.embed(batch.bytes[i], ends)
    return {"inputs_embeds": embeds, **masks}


def padded_tokens(batch: Sequences, tokens: int = 0) -> dict[str, np.ndarray]:
    """Inputs of graphs that start at tokens: token_bytes uint8 [n, longest, most bytes of a token].

    token_lengths are int32, the other two as in the standard graph: [n, longest].
    """
    masks = _padded_masks(batch, tokens)
    lengths = np.zeros(masks["attention_mask"].shape, np.int32)
    for i, ends in enumerate(batch.ends):
        lengths[i, : len(ends)] = ends
        lengths[i, 1 : len(ends)] -= ends[:-1]
    most = lengths.max()
    token_bytes = np.zeros((*lengths.shape, most), np.uint8)
    token_bytes[np.arange(most) < lengths[..., None]] = np.concatenate(batch.bytes)
    return {"token_bytes": token_bytes, "token_lengths": lengths, **masks}


def _padded_masks(batch: Sequences, tokens: int) -> dict[str, np.ndarray]:
    shape = (len(batch), max(tokens, *(len(ends) for ends in batch.ends)))
    mask, types = np.zeros(shape, np.int64), np.zeros(shape, np.int64)
    for i, ends in enumerate(batch.ends):
        mask[i, : len(ends)] = 1
        types[i, : len(ends)] = batch.types[i]
    return {"attention_mask": mask, "token_type_ids": types}

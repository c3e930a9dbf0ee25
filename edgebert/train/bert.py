"""A stock Hugging Face BERT whose word embeddings are the hash.

The training vocabulary is the set of tokens that occur. Their vectors, computed once, are a frozen
table, and so any code that trains a ``BertForSequenceClassification`` trains this one. Where a
config asks for tags, or for no labels, the encoder is the same and the heads are ours.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    BertModel,
    BertPreTrainedModel,
)

from edgebert.config import BERT_FIELDS, HashParams, ModelConfig
from edgebert.entities import quantise_transitions, tag_scores
from edgebert.hash import HashEmbedding
from edgebert.sequence import Text, from_texts
from edgebert.tokenizer import Tokenizer
from edgebert.train.transitions import first_transitions


class Vocabulary:
    """Numbers tokens in the order in which they first occur."""

    def __init__(self) -> None:
        self._ids: dict[bytes, int] = {}
        self.pad, self.unknown = self._id(b"[PAD]"), self._id(b"[UNK]")

    def __len__(self) -> int:
        return len(self._ids)

    def _id(self, token: bytes) -> int:
        return self._ids.setdefault(token, len(self._ids))

    def encode(
        self, tokenizer: Tokenizer, texts: Sequence[Text], config: ModelConfig
    ) -> list[Encoded]:
        """Model inputs of texts, [CLS] and [SEP] included, cut at the model's limit."""
        limit, num_types = config.max_position_embeddings, config.type_vocab_size
        sequences = from_texts(tokenizer, texts, limit, num_types)
        rows = zip(sequences.bytes, sequences.ends, sequences.types, strict=True)
        return [
            Encoded(torch.tensor([self._id(token) for token in _tokens(data, ends)]), types)
            for data, ends, types in ((d, e, torch.from_numpy(t).long()) for d, e, t in rows)
        ]

    def tokens(self) -> list[bytes]:
        """All tokens so far, in the order of their numbers."""
        return list(self._ids)

    def table(self, params: HashParams) -> torch.nn.Embedding:
        """The hash of every token so far, frozen: float32 [len(self), params.dimension]."""
        vectors = HashEmbedding(params)(self.tokens())
        return torch.nn.Embedding.from_pretrained(torch.from_numpy(vectors), freeze=True)


@dataclass(frozen=True)
class Encoded:
    """A model input: token ids and token type ids, int64 [num_tokens] each."""

    ids: Tensor
    types: Tensor

    def __len__(self) -> int:
        return len(self.ids)


def _tokens(data: np.ndarray, ends: np.ndarray) -> Iterator[bytes]:
    text, start = data.tobytes(), 0
    for end in ends.tolist():
        yield text[start:end]
        start = end


@dataclass(frozen=True)
class Output:
    """What a model gives for a batch; docs/numerics.md defines each.

    Attributes:
        logits: float32 [batch, num_labels].
        pooled: float32 [batch, hidden_size].
        tag_logits: float32 [batch, tokens, num_tags]; None without a tagging head.
    """

    logits: Tensor
    pooled: Tensor
    tag_logits: Tensor | None = None


class BertWithHeads(BertPreTrainedModel):
    """An encoder with tags of its tokens, with or without labels, or with neither."""

    def __init__(self, bert_config: BertConfig, config: ModelConfig) -> None:
        super().__init__(bert_config)
        width, labelled = config.hidden_size, config.num_labels > 0
        self.bert = BertModel(bert_config, add_pooling_layer=labelled)
        self.dropout = nn.Dropout(bert_config.hidden_dropout_prob)
        self.classifier = nn.Linear(width, config.num_labels) if labelled else None
        self.tagger = nn.Linear(width, config.num_tags) if config.num_tags else None
        self.tag_transitions = nn.Parameter(first_transitions(config.tags)) if config.tags else None
        self.post_init()

    def forward(self, **batch: Tensor) -> Output:
        """Run it on the inputs of a ``BertModel``, ``attention_mask`` among them."""
        answer = self.bert(**batch)
        hidden: Tensor = answer.last_hidden_state
        tag_logits = self.tagger(self.dropout(hidden)) if self.tagger else None
        if self.classifier:
            pooled = answer.pooler_output
            return Output(self.classifier(self.dropout(pooled)), pooled, tag_logits)
        pooled = mean_vector(hidden, batch["attention_mask"])
        return Output(pooled[:, :0], pooled, tag_logits)


Bert: TypeAlias = BertForSequenceClassification | BertWithHeads
"""What :func:`build` gives."""


def mean_vector(hidden: Tensor, attention_mask: Tensor) -> Tensor:
    """Mean of the real tokens' states, scaled to length 1: float32 [batch, hidden_size].

    Args:
        hidden: last hidden states, float32 [batch, tokens, hidden_size].
        attention_mask: [batch, tokens], 0 where padded.
    """
    mask = attention_mask[..., None].to(hidden.dtype)
    return functional.normalize((hidden * mask).sum(1) / mask.sum(1), dim=-1)


def build(config: ModelConfig, dropout: float = 0.0) -> Bert:
    """A model with fresh weights and, until ``set_input_embeddings``, an empty vocabulary."""
    bert_config = BertConfig(
        vocab_size=1,
        **{name: getattr(config, name) for name in BERT_FIELDS},
        hidden_dropout_prob=dropout,
        attention_probs_dropout_prob=dropout,
        id2label=dict(enumerate(config.labels)),
        label2id={label: i for i, label in enumerate(config.labels)},
    )
    if config.labels and not config.tags:
        return BertForSequenceClassification(bert_config)
    return BertWithHeads(bert_config, config)


def run(model: Bert, batch: dict[str, Tensor]) -> Output:
    """What either kind of model gives, in evaluation mode."""
    if isinstance(model, BertWithHeads):
        return model(**batch)
    pooled = model.bert(**batch).pooler_output
    return Output(model.classifier(pooled), pooled)


def collate(batch: Sequence[Encoded], pad: int) -> dict[str, Tensor]:
    """Inputs of one step, padded to the longest: int64 [len(batch), longest] each."""
    pad_sequence = torch.nn.utils.rnn.pad_sequence
    return {
        "input_ids": pad_sequence([row.ids for row in batch], True, pad),
        "token_type_ids": pad_sequence([row.types for row in batch], True, 0),
        "attention_mask": pad_sequence([torch.ones_like(row.ids) for row in batch], True, 0),
    }


@dataclass(frozen=True)
class Predictions:
    """What a model says of some inputs, in their order.

    Attributes:
        logits: float32 [n, num_labels].
        pooled: float32 [n, hidden_size]; None of models that do not tell.
        tag_scores: of :func:`edgebert.entities.tag_scores`, int16 [num_tokens, num_tags] each;
            None without tags.
        tag_transitions: as :func:`edgebert.entities.best_tags` takes them; None without tags.
    """

    logits: Tensor
    pooled: Tensor | None = None
    tag_scores: list[np.ndarray] | None = None
    tag_transitions: np.ndarray | None = None


def transitions_of(model: Bert) -> np.ndarray:
    """How well tags follow each other, as files hold it; empty without tags."""
    transitions = getattr(model, "tag_transitions", None)
    if transitions is None:
        return np.empty((0, 1), np.int8)
    return quantise_transitions(transitions.detach().cpu().numpy())


@torch.no_grad()
def predict(model: Any, inputs: Sequence[Encoded], pad: int, batch_size: int = 64) -> Predictions:
    """What a model, or a teacher, says in evaluation mode."""
    model.eval()
    order = sorted(range(len(inputs)), key=lambda i: len(inputs[i]))
    logits: list[Any] = [None] * len(inputs)
    pooled, scores = logits.copy(), logits.copy()
    for start in range(0, len(order), batch_size):
        rows = order[start : start + batch_size]
        batch = collate([inputs[i] for i in rows], pad)
        output = model(**{name: values.to(model.device) for name, values in batch.items()})
        own = isinstance(output, Output)
        for i, row in enumerate(rows):
            logits[row] = output.logits[i].float().cpu()
            if own:
                pooled[row] = output.pooled[i].float().cpu()
            if own and output.tag_logits is not None:
                own_scores = output.tag_logits[i, : len(inputs[row])].float().cpu()
                scores[row] = tag_scores(own_scores.numpy())
    tagged = scores[0] is not None
    return Predictions(
        torch.stack(logits),
        None if pooled[0] is None else torch.stack(pooled),
        scores if tagged else None,
        transitions_of(model) if tagged else None,
    )


def answers(
    model: Bert, config: ModelConfig, tokenizer: Tokenizer, texts: Iterable[Text]
) -> Predictions:
    """PyTorch's answer to any texts; gives the model their tokens' table.

    Exports are compared with this.
    """
    vocabulary = Vocabulary()
    inputs = vocabulary.encode(tokenizer, list(texts), config)
    model.set_input_embeddings(vocabulary.table(config.hash).to(model.device))
    return predict(model, inputs, vocabulary.pad)


def logits(
    model: Bert, config: ModelConfig, tokenizer: Tokenizer, texts: Iterable[Text]
) -> np.ndarray:
    """Those of :func:`answers`, float32 [n, num_labels]."""
    return answers(model, config, tokenizer, texts).logits.numpy()

"""A stock Hugging Face BERT whose word embeddings are the hash.

The training vocabulary is the set of tokens that occur. Their vectors, computed once, are a frozen
table, and so any code that trains a ``BertForSequenceClassification`` trains this one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from transformers import BertConfig, BertForSequenceClassification

from edgebert.config import BERT_FIELDS, HashParams, ModelConfig
from edgebert.hash import HashEmbedding
from edgebert.sequence import Text, from_texts
from edgebert.tokenizer import Tokenizer


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


def build(config: ModelConfig, dropout: float = 0.0) -> BertForSequenceClassification:
    """A classifier with fresh weights and, until ``set_input_embeddings``, an empty vocabulary."""
    return BertForSequenceClassification(
        BertConfig(
            vocab_size=1,
            **{name: getattr(config, name) for name in BERT_FIELDS},
            hidden_dropout_prob=dropout,
            attention_probs_dropout_prob=dropout,
            num_labels=config.num_labels,
            id2label=dict(enumerate(config.labels)),
            label2id={label: i for i, label in enumerate(config.labels)},
        )
    )


def collate(batch: Sequence[Encoded], pad: int) -> dict[str, Tensor]:
    """Inputs of one step, padded to the longest: int64 [len(batch), longest] each."""
    pad_sequence = torch.nn.utils.rnn.pad_sequence
    return {
        "input_ids": pad_sequence([row.ids for row in batch], True, pad),
        "token_type_ids": pad_sequence([row.types for row in batch], True, 0),
        "attention_mask": pad_sequence([torch.ones_like(row.ids) for row in batch], True, 0),
    }


@torch.no_grad()
def predict(
    model: BertForSequenceClassification, inputs: Sequence[Encoded], pad: int, batch_size: int = 64
) -> Tensor:
    """Logits in evaluation mode, float32 [len(inputs), num_labels]."""
    model.eval()
    logits = torch.empty(len(inputs), model.config.num_labels)
    order = sorted(range(len(inputs)), key=lambda i: len(inputs[i]))
    for start in range(0, len(order), batch_size):
        rows = order[start : start + batch_size]
        batch = {
            name: values.to(model.device)
            for name, values in collate([inputs[i] for i in rows], pad).items()
        }
        logits[rows] = model(**batch).logits.float().cpu()
    return logits


def logits(
    model: BertForSequenceClassification,
    config: ModelConfig,
    tokenizer: Tokenizer,
    texts: Iterable[Text],
) -> np.ndarray:
    """PyTorch's answer to any texts, float32 [n, num_labels]; gives the model their tokens' table.

    Exports are compared with this.
    """
    vocabulary = Vocabulary()
    inputs = vocabulary.encode(tokenizer, list(texts), config)
    model.set_input_embeddings(vocabulary.table(config.hash).to(model.device))
    return predict(model, inputs, vocabulary.pad).numpy()

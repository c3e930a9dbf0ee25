"""Teachers as Hugging Face saves them, small, with a vocabulary of words of colors."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from transformers import BertConfig, BertTokenizerFast

from edgebert.export.vocabulary import build_tokenizer
from edgebert.tokenizer import Tokenizer

WORDS = ["the", "a", "one", "red", "green", "blue", "yellow", "house", "car", "dog"]
PIECES = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS]
WORDPIECE = Tokenizer(build_tokenizer("wordpiece", PIECES))
LABELS = {0: "cold", 1: "warm"}
HOT = {"red", "yellow"}


def bert_config(**changes: Any) -> BertConfig:
    values = {
        "vocab_size": len(PIECES),
        "hidden_size": 16,
        "num_hidden_layers": 3,
        "num_attention_heads": 2,
        "intermediate_size": 24,
        "max_position_embeddings": 32,
        "id2label": LABELS,
    }
    return BertConfig(**{**values, **changes})


def save(model: Any, folder: Path, **options: Any) -> Path:
    model.save_pretrained(folder, **options)
    (folder / "vocab.txt").write_text("\n".join(PIECES) + "\n")
    BertTokenizerFast(str(folder / "vocab.txt")).save_pretrained(folder)
    return folder


def edit_config(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    document = json.loads((folder / "config.json").read_text())
    change(document)
    (folder / "config.json").write_text(json.dumps(document))


def copy(folder: Path, to: Path) -> Path:
    return shutil.copytree(folder, to)


def warm_bert(folder: Path) -> Path:
    """A BERT of Hugging Face, random but for what tells warm from cold."""
    import torch
    from transformers import BertForSequenceClassification

    torch.manual_seed(0)
    model = BertForSequenceClassification(bert_config())
    optimizer = torch.optim.Adam(model.parameters(), 5e-3)
    for _ in range(30):
        ids = torch.tensor([[2, 6, i, 13, 3] for i in range(8, 12)])
        labels = torch.tensor([int(PIECES[i] in HOT) for i in range(8, 12)])
        loss = model(input_ids=ids, labels=labels).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return save(model, folder)

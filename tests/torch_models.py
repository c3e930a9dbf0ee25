"""What tests need of PyTorch: a spec as Transformers' model, and as a checkpoint.

``python -m tests.torch_models`` writes tests/data/tiny.pt anew.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from transformers import BertForSequenceClassification

from edgebert.config import HashParams, ModelConfig
from edgebert.export.checkpoint import FORMAT_VERSION
from edgebert.export.roles import WORD_EMBEDDINGS, all_roles
from edgebert.export.spec import ModelSpec
from edgebert.train.bert import build
from tests.models import random_spec

TINY = ModelConfig(
    hidden_size=8,
    num_hidden_layers=1,
    intermediate_size=12,
    max_position_embeddings=6,
    labels=("negative", "positive"),
    hash=HashParams(dimension=8),
)


def state_dict(spec: ModelSpec) -> dict[str, torch.Tensor]:
    """The spec's weights under their Hugging Face names."""
    return {
        source.format(layer=layer): torch.tensor(part)
        for role, layer in all_roles(spec.config)
        for source, part in zip(
            role.sources, np.split(spec.weight(role.name, layer), len(role.sources)), strict=True
        )
    }


def bert(spec: ModelSpec, vocab_size: int = 4) -> BertForSequenceClassification:
    """Transformers' model of the spec, ready to run on ``inputs_embeds``."""
    model = build(spec.config).eval()
    model.set_input_embeddings(torch.nn.Embedding(vocab_size, spec.config.hidden_size))
    model.config.vocab_size = vocab_size
    missing, unexpected = model.load_state_dict(state_dict(spec), strict=False)
    assert (missing, unexpected) == ([WORD_EMBEDDINGS], [])
    return model


def save_checkpoint(spec: ModelSpec, path: Path) -> None:
    """Write what ``edgebert train`` writes."""
    probe = {"texts": ["a film", ["one", "two"]], "logits": torch.tensor([[0.5, -1], [2, 3]])}
    content = {
        "edgebert": FORMAT_VERSION,
        "config": spec.config.to_dict(),
        "state_dict": state_dict(spec),
        "tokenizer": torch.tensor(list(spec.tokenizer), dtype=torch.uint8),
        "probe": probe,
    }
    torch.save(content, path)


if __name__ == "__main__":
    save_checkpoint(random_spec(TINY), Path(__file__).parent / "data" / "tiny.pt")

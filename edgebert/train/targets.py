"""What the model learns to give, as tensors, and what its logits mean."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from edgebert.config import ModelConfig
from edgebert.metrics import score
from edgebert.tsv import Dataset

Judge = Callable[[Tensor], dict[str, float]]


@dataclass(frozen=True)
class Targets:
    """Targets of the training data.

    Numbers are learned standardised, so that any range of values trains alike; afterwards
    :meth:`restore_scale` moves their mean and deviation into the head.

    Attributes:
        values: int64 [n] for classes, float32 for standardised numbers.
        mean: what was taken off the numbers.
        deviation: what they were divided by.
    """

    values: Tensor
    mean: float = 0.0
    deviation: float = 1.0

    @classmethod
    def of(cls, data: Dataset, config: ModelConfig) -> Targets:
        """The labels of ``data`` as the config's task has them."""
        if config.task == "classification":
            return cls(torch.tensor([config.labels.index(label) for label in data.labels]))
        values = torch.tensor(data.values())
        mean, deviation = float(values.mean()), float(values.std(correction=0)) or 1.0
        return cls((values - mean) / deviation, mean, deviation)

    @torch.no_grad()
    def restore_scale(self, head: torch.nn.Linear) -> None:
        """Let the head of a trained model give the numbers as they were in the data."""
        head.weight.mul_(self.deviation)
        head.bias.mul_(self.deviation).add_(self.mean)


def judge(dev: Dataset, config: ModelConfig) -> Judge:
    """A function from logits, float32 [len(dev), num_labels], to scores.

    Raises:
        DataError: the labels are not those of the training data.
    """
    if config.task == "regression":
        values = dev.values()
        return lambda logits: score(config.task, values, logits[:, 0].tolist())
    dev.check_labels(config.labels)
    return lambda logits: score(
        config.task, dev.labels, [config.labels[i] for i in logits.argmax(1).tolist()]
    )

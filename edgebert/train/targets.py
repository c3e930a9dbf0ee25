"""What the model learns to give, as tensors, and what its answers mean."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from edgebert.config import ModelConfig
from edgebert.metrics import METRICS, metrics_of, score
from edgebert.tokenizer import Tokenizer
from edgebert.train.bert import Predictions
from edgebert.train.tags import SpanJudge, first_tokens, targets
from edgebert.tsv import Dataset

Judge = Callable[[Predictions], dict[str, float]]


@dataclass(frozen=True)
class Targets:
    """Targets of the training data.

    Numbers are learned standardised, so that any range of values trains alike; afterwards
    :meth:`restore_scale` moves their mean and deviation into the head.

    Attributes:
        values: int64 [n] for classes, float32 for standardised numbers; None without labels.
        mean: what was taken off the numbers.
        deviation: what they were divided by.
        tags: of each text's tokens, as tags.targets() gives them; None without tags.
    """

    values: Tensor | None
    mean: float = 0.0
    deviation: float = 1.0
    tags: Sequence[Tensor] | None = None

    @classmethod
    def of(cls, data: Dataset, config: ModelConfig, tokenizer: Tokenizer) -> Targets:
        """Labels and tags of ``data`` as far as the config has them."""
        tags = None
        if config.tags:
            tags = targets(data, first_tokens(data, tokenizer, config), config.tags)
        if not config.labels:
            return cls(None, tags=tags)
        if config.task == "classification":
            labels = [config.labels.index(label) for label in data.labels]
            return cls(torch.tensor(labels), tags=tags)
        values = torch.tensor(data.values())
        mean, deviation = float(values.mean()), float(values.std(correction=0)) or 1.0
        return cls((values - mean) / deviation, mean, deviation, tags)

    @torch.no_grad()
    def restore_scale(self, head: torch.nn.Linear | None) -> None:
        """Let the head of a trained model give the numbers as they were in the data."""
        if head is None:
            return
        head.weight.mul_(self.deviation)
        head.bias.mul_(self.deviation).add_(self.mean)


def judge(dev: Dataset, config: ModelConfig, tokenizer: Tokenizer) -> Judge:
    """A function from what a model says of ``dev`` to scores.

    Raises:
        DataError: the labels are not those of the training data.
    """
    of_tags = None
    if config.tags:
        of_tags = SpanJudge(dev, first_tokens(dev, tokenizer, config), config.tags)
    values = dev.values() if config.task == "regression" else []
    if config.task == "classification":
        dev.check_labels(config.labels)

    def scores(predictions: Predictions) -> dict[str, float]:
        logits, result = predictions.logits, {}
        if config.task == "regression":
            result = score(config.task, values, logits[:, 0].tolist())
        elif config.labels:
            labels = [config.labels[i] for i in logits.argmax(1).tolist()]
            result = score(config.task, dev.labels, labels)
        if of_tags:
            result |= of_tags(predictions)
            if config.labels:
                both = (result[METRICS[config.task][0]], result["span_f1"])
                result[metrics_of(config.task, True)[0]] = sum(both) / 2
        return result

    return scores

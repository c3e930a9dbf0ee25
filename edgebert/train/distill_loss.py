"""What a student learns from a teacher: its logits, hidden states and attention relations.

Logits: Hinton et al., 2015, https://arxiv.org/abs/1503.02531.
Hidden states: TinyBERT, Jiao et al., 2020, https://arxiv.org/abs/1909.10351.
Relations: MiniLMv2, Wang et al., 2021, https://arxiv.org/abs/2012.15828.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import BertForSequenceClassification

from edgebert.errors import ModelError
from edgebert.train.finetune import Objective

MOST_RELATION_HEADS = 16

# How models of Transformers name the three projections of self-attention.
_PROJECTIONS = (
    ("query", "key", "value"),
    ("q_lin", "k_lin", "v_lin"),
    ("query_proj", "key_proj", "value_proj"),
)


@dataclass(frozen=True)
class Weights:
    """How much each part of the loss counts.

    Attributes:
        hard: cross entropy with the labels of the data.
        soft: divergence from the teacher's distribution at ``temperature``, times its square; of
            numbers, the squared distance.
        hidden: squared distance of hidden states after a learned projection.
        relations: divergence of the last layers' query-query, key-key and value-value relations.
        temperature: divides logits before the softmax.
    """

    hard: float = 0.1
    soft: float = 0.9
    hidden: float = 0.0
    relations: float = 0.0
    temperature: float = 2.0

    @property
    def of_layers(self) -> bool:
        """Whether the teacher has to run in every step."""
        return bool(self.hidden or self.relations)


@dataclass(frozen=True)
class Layers:
    """What runs inside a model, for a batch.

    Attributes:
        hidden: output of each layer, float32 [batch, tokens, width], the first of the embeddings.
        projections: last layer's queries, keys and values, float32 [batch, tokens, width] each.
    """

    hidden: tuple[Tensor, ...]
    projections: list[Tensor]


class Observer:
    """Calls a model and takes what its last self-attention computes besides."""

    def __init__(self, model: Any, name: str) -> None:
        modules = dict(model.named_modules())
        last = [
            [[m for path, m in modules.items() if path.endswith(f".{n}")] for n in names]
            for names in _PROJECTIONS
        ]
        found = [[m[-1] for m in kinds] for kinds in last if all(kinds)]
        if not found:
            raise ModelError(f"{name}: finds no queries, keys and values in it: use --relations 0")
        self._outputs: dict[int, Tensor] = {}
        self._model = model
        for index, module in enumerate(found[0]):
            module.register_forward_hook(self._keep(index))

    def _keep(self, index: int) -> Callable[..., None]:
        def hook(module: nn.Module, inputs: Any, output: Tensor) -> None:
            self._outputs[index] = output

        return hook

    def __call__(self, batch: dict[str, Tensor]) -> tuple[Any, Layers]:
        """The model's output, and what ran inside."""
        output = self._model(**batch, output_hidden_states=True)
        return output, Layers(output.hidden_states, [self._outputs[i] for i in range(3)])


class Distillation(Objective):
    """The loss of a student.

    Args:
        weights: of its parts.
        soft: the teacher's logits, in the student's order, float32 [rows, num_labels].
        hard: int64 [labelled rows] for classes, float32 for numbers; the rows behind have none.
        label_smoothing: of ``hard``, for classes.
        alike: which rows have the same tokens in both models, bool [rows].
        observe_teacher: gives what the teacher has inside for such rows; None where the weights
            do not ask for it.
        widths: of the student's and the teacher's hidden states.
        depths: numbers of layers of both.
    """

    def __init__(
        self,
        weights: Weights,
        soft: Tensor,
        hard: Tensor,
        label_smoothing: float = 0.0,
        alike: Tensor | None = None,
        observe_teacher: Callable[[list[int]], Layers] | None = None,
        widths: tuple[int, int] = (1, 1),
        depths: tuple[int, int] = (1, 1),
    ) -> None:
        super().__init__()
        self._weights, self._soft, self._hard = weights, soft, hard
        self._label_smoothing = label_smoothing
        self._alike, self._observe_teacher = alike, observe_teacher
        self._observer: Observer | None = None
        self._heads = relation_heads(*widths)
        # The layers of the student go with evenly spaced ones of the teacher.
        self._pairs = [(i, round(i * depths[1] / depths[0])) for i in range(1, depths[0] + 1)]
        self.projections = nn.ModuleList(
            nn.Linear(*widths, bias=False) for _ in self._pairs if weights.hidden
        )

    def forward(
        self, model: BertForSequenceClassification, batch: dict[str, Tensor], rows: list[int]
    ) -> Tensor:
        """See Objective."""
        if self._observe_teacher is None or self._alike is None:
            return self._of_logits(model(**batch).logits, rows)
        if self._observer is None:
            self._observer = Observer(model, "the student")
        output, student = self._observer(batch)
        loss = self._of_logits(output.logits, rows)
        kept = [i for i, row in enumerate(rows) if self._alike[row]]
        if not kept:
            return loss
        teacher = self._observe_teacher([rows[i] for i in kept])
        longest = teacher.hidden[0].shape[1]
        mask = batch["attention_mask"].bool()[kept, :longest]
        if self._weights.hidden:
            distances = [
                functional.mse_loss(
                    projection(student.hidden[i][kept, :longest][mask]), teacher.hidden[j][mask]
                )
                for projection, (i, j) in zip(self.projections, self._pairs, strict=True)
            ]
            loss = loss + self._weights.hidden * sum(distances) / len(distances)
        if self._weights.relations:
            divergences = [
                relation_divergence(a[kept, :longest], b, mask, self._heads)
                for a, b in zip(student.projections, teacher.projections, strict=True)
            ]
            loss = loss + self._weights.relations * sum(divergences) / len(divergences)
        return loss

    def _of_logits(self, logits: Tensor, rows: list[int]) -> Tensor:
        weights, soft = self._weights, self._soft[rows].to(logits.device)
        index = torch.tensor(rows)
        labelled = index < len(self._hard)
        hard = self._hard[index[labelled]].to(logits.device)
        known = logits[labelled.to(logits.device)]
        if hard.is_floating_point():
            loss = weights.soft * functional.mse_loss(logits, soft)
            return loss + weights.hard * ((known[:, 0] - hard) ** 2).sum() / len(rows)
        t = weights.temperature
        divergence = functional.kl_div(
            (logits / t).log_softmax(1), (soft / t).log_softmax(1), None, None, "batchmean", True
        )
        hard_loss = functional.cross_entropy(
            known, hard, reduction="sum", label_smoothing=self._label_smoothing
        )
        return weights.soft * t * t * divergence + weights.hard * hard_loss / len(rows)


def relation_heads(*widths: int) -> int:
    """The most heads, to a limit, into which all these widths can be cut."""
    common = math.gcd(*widths)
    return max(n for n in range(1, MOST_RELATION_HEADS + 1) if common % n == 0)


def relation_divergence(student: Tensor, teacher: Tensor, mask: Tensor, heads: int) -> Tensor:
    """Mean divergence of each token's relations to all, over heads and tokens.

    Args:
        student: queries, keys or values, float32 [batch, tokens, width].
        teacher: the same of the teacher, of any width.
        mask: which tokens are no padding, bool [batch, tokens].
        heads: into which both are cut.
    """

    def relations(x: Tensor) -> Tensor:
        x = x.unflatten(-1, (heads, -1)).transpose(1, 2)  # [batch, heads, tokens, width / heads]
        scores = x @ x.transpose(-1, -2) / math.sqrt(x.shape[-1])
        lowest = torch.finfo(scores.dtype).min
        return scores.masked_fill(~mask[:, None, None, :], lowest).log_softmax(-1)

    p, q = relations(teacher), relations(student)
    divergence = (p.exp() * (p - q)).sum(-1).transpose(1, 2)  # [batch, tokens, heads]
    return divergence[mask].mean()

"""Fine-tuning: the loop, what it remembers between interruptions, and what it returns.

Every epoch draws its random numbers from (seed, epoch) alone. So an interrupted run that goes on
from its last finished epoch ends with the same weights as one that was never interrupted.
"""

from __future__ import annotations

import copy
import math
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional
from tqdm.auto import tqdm
from transformers import get_linear_schedule_with_warmup

from edgebert.errors import EdgebertError
from edgebert.export.roles import WORD_EMBEDDINGS
from edgebert.train.bert import Bert, Encoded, collate, predict
from edgebert.train.checkpoint import remembered, save_atomically
from edgebert.train.fake_quant import rounded
from edgebert.train.targets import Judge, Targets
from edgebert.train.transitions import padded, path_loss

BUCKET = 50  # batches that are sorted by length together


@dataclass(frozen=True)
class Recipe:
    """How to train.

    Attributes:
        epochs: most passes over the data.
        batch_size: examples in a step.
        lr: learning rate at its peak (AdamW).
        warmup: share of all steps in which the learning rate rises; then it falls to 0.
        weight_decay: of matrices; biases and LayerNorm have none.
        dropout: of hidden states and attention.
        label_smoothing: 0 to below 1; classification only.
        patience: epochs without a better score after which to stop.
        seed: of weights, order and dropout.
        quantise_aware: ``i8`` or ``i4``: the last epochs train, and are judged, with weights that
            such a file can hold (fake_quant.py). The best of these is kept, and all are run.
        quantise_epochs: how many are the last.
    """

    epochs: int
    batch_size: int
    lr: float
    warmup: float
    weight_decay: float
    dropout: float
    label_smoothing: float
    patience: int
    seed: int
    quantise_aware: str | None = None
    quantise_epochs: int = 2

    def dtype_of(self, epoch: int) -> str | None:
        """What weights are rounded to in an epoch, counted from 1; None: not at all."""
        return self.quantise_aware if epoch > self.epochs - self.quantise_epochs else None


@dataclass(frozen=True)
class Epoch:
    """One pass over the data: mean loss, scores on dev, and whether they are the best so far."""

    number: int
    loss: float
    scores: dict[str, float]
    best: bool
    seconds: float


@dataclass(frozen=True)
class Outcome:
    """The weights of the best epoch, without the table, and how all went."""

    state: dict[str, Tensor]
    best: Epoch
    epochs: list[Epoch]


class Objective(nn.Module, ABC):
    """The loss. Its parameters, if any, are learned with the model's and then dropped."""

    @abstractmethod
    def forward(self, model: Bert, batch: dict[str, Tensor], rows: list[int]) -> Tensor:
        """The loss of some rows of the inputs, a scalar.

        Args:
            model: in training mode.
            batch: the rows collated, on the model's device.
            rows: their numbers, to find targets by.
        """


class Labelled(Objective):
    """Cross entropy with the labels, or the squared distance to numbers; and that of the tags.

    Args:
        targets: of all rows. The tags' loss is :func:`edgebert.train.transitions.path_loss`.
        label_smoothing: of labels, for classes.
        tag_weight: of the tags' loss.
    """

    def __init__(
        self, targets: Targets, label_smoothing: float = 0.0, tag_weight: float = 1.0
    ) -> None:
        super().__init__()
        self._targets, self._label_smoothing = targets, label_smoothing
        self._tag_weight = tag_weight

    def forward(self, model: Bert, batch: dict[str, Tensor], rows: list[int]) -> Tensor:
        """See Objective."""
        output = model(**batch)
        loss = output.logits.new_zeros(())
        if self._targets.values is not None:
            loss = self._of_labels(output.logits, self._targets.values[rows])
        if self._targets.tags is not None:
            tags = [self._targets.tags[row] for row in rows]
            loss = loss + self._tag_weight * path_loss(
                output.tag_logits, model.tag_transitions, padded(tags, output.tag_logits)
            )
        return loss

    def _of_labels(self, logits: Tensor, targets: Tensor) -> Tensor:
        targets = targets.to(logits.device)
        if targets.is_floating_point():
            return functional.mse_loss(logits[:, 0], targets)
        return functional.cross_entropy(logits, targets, label_smoothing=self._label_smoothing)


def finetune(
    model: Bert,
    inputs: list[Encoded],
    objective: Objective,
    dev: list[Encoded],
    judge: Judge,
    metric: str,
    recipe: Recipe,
    pad: int,
    memory: Path,
    fingerprint: str,
    report: Callable[[Epoch], None],
) -> Outcome:
    """Train ``model`` and keep the epoch that is best on dev.

    What is judged and kept is the moving average of the weights over about an epoch of steps.

    Args:
        model: is changed. Its word embeddings stay as they are.
        inputs: to train on.
        objective: the loss; changed if it has parameters.
        dev: inputs to judge by.
        judge: from what the model says of dev to scores.
        metric: the score that decides.
        recipe: how to train.
        pad: token id for padding.
        memory: file to remember the last finished epoch in; the caller removes it in the end.
        fingerprint: of everything that the result depends on. A memory with another is ignored.
        report: called after every epoch, also for those that were remembered.

    Raises:
        EdgebertError: the loss is not finite any more, or the memory cannot be written.
    """
    objective.to(model.device)
    parameters = [p for part in (model, objective) for p in part.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(
        [
            {"params": [p for p in parameters if p.ndim > 1], "weight_decay": recipe.weight_decay},
            {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0},
        ],
        lr=recipe.lr,
    )
    steps = -(-len(inputs) // recipe.batch_size)
    total = steps * recipe.epochs
    schedule = get_linear_schedule_with_warmup(optimizer, int(recipe.warmup * total), total)
    judged = copy.deepcopy(model).requires_grad_(False)

    epochs: list[Epoch] = []
    best_state: dict[str, Tensor] = {}
    saved = remembered(memory, fingerprint)
    if saved:
        model.load_state_dict(saved["model"], strict=False)  # without the table
        objective.load_state_dict(saved["objective"])
        judged.load_state_dict(saved["judged"], strict=False)
        optimizer.load_state_dict(saved["optimizer"])
        schedule.load_state_dict(saved["schedule"])
        best_state = saved["best_state"]
        epochs = [Epoch(**epoch) for epoch in saved["epochs"]]
        for epoch in epochs:
            report(epoch)

    while not _finished(epochs, recipe):
        number = len(epochs) + 1
        start = time.perf_counter()
        dtype = recipe.dtype_of(number)
        torch.manual_seed(recipe.seed * 1_000_003 + number)
        model.train()
        losses = []
        batches = _batches(inputs, recipe.batch_size)
        for rows in tqdm(batches, f"epoch {number}", leave=False, disable=None):
            batch = collate([inputs[i] for i in rows], pad)
            optimizer.zero_grad()
            with rounded(model, dtype):
                loss = objective(model, {k: v.to(model.device) for k, v in batch.items()}, rows)
                loss.backward()
            torch.nn.utils.clip_grad_norm_(parameters, 1.0)
            optimizer.step()
            schedule.step()
            window = min(1 + schedule.last_epoch / 10, steps)  # short at first, to forget the start
            _move_towards(model, judged, 1 / window)
            losses.append(loss.item())
        loss_mean = sum(losses) / len(losses)
        if not math.isfinite(loss_mean):
            raise EdgebertError(
                f"training diverged in epoch {number} (the loss is {loss_mean}): take a smaller "
                "--lr, or smaller numbers as labels"
            )
        with rounded(judged, dtype):
            scores = judge(predict(judged, dev, pad))
        rivals = [
            epoch.scores[metric] for epoch in epochs if recipe.dtype_of(epoch.number) == dtype
        ]
        best = not rivals or scores[metric] > max(rivals)
        if best:
            best_state = {name: values.clone() for name, values in _weights(judged).items()}
        epochs.append(Epoch(number, loss_mean, scores, best, time.perf_counter() - start))
        save_atomically(
            {
                "fingerprint": fingerprint,
                "model": _weights(model),
                "objective": objective.state_dict(),
                "judged": _weights(judged),
                "optimizer": optimizer.state_dict(),
                "schedule": schedule.state_dict(),
                "best_state": best_state,
                "epochs": [vars(epoch) for epoch in epochs],
            },
            memory,
        )
        report(epochs[-1])
    return Outcome(best_state, _best(epochs), epochs)


@torch.no_grad()
def _move_towards(model: Bert, average: Bert, weight: float) -> None:
    for new, mean in zip(model.parameters(), average.parameters(), strict=True):
        if new.requires_grad:
            mean.lerp_(new, weight)


def _weights(model: Bert) -> dict[str, Tensor]:
    """The state dict without the table, which follows from the vocabulary."""
    state: dict[str, Tensor] = model.state_dict()
    return {name: values for name, values in state.items() if not name.endswith(WORD_EMBEDDINGS)}


def _finished(epochs: list[Epoch], recipe: Recipe) -> bool:
    if not epochs or len(epochs) >= recipe.epochs:
        return bool(epochs)
    waited = len(epochs) - _best(epochs).number
    return waited >= recipe.patience and recipe.quantise_aware is None


def _best(epochs: list[Epoch]) -> Epoch:
    return [epoch for epoch in epochs if epoch.best][-1]


def _batches(inputs: list[Encoded], batch_size: int) -> list[list[int]]:
    """All rows in random order, in batches of like length, so that little is padded."""

    def chunks(rows: list[int], size: int) -> Iterator[list[int]]:
        return (rows[start : start + size] for start in range(0, len(rows), size))

    batches: list[list[int]] = []
    for bucket in chunks(torch.randperm(len(inputs)).tolist(), batch_size * BUCKET):
        bucket.sort(key=lambda row: len(inputs[row]))
        batches += chunks(bucket, batch_size)
    return [batches[i] for i in torch.randperm(len(batches)).tolist()]

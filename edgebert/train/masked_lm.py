"""The encoder with an output layer for hidden tokens, and batches for it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from edgebert.config import ModelConfig
from edgebert.hash import HashEmbedding
from edgebert.train.bert import build
from edgebert.train.masking import NOT_PREDICTED, Masker
from edgebert.train.text_stream import Row

ROWS = 128  # of logits at a time


class MaskedLM(nn.Module):
    """BERT's encoder on vectors that are given, and an output layer for hidden tokens alone."""

    def __init__(self, config: ModelConfig, classes: int, dropout: float) -> None:
        super().__init__()
        self.bert = build(config, dropout).bert
        self.bert.pooler = None
        self.bert.embeddings.word_embeddings = nn.Identity()
        self.transform = nn.Linear(config.hidden_size, config.hidden_size)
        self.norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.output = nn.Linear(config.hidden_size, classes)
        nn.init.normal_(self.output.weight, std=0.02)
        nn.init.zeros_(self.output.bias)

    def forward(
        self, vectors: Tensor, ids: Tensor, attention: Tensor | None, targets: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Sum of the cross-entropy over all targets, and how many are predicted.

        Args:
            vectors: float32 [distinct, hidden_size], the hash of the batch's tokens.
            ids: int64 [rows, tokens], indices into ``vectors``.
            attention: bool [rows, tokens], False where padded; None: nothing is.
            targets: int64 [rows, tokens], classes or NOT_PREDICTED.
        """
        embedded = functional.embedding(ids, vectors)
        hidden = self.bert(inputs_embeds=embedded, attention_mask=attention).last_hidden_state
        asked = targets != NOT_PREDICTED
        states = self.norm(functional.gelu(self.transform(hidden[asked])))
        loss, right = OutputLoss.apply(states, self.output.weight, self.output.bias, targets[asked])
        return loss, right


class OutputLoss(torch.autograd.Function):
    """``cross_entropy(linear(states, weight, bias), targets, reduction="sum")`` and hits.

    The gradients of a part of the rows are computed while its logits are in the cache, and the
    logits of all never exist. On one core, a step of UNO takes an eighth less time.
    """

    @staticmethod
    def forward(
        ctx: Any, states: Tensor, weight: Tensor, bias: Tensor, targets: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Args as of ``linear`` and ``cross_entropy``; targets int64 [rows]."""
        loss = states.new_zeros((), dtype=torch.float32)
        right = targets.new_zeros(())
        grads = [torch.zeros_like(values) for values in (states, weight, bias)]
        for start in range(0, len(targets), ROWS):
            part = slice(start, start + ROWS)
            wanted = targets[part, None]
            logits = functional.linear(states[part], weight, bias).float()
            highest, best = logits.max(-1, keepdim=True)
            right += (best == wanted).sum()
            true = logits.gather(-1, wanted)
            p = logits.sub_(highest).exp_()
            total = p.sum(-1, keepdim=True)
            loss += (total.log() + highest - true).sum()
            if any(ctx.needs_input_grad):
                p /= total
                p.scatter_add_(-1, wanted, -torch.ones_like(true))
                grads[0][part] = (p @ weight).to(states.dtype)
                grads[1].addmm_(p.T, states[part].float())
                grads[2] += p.sum(0)
        ctx.save_for_backward(*grads)
        ctx.mark_non_differentiable(right)
        return loss, right

    @staticmethod
    def backward(ctx: Any, grad_loss: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
        """Gradients, times that of the loss."""
        return *(grad * grad_loss for grad in ctx.saved_tensors), None


class Batches:
    """Batches of hidden words, and their way to the device."""

    def __init__(self, config: ModelConfig, masker: Masker, accelerator: Any) -> None:
        self._hash, self._mask, self._accelerator = HashEmbedding(config.hash), masker, accelerator

    def make(
        self, rows: Sequence[Row], seed: tuple[int, ...], whole: bool = False
    ) -> tuple[dict[str, Any], int]:
        """Hide words, and move this process's part to its device.

        Args:
            rows: of the batch of all processes.
            seed: of what is hidden.
            whole: every process gets all rows.

        Returns:
            Arguments of MaskedLM, and the number of targets in all rows, 1 or more.
        """
        batch = self._mask(rows, np.random.default_rng(seed))
        processes, process = self._accelerator.num_processes, self._accelerator.process_index
        part = slice(None) if whole else slice(process, None, processes)
        attention = None if batch.attention.all() else batch.attention[part]
        arrays = {
            "vectors": self._hash(batch.tokens),
            "ids": batch.ids[part],
            "attention": attention,
            "targets": batch.targets[part],
        }
        inputs = {
            name: None if array is None else torch.from_numpy(array).to(self._accelerator.device)
            for name, array in arrays.items()
        }
        return inputs, max(1, int((batch.targets != NOT_PREDICTED).sum()))

"""Pretraining by masked language modelling, in front of it the frozen hash.

The hash has no table that the output layer could share, as BERT's does. So the output layer has a
matrix of its own, over the corpus's most frequent tokens; it is dropped in the end.

All random numbers follow from (seed, step), and so an interrupted run ends with the same weights.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import math
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import accelerate
import torch
from torch import Tensor
from tqdm.auto import tqdm

from edgebert.config import ModelConfig
from edgebert.errors import DataError, EdgebertError, UsageError
from edgebert.files import check_writable
from edgebert.presets import num_parameters
from edgebert.tokenizer import Tokenizer
from edgebert.train.checkpoint import remembered, save_atomically, save_encoder
from edgebert.train.masked_lm import Batches, MaskedLM
from edgebert.train.masking import SPECIAL, Masker
from edgebert.train.text_stream import Corpus, Packer, TextStream, find_files, scan
from edgebert.version import __version__


@dataclass(frozen=True)
class Recipe:
    """How to pretrain.

    Attributes:
        steps: updates of the weights.
        batch_size: sequences in a step, over all devices.
        tokens: length of a sequence, [CLS] and [SEP] included.
        lr: learning rate at its peak (AdamW).
        warmup: share of all steps in which the learning rate rises; then it falls to 0.
        weight_decay: of matrices; biases and LayerNorm have none.
        dropout: of hidden states and attention.
        vocabulary: most classes of the output layer.
        mask: share of words that are hidden.
        seed: of weights, order, masks and dropout.
    """

    steps: int = 10_000
    batch_size: int = 64
    tokens: int = 128
    lr: float = 2e-3
    warmup: float = 0.05
    weight_decay: float = 0.01
    dropout: float = 0.0
    vocabulary: int = 8192
    mask: float = 0.15
    seed: int = 0


@dataclass(frozen=True)
class Job:
    """What to pretrain, on what, and where the result goes.

    Attributes:
        config: shape and hash.
        tokenizer: as in inference.
        paths: files and folders of text.
        output: ``encoder.pt`` to write.
        recipe: how to train.
        eval_every: steps from one evaluation on held-out lines to the next.
        save_minutes: time from one resumable state to the next.
        precision: ``fp32``, ``bf16``, or ``auto``: bf16 where the processor has it.
        resume: go on from where an interrupted run of the same job was.
    """

    config: ModelConfig
    tokenizer: Tokenizer
    paths: Sequence[Path]
    output: Path
    recipe: Recipe
    eval_every: int = 500
    save_minutes: float = 10.0
    precision: str = "auto"
    resume: bool = True


@dataclass(frozen=True)
class Evaluation:
    """How the training stands.

    Attributes:
        step: updates so far.
        loss: mean cross-entropy in nats of hidden tokens, since the last evaluation.
        dev_loss: the same on held-out lines.
        dev_accuracy: share of hidden tokens there that are predicted.
        tokens: trained on so far, those that are not hidden included.
        seconds: since the start, without interruptions.
    """

    step: int
    loss: float
    dev_loss: float
    dev_accuracy: float
    tokens: int
    seconds: float


def pretrain(
    job: Job,
    report: Callable[[Evaluation], None] = lambda evaluation: None,
    say: Callable[[str], None] = lambda line: None,
) -> dict[str, Any]:
    """Pretrain an encoder, write it and return the facts as one document.

    Ctrl-C, and SIGTERM, end the step at hand and leave a file from which the same job goes on.

    Args:
        job: what to do.
        report: called after each evaluation.
        say: called with a line on how the run was set up.

    Raises:
        DataError: a file is missing, damaged or not text. All such before training starts.
        UsageError: options that do not fit together.
        EdgebertError: the loss is not finite any more, or the output cannot be written.
        KeyboardInterrupt: interrupted; the state is saved.
    """
    recipe, config = job.recipe, ModelConfig.from_dict(job.config.to_dict())
    if not 3 <= recipe.tokens <= config.max_position_embeddings:
        raise UsageError(
            f"--tokens must be 3 to {config.max_position_embeddings}, the model's positions; "
            "--max-tokens changes those"
        )
    memory = job.output.with_name(job.output.name + ".resume")
    check_writable(job.output, memory)
    files = find_files(job.paths)
    if job.output.resolve() in [file.resolve() for file in files]:
        raise DataError(f"{job.output} holds the text: -o takes the name of another file")
    corpus = scan(files, job.tokenizer)
    frequent = sorted(corpus.counts, key=lambda token: (-corpus.counts[token], token))
    vocabulary = [t for t in frequent if t not in SPECIAL][: recipe.vocabulary]
    if not vocabulary:
        raise UsageError("nothing to predict: the text has no word that the vocabulary knows")

    precision = _precision(job.precision)
    accelerator = accelerate.Accelerator(mixed_precision=precision.replace("fp32", "no"))
    if recipe.batch_size < accelerator.num_processes:
        raise UsageError("--batch-size must be at least the number of devices")
    torch.manual_seed(recipe.seed)
    model = MaskedLM(config, len(vocabulary), recipe.dropout)
    text_bytes = sum(file.size for file in corpus.files)
    if accelerator.is_main_process:
        say(
            f"{len(corpus.files)} file(s), {text_bytes / 1e6:,.1f} MB of text, "
            f"{len(corpus.held_out):,} lines held out; {num_parameters(config):,} parameters, "
            f"{len(vocabulary):,} classes, {accelerator.device}, {precision}"
        )
    masker = Masker(vocabulary, recipe.mask, job.tokenizer.kind == "wordpiece")
    trainer = _Trainer(job, corpus, model, Batches(config, masker, accelerator), accelerator)
    if not job.resume:
        memory.unlink(missing_ok=True)
    history = trainer.run(memory, _fingerprint(job, corpus), report)
    facts = {
        "parameters": num_parameters(config),
        "dev_loss": history[-1].dev_loss,
        "dev_accuracy": history[-1].dev_accuracy,
        "tokens_trained": history[-1].tokens,
        "seconds": round(history[-1].seconds, 1),
        "epochs": trainer.stream.epoch,
        "text_bytes": text_bytes,
        "text_digest": corpus.digest,
        "precision": precision,
        "devices": accelerator.num_processes,
        **dataclasses.asdict(recipe),
        "versions": {"edgebert": __version__, "torch": str(torch.__version__)},
    }
    if accelerator.is_main_process:
        save_encoder(job.output, config, trainer.state_dict(), job.tokenizer, facts)
        memory.unlink(missing_ok=True)
    return {
        "output": str(job.output),
        **facts,
        "history": [dataclasses.asdict(evaluation) for evaluation in history],
    }


class _Trainer:
    """The loop, and what it remembers."""

    def __init__(
        self, job: Job, corpus: Corpus, model: MaskedLM, batches: Batches, accelerator: Any
    ) -> None:
        self._job, self._recipe, self._corpus = job, job.recipe, corpus
        self._batches, self._accelerator = batches, accelerator
        packer = Packer(job.tokenizer, job.recipe.tokens)
        self._dev = [row for line in corpus.held_out for row in packer.add(line)]
        self._dev += packer.flush()
        parameters = list(model.parameters())
        decay = job.recipe.weight_decay
        optimizer = torch.optim.AdamW(
            [
                {"params": [p for p in parameters if p.ndim > 1], "weight_decay": decay},
                {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0},
            ]
        )
        self._model, self._optimizer = accelerator.prepare(model, optimizer)
        self._history: list[Evaluation] = []
        self._step, self._tokens, self._seconds, self._asked = 0, 0, 0.0, 0
        self._loss = torch.zeros((), device=accelerator.device)  # sum since the last evaluation

    def state_dict(self) -> dict[str, Tensor]:
        """The model's weights."""
        state: dict[str, Tensor] = self._accelerator.unwrap_model(self._model).state_dict()
        return state

    def run(
        self, memory: Path, fingerprint: str, report: Callable[[Evaluation], None]
    ) -> list[Evaluation]:
        """Train to the end."""
        job, recipe, accelerator = self._job, self._recipe, self._accelerator
        saved = remembered(memory, fingerprint)
        if saved:
            self._restore(saved)
            for evaluation in self._history if accelerator.is_main_process else ():
                report(evaluation)
        stream_state = saved["stream"] if saved else None
        self.stream = TextStream(
            self._corpus, job.tokenizer, recipe.tokens, recipe.seed, stream_state
        )
        last_time = last_save = time.perf_counter()
        progress = tqdm(
            desc="pretraining",
            total=recipe.steps,
            initial=self._step,
            leave=False,
            disable=None if accelerator.is_main_process else True,
        )
        with progress, _interruptions() as interrupted:
            while self._step < recipe.steps:
                self._train_step()
                progress.update()
                last = self._step == recipe.steps
                if last or self._step % job.eval_every == 0:
                    now = time.perf_counter()
                    self._seconds, last_time = self._seconds + now - last_time, now
                    self._evaluate()
                    if accelerator.is_main_process:
                        report(self._history[-1])
                if interrupted:
                    accelerator.set_trigger()
                stop = accelerator.check_trigger()
                now = time.perf_counter()
                if stop or now - last_save > 60 * job.save_minutes:
                    self._seconds, last_time, last_save = self._seconds + now - last_time, now, now
                    if accelerator.is_main_process:
                        save_atomically({"fingerprint": fingerprint, **self._state()}, memory)
                if stop and not last:
                    raise KeyboardInterrupt(*interrupted)
        return self._history

    def _train_step(self) -> None:
        recipe, accelerator = self._recipe, self._accelerator
        rows = list(islice(self.stream, recipe.batch_size))
        inputs, asked = self._batches.make(rows, (recipe.seed, 0, self._step))
        torch.manual_seed(recipe.seed * 1_000_003 + self._step)  # of dropout
        self._model.train()
        loss, _ = self._model(**inputs)
        # Gradients of several processes are averaged.
        accelerator.backward(loss * (accelerator.num_processes / asked))
        accelerator.clip_grad_norm_(self._model.parameters(), 1.0)
        for group in self._optimizer.param_groups:
            group["lr"] = recipe.lr * _schedule(self._step, recipe)
        self._optimizer.step()
        self._optimizer.zero_grad()
        self._loss += loss.detach()
        self._asked += asked
        self._tokens += sum(map(len, rows))
        self._step += 1

    @torch.no_grad()
    def _evaluate(self) -> None:
        loss = float(self._accelerator.reduce(self._loss, "sum")) / self._asked
        if not math.isfinite(loss):
            raise EdgebertError(
                f"training diverged before step {self._step} (the loss is {loss}): take a smaller "
                "--lr, and --no-resume"
            )
        self._loss, self._asked = torch.zeros_like(self._loss), 0
        self._model.eval()
        size, sums = self._recipe.batch_size, [0.0, 0.0, 0.0]
        for start in range(0, len(self._dev), size):
            rows, seed = self._dev[start : start + size], (self._recipe.seed, 1, start)
            inputs, asked = self._batches.make(rows, seed, whole=True)
            dev_loss, right = self._model(**inputs)
            sums = [a + float(b) for a, b in zip(sums, (dev_loss, right, asked), strict=True)]
        evaluation = Evaluation(
            self._step, loss, sums[0] / sums[2], sums[1] / sums[2], self._tokens, self._seconds
        )
        self._history.append(evaluation)

    def _state(self) -> dict[str, Any]:
        return {
            "model": self.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "stream": self.stream.state(),
            "history": [vars(evaluation) for evaluation in self._history],
            "step": self._step,
            "tokens": self._tokens,
            "seconds": self._seconds,
            "loss": self._loss,
            "asked": self._asked,
        }

    def _restore(self, state: dict[str, Any]) -> None:
        self._accelerator.unwrap_model(self._model).load_state_dict(state["model"])
        self._optimizer.load_state_dict(state["optimizer"])
        self._history = [Evaluation(**evaluation) for evaluation in state["history"]]
        self._step, self._tokens = state["step"], state["tokens"]
        self._seconds, self._asked = state["seconds"], state["asked"]
        self._loss = state["loss"].to(self._accelerator.device)


def _schedule(step: int, recipe: Recipe) -> float:
    """Linear warm-up from 0, then linear decay to 0: the share of the peak rate."""
    warmup = max(1, int(recipe.warmup * recipe.steps))
    return min((step + 1) / warmup, (recipe.steps - step) / max(1, recipe.steps - warmup))


def _precision(wanted: str) -> str:
    """``fp32`` or ``bf16``."""
    if wanted != "auto":
        return wanted
    if torch.cuda.is_available():
        has_bf16 = torch.cuda.get_device_capability() >= (8, 0)  # before, it is emulated
    else:
        capabilities: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
        has_bf16 = capabilities.get("avx512_bf16") or capabilities.get("amx_bf16")
    return "bf16" if has_bf16 else "fp32"


@contextlib.contextmanager
def _interruptions() -> Iterator[list[int]]:
    """Whether Ctrl-C or SIGTERM came: its number. A second one interrupts at once."""
    asked: list[int] = []
    if threading.current_thread() is not threading.main_thread():  # which alone gets signals
        yield asked
        return

    def ask(number: int, _: Any) -> None:
        if asked:
            raise KeyboardInterrupt(number)
        asked.append(number)

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _fingerprint(job: Job, corpus: Corpus) -> str:
    """Of everything that is learned from; where it is computed may change on the way."""
    files = [(file.size, file.first_line) for file in corpus.files]
    digest = hashlib.sha256(job.tokenizer.blob + corpus.digest.encode())
    digest.update(repr((files, job.config, job.recipe, __version__)).encode())
    return digest.hexdigest()

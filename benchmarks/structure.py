"""What no file can hold yet: is it worth a format?

python -m benchmarks.structure DATA -o RUNS [--tasks hwu64] [--seeds 0,1,2] [--only scale,shared]
                               [--write docs/accuracy.md] [-- TRAINING OPTIONS]

Trains UNO in PyTorch with something behind the hash, or with layers that share their weights, as
`edgebert train` does and with the seeds that benchmarks.search has. It is scored there, in
float32, as there is no artifact; bytes are four times the weights. RUNS keeps the scores.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

from benchmarks.accuracy import Run, split_arguments, train_command
from benchmarks.search import compare, parser_of
from edgebert.cli import build_parser
from edgebert.cli.train import run_job
from edgebert.files import write_atomically
from edgebert.train.bert import Bert, Vocabulary, build
from edgebert.train.finetune import Epoch, Labelled, finetune
from edgebert.train.run import Job, fingerprint_of, prepare

MARK = "python -m benchmarks.structure"
Report: TypeAlias = Callable[[Epoch], None]
Say: TypeAlias = Callable[[str], None]


class Scale(nn.Module):
    """A learned factor for each column of the hash."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.factors = nn.Parameter(torch.ones(width))

    def forward(self, vectors: Tensor) -> Tensor:
        """Float32 [..., width] to the same."""
        return vectors * self.factors


def _nothing(model: Bert) -> None:
    pass


def _scale(model: Bert) -> None:
    _behind_hash(model, Scale(model.config.hidden_size))


def _projection(model: Bert) -> None:
    width = model.config.hidden_size
    projection = nn.Linear(width, width, bias=False)
    nn.init.eye_(projection.weight)
    _behind_hash(model, projection)


def _behind_hash(model: Bert, module: nn.Module) -> None:
    embeddings = model.bert.embeddings
    embeddings.word_embeddings = nn.Sequential(embeddings.word_embeddings, module)


def _share(model: Bert) -> None:
    """The second half of the layers is the first half again."""
    layers = model.bert.encoder.layer
    half = len(layers) // 2
    for i in range(half):
        layers[half + i] = layers[i]


# name -> what is done to the model, and options of `edgebert train` for its shape
VARIANTS: dict[str, tuple[Callable[[Bert], None], tuple[str, ...]]] = {
    "uno": (_nothing, ()),
    "scale": (_scale, ()),
    "projection": (_projection, ()),
    "shared-wide": (_share, ("--intermediate-size", "768")),
    "shared-deep": (_share, ("--num-hidden-layers", "4")),
}


def train(job: Job, change: Callable[[Bert], None], report: Report) -> dict[str, Any]:
    """As edgebert.train.run.train, of a model that is changed first and kept nowhere."""
    task = prepare(job)
    torch.manual_seed(job.recipe.seed)
    model = build(task.config, job.recipe.dropout)
    vocabulary = Vocabulary()
    inputs = vocabulary.encode(job.tokenizer, task.data.texts, task.config)
    dev = vocabulary.encode(job.tokenizer, task.dev.texts, task.config)
    model.set_input_embeddings(vocabulary.table(task.config.hash))
    change(model)
    weights = sum(values.numel() for values in model.parameters() if values.requires_grad)
    objective = Labelled(task.targets, job.recipe.label_smoothing)
    best = finetune(
        model,
        inputs,
        objective,
        dev,
        task.judge,
        task.metric,
        job.recipe,
        vocabulary.pad,
        task.memory,
        fingerprint_of(job, task, change.__name__),
        report,
    ).best
    task.memory.unlink(missing_ok=True)
    return {"dev": best.scores, "best_epoch": best.number, "bytes": 4 * weights}


def score(run: Run, data: Path, folder: Path, training: Sequence[str]) -> dict[str, Any]:
    """Train one, if that is not done, and keep what it reached."""
    result = folder / f"{run.stem}.json"
    if not result.exists():
        change, shape = VARIANTS[run.variant]
        command = [*train_command(run, data, folder / f"{run.stem}.pt"), *shape, *training]
        report: dict[str, Any] = {}

        def start(job: Job, epoch: Report, say: Say) -> dict[str, Any]:
            report.update(train(job, change, epoch))
            return report

        run_job(build_parser().parse_args(command), start)
        document = {**run._asdict(), "metrics": report["dev"], "bytes": report["bytes"]}
        write_atomically(result, json.dumps(document).encode())
    document = json.loads(result.read_text())
    return document


def main(arguments: Sequence[str] | None = None) -> None:
    """Do what is left to do, and print the table."""
    parser = parser_of("Compare what no file can hold yet.", VARIANTS)
    options, training = split_arguments(parser, arguments)
    compare(options, lambda run: score(run, options.data, options.output, training), MARK)


if __name__ == "__main__":
    main()

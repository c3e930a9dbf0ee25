"""``edgebert train`` from files to a file."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import platform
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers

from edgebert.config import ModelConfig
from edgebert.errors import DataError
from edgebert.metrics import DEFAULT_METRIC, METRICS
from edgebert.presets import num_parameters
from edgebert.tokenizer import Tokenizer
from edgebert.train.bert import Vocabulary, build, predict
from edgebert.train.checkpoint import save
from edgebert.train.finetune import Epoch, Recipe, finetune
from edgebert.train.init import load_encoder
from edgebert.train.targets import Targets, judge
from edgebert.tsv import read_tsv
from edgebert.version import __version__

NUM_PROBES = 16  # dev texts whose logits go into the checkpoint


@dataclass(frozen=True)
class Job:
    """What to train, on what, and where the result goes.

    Attributes:
        config: shape and hash; its task and labels are replaced by the data's.
        tokenizer: as in inference.
        train: file to train on.
        dev: file to choose the best epoch by.
        output: ``model.pt`` to write.
        recipe: how to train.
        task: ``classification`` or ``regression``; None: by the labels.
        metric: of edgebert.metrics, decides which epoch is best; None: the task's usual one.
        init: encoder to start from.
        resume: go on from the last finished epoch of an interrupted run of the same job.
    """

    config: ModelConfig
    tokenizer: Tokenizer
    train: Path
    dev: Path
    output: Path
    recipe: Recipe
    task: str | None = None
    metric: str | None = None
    init: Path | None = None
    resume: bool = True


def train(
    job: Job,
    report: Callable[[Epoch], None] = lambda epoch: None,
    say: Callable[[str], None] = lambda line: None,
) -> dict[str, Any]:
    """Train a model, write its checkpoint and return the facts as one document.

    Args:
        job: what to do.
        report: called after each epoch.
        say: called with a line on how the run was set up.

    Raises:
        DataError: a data file is malformed, or the two do not fit together.
        ModelError: the file to start from is damaged or of another shape.
        OSError: the output cannot be written. All of these before training starts.
    """
    start = time.perf_counter()
    memory = job.output.with_name(job.output.name + ".resume")
    _check_writable(job.output, memory)
    if job.output.resolve() in (job.train.resolve(), job.dev.resolve()):
        raise DataError(f"{job.output} holds the data: -o takes the name of another file")
    data, dev = read_tsv(job.train), read_tsv(job.dev)
    task = job.task or data.task
    metric = job.metric or DEFAULT_METRIC[task]
    if metric not in METRICS[task]:
        raise DataError(f"--metric {metric}: {task} is measured by {', '.join(METRICS[task])}")
    if data.pairs != dev.pairs:
        raise DataError(f"{job.dev}: one of the two files has pairs of texts, the other has not")
    labels = ("score",) if task == "regression" else tuple(sorted(set(data.labels)))
    if task == "classification" and len(labels) < 2:
        raise DataError(f"{job.train}: all examples have the label {labels[0]!r}")
    config = dataclasses.replace(job.config, task=task, labels=labels)
    config = ModelConfig.from_dict(config.to_dict())  # checks options that users may combine badly

    targets, judgement = Targets.of(data, config), judge(dev, config)

    torch.manual_seed(job.recipe.seed)
    model = build(config, job.recipe.dropout)
    if job.init:
        taken, fresh = load_encoder(model, job.init)
        say(f"{job.init}: {len(taken)} weights taken, fresh: {', '.join(fresh) or 'none'}")
    vocabulary = Vocabulary()
    inputs = vocabulary.encode(job.tokenizer, data.texts, config)
    dev_inputs = vocabulary.encode(job.tokenizer, dev.texts, config)
    model.set_input_embeddings(vocabulary.table(config.hash))
    model.to("cuda" if torch.cuda.is_available() else "cpu")
    say(
        f"{len(data):,} examples, {task}, {len(labels)} label(s), {len(vocabulary):,} distinct "
        f"tokens, {num_parameters(config):,} parameters"
    )

    fingerprint = _fingerprint(job, config)
    if not job.resume:
        memory.unlink(missing_ok=True)
    outcome = finetune(
        model,
        inputs,
        targets.values,
        dev_inputs,
        judgement,
        metric,
        job.recipe,
        vocabulary.pad,
        memory,
        fingerprint,
        report,
    )

    model.load_state_dict(outcome.state, strict=False)  # without the table
    targets.restore_scale(model.classifier)
    probes = list(range(0, len(dev), -(-len(dev) // NUM_PROBES)))
    logits = predict(model, [dev_inputs[i] for i in probes], vocabulary.pad)
    facts = {
        "parameters": num_parameters(config),
        "examples": len(data),
        "metric": metric,
        "dev": outcome.best.scores,
        "best_epoch": outcome.best.number,
        "epochs_run": len(outcome.epochs),
        **dataclasses.asdict(job.recipe),
        "threads": torch.get_num_threads(),
        "seconds": round(time.perf_counter() - start, 1),
        "versions": {
            "edgebert": __version__,
            "torch": str(torch.__version__),  # its own class, which no .pt should need
            "transformers": transformers.__version__,
            "python": platform.python_version(),
        },
    }
    probe_texts = [dev.texts[i] for i in probes]
    save(job.output, config, model.state_dict(), job.tokenizer, probe_texts, logits, facts)
    memory.unlink(missing_ok=True)
    return {
        "output": str(job.output),
        "bytes": job.output.stat().st_size,
        "task": task,
        "labels": list(labels),
        **facts,
        "epochs": [dataclasses.asdict(epoch) for epoch in outcome.epochs],
    }


def _check_writable(*paths: Path) -> None:
    """Fail now rather than after hours of training."""
    for path in paths:
        if path.is_dir():
            raise DataError(f"{path} is a folder: -o takes the name of a file, such as model.pt")
        if path.exists() and not path.is_file():  # /dev/null, which root could replace
            raise DataError(f"{path} is not a file: -o takes the name of one, such as model.pt")
        if not path.parent.is_dir():
            raise DataError(f"{path.parent} is not a folder: create it first")
        if not os.access(path.parent, os.W_OK):
            raise DataError(f"{path.parent} cannot be written to")


def _fingerprint(job: Job, config: ModelConfig) -> str:
    """Of everything that the weights depend on."""
    digest = hashlib.sha256()
    files = [job.train, job.dev]
    if job.init:
        files += (
            sorted(p for p in job.init.iterdir() if p.is_file())
            if job.init.is_dir()
            else [job.init]
        )
    for file in files:
        digest.update(hashlib.sha256(file.read_bytes()).digest())
    digest.update(job.tokenizer.blob)
    digest.update(repr((config, job.recipe, job.metric, __version__, torch.__version__)).encode())
    return digest.hexdigest()

"""``edgebert train`` from files to a file."""

from __future__ import annotations

import dataclasses
import hashlib
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers

from edgebert.config import ModelConfig
from edgebert.errors import DataError
from edgebert.files import check_writable
from edgebert.metrics import metrics_of
from edgebert.presets import num_parameters
from edgebert.sequence import Text
from edgebert.tokenizer import Tokenizer
from edgebert.train.augment import exchange_entities
from edgebert.train.bert import Bert, Vocabulary, build, predict
from edgebert.train.checkpoint import save
from edgebert.train.finetune import Epoch, Labelled, Objective, Recipe, finetune
from edgebert.train.init import load_encoder
from edgebert.train.tags import tag_names
from edgebert.train.targets import Judge, Targets, judge
from edgebert.tsv import Dataset, read_tsv
from edgebert.version import __version__

NUM_PROBES = 16  # dev texts whose logits go into the checkpoint


@dataclass(frozen=True, kw_only=True)
class Run:
    """What every training is told.

    Attributes:
        config: shape and hash; its task, labels and tags are replaced by the data's.
        tokenizer: as in inference.
        output: ``model.pt`` to write.
        recipe: how to train.
        init: encoder to start from.
        resume: go on from the last finished epoch of an interrupted run of the same job.
    """

    config: ModelConfig
    tokenizer: Tokenizer
    output: Path
    recipe: Recipe
    init: Path | None = None
    resume: bool = True


@dataclass(frozen=True, kw_only=True)
class Job(Run):
    """What to train on labelled texts.

    Attributes:
        train: file to train on.
        dev: file to choose the best epoch by.
        task: ``classification``, ``regression`` or ``tagging``; None: by the labels.
        metric: of edgebert.metrics, decides which epoch is best; None: the task's usual one.
        tag_weight: of the tags' loss besides the labels'; 0: tags are not learned.
        exchange: variants of each text with tags, with entities of other texts.
    """

    train: Path
    dev: Path
    task: str | None = None
    metric: str | None = None
    tag_weight: float = 1.0
    exchange: int = 0


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
    task = prepare(job)
    torch.manual_seed(job.recipe.seed)
    model = build(task.config, job.recipe.dropout)
    if job.init:
        start_from(model, job.init, say)
    objective = Labelled(task.targets, job.recipe.label_smoothing, job.tag_weight)
    more = (job.tag_weight, job.exchange) if task.config.tags else None
    fingerprint = fingerprint_of(job, task, more)
    return fit(job, task, model, task.data.texts, objective, fingerprint, report, say)


@dataclass(frozen=True)
class Task:
    """What the data of a job say, checked.

    Attributes:
        config: the job's with task, labels and tags.
        data: to train on.
        dev: to judge by.
        metric: decides which epoch is best.
        targets: of ``data``.
        judge: from what a model says of ``dev`` to scores.
        memory: file beside the output that remembers the last finished epoch.
        start: when the job began, seconds of time.perf_counter.
    """

    config: ModelConfig
    data: Dataset
    dev: Dataset
    metric: str
    targets: Targets
    judge: Judge
    memory: Path
    start: float


def prepare(job: Job) -> Task:
    """Read and check everything before hours of training; errors as of :func:`train`."""
    start = time.perf_counter()
    memory = job.output.with_name(job.output.name + ".resume")
    check_writable(job.output, memory)
    if job.output.resolve() in (job.train.resolve(), job.dev.resolve()):
        raise DataError(f"{job.output} holds the data: -o takes the name of another file")
    data, dev = read_tsv(job.train), read_tsv(job.dev)
    task = job.task or data.task
    tags = _tags(job, data, dev, task)
    names = metrics_of(task, bool(tags))
    metric = job.metric or names[0]
    if metric not in names:
        raise DataError(f"--metric {metric}: {task} is measured by {', '.join(names)}")
    if data.pairs != dev.pairs:
        raise DataError(f"{job.dev}: one of the two files has pairs of texts, the other has not")
    if job.exchange and not tags:
        raise DataError(f"{job.train}: --exchange-entities takes a column tags, and a --tag-weight")
    if job.exchange:
        data = exchange_entities(data, job.exchange, job.recipe.seed)
    labels = _labels(data, task)
    config = dataclasses.replace(job.config, task=task, labels=labels, tags=tags)
    config = ModelConfig.from_dict(config.to_dict())  # checks options that users may combine badly
    targets = Targets.of(data, config, job.tokenizer)
    judge_ = judge(dev, config, job.tokenizer)
    return Task(config, data, dev, metric, targets, judge_, memory, start)


def _labels(data: Dataset, task: str) -> tuple[str, ...]:
    if task == "tagging":
        return ()
    if task == "regression":
        return ("score",)
    labels = tuple(sorted(set(data.labels)))
    if len(labels) < 2:
        raise DataError(f"{data.path}: all examples have the label {labels[0]!r}")
    return labels


def _tags(job: Job, data: Dataset, dev: Dataset, task: str) -> tuple[str, ...]:
    """The tags to learn, as the data and the job have it."""
    if task == "tagging" and (data.tags is None or not job.tag_weight):
        raise DataError(f"{job.train}: nothing to learn: tagging takes a column tags, and a weight")
    if data.tags is None or not job.tag_weight:
        return ()
    if dev.tags is None:
        raise DataError(f"{job.dev}: has no column tags, which {job.train} has")
    return tag_names(data)


def start_from(model: Bert, path: Path, say: Callable[[str], None]) -> None:
    """Take over another model's encoder, and say which weights were not taken."""
    taken, fresh = load_encoder(model, path)
    say(f"{path}: {len(taken)} weights taken, fresh: {', '.join(fresh) or 'none'}")


def fit(
    job: Run,
    task: Task,
    model: Bert,
    texts: Sequence[Text],
    objective: Objective,
    fingerprint: str,
    report: Callable[[Epoch], None],
    say: Callable[[str], None],
    facts: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Train a model, write its checkpoint and return the facts as one document.

    Args:
        job: what was asked for.
        task: from :func:`prepare`.
        model: to train, with an empty vocabulary.
        texts: to train on; the first are those of ``task.data``.
        objective: the loss, by number of text.
        fingerprint: of everything that the weights depend on.
        report: called after each epoch.
        say: called with a line on how the run was set up.
        facts: more of them, for the document and the checkpoint.
    """
    config, data, dev = task.config, task.data, task.dev
    vocabulary = Vocabulary()
    inputs = vocabulary.encode(job.tokenizer, texts, config)
    dev_inputs = vocabulary.encode(job.tokenizer, dev.texts, config)
    model.set_input_embeddings(vocabulary.table(config.hash))
    model.to("cuda" if torch.cuda.is_available() else "cpu")
    say(
        f"{len(texts):,} examples, {config.task}, "
        + (f"{config.num_labels} label(s), " if config.labels else "")
        + (f"{config.num_tags} tags, " if config.tags else "")
        + f"{len(vocabulary):,} distinct tokens, {num_parameters(config):,} parameters"
    )

    if not job.resume:
        task.memory.unlink(missing_ok=True)
    outcome = finetune(
        model,
        inputs,
        objective,
        dev_inputs,
        task.judge,
        task.metric,
        job.recipe,
        vocabulary.pad,
        task.memory,
        fingerprint,
        report,
    )

    model.load_state_dict(outcome.state, strict=False)  # without the table
    task.targets.restore_scale(model.classifier)
    probes = list(range(0, len(dev), -(-len(dev) // NUM_PROBES)))
    answers = predict(model, [dev_inputs[i] for i in probes], vocabulary.pad)
    training = {
        "parameters": num_parameters(config),
        "examples": len(data),
        "metric": task.metric,
        "dev": outcome.best.scores,
        "best_epoch": outcome.best.number,
        "epochs_run": len(outcome.epochs),
        **dataclasses.asdict(job.recipe),
        **(facts or {}),
        "threads": torch.get_num_threads(),
        "seconds": round(time.perf_counter() - task.start, 1),
        "versions": {
            "edgebert": __version__,
            "torch": str(torch.__version__),  # its own class, which no .pt should need
            "transformers": transformers.__version__,
            "python": platform.python_version(),
        },
    }
    probe_texts = [dev.texts[i] for i in probes]
    save(job.output, config, model.state_dict(), job.tokenizer, probe_texts, answers, training)
    task.memory.unlink(missing_ok=True)
    return {
        "output": str(job.output),
        "bytes": job.output.stat().st_size,
        "task": config.task,
        "labels": list(config.labels),
        "tags": list(config.tags),
        **training,
        "epochs": [dataclasses.asdict(epoch) for epoch in outcome.epochs],
    }


def fingerprint_of(job: Job, task: Task, more: object = None, files: Sequence[Path] = ()) -> str:
    """Of everything that the weights depend on.

    Args:
        job: what was asked for.
        task: from :func:`prepare`.
        more: options besides, told apart by their repr.
        files: read besides the data; of a folder all its files.
    """
    return digest_of_run(job, task.config, [job.train, job.dev, *files], job.metric, more)


def digest_of_run(job: Run, config: ModelConfig, files: Sequence[Path], *facts: object) -> str:
    """The same of any run: of the contents of files, and of facts by their repr."""
    digest = hashlib.sha256()
    for path in [*files, *([job.init] if job.init else [])]:
        digest.update(file_digest(path).encode())
    digest.update(job.tokenizer.blob)
    digest.update(repr((config, job.recipe, facts, __version__, torch.__version__)).encode())
    return digest.hexdigest()


def file_digest(path: Path) -> str:
    """SHA-256 of a file, or of all files in a folder, as hexadecimal digits."""
    digest = hashlib.sha256()
    for file in sorted(p for p in path.iterdir() if p.is_file()) if path.is_dir() else [path]:
        digest.update(hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()

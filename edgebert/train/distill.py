"""``edgebert distill`` from files to a file: a student behind the hash learns from a teacher.

The teacher labels each text once. Its answers lie in a file beside the output, so that neither an
interrupted run nor one with other texts or weights of the loss asks it again.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import BertForSequenceClassification

from edgebert.config import BERT_FIELDS, ModelConfig
from edgebert.errors import DataError, ModelError
from edgebert.files import check_writable
from edgebert.sequence import Text
from edgebert.train.answers import Answers
from edgebert.train.augment import DRAW, sample_lines, variants
from edgebert.train.bert import Encoded, Predictions, Vocabulary, build, collate, predict
from edgebert.train.distill_loss import Distillation, Layers, Observer, Weights
from edgebert.train.finetune import Epoch
from edgebert.train.init import take_weights
from edgebert.train.match import match_labels
from edgebert.train.run import Job, Task, file_digest, fingerprint_of, fit, prepare, start_from
from edgebert.train.teacher import Teacher, open_encoder, open_teacher
from edgebert.train.teacher_head import MAX_TOKENS, TeacherRecipe, fine_tune

LEAST_AGREEMENT = 0.5  # with the labels, as a share of chance
LEAST_ALIKE = 0.5  # share of texts whose tokens must be the teacher's, to learn from its layers


@dataclass(frozen=True)
class Lesson:
    """Whom to learn from, and what.

    Attributes:
        teacher: a classifier's folder or ``model.pt``; with ``head`` an encoder's folder.
        weights: of the parts of the loss.
        augment: variants of each labelled text.
        unlabelled: files of texts, one a line, for the teacher to label; ``.xz`` too.
        unlabelled_lines: how many of their lines to draw; None: as many as there are labelled
            texts.
        sentences: cut these lines into sentences first, and draw of these.
        logits: file that keeps the teacher's answers; None: beside the output.
        head: folder for the teacher that is fine-tuned first; None: it is a classifier already.
        teacher_recipe: how that is done.
    """

    teacher: Path
    weights: Weights = field(default_factory=Weights)
    augment: int = 0
    unlabelled: Sequence[Path] = ()
    unlabelled_lines: int | None = None
    sentences: bool = False
    logits: Path | None = None
    head: Path | None = None
    teacher_recipe: TeacherRecipe = field(default_factory=TeacherRecipe)


def distill(
    job: Job,
    lesson: Lesson,
    report: Callable[[Epoch], None] = lambda epoch: None,
    say: Callable[[str], None] = lambda line: None,
) -> dict[str, Any]:
    """Train a student, write its checkpoint and return the facts as one document.

    Args:
        job: as of ``edgebert train``; without ``init`` a teacher of the student's shape hands over
            its encoder.
        lesson: whom to learn from.
        report: called after each epoch of the student.
        say: called with lines on how the run was set up.

    Raises:
        DataError: a data file is malformed, or the files do not fit together.
        ModelError: the teacher is missing, damaged, or does not fit the data.
        OSError: the output cannot be written. All of these before the student is trained.
    """
    task = prepare(dataclasses.replace(job, tag_weight=0.0))
    if task.data.tags is not None:
        say(f"{job.train}: the teacher knows nothing of its tags: they are left out")
    answers = lesson.logits or job.output.with_name(job.output.name + ".teacher")
    check_writable(answers)
    if job.output.resolve() == lesson.teacher.resolve():
        raise DataError(f"{job.output} is the teacher: -o takes the name of another file")
    if lesson.unlabelled and task.data.pairs:
        raise DataError(f"{lesson.unlabelled[0]}: single texts cannot join pairs of texts")
    teacher = _teacher(job, task, lesson, say)
    teacher.to("cuda" if torch.cuda.is_available() else "cpu")
    order, how = match_labels(task, teacher)
    say(f"{teacher.path}: {how}")
    texts = _texts(task, lesson, teacher)
    logits = _logits(task, teacher, texts, answers)[:, order]
    soft = logits[: len(texts)]
    scores = task.judge(Predictions(logits[len(texts) :]))
    say("teacher: dev " + ", ".join(f"{name} {value:.4f}" for name, value in scores.items()))
    _check_agreement(task, soft, teacher)

    torch.manual_seed(job.recipe.seed)
    model = build(task.config, job.recipe.dropout)
    if job.init:
        start_from(model, job.init, say)
    elif _same_shape(teacher.config, task.config):
        _take_over(model, teacher, order, task.config.task, say)
    objective = _objective(job, task, lesson.weights, teacher, texts, soft)
    facts = {
        "teacher": {"name": teacher.path.resolve().name, "dev": scores},
        "texts": len(texts),
        **{f"weight_{name}": value for name, value in dataclasses.asdict(lesson.weights).items()},
        "augment": lesson.augment,
        "unlabelled": len(texts) - len(task.data) * (1 + lesson.augment),
    }
    digest = hashlib.sha256(soft.numpy().tobytes()).hexdigest()  # of teacher and texts
    fingerprint = fingerprint_of(job, task, (lesson.weights, digest))
    return fit(job, task, model, texts, objective, fingerprint, report, say, facts)


def _teacher(job: Job, task: Task, lesson: Lesson, say: Callable[[str], None]) -> Teacher:
    if lesson.head is None:
        return open_teacher(lesson.teacher)
    if not lesson.teacher.exists():
        raise ModelError(f"{lesson.teacher} does not exist")
    fingerprint = fingerprint_of(job, task, lesson.teacher_recipe, [lesson.teacher])
    if not lesson.head.exists():
        say(f"fine-tuning {lesson.teacher}, to be kept in {lesson.head}")
        teacher = open_encoder(lesson.teacher, task.config.labels, lesson.teacher_recipe.seed)
        fine_tune(teacher, task, lesson.teacher_recipe, lesson.head, fingerprint, say)
    teacher_ = open_teacher(lesson.head)
    if getattr(teacher_.config, "edgebert_fingerprint", None) != fingerprint:
        raise ModelError(
            f"{lesson.head}: was not fine-tuned from {lesson.teacher} on these data with these "
            "options: remove it or name another folder; --teacher takes it as it is"
        )
    return teacher_


def _texts(task: Task, lesson: Lesson, teacher: Teacher) -> list[Text]:
    """The labelled texts, then those that the teacher alone labels."""
    data = task.data.texts
    lines: list[str] = []
    if lesson.unlabelled:
        count = lesson.unlabelled_lines or len(data)
        lines = sample_lines(lesson.unlabelled, count, DRAW, sentences=lesson.sentences)
    return [*data, *variants(data, lesson.augment, teacher, DRAW), *lines]


def _logits(task: Task, teacher: Teacher, texts: Sequence[Text], path: Path) -> Tensor:
    """The teacher's answers, from a file and into it: float32 [texts and those of dev, labels].

    Numbers are standardised as the targets of the data are.
    """
    asked = [*texts, *task.dev.texts]

    def ask(rows: list[int]) -> Tensor:
        inputs = teacher.encode([asked[i] for i in rows], MAX_TOKENS)
        logits = predict(teacher, inputs, teacher.pad).logits
        if not logits.isfinite().all():
            raise ModelError(f"{teacher.path}: its answers are not finite: its weights are damaged")
        return logits

    fingerprint = file_digest(teacher.path)
    logits = Answers(path, fingerprint, len(teacher.labels)).to(asked, ask)
    if task.config.task == "regression":
        return (logits - task.targets.mean) / task.targets.deviation
    return logits


def _check_agreement(task: Task, soft: Tensor, teacher: Teacher) -> None:
    """Refuse a teacher that knows the labels in another order, or of another task."""
    if task.config.task == "regression":
        return
    labels = task.targets.values
    assert labels is not None
    predicted = soft[: len(labels)].argmax(1)
    agreement = float((predicted == labels).float().mean())
    if agreement < LEAST_AGREEMENT / len(task.config.labels):
        raise ModelError(
            f"{teacher.path}: agrees with only {agreement:.0%} of the labels of {task.data.path}: "
            "write the names of these labels, in the order of its logits, as id2label into its "
            f"config.json (now: {', '.join(teacher.labels[:8])})"
        )


def _same_shape(teacher: Any, config: ModelConfig) -> bool:
    names = [name for name in BERT_FIELDS if name != "max_position_embeddings"]
    alike = all(getattr(teacher, name, None) == getattr(config, name) for name in names)
    return alike and teacher.model_type == "bert"


def _take_over(
    model: BertForSequenceClassification,
    teacher: Teacher,
    order: Sequence[int],
    task: str,
    say: Callable[[str], None],
) -> None:
    """Give the student the teacher's weights, but for its table; the hash is in its place."""
    state = {name: values.cpu() for name, values in teacher.network.state_dict().items()}
    positions = "bert.embeddings.position_embeddings.weight"
    state[positions] = state[positions][: model.config.max_position_embeddings]
    for name in ("classifier.weight", "classifier.bias"):
        if task == "regression":  # learns standardised numbers, the teacher gives them as they are
            state.pop(name, None)
        elif name in state:
            state[name] = state[name][list(order)]
    taken, fresh = take_weights(model, {k: v.float().numpy() for k, v in state.items()})
    say(f"{teacher.path}: of the same shape: {len(taken)} weights taken, fresh: {fresh or 'none'}")


def _objective(
    job: Job,
    task: Task,
    weights: Weights,
    teacher: Teacher,
    texts: Sequence[Text],
    soft: Tensor,
) -> Distillation:
    hard, smoothing = task.targets.values, job.recipe.label_smoothing
    if not weights.of_layers:
        return Distillation(weights, soft, hard, smoothing)
    inputs = teacher.encode(texts, task.config.max_position_embeddings)
    alike = _alike_tokens(job, task, teacher, texts, inputs)
    observer = Observer(teacher, str(teacher.path))

    @torch.no_grad()
    def observe(rows: list[int]) -> Layers:
        batch = collate([inputs[i] for i in rows], teacher.pad)
        return observer({name: values.to(teacher.device) for name, values in batch.items()})[1]

    student, size = task.config, teacher.config
    widths = (student.hidden_size, size.hidden_size)
    depths = (student.num_hidden_layers, size.num_hidden_layers)
    return Distillation(weights, soft, hard, smoothing, alike, observe, widths, depths)


def _alike_tokens(
    job: Job, task: Task, teacher: Teacher, texts: Sequence[Text], inputs: Sequence[Encoded]
) -> Tensor:
    """Which texts have the same tokens in both models, bool [len(texts)]."""
    vocabulary = Vocabulary()
    rows = vocabulary.encode(job.tokenizer, texts, task.config)
    names = vocabulary.tokens()
    alike = torch.tensor(
        [
            [names[i] for i in own.ids.tolist()] == teacher.tokens(others)
            for own, others in zip(rows, inputs, strict=True)
        ]
    )
    share = float(alike.float().mean())
    if share < LEAST_ALIKE:
        raise ModelError(
            f"{teacher.path}: only {share:.0%} of the texts have the student's tokens, and "
            "--hidden and --relations compare token by token: give its vocabulary (--vocab "
            "DIR/vocab.txt, --cased if it is), or set both to 0"
        )
    return alike

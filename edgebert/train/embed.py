"""``edgebert distill-embedding`` from text to a file: a student gives the vectors of a teacher.

The teacher's vectors are longer than the student's, so the student learns their projection onto
the directions in which they differ most. This keeps their cosines as well as any projection can,
and nothing of it is needed later.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from edgebert.config import ModelConfig
from edgebert.errors import DataError
from edgebert.files import check_writable
from edgebert.metrics import score
from edgebert.train.augment import DRAW, sample_lines
from edgebert.train.bert import BertWithHeads, Predictions, build
from edgebert.train.finetune import Epoch, Objective
from edgebert.train.run import Run, Task, digest_of_run, fit, start_from
from edgebert.train.sentence_teacher import SentenceTeacher, digest_of, vectors_of
from edgebert.train.targets import Targets
from edgebert.tsv import Dataset, read_tsv

HELD_OUT = 50  # every 50th text is, but at most
MOST_HELD_OUT = 500  # whose cosines with each other are compared with the teacher's
PIECE = 1 << 16  # vectors that are multiplied at a time


@dataclass(frozen=True, kw_only=True)
class Job(Run):
    """What to learn from whom.

    Attributes:
        teacher: folder of an encoder.
        paths: files and folders of text.
        lines: how many of their lines to draw.
        sentences: cut these lines into sentences first, and draw of these.
        dev: pairs of texts with numbers, by which the best epoch is chosen; None: by how much the
            cosines of held-out texts are those of the teacher.
        similarity: weight of the squared distance of the cosines within a batch.
        vectors: file that keeps the teacher's vectors; None: beside the output.
    """

    teacher: Path
    paths: Sequence[Path]
    lines: int
    sentences: bool = False
    dev: Path | None = None
    similarity: float = 0.0
    vectors: Path | None = None


def distill_embedding(
    job: Job,
    report: Callable[[Epoch], None] = lambda epoch: None,
    say: Callable[[str], None] = lambda line: None,
) -> dict[str, Any]:
    """Train a sentence encoder, write its checkpoint and return the facts as one document.

    Args:
        job: what to do.
        report: called after each epoch.
        say: called with lines on how the run was set up.

    Raises:
        DataError: a file is missing, damaged or not text.
        ModelError: the teacher, or what to start from, is missing, damaged or too small.
        EdgebertError: the output cannot be written. All of these before the teacher is asked.
    """
    start = time.perf_counter()
    memory = job.output.with_name(job.output.name + ".resume")
    kept = job.vectors or job.output.with_name(job.output.name + ".teacher")
    check_writable(job.output, memory, kept)
    config = dataclasses.replace(job.config, task="embedding", labels=(), tags=())
    config = ModelConfig.from_dict(config.to_dict())
    pairs = _read_pairs(job.dev) if job.dev else None
    texts = sample_lines(job.paths, job.lines, DRAW, sentences=job.sentences)
    if len(texts) < 2 * HELD_OUT:
        raise DataError(f"{job.paths[0]}: {len(texts)} lines are too little text")
    teacher = SentenceTeacher(job.teacher)
    if teacher.config.hidden_size < config.hidden_size:
        raise DataError(
            f"{job.teacher}: its vectors have {teacher.config.hidden_size} numbers, fewer than the "
            f"{config.hidden_size} of the student: take a smaller --preset"
        )
    torch.manual_seed(job.recipe.seed)
    model = build(config, job.recipe.dropout)
    if job.init:
        start_from(model, job.init, say)
    teacher.to("cuda" if torch.cuda.is_available() else "cpu")
    digest = digest_of(teacher, texts)
    vectors = vectors_of(teacher, texts, digest, kept, say)
    basis, share = principal_directions(vectors, config.hidden_size)
    say(f"{config.hidden_size} of {vectors.shape[1]} directions hold {share:.1%} of the vectors")

    targets = project(vectors, basis)
    held_out = _held_out(len(texts))
    data, dev = (
        Dataset(job.paths[0], [texts[i] for i in np.flatnonzero(rows)], [], [])
        for rows in (~held_out, held_out)
    )
    judge = Judge(targets[held_out], vectors[held_out], pairs)
    if pairs:
        dev.texts.extend(text for pair in pairs.texts for text in pair)
    task = Task(config, data, dev, judge.metric, Targets(None), judge, memory, start)
    objective = Cosines(torch.from_numpy(targets[~held_out]), job.similarity)
    files = [job.dev] if job.dev else []
    fingerprint = digest_of_run(job, config, files, digest, job.similarity)
    facts = {
        "teacher": {"name": job.teacher.resolve().name, "variance_kept": round(share, 4)},
        "similarity": job.similarity,
    }
    return fit(job, task, model, data.texts, objective, fingerprint, report, say, facts)


def _read_pairs(path: Path) -> Dataset:
    pairs = read_tsv(path)
    if not pairs.pairs:
        raise DataError(f"{path}: holds single texts: --dev takes pairs, text<TAB>text_b<TAB>label")
    pairs.values()  # which must be numbers
    return pairs


def _held_out(count: int) -> np.ndarray:
    """Which of so many texts are kept for judging, bool [count]."""
    period = max(HELD_OUT, count // MOST_HELD_OUT)
    return np.arange(count) % period == period - 1


def principal_directions(vectors: np.ndarray, count: int) -> tuple[np.ndarray, float]:
    """The directions that hold most of the vectors, not centred: cosines are what counts.

    Args:
        vectors: of length 1, float16 [n, width].
        count: how many directions, at most width.

    Returns:
        float32 [width, count], and the share of the squared lengths that they hold.
    """
    moments = np.zeros((vectors.shape[1],) * 2)
    for start in range(0, len(vectors), PIECE):
        piece = vectors[start : start + PIECE].astype(np.float32)
        moments += piece.T @ piece
    values, directions = np.linalg.eigh(moments)  # ascending
    values, directions = values[::-1], directions[:, ::-1]
    # Their signs are arbitrary: one that does not depend on the machine.
    largest = np.abs(directions).argmax(0)
    directions = directions * np.sign(directions[largest, np.arange(len(largest))])
    share = float(values[:count].sum() / values.sum())
    return directions[:, :count].astype(np.float32), share


def project(vectors: np.ndarray, basis: np.ndarray) -> np.ndarray:
    """The vectors in a basis of principal_directions(), scaled to length 1: float16 [n, count]."""
    result = np.empty((len(vectors), basis.shape[1]), np.float16)
    for start in range(0, len(vectors), PIECE):
        piece = vectors[start : start + PIECE].astype(np.float32) @ basis
        length = np.linalg.norm(piece, axis=1, keepdims=True)
        result[start : start + PIECE] = piece / np.maximum(length, 1e-12)
    return result


class Cosines(Objective):
    """One minus the cosine to the teacher, and the distance of the cosines within a batch.

    Args:
        targets: unit vectors, float16 [rows, hidden_size].
        similarity: weight of the latter.
    """

    def __init__(self, targets: Tensor, similarity: float) -> None:
        super().__init__()
        self._targets, self._similarity = targets, similarity

    def forward(self, model: BertWithHeads, batch: dict[str, Tensor], rows: list[int]) -> Tensor:
        """See Objective."""
        pooled = model(**batch).pooled
        targets = self._targets[rows].to(pooled.device, pooled.dtype)
        loss = 1 - (pooled * targets).sum(-1).mean()
        if self._similarity:
            distance = functional.mse_loss(pooled @ pooled.T, targets @ targets.T)
            loss = loss + self._similarity * distance
        return loss


class Judge:
    """From the vectors of held-out texts, and of pairs behind them, to scores.

    ``cosine`` to the teacher's vector, mean; ``agreement``: rank correlation of the cosines between
    held-out texts with the teacher's; of pairs ``pearson`` and ``spearman``.

    Args:
        targets: of the held-out texts, float16 [n, hidden_size].
        vectors: the teacher's of the same, float16 [n, width].
        pairs: with numbers; None: no such scores.
    """

    def __init__(self, targets: np.ndarray, vectors: np.ndarray, pairs: Dataset | None) -> None:
        self._targets, self._pairs = targets.astype(np.float32), pairs
        self._similarities = _similarities(vectors)
        self.metric = "spearman" if pairs else "agreement"

    def __call__(self, predictions: Predictions) -> dict[str, float]:
        """Scores of what the student says."""
        assert predictions.pooled is not None
        student = predictions.pooled.numpy()
        held_out, rest = student[: len(self._targets)], student[len(self._targets) :]
        similarities = _similarities(held_out)
        ranks = score("regression", self._similarities, similarities)["spearman"]
        scores = {
            "cosine": float((held_out * self._targets).sum(1).mean()),
            "agreement": ranks,
        }
        if self._pairs:
            cosines = (rest[0::2] * rest[1::2]).sum(1).tolist()
            scores |= score("regression", self._pairs.values(), cosines)
        return scores


def _similarities(vectors: np.ndarray) -> list[float]:
    """Cosines of all pairs among the first MOST_HELD_OUT."""
    some = vectors[:MOST_HELD_OUT].astype(np.float32)
    return (some @ some.T)[np.triu_indices(len(some), 1)].tolist()

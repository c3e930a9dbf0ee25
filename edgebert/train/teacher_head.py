"""Makes a teacher of an encoder: a fresh head, fine-tuned with it on the data of the student."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from edgebert.files import check_writable, replacing
from edgebert.train.finetune import Epoch, Labelled, Recipe, finetune
from edgebert.train.run import Task
from edgebert.train.teacher import HuggingFaceTeacher, quiet

MAX_TOKENS = 512  # of a text that a teacher reads, whatever its student can


@dataclass(frozen=True)
class TeacherRecipe:
    """How to fine-tune a pretrained encoder; the rest is as BERT's authors did it.

    Attributes:
        epochs: passes over the data.
        lr: learning rate at its peak.
        seed: of head, order and dropout.
    """

    epochs: int = 2
    lr: float = 5e-5
    seed: int = 0

    def full(self) -> Recipe:
        """With what is not chosen."""
        return Recipe(
            **dataclasses.asdict(self),
            batch_size=32,
            warmup=0.1,
            weight_decay=0.01,
            dropout=0.1,  # not read: the encoder's config has its own
            label_smoothing=0.0,
            patience=self.epochs,
        )


def fine_tune(
    teacher: HuggingFaceTeacher,
    task: Task,
    recipe: TeacherRecipe,
    folder: Path,
    fingerprint: str,
    say: Callable[[str], None],
) -> None:
    """Train head and encoder, but not the word embeddings, and save the best epoch as a folder.

    The folder appears when all is done. ``folder.resume`` remembers the last finished epoch.

    Args:
        teacher: from :func:`edgebert.train.teacher.open_encoder`; is changed.
        task: data and how to judge.
        recipe: how to train.
        folder: to write, in Hugging Face's form.
        fingerprint: of everything that the result depends on; goes into its config.json.
        say: called with a line after each epoch.
    """
    memory = folder.with_name(folder.name + ".resume")
    check_writable(memory)
    teacher.network.get_input_embeddings().requires_grad_(False)
    teacher.to("cuda" if torch.cuda.is_available() else "cpu")
    inputs = teacher.encode(task.data.texts, MAX_TOKENS)

    def report(epoch: Epoch) -> None:
        scores = "  ".join(f"{name} {value:.4f}" for name, value in epoch.scores.items())
        progress = f"teacher {epoch.number}/{recipe.epochs}  loss {epoch.loss:.4f}"
        say(f"{progress}  dev {scores}  {epoch.seconds:.0f} s")

    outcome = finetune(
        teacher,
        inputs,
        Labelled(task.targets),
        teacher.encode(task.dev.texts, MAX_TOKENS),
        task.judge,
        task.metric,
        recipe.full(),
        teacher.pad,
        memory,
        fingerprint,
        report,
    )
    teacher.load_state_dict(outcome.state, strict=False)  # without the table, which is as it was
    heads = [m for m in teacher.network.modules() if isinstance(m, torch.nn.Linear)]
    task.targets.restore_scale(heads[-1])  # numbers as they are in the data; of classes no change
    teacher.config.edgebert_fingerprint = fingerprint
    with replacing(folder) as temporary, quiet():
        teacher.network.save_pretrained(temporary)
        teacher.tokenizer.save_pretrained(temporary)
    memory.unlink(missing_ok=True)

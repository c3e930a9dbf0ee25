"""Which logit of a teacher is which label of the data."""

from __future__ import annotations

import re

from edgebert.errors import ModelError
from edgebert.train.run import Task
from edgebert.train.teacher import Teacher


def match_labels(task: Task, teacher: Teacher) -> tuple[list[int], str]:
    """For each label of the data the number of the teacher's logit, and how that was found.

    Names are compared without case. A teacher none of whose names is in the data, such as LABEL_0,
    is taken to number the labels in their sorted order.

    Raises:
        ModelError: another number of labels, or only some names are the same.
    """
    labels, names = list(task.config.labels), list(teacher.labels)
    if task.config.task == "regression":
        if len(names) != 1:
            raise ModelError(
                f"{teacher.path}: has {len(names)} labels, but the data are numbers: take a "
                "teacher of regression, or --task classification"
            )
        return [0], "gives numbers"
    if len(names) != len(labels):
        raise ModelError(
            f"{teacher.path}: knows {len(names)} label(s) ({_shown(names)}), the data "
            f"{len(labels)} ({_shown(labels)}): fine-tune it on them (--fine-tune-teacher DIR)"
        )
    folded = {name.strip().casefold(): i for i, name in enumerate(names)}
    found = [folded.get(label.strip().casefold()) for label in labels]
    order = [i for i in found if i is not None]
    if len(set(order)) == len(labels):
        return order, f"labels matched by name: {_shown(labels)}"
    if order and not all(re.fullmatch(r"LABEL_\d+", name) for name in names):
        unknown = [label for label, i in zip(labels, found, strict=True) if i is None]
        raise ModelError(
            f"{teacher.path}: does not know the label(s) {_shown(unknown)} of the data, only "
            f"{_shown(names)}: rename them there or in the id2label of its config.json"
        )
    numbers = all(label.isdecimal() for label in labels)
    in_order = sorted(range(len(labels)), key=lambda i: int(labels[i]) if numbers else labels[i])
    order = [in_order.index(i) for i in range(len(labels))]
    pairs = ", ".join(
        f"{names[o]} = {label}" for o, label in list(zip(order, labels, strict=True))[:8]
    )
    return order, f"its labels have other names; taken in sorted order: {pairs}"


def _shown(names: list[str]) -> str:
    return ", ".join(names[:8]) + (", ..." if len(names) > 8 else "")

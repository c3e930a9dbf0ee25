"""Reads labelled texts: a TSV file whose header names the columns text, text_b (pairs) and label.

Fields are taken as they are: no quoting, no escapes. Other columns are ignored.
"""

from __future__ import annotations

import math
import os
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from edgebert.errors import DataError

FORM = "text<TAB>label, or text<TAB>text_b<TAB>label for pairs"


@dataclass(frozen=True)
class Dataset:
    """Labelled texts.

    Attributes:
        path: where they came from.
        texts: texts, or pairs of texts.
        labels: each text's label as written.
        lines: each text's line in the file, counted from 1.
    """

    path: Path
    texts: list[str | tuple[str, str]]
    labels: list[str]
    lines: list[int]

    def __len__(self) -> int:
        return len(self.texts)

    @property
    def pairs(self) -> bool:
        """Whether it holds pairs of texts."""
        return not isinstance(self.texts[0], str)

    @property
    def task(self) -> str:
        """``regression`` if all labels are numbers and some have a decimal point.

        Whole numbers alone are names of classes, such as 0 and 1.
        """
        numbers = all(_number(label) is not None for label in self.labels)
        return (
            "regression"
            if numbers and any("." in label for label in self.labels)
            else ("classification")
        )

    def values(self) -> list[float]:
        """The labels as numbers; DataError names the line of one that is not."""
        values = []
        for label, line in zip(self.labels, self.lines, strict=True):
            value = _number(label)
            if value is None:
                raise DataError(
                    f"{self.path}:{line}: the label {label!r:.40} is not a number, as regression "
                    "needs (--task classification takes labels as names)"
                )
            values.append(value)
        return values

    def check_labels(self, known: Collection[str]) -> None:
        """Raise DataError, which names the line, for a label that is not a known one."""
        for label, line in zip(self.labels, self.lines, strict=True):
            if label not in known:
                shown = ", ".join(list(known)[:8]) + (", ..." if len(known) > 8 else "")
                raise DataError(
                    f"{self.path}:{line}: unknown label {label!r:.40}; the model knows {shown}"
                )


def read_tsv(path: str | os.PathLike[str]) -> Dataset:
    """Read a labelled file, UTF-8.

    Raises:
        DataError: it cannot be read, is empty, or a line is not of the form that the header
            promises. The message starts with ``file:line``.
    """
    path = Path(path)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from error
    columns: list[str] | None = None
    dataset = Dataset(path, [], [], [])
    for line, raw in enumerate(data.split(b"\n"), 1):
        try:
            row = raw.decode("utf-8" if columns else "utf-8-sig").rstrip("\r").split("\t")
        except UnicodeDecodeError as error:
            raise DataError(f"{path}:{line}: not UTF-8: {error.reason}") from error
        if columns is None:
            columns = _header(row, path)
        elif row != [""]:  # the end of the file, or an empty line
            if len(row) != len(columns):
                raise DataError(
                    f"{path}:{line}: {len(row)} columns, but the header has {len(columns)} ({FORM})"
                )
            fields = dict(zip(columns, row, strict=True))
            if not fields["label"]:
                raise DataError(f"{path}:{line}: the label is empty")
            pair = "text_b" in fields
            dataset.texts.append((fields["text"], fields["text_b"]) if pair else fields["text"])
            dataset.labels.append(fields["label"])
            dataset.lines.append(line)
    if not dataset.texts:
        raise DataError(f"{path}: holds no examples: a header line, then {FORM}")
    return dataset


def _header(row: list[str], path: Path) -> list[str]:
    if "text" not in row or "label" not in row or len(set(row)) != len(row):
        raise DataError(f"{path}:1: the first line must name the columns: {FORM}")
    return row


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None

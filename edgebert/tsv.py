"""Reads labelled texts: a TSV file whose header names its columns.

These are text, text_b (pairs), label, and tags: one for each word of the text, between spaces.
Fields are taken as they are: no quoting, no escapes. Other columns are ignored.
"""

from __future__ import annotations

import math
import os
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from edgebert.config import is_tag
from edgebert.errors import DataError
from edgebert.files import unpacking

FORM = "text<TAB>label, text<TAB>text_b<TAB>label for pairs, or text<TAB>label<TAB>tags"
NO_LABEL = "-"  # in files that have tags alone


@dataclass(frozen=True)
class Dataset:
    """Labelled texts.

    Attributes:
        path: where they came from.
        texts: texts, or pairs of texts.
        labels: each text's label as written; NO_LABEL where the file has tags alone.
        lines: each text's line in the file, counted from 1.
        tags: a tag of each text's words, such as ``B-city``; None if the file has none.
    """

    path: Path
    texts: list[str | tuple[str, str]]
    labels: list[str]
    lines: list[int]
    tags: list[list[str]] | None = None

    def __len__(self) -> int:
        return len(self.texts)

    @property
    def pairs(self) -> bool:
        """Whether it holds pairs of texts."""
        return not isinstance(self.texts[0], str)

    @property
    def task(self) -> str:
        """``tagging`` if no text has a label; ``regression`` if all labels are numbers.

        Some of these must have a decimal point: whole numbers alone are names of classes, such as 0
        and 1. Else ``classification``.
        """
        if self.tags is not None and set(self.labels) == {NO_LABEL}:
            return "tagging"
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
    """Read a labelled file, UTF-8, packed if its name ends in ``.gz`` or ``.xz``.

    Raises:
        DataError: it cannot be read, is empty, or a line is not of the form that the header
            promises. The message starts with ``file:line``.
    """
    path = Path(path)
    with unpacking(path) as file:
        data = file.read()
    columns: list[str] | None = None
    texts: list[str | tuple[str, str]] = []
    labels: list[str] = []
    lines: list[int] = []
    tags: list[list[str]] = []
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
            fields = {"label": NO_LABEL, **dict(zip(columns, row, strict=True))}
            if not fields["label"]:
                raise DataError(f"{path}:{line}: the label is empty")
            pair = "text_b" in fields
            texts.append((fields["text"], fields["text_b"]) if pair else fields["text"])
            labels.append(fields["label"])
            lines.append(line)
            if "tags" in fields:
                tags.append(_tags(fields["text"], fields["tags"], f"{path}:{line}"))
    if columns is None or not texts:
        raise DataError(f"{path}: holds no examples: a header line, then {FORM}")
    return Dataset(path, texts, labels, lines, tags if "tags" in columns else None)


def split_words(text: str) -> list[str]:
    """The words that tags are of: what is between spaces; an empty text has none."""
    return text.split(" ") if text else []


def _tags(text: str, field: str, where: str) -> list[str]:
    """A text's tags, one for each word."""
    words, tags = split_words(text), split_words(field)
    if len(words) != len(tags):
        raise DataError(
            f"{where}: {len(words)} words, but {len(tags)} tags: each word, between single spaces, "
            "has one tag"
        )
    if words != text.split():
        raise DataError(
            f"{where}: words of tagged texts are divided by single spaces, and by no other white "
            "space"
        )
    for tag in tags:
        if not is_tag(tag):
            raise DataError(f"{where}: the tag {tag!r:.40} is not of the form O, B-name or I-name")
    return tags


def _header(row: list[str], path: Path) -> list[str]:
    named = "text" in row and ("label" in row or "tags" in row)
    if not named or len(set(row)) != len(row):
        raise DataError(f"{path}:1: the first line must name the columns: {FORM}")
    if "tags" in row and "text_b" in row:
        raise DataError(f"{path}:1: tags are of single texts: name either tags or text_b")
    return row


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None

"""The TSV reader: what it accepts, and that its errors name the line."""

from __future__ import annotations

import gzip
import lzma
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from edgebert.errors import DataError
from edgebert.tsv import Dataset, read_tsv


def read(tmp_path: Path, content: str | bytes) -> Dataset:
    path = tmp_path / "data.tsv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_tsv(path)


def test_single_texts(tmp_path: Path) -> None:
    data = read(tmp_path, 'text\tlabel\na "good" film\tpositive\n\ndull\tnegative\n')
    assert data.texts == ['a "good" film', "dull"]
    assert data.labels == ["positive", "negative"]
    assert data.lines == [2, 4]
    assert not data.pairs


def test_pairs_windows_line_ends_byte_order_mark_and_other_columns(tmp_path: Path) -> None:
    data = read(tmp_path, "\ufefftext\ttext_b\tlabel\tsource\r\none\ttwo\tyes\tO\r\n")
    assert data.texts == [("one", "two")]
    assert data.labels == ["yes"]
    assert data.pairs


@pytest.mark.parametrize(("suffix", "pack"), [(".gz", gzip.compress), (".xz", lzma.compress)])
def test_packed_files_are_read_and_damage_is_named(
    tmp_path: Path, suffix: str, pack: Callable[[bytes], bytes]
) -> None:
    packed = pack(b"text\tlabel\n" + b"".join(b"film %d\tgood\n" % i for i in range(999)))
    path = tmp_path / f"data.tsv{suffix}"
    path.write_bytes(packed)
    assert read_tsv(path).texts[998] == "film 998"
    damaged = bytearray(packed)
    damaged[len(packed) // 2] ^= 0xFF
    for content in (packed[:-20], bytes(damaged), b"text\tlabel\na\tb\n"):
        path.write_bytes(content)
        with pytest.raises(DataError, match=f"data.tsv{suffix}: damaged: "):
            read_tsv(path)


def test_a_python_without_a_compression_reads_plain_files_and_says_what_it_lacks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "lzma", None)
    assert len(read(tmp_path, "text\tlabel\na\tb\n")) == 1
    with pytest.raises(DataError, match=r"data.tsv.xz: this Python has no lzma: unpack the file"):
        read_tsv(tmp_path / "data.tsv.xz")


@pytest.mark.parametrize(
    ("labels", "task"),
    [
        (["0", "1"], "classification"),
        (["4", "3.8"], "regression"),
        (["-1.5", "2e3"], "regression"),
        (["1.0", "nan"], "classification"),
        (["v1.2", "v1.3"], "classification"),
    ],
)
def test_labels_tell_the_task(tmp_path: Path, labels: list[str], task: str) -> None:
    rows = "".join(f"a\t{label}\n" for label in labels)
    assert read(tmp_path, f"text\tlabel\n{rows}").task == task


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", r"data.tsv:1: the first line must name the columns"),
        ("a film\tgood\n", r"data.tsv:1: the first line must name the columns"),
        ("text\tlabel\n", r"holds no examples"),
        ("text\tlabel\na\tb\nno tab\n", r"data.tsv:3: 1 columns, but the header has 2"),
        ("text\tlabel\na\tb\tc\n", r"data.tsv:2: 3 columns, but the header has 2"),
        ("text\tlabel\na\t\n", r"data.tsv:2: the label is empty"),
        (b"text\tlabel\na\tb\n\xff\tb\n", r"data.tsv:3: not UTF-8"),
    ],
)
def test_errors_name_the_line(tmp_path: Path, content: str | bytes, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read(tmp_path, content)


def test_a_missing_file_is_a_data_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be read"):
        read_tsv(tmp_path / "none.tsv")


def test_a_label_that_is_no_number_names_its_line(tmp_path: Path) -> None:
    data = read(tmp_path, "text\tlabel\na\t1.5\nb\tgood\n")
    with pytest.raises(DataError, match=r"data.tsv:3: the label 'good' is not a number"):
        data.values()


def test_an_unknown_label_names_its_line(tmp_path: Path) -> None:
    data = read(tmp_path, "text\tlabel\na\tgood\nb\tugly\n")
    data.check_labels({"good", "ugly"})
    with pytest.raises(DataError, match=r"data.tsv:3: unknown label 'ugly'; .* knows good, bad"):
        data.check_labels(("good", "bad"))


def test_tags_are_of_words_with_labels_or_alone(tmp_path: Path) -> None:
    data = read(tmp_path, "text\tlabel\ttags\nfly to rome\tgo\tO O B-city\n\tgo\t\n")
    assert data.tags == [["O", "O", "B-city"], []]
    assert data.task == "classification"
    for alone in ("text\ttags\nrome\tB-city\n", "text\tlabel\ttags\nrome\t-\tB-city\n"):
        data = read(tmp_path, alone)
        assert (data.task, data.tags) == ("tagging", [["B-city"]])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("text\ttags\na b\tO\n", "data.tsv:2: 2 words, but 1 tags"),
        ("text\ttags\na\tO\n\tO\n", "data.tsv:3: 0 words, but 1 tags"),
        ("text\ttags\na  b\tO O O\n", "data.tsv:2: words .* single spaces"),
        ("text\ttags\na\u00a0b\tO\n", "data.tsv:2: words .* no other white space"),
        ("text\ttags\na\tcity\n", "data.tsv:2: the tag 'city' is not of the form O, B-name"),
        ("text\ttext_b\tlabel\ttags\n", "data.tsv:1: tags are of single texts"),
    ],
)
def test_tags_that_do_not_fit_the_text_are_refused(
    tmp_path: Path, content: str, message: str
) -> None:
    with pytest.raises(DataError, match=message):
        read(tmp_path, content)

"""What the documentation's commands read, small: models, texts and tables, by the names there."""

from __future__ import annotations

import lzma
import shutil
from pathlib import Path

import pytest

from edgebert.cli import main
from edgebert.export.vocabulary import decompile_vocabulary
from edgebert.tokenizer import BERT_UNCASED, tokenizer_section
from tests.conftest import REPO

SENTENCES = [
    "The film is a gripping story about a small town.",
    "We open at nine and close at five on weekdays.",
    "Send it back within a month and get your money back.",
    "A parcel takes two days, or one if it is sent before noon.",
]
PIECES = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
# Folders of the repository that commands name, as one stands in it.
FOLDERS = ("benchmarks", "csrc", "docs", "firmware_examples", "models", "tests", "tools", "zephyr")


def make(folder: Path) -> None:
    """Fill a folder, for a checkout's user who has trained and exported a model there."""
    for name in FOLDERS:
        (folder / name).symlink_to(REPO / name)
    header, *rows = (REPO / "tests" / "data" / "sst2_dev_head.tsv").read_text("utf-8").splitlines()
    for name, part in (("train.tsv", rows[:40]), ("dev.tsv", rows[40:60])):
        _write(folder / name, header, *part)
    pairs = [f"{a}\t{b}\t{float(a == b)}" for a in SENTENCES for b in SENTENCES]
    _write(folder / "pairs.tsv", "text\ttext_b\tlabel", *pairs)
    shutil.copy(folder / "pairs.tsv", folder / "stsb-dev.tsv")

    lines = [f"{SENTENCES[i % 4]} {SENTENCES[i // 4 % 4]}" for i in range(200)]
    _write(folder / "texts.txt", *SENTENCES)
    _write(folder / "answers.txt", *SENTENCES)
    for name in ("texts", "reviews"):
        (folder / name).mkdir()
        _write(folder / name / "lines.txt", *lines)
    with lzma.open(folder / "wikipedia.txt.xz", "wt") as file:
        file.write("\n".join(lines))
    size = len(tokenizer_section("word", True))
    _write(folder / "vocab.txt", *decompile_vocabulary(BERT_UNCASED.read_bytes()[size:])[:4000])

    shutil.copy(REPO / "models" / "uno-sst2.pt", folder / "model.pt")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert main(["export", "model.pt", "-o", "out", "--json"]) == 0
        i8 = ["--to", "ebm", "--dtype", "i8"]
        assert main(["export", "model.pt", "-o", "out", *i8, "--json"]) == 0


def make_teachers(folder: Path, vocabulary: Path) -> None:
    """Write what there is to learn from, as Transformers saves it; needs torch."""
    from transformers import BertConfig, BertForSequenceClassification, BertModel, BertTokenizerFast

    pieces = PIECES + vocabulary.read_text("utf-8").splitlines()
    for name, kind in (
        ("my-bert", BertForSequenceClassification),
        ("minilm", BertModel),
        ("all-MiniLM-L6-v2", BertModel),
    ):
        config = BertConfig(
            vocab_size=len(pieces),
            hidden_size=48,
            num_hidden_layers=1,
            num_attention_heads=2,
            intermediate_size=32,
            id2label={0: "negative", 1: "positive"},
        )
        kind(config).save_pretrained(folder / name)
        _write(folder / name / "vocab.txt", *pieces)
        BertTokenizerFast(str(folder / name / "vocab.txt")).save_pretrained(folder / name)


def make_mistakes(folder: Path) -> None:
    """Add the files that go wrong in docs/faq.md."""
    model = bytearray((folder / "out" / "model.ebm").read_bytes())
    (folder / "half.ebm").write_bytes(model[:100_000])
    newer, changed = bytearray(model), bytearray(model)
    newer[4] += 1
    changed[-1] ^= 1
    (folder / "newer.ebm").write_bytes(newer)
    (folder / "changed.ebm").write_bytes(changed)
    graph = bytearray((folder / "out" / "model.onnx").read_bytes())
    graph[1000] ^= 1
    (folder / "changed.onnx").write_bytes(graph)
    _write(folder / "pointer.ebm", "version https://git-lfs.github.com/spec/v1", "oid sha256:0")
    _write(folder / "no-header.tsv", "a gripping film\tpositive")
    _write(folder / "comma.tsv", "text,label", "a gripping film,positive")
    _write(folder / "columns.tsv", "text\tlabel", "a film, gripping\tat times\tpositive")
    _write(folder / "other-labels.tsv", "text\tlabel", "a gripping film\tgood")
    _write(folder / "latin1.tsv", "text\tlabel")
    (folder / "latin1.tsv").write_bytes(
        "text\tlabel\nein schöner Film\tpositive\n".encode("latin-1")
    )
    _write(folder / "tags.tsv", "text\tlabel\ttags", "fly to new york\tflight\tO O B-city")
    _write(folder / "long.txt", "word " * 200)


def _write(path: Path, *lines: str) -> None:
    path.write_text("\n".join(lines) + "\n", "utf-8")

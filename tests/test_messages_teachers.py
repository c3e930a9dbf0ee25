"""What people read when a teacher does not fit; none is asked for more than a few answers."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from edgebert.config import HashParams
from edgebert.export.vocabulary import build_tokenizer
from edgebert.tokenizer import Tokenizer
from tests.messages import Cause, check, each, fail, file

torch = pytest.importorskip("torch", reason="training needs torch: pip install 'edgebert[train]'")

from transformers import BertForSequenceClassification, BertModel  # noqa: E402

from edgebert.train import embed  # noqa: E402
from edgebert.train.distill import Lesson, _alike_tokens, _check_agreement, distill  # noqa: E402
from edgebert.train.distill_loss import Observer  # noqa: E402
from edgebert.train.hash_layer import HashEmbedding  # noqa: E402
from edgebert.train.match import match_labels  # noqa: E402
from edgebert.train.sentence_teacher import SentenceTeacher, vectors_of  # noqa: E402
from edgebert.train.teacher import open_encoder, open_teacher  # noqa: E402
from tests.teachers import PIECES, WORDPIECE, bert_config, edit_config, save  # noqa: E402
from tests.test_train import CONFIG, RECIPE, job, write  # noqa: E402


def _classifier(folder: Path, bias: float | None = None, **config: Any) -> Path:
    model = BertForSequenceClassification(bert_config(num_hidden_layers=1, **config))
    if bias is not None:
        model.classifier.bias.data[0] = bias
    return save(model, folder / "bert")


def _encoder(folder: Path, **config: Any) -> Path:
    return save(BertModel(bert_config(num_hidden_layers=1, **config)), folder / "bert")


def _opened(change: Callable[[Path], Any], opens: Any = open_teacher, kind: Any = None) -> Cause:
    """Opens a teacher whose folder is not what it was."""

    def cause(folder: Path, _: pytest.MonkeyPatch) -> None:
        path = (kind or _classifier)(folder)
        change(path)
        opens(path)

    return cause


def _remove(*names: str) -> Callable[[Path], None]:
    def remove(path: Path) -> None:
        for name in names:
            (path / name).unlink()

    return remove


def _config(**values: Any) -> Callable[[Path], None]:
    return lambda path: edit_config(path, lambda config: config.update(values))


FOLDERS: dict[str, Cause] = {
    "none does not exist": lambda folder, _: open_teacher(folder / "none"),
    "bert: no config.json: not a folder of Hugging Face's save_pretrained": _opened(
        _remove("config.json")
    ),
    "bert: holds none of *.safetensors, pytorch_model*.bin: save it there as well": _opened(
        _remove("model.safetensors")
    ),
    "bert: holds none of tokenizer.json, vocab.txt, vocab.json, spiece.model, *.bpe.model: save": (
        _opened(_remove("tokenizer.json", "vocab.txt"))
    ),
    "bert: Transformers cannot read it: ": _opened(
        lambda path: (path / "config.json").write_text("{")
    ),
    "bert: BertModel has no head for classification: --fine-tune-teacher DIR trains one on": (
        _opened(lambda path: None, kind=_encoder)
    ),
    "bert: it has no head for classification: --fine-tune-teacher DIR trains one on": _opened(
        _config(architectures=None)
    ),
    "bert: it gives several labels at once; a student has one label a text": _opened(
        _config(problem_type="multi_label_classification")
    ),
    "bert: its weights are not whole: bert.encoder.layer.1.": _opened(_config(num_hidden_layers=2)),
    "is missing; copy or save it again": _opened(_config(num_hidden_layers=2)),
    "m.pt is not a folder: --fine-tune-teacher takes Hugging Face's folders": lambda folder, _: (
        open_encoder(file(folder / "m.pt", b""), ["a", "b"], 0)
    ),
}


@each(FOLDERS)
def test_a_folder_that_is_no_teacher_is_refused_with_why(
    message: str, cause: Cause, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    check(message, cause, tmp_path, monkeypatch)


def _not_finite(folder: Path, _: pytest.MonkeyPatch) -> None:
    distill(job(folder, tokenizer=WORDPIECE), Lesson(_classifier(folder, bias=float("nan"))))


def _over_the_teacher(folder: Path, _: pytest.MonkeyPatch) -> None:
    path = file(folder / "model.pt", b"")
    distill(job(folder, output=path), Lesson(path))


def _single_texts_for_pairs(folder: Path, _: pytest.MonkeyPatch) -> None:
    pairs = write(folder / "pairs.tsv", "text\ttext_b\tlabel", ["a\tb\tx", "a\tc\ty"])
    more = file(folder / "more.txt", b"a text\n")
    distill(job(folder, train=pairs, dev=pairs), Lesson(folder, unlabelled=[more]))


def _head_of_another_run(folder: Path, _: pytest.MonkeyPatch) -> None:
    (folder / "encoder").mkdir()
    distill(job(folder), Lesson(folder / "encoder", head=_classifier(folder)))


def _nothing_to_fine_tune(folder: Path, _: pytest.MonkeyPatch) -> None:
    distill(job(folder), Lesson(folder / "encoder", head=folder / "head"))


def _labels_in_another_order(*_: Any) -> None:
    config = SimpleNamespace(task="classification", labels=("cold", "warm"))
    targets = SimpleNamespace(values=torch.tensor([0] * 9 + [1]))
    task = SimpleNamespace(config=config, targets=targets, data=SimpleNamespace(path="all.tsv"))
    teacher = SimpleNamespace(path="bert", labels=["LABEL_0", "LABEL_1"])
    always_warm = torch.tensor([[0.0, 1.0]] * 10)
    _check_agreement(task, always_warm, teacher)  # type: ignore[arg-type]


def _other_tokens(folder: Path, _: pytest.MonkeyPatch) -> None:
    few = Tokenizer(build_tokenizer("wordpiece", PIECES[:7]))
    teacher = open_teacher(_classifier(folder))
    texts = ["a red car"]
    task = SimpleNamespace(config=CONFIG)
    inputs = teacher.encode(texts, 16)
    _alike_tokens(job(folder, tokenizer=few), task, teacher, texts, inputs)  # type: ignore[arg-type]


def _matched(names: list[str], labels: tuple[str, ...], task: str = "classification") -> Cause:
    config = SimpleNamespace(task=task, labels=labels)
    teacher = SimpleNamespace(path=Path("bert"), labels=names)
    return lambda *_: match_labels(SimpleNamespace(config=config), teacher)  # type: ignore[arg-type]


NINE = [str(i) for i in range(9)]
LESSONS: dict[str, Cause] = {
    "model.pt is the teacher: -o takes the name of another file": _over_the_teacher,
    "more.txt: single texts cannot join pairs of texts": _single_texts_for_pairs,
    "on these data with these options: remove it or name another folder; --teacher takes it as": (
        _head_of_another_run
    ),
    "encoder does not exist": _nothing_to_fine_tune,
    "bert: its answers are not finite: its weights are damaged": _not_finite,
    "bert: agrees with only 10% of the labels of all.tsv: write the names of these labels, in the "
    "order of its logits, as id2label into its config.json (now: LABEL_0, LABEL_1)": (
        _labels_in_another_order
    ),
    "bert: only 0% of the texts have the student's tokens, and --hidden and --relations compare "
    "token by token: give its vocabulary (--vocab DIR/vocab.txt, --cased if it is), or set both to "
    "0": _other_tokens,
    "bert: finds no queries, keys and values in it: use --relations 0": lambda *_: Observer(
        torch.nn.Linear(1, 1), "bert"
    ),
    "bert: has 2 labels, but the data are numbers: take a teacher of regression, or --task class": (
        _matched(["a", "b"], ("score",), "regression")
    ),
    "bert: knows 9 label(s) (0, 1, 2, 3, 4, 5, 6, 7, ...), the data 2 (cold, warm): fine-tune it on"
    " them (--fine-tune-teacher DIR)": _matched(NINE, ("cold", "warm")),
    "bert: does not know the label(s) warm of the data, only cold, hot: rename them there or in the"
    " id2label of its config.json": _matched(["cold", "hot"], ("cold", "warm")),
}


@each(LESSONS)
def test_a_teacher_that_does_not_fit_is_refused_with_a_way_out(
    message: str, cause: Cause, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    check(message, cause, tmp_path, monkeypatch)


def _pooling(config: str | dict[str, bool] | list[str]) -> Cause:
    """Opens a folder of sentence-transformers with this configuration of its pooling."""

    def change(path: Path) -> None:
        text = config if isinstance(config, str) else json.dumps(config)
        file(path / "1_Pooling" / "config.json", text)

    return _opened(change, SentenceTeacher, _encoder)


def _vectors(write_first: bytes | None = None, weight: float | None = None) -> Cause:
    def cause(folder: Path, _: pytest.MonkeyPatch) -> None:
        teacher = SentenceTeacher(_encoder(folder))
        if weight is not None:
            teacher.network.embeddings.LayerNorm.bias.data[0] = weight
        path = folder / "kept"
        if write_first is not None:
            file(path, write_first)
        vectors_of(teacher, ["a dog"], "digest", path, lambda line: None)

    return cause


def _full_disk(folder: Path, patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Path, "open", fail(OSError(28, "No space left on device")))
    teacher = SimpleNamespace(path=folder, config=SimpleNamespace(hidden_size=16))
    vectors_of(teacher, ["a dog"], "digest", folder / "kept", lambda line: None)  # type: ignore[arg-type]


def _embedding(teacher: Callable[[Path], Path] = _encoder, **options: Any) -> Cause:
    def cause(folder: Path, _: pytest.MonkeyPatch) -> None:
        pairs = options.pop("pairs", None)
        embed.distill_embedding(
            embed.Job(
                config=options.get("config", CONFIG),
                tokenizer=WORDPIECE,
                output=folder / "m.pt",
                recipe=RECIPE,
                teacher=teacher(folder),
                paths=[file(folder / "text.txt", "a red car\n" * 200)],
                lines=options.get("lines", 200),
                dev=write(folder / "pairs.tsv", *pairs) if pairs else None,
            )
        )

    return cause


SENTENCES: dict[str, Cause] = {
    "bert/1_Pooling/config.json: cannot be read: Expecting": _pooling(
        '{"pooling_mode_cls_token": '
    ),
    "bert/1_Pooling/config.json: cannot be read: it is no JSON object": _pooling([]),
    "bert: pools by pooling_mode_max_tokens: a teacher's is mean or cls": _pooling(
        {"pooling_mode_max_tokens": True}
    ),
    "bert: pools by nothing: a teacher's is mean or cls": _pooling(
        {"word_embedding_dimension": True}
    ),
    "bert: its weights are not whole: encoder.layer.1.": _opened(
        _config(num_hidden_layers=2), SentenceTeacher, _encoder
    ),
    "kept holds something else: name another file for vectors": _vectors(b"my notes"),
    "bert: its vectors are not finite: it is damaged": _vectors(weight=float("nan")),
    "kept: No space left on device": _full_disk,
    "text.txt: 50 lines are too little text": _embedding(lines=50),
    "bert: its vectors have 16 numbers, fewer than the 32 of the student: take a smaller --p": (
        _embedding()
    ),
    "pairs.tsv: holds single texts: --dev takes pairs, text<TAB>text_b<TAB>label": _embedding(
        pairs=("text\tlabel", ["a\t1.5"])
    ),
    "pairs.tsv:2: the label 'same' is not a number": _embedding(
        pairs=("text\ttext_b\tlabel", ["a\tb\tsame"])
    ),
}


@each(SENTENCES)
def test_an_encoder_of_sentences_that_does_not_do_is_refused_with_why(
    message: str, cause: Cause, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    check(message, cause, tmp_path, monkeypatch)


@pytest.mark.parametrize(
    ("lengths", "message"),
    [
        (torch.zeros(3, dtype=torch.long), r"\(3,\) lengths of \(2, 8\) bytes"),
        (torch.tensor([1, 9]), "a token's length must be 0 to 8"),
        (torch.tensor([-1, 1]), "a token's length must be 0 to 8"),
    ],
)
def test_the_hash_layer_refuses_tokens_that_do_not_fit(lengths: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        HashEmbedding(HashParams(dimension=8))(torch.zeros(2, 8, dtype=torch.uint8), lengths)

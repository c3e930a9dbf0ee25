"""Teachers: any classifier that Transformers reads, or a ``model.pt`` of ours."""

from __future__ import annotations

import contextlib
import dataclasses
import inspect
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
import transformers
from torch import Tensor, nn
from transformers import AutoConfig, AutoModelForSequenceClassification, AutoTokenizer

from edgebert.config import ModelConfig
from edgebert.errors import ModelError
from edgebert.sequence import Text
from edgebert.tokenizer import Tokenizer
from edgebert.train.bert import Encoded, Vocabulary
from edgebert.train.checkpoint import load_torch

_TOKENIZER_FILES = ("tokenizer.json", "vocab.txt", "vocab.json", "spiece.model", "*.bpe.model")
_WEIGHT_FILES = ("*.safetensors", "pytorch_model*.bin")


class Teacher(nn.Module, ABC):
    """A classifier to learn from, frozen unless it is being fine-tuned itself.

    Attributes:
        path: where it came from.
        network: called with a batch, gives an output with ``logits``.
        config: the network's, of Transformers.
        labels: names of its logits.
        pad: token id for padding.
    """

    def __init__(self, path: Path, network: nn.Module, pad: int) -> None:
        super().__init__()
        self.path, self.network, self.pad = path, network, pad
        self.config: Any = network.config
        self._takes_types = "token_type_ids" in inspect.signature(network.forward).parameters

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of the logits, in their order."""
        return tuple(str(self.config.id2label[i]) for i in range(self.config.num_labels))

    @property
    def device(self) -> Any:
        """Where its weights are."""
        return self.network.device

    @property
    def files(self) -> list[Path]:
        """What it was read from."""
        return [self.path]

    def forward(self, **batch: Any) -> Any:
        """What the network gives, for inputs of :func:`edgebert.train.bert.collate`."""
        if not self._takes_types:
            batch.pop("token_type_ids")
        return self.network(**batch)

    @abstractmethod
    def encode(self, texts: Sequence[Text], max_tokens: int) -> list[Encoded]:
        """Its inputs of texts, cut to ``max_tokens`` or to what it can read."""

    @abstractmethod
    def tokens(self, row: Encoded) -> list[bytes]:
        """The tokens of an input, as bytes, to compare with the student's."""

    def word_vectors(self, words: Sequence[str]) -> tuple[list[str], Tensor]:
        """Those of the words that are one token, and their input embeddings [n, dimension]."""
        return [], torch.empty(0, 1)


class HuggingFaceTeacher(Teacher):
    """A folder of ``save_pretrained``, with its own tokenizer."""

    def __init__(self, path: Path, network: nn.Module, tokenizer: Any) -> None:
        super().__init__(path, network, tokenizer.pad_token_id or 0)
        self.tokenizer = tokenizer

    def encode(self, texts: Sequence[Text], max_tokens: int) -> list[Encoded]:
        """See Teacher."""
        limit = getattr(self.config, "max_position_embeddings", max_tokens)
        rows = self.tokenizer(
            [text if isinstance(text, str) else text[0] for text in texts],
            None if isinstance(texts[0], str) else [text[1] for text in texts],
            truncation=True,
            max_length=min(max_tokens, limit, self.tokenizer.model_max_length),
            return_token_type_ids=True,
        )
        return [
            Encoded(torch.tensor(ids), torch.tensor(types))
            for ids, types in zip(rows["input_ids"], rows["token_type_ids"], strict=True)
        ]

    def tokens(self, row: Encoded) -> list[bytes]:
        """See Teacher."""
        return [t.encode() for t in self.tokenizer.convert_ids_to_tokens(row.ids.tolist())]

    def word_vectors(self, words: Sequence[str]) -> tuple[list[str], Tensor]:
        """See Teacher."""
        ids = self.tokenizer.get_vocab()
        known = [word for word in words if word in ids]
        table = self.network.get_input_embeddings().weight.detach().cpu()
        return known, table[[ids[word] for word in known]]


class CheckpointTeacher(Teacher):
    """A ``model.pt``; hashes what it is asked."""

    def __init__(
        self, path: Path, network: nn.Module, config: ModelConfig, tokenizer: Tokenizer
    ) -> None:
        self._vocabulary = Vocabulary()
        super().__init__(path, network, self._vocabulary.pad)
        self._config, self._tokenizer = config, tokenizer
        self._names: list[bytes] = []

    def encode(self, texts: Sequence[Text], max_tokens: int) -> list[Encoded]:
        """See Teacher."""
        limit = min(max_tokens, self._config.max_position_embeddings)
        config = dataclasses.replace(self._config, max_position_embeddings=limit)
        rows = self._vocabulary.encode(self._tokenizer, texts, config)
        self._names = self._vocabulary.tokens()
        self.network.set_input_embeddings(self._vocabulary.table(self._config.hash).to(self.device))
        return rows

    def tokens(self, row: Encoded) -> list[bytes]:
        """See Teacher."""
        return [self._names[i] for i in row.ids.tolist()]


def open_teacher(path: Path) -> Teacher:
    """Read a teacher, frozen and in evaluation mode. No code that comes with it is run.

    Args:
        path: a folder that Transformers reads as a sequence classifier, or a ``model.pt``.

    Raises:
        ModelError: it is missing, damaged, or has no head for classification.
    """
    if path.is_file():
        network, config, tokenizer = load_torch(path)
        return _frozen(CheckpointTeacher(path, network, config, tokenizer))
    config = read_pretrained(path, AutoConfig)
    names = config.architectures or []
    if not any(name.endswith("ForSequenceClassification") for name in names):
        raise ModelError(
            f"{path}: {', '.join(names) or 'it'} has no head for classification: "
            "--fine-tune-teacher DIR trains one on --data first and keeps it in DIR"
        )
    if getattr(config, "problem_type", None) == "multi_label_classification":
        raise ModelError(f"{path}: it gives several labels at once; a student has one label a text")
    network, loaded = read_pretrained(
        path, AutoModelForSequenceClassification, output_loading_info=True
    )
    if loaded["missing_keys"]:
        raise ModelError(
            f"{path}: its weights are not whole: {', '.join(sorted(loaded['missing_keys'])[:3])} "
            "is missing; copy or save it again"
        )
    return _frozen(HuggingFaceTeacher(path, network, read_pretrained(path, AutoTokenizer)))


def open_encoder(path: Path, labels: Sequence[str], seed: int) -> HuggingFaceTeacher:
    """Read any encoder of Transformers and give it a fresh head of these labels.

    Args:
        path: its folder.
        labels: names of the logits.
        seed: of the head.

    Raises:
        ModelError: it is missing or damaged.
    """
    if path.is_file():
        raise ModelError(
            f"{path} is not a folder: --fine-tune-teacher takes Hugging Face's folders"
        )
    torch.manual_seed(seed)
    network = read_pretrained(
        path,
        AutoModelForSequenceClassification,
        num_labels=len(labels),
        id2label=dict(enumerate(labels)),
        label2id={label: i for i, label in enumerate(labels)},
        ignore_mismatched_sizes=True,  # a head of other labels gives way
    )
    return HuggingFaceTeacher(path, network, read_pretrained(path, AutoTokenizer))


def _frozen(teacher: Teacher) -> Teacher:
    return teacher.requires_grad_(False).eval()


def read_pretrained(path: Path, kind: Any, **options: Any) -> Any:
    """``kind.from_pretrained`` of a folder: from the disk alone, without code from the folder.

    Raises:
        ModelError: it is missing or damaged.
    """
    _check_folder(path, tokenizer=kind is AutoTokenizer, weights=bool(options))
    try:
        with quiet():
            return kind.from_pretrained(
                path, local_files_only=True, trust_remote_code=False, **options
            )
    except Exception as error:  # Transformers and what it calls raise many kinds
        reason = " ".join(str(error).split())
        raise ModelError(f"{path}: Transformers cannot read it: {reason:.200}") from error


def _check_folder(path: Path, *, tokenizer: bool, weights: bool) -> None:
    """Say what is missing in our words; without a folder Transformers looks in its own caches."""
    if not path.exists():
        raise ModelError(f"{path} does not exist")
    if not (path / "config.json").is_file():
        raise ModelError(f"{path}: no config.json: not a folder of Hugging Face's save_pretrained")
    wanted = _TOKENIZER_FILES if tokenizer else _WEIGHT_FILES if weights else ("config.json",)
    if not any(next(path.glob(pattern), None) for pattern in wanted):
        raise ModelError(f"{path}: holds none of {', '.join(wanted)}: save it there as well")


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Without the bars and warnings of Transformers, which tell of what is checked here."""
    logging = transformers.utils.logging
    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()

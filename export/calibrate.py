"""Texts to calibrate an int8 model on, and what it lost on them."""

from __future__ import annotations

import tempfile
import warnings
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgebert import data
from edgebert.export.ebm import write_ebm
from edgebert.export.float_reference import forward
from edgebert.export.spec import ModelSpec
from edgebert.hash import HashEmbedding
from edgebert.int8_reference import answer
from edgebert.model import TruncationWarning, load
from edgebert.sequence import Text, from_texts
from edgebert.tokenizer import Tokenizer
from edgebert.tsv import read_tsv

NUM_CALIBRATE, NUM_COMPARE, NUM_LAYERS = 512, 4096, 8  # texts: for scales, to compare, by layer
BUILT_IN = Path(data.__file__).parent / "calibration.txt"


@dataclass(frozen=True)
class Texts:
    """What to calibrate on and compare by.

    Attributes:
        name: where they come from.
        texts: in random order.
        labels: theirs; None if they have none.
    """

    name: str
    texts: list[Text]
    labels: list[str] | None

    @classmethod
    def read(cls, path: Path | None) -> Texts:
        """Those of a TSV file, or plain English from the package."""
        if path is None:
            lines: list[Text] = [*BUILT_IN.read_text("utf-8").splitlines()]
            return cls("the package's texts", lines, None)
        dataset = read_tsv(path)
        order = np.random.default_rng(0).permutation(len(dataset)).tolist()
        return cls(str(path), [dataset.texts[i] for i in order], [dataset.labels[i] for i in order])

    @property
    def calibration(self) -> list[Text]:
        """As many as a quantiser needs."""
        return self.texts[:NUM_CALIBRATE]


@dataclass(frozen=True)
class Loss:
    """What an artifact of integers lost.

    Attributes:
        num_texts: that were compared.
        same: share of them whose label (or number, to 5 % of its range) is that of float32.
        accuracy: of the artifact and of float32 on the texts' labels; None without labels.
    """

    num_texts: int
    same: float
    accuracy: tuple[float, float] | None

    @property
    def points(self) -> float:
        """Points of accuracy lost; without labels, of texts whose label changed."""
        if self.accuracy:
            return 100 * (self.accuracy[1] - self.accuracy[0])
        return 100 * (1 - self.same)

    @property
    def notable(self) -> bool:
        """Whether it is more than a point, and more than three texts, which may be chance."""
        return self.points > max(1.0, 300 / self.num_texts)


def float_logits(spec: ModelSpec, texts: Texts) -> np.ndarray:
    """Logits of a float32 model for the texts to compare by."""
    with tempfile.TemporaryDirectory() as folder:
        write_ebm(spec, Path(folder) / "model.ebm")
        return _logits(Path(folder) / "model.ebm", texts)


def fitting(spec: ModelSpec, texts: Sequence[Text], longest: int) -> list[int]:
    """Which texts an artifact of ``longest`` tokens cuts no more than the model does."""
    limits = spec.config.max_position_embeddings, spec.config.type_vocab_size
    if longest >= limits[0]:
        return list(range(len(texts)))
    ends = from_texts(Tokenizer(spec.tokenizer), texts, *limits).ends
    return [i for i, tokens in enumerate(ends) if len(tokens) <= longest]


def measure_loss(exact: np.ndarray, path: Path, texts: Texts, spec: ModelSpec) -> Loss | None:
    """Compare an artifact with its float32 model.

    Args:
        exact: logits of the float32 model, of :func:`float_logits`.
        path: the artifact.
        texts: what to compare by; those that the artifact can read whole count.
        spec: the float32 model.

    Returns:
        None if it can read none of them.

    Raises:
        MissingPackageError: the artifact's engine is not installed.
    """
    config = load(path).config
    rows = fitting(spec, texts.texts[:NUM_COMPARE], config.max_position_embeddings)
    if not rows:
        return None
    labels = [texts.labels[i] for i in rows] if texts.labels else None
    texts = Texts(texts.name, [texts.texts[i] for i in rows], labels)
    exact, logits = exact[rows], _logits(path, texts)
    accuracy = None
    if config.task == "regression":
        same = np.abs(exact - logits)[:, 0] <= 0.05 * np.ptp(exact)
    else:
        same = exact.argmax(1) == logits.argmax(1)
        if texts.labels:
            known = {label: i for i, label in enumerate(config.labels)}
            truth = np.array([known.get(label, -1) for label in texts.labels])
            accuracy = (
                float((logits.argmax(1) == truth).mean()),
                float((exact.argmax(1) == truth).mean()),
            )
    return Loss(len(exact), float(same.mean()), accuracy)


def _logits(path: Path, texts: Texts) -> np.ndarray:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", TruncationWarning)
        return load(path).logits(texts.texts[:NUM_COMPARE])


def worst_layer(spec: ModelSpec, int8: ModelSpec, texts: Sequence[Text]) -> tuple[str, float]:
    """The LayerNorm behind which the error of int8 grows most, and that error, relative."""
    errors = layer_errors(spec, int8, texts[:NUM_LAYERS])
    names, values = list(errors), list(errors.values())
    growth = np.diff(values, prepend=0.0)
    worst = int(growth.argmax())
    return names[worst], values[worst]


def layer_errors(spec: ModelSpec, int8: ModelSpec, texts: Sequence[Text]) -> dict[str, float]:
    """Error of the int8 hidden states behind each LayerNorm, over their norm in float32."""
    config = spec.config
    exact: dict[tuple[str, int], list[np.ndarray]] = defaultdict(list)
    integers: dict[tuple[str, int], list[np.ndarray]] = defaultdict(list)
    hash_embedding = HashEmbedding(config.hash)
    sequences = from_texts(
        Tokenizer(spec.tokenizer), texts, config.max_position_embeddings, config.type_vocab_size
    )
    for i, text in enumerate(texts):
        vectors = hash_embedding.embed(sequences.bytes[i], sequences.ends[i])
        forward(spec, vectors, sequences.types[i], _into(exact))
        answer(int8, text, _into(integers))
    errors = {}
    for name, layer in integers:
        a = np.concatenate(exact[name, layer])
        b = np.concatenate(integers[name, layer]).astype(np.float64)
        scale = a @ b / (b @ b)
        where = name if name == "embeddings_norm" else f"{name} of layer {layer}"
        errors[where] = float(np.linalg.norm(scale * b - a) / np.linalg.norm(a))
    return errors


def _into(seen: dict[tuple[str, int], list[np.ndarray]]) -> Callable[[str, int, np.ndarray], None]:
    return lambda name, layer, x: seen[name, layer].append(x.ravel())

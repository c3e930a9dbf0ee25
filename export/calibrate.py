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
from edgebert.int8_reference import classify
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


def float_logits(spec: ModelSpec, texts: Texts) -> np.ndarray:
    """Logits of a float32 model for the texts to compare by."""
    with tempfile.TemporaryDirectory() as folder:
        write_ebm(spec, Path(folder) / "model.ebm")
        return _logits(Path(folder) / "model.ebm", texts)


def measure_loss(exact: np.ndarray, path: Path, texts: Texts) -> Loss:
    """Compare an artifact with its float32 model.

    Args:
        exact: logits of the float32 model, of :func:`float_logits`.
        path: the artifact.
        texts: what to compare by.

    Raises:
        MissingPackageError: the artifact's engine is not installed.
    """
    config, logits = load(path).config, _logits(path, texts)
    accuracy = None
    if config.task == "regression":
        same = np.abs(exact - logits)[:, 0] <= 0.05 * np.ptp(exact)
    else:
        same = exact.argmax(1) == logits.argmax(1)
        if texts.labels:
            known = {label: i for i, label in enumerate(config.labels)}
            truth = np.array([known.get(label, -1) for label in texts.labels[:NUM_COMPARE]])
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
        classify(int8, text, _into(integers))
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

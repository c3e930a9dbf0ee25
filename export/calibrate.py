"""Texts to calibrate an int8 model on, and what it lost on them."""

from __future__ import annotations

import tempfile
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from edgebert import data
from edgebert.config import ModelConfig
from edgebert.engines import Outputs, open_engine
from edgebert.entities import best_tags
from edgebert.export.ebm import write_ebm
from edgebert.export.float_reference import forward
from edgebert.export.spec import ModelSpec
from edgebert.hash import HashEmbedding
from edgebert.int8_reference import answer
from edgebert.sequence import NO_WORD, Text, from_texts
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
        same: share of them whose label (or number, to 5 % of its range) is that of float32; None
            if the model has no labels.
        accuracy: of the artifact and of float32 on the texts' labels; None without labels.
        same_tags: share of the words whose tag is that of float32; None without tags.
        cosine: mean of each vector's with that of float32; None unless the model is for vectors.
    """

    num_texts: int
    same: float | None
    accuracy: tuple[float, float] | None
    same_tags: float | None = None
    cosine: float | None = None

    def __str__(self) -> str:
        parts = []
        if self.same is not None:
            parts.append(f"{self.same:.1%} have f32's label")
        if self.same_tags is not None:
            parts.append(f"{self.same_tags:.1%} of words have f32's tag")
        if self.cosine is not None:
            parts.append(f"the vectors' mean cosine with f32's is {self.cosine:.4f}")
        if self.accuracy:
            parts.append(f"accuracy {self.accuracy[0]:.4f}, f32 {self.accuracy[1]:.4f}")
        return "; ".join(parts)

    @property
    def points(self) -> float:
        """Points of accuracy lost (without labels, of texts whose label changed), or of the others.

        Where there are several, the most.
        """
        shares = (None if self.accuracy else self.same, self.same_tags, self.cosine)
        lost = [1 - share for share in shares if share is not None]
        if self.accuracy:
            lost.append(self.accuracy[1] - self.accuracy[0])
        return 100 * max(lost)

    @property
    def notable(self) -> bool:
        """Whether it is more than a point, and more than three texts, which may be chance."""
        return self.points > max(1.0, 300 / self.num_texts)


def float_outputs(spec: ModelSpec, texts: Texts) -> Outputs:
    """What a float32 model says of the texts to compare by."""
    with tempfile.TemporaryDirectory() as folder:
        write_ebm(spec, Path(folder) / "model.ebm")
        engine = open_engine(Path(folder) / "model.ebm")
        return engine.run_texts(texts.texts[:NUM_COMPARE])[0]


def fitting(spec: ModelSpec, texts: Sequence[Text], longest: int) -> list[int]:
    """Which texts an artifact of ``longest`` tokens cuts no more than the model does."""
    limits = spec.config.max_position_embeddings, spec.config.type_vocab_size
    if longest >= limits[0]:
        return list(range(len(texts)))
    ends = from_texts(Tokenizer(spec.tokenizer), texts, *limits).ends
    return [i for i, tokens in enumerate(ends) if len(tokens) <= longest]


def measure_loss(exact: Outputs, path: Path, texts: Texts, spec: ModelSpec) -> Loss | None:
    """Compare an artifact with its float32 model.

    Args:
        exact: what the float32 model says, of :func:`float_outputs`.
        path: the artifact.
        texts: what to compare by; those that the artifact can read whole count.
        spec: the float32 model.

    Returns:
        None if it can read none of them.

    Raises:
        MissingPackageError: the artifact's engine is not installed.
    """
    engine = open_engine(path)
    config = engine.config
    rows = fitting(spec, texts.texts[:NUM_COMPARE], config.max_position_embeddings)
    if not rows:
        return None
    sequences = from_texts(
        engine.tokenizer,
        [texts.texts[i] for i in rows],
        config.max_position_embeddings,
        config.type_vocab_size,
        words=True,
    )
    found = engine.run(sequences)
    same = accuracy = same_tags = cosine = None
    if config.labels:
        labels = [texts.labels[i] for i in rows] if texts.labels else None
        same, accuracy = _compare_logits(exact.logits[rows], found.logits, labels, config)
    if exact.tag_scores is not None and found.tag_scores is not None:
        best = partial(best_tags, engine.tag_transitions)
        pairs = zip(rows, sequences.words, found.tag_scores, strict=True)
        equal = [
            (best(words, exact.tag_scores[i]) == best(words, scores))[_begins_word(words)]
            for i, words, scores in pairs
        ]
        same_tags = _mean(np.concatenate(equal))
    if config.task == "embedding":
        cosine = _mean_cosine(found.pooled, exact.pooled[rows])
    return Loss(len(rows), same, accuracy, same_tags, cosine)


def _compare_logits(
    exact: np.ndarray, logits: np.ndarray, labels: Sequence[str] | None, config: ModelConfig
) -> tuple[float, tuple[float, float] | None]:
    """``same`` and ``accuracy`` of a Loss."""
    if config.task == "regression":
        return float((np.abs(exact - logits)[:, 0] <= 0.05 * np.ptp(exact)).mean()), None
    same = float((exact.argmax(1) == logits.argmax(1)).mean())
    if labels is None:
        return same, None
    known = {label: i for i, label in enumerate(config.labels)}
    truth = np.array([known.get(label, -1) for label in labels])
    accuracies = (float((x.argmax(1) == truth).mean()) for x in (logits, exact))
    return same, (next(accuracies), next(accuracies))


def _begins_word(words: np.ndarray) -> np.ndarray:
    """Of which tokens the tags count."""
    index = words[:, 0]
    return (index != NO_WORD) & (index != np.roll(index, 1))


def _mean(same: np.ndarray) -> float:
    return float(same.mean()) if len(same) else 1.0


def _mean_cosine(a: np.ndarray, b: np.ndarray) -> float:
    lengths = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    return float(((a * b).sum(axis=1) / np.maximum(lengths, 1e-12)).mean())


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

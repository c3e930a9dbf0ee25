"""Models with other heads than labels alone, and what the float reference makes of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from edgebert.config import ModelConfig
from edgebert.engines import Outputs
from edgebert.engines.batches import output_names
from edgebert.export.float_reference import forward
from edgebert.export.spec import ModelSpec

TAGS = ("O", "B-city", "I-city", "B-date", "I-date")
HEADS: dict[str, dict[str, Any]] = {
    "labels and tags": {"tags": TAGS},
    "tagging": {"task": "tagging", "labels": (), "tags": TAGS},
    "embedding": {"task": "embedding", "labels": ()},
}
OUTPUTS = {
    "labels and tags": ["logits", "pooled", "tag_logits"],
    "tagging": ["pooled", "tag_logits"],
    "embedding": ["pooled"],
}

Found = Mapping[str, Sequence[np.ndarray] | np.ndarray]
"""A graph's outputs, by name and by row of the batch; tag logits may have rows of padding."""


def with_heads(config: ModelConfig, name: str) -> ModelConfig:
    """The config with other heads."""
    return replace(config, **HEADS[name])


def references(spec: ModelSpec, feeds: Mapping[str, np.ndarray]) -> dict[str, list[np.ndarray]]:
    """Outputs of a batch in float64, each sequence alone and without its padding."""
    names = ("inputs_embeds", "attention_mask", "token_type_ids")
    rows = [
        _reference(spec, hashes[: mask.sum()], types[: mask.sum()])
        for hashes, mask, types in zip(*(feeds[name] for name in names), strict=True)
    ]
    return {name: [row[name] for row in rows] for name in rows[0]}


def _reference(spec: ModelSpec, hashes: np.ndarray, types: np.ndarray) -> dict[str, np.ndarray]:
    answer = forward(spec, hashes, types)._asdict()
    return {name: answer[name] for name in output_names(spec.config)}


def check_close(found: Found, expected: Found, tolerance: float) -> None:
    """Check that all outputs are there, and near what they should be."""
    assert set(found) == set(expected)
    for name, rows in expected.items():
        for x, y in zip(found[name], rows, strict=True):
            np.testing.assert_allclose(x[: len(y)], y, atol=tolerance, rtol=0, err_msg=name)


def check_outputs(found: Outputs, expected: Outputs, tolerance: float) -> None:
    """Check an engine by another: numbers are near, scores of tags but for their rounding too."""
    np.testing.assert_allclose(found.logits, expected.logits, atol=tolerance, rtol=0)
    np.testing.assert_allclose(found.pooled, expected.pooled, atol=tolerance, rtol=0)
    assert (found.tag_scores is None) == (expected.tag_scores is None)
    for x, y in zip(found.tag_scores or (), expected.tag_scores or (), strict=True):
        assert x.dtype == np.int16
        np.testing.assert_allclose(x, y, atol=1 + 256 * tolerance, rtol=0)


def check_alike(found: Found, expected: Found, error: float, same_tags: float) -> None:
    """Check what integers gave: their error beside the numbers' own size (RMS), and their tags."""
    assert set(found) == set(expected)
    for name, rows in expected.items():
        pairs = [(x[: len(y)], y) for x, y in zip(found[name], rows, strict=True)]
        x, y = (np.concatenate(part) for part in zip(*pairs, strict=True))
        assert np.linalg.norm(x - y) < error * np.linalg.norm(y), name
        if name == "tag_logits":
            assert (x.argmax(axis=1) == y.argmax(axis=1)).mean() >= same_tags

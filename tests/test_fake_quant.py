"""Quantisation-aware training: rounds as export does, leaves no trace, judges what is kept."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="training needs torch: pip install 'edgebert[train]'")

from edgebert.export.four_bits import MOST, SCALES, to_four_bits  # noqa: E402
from edgebert.export.quantise import channel_scales  # noqa: E402
from edgebert.train import bert  # noqa: E402
from edgebert.train.checkpoint import load_torch  # noqa: E402
from edgebert.train.fake_quant import round_to, rounded  # noqa: E402
from edgebert.train.run import train  # noqa: E402
from tests.test_train import CONFIG, RECIPE, color_rows, job  # noqa: E402

MATRICES = [torch.randn(48, 64), torch.randn(16, 32) ** 3, torch.rand(5, 96), torch.zeros(3, 32)]


@pytest.mark.parametrize("weight", MATRICES)
def test_int8_is_what_export_writes(weight: Any) -> None:
    steps = channel_scales(weight.numpy().astype(np.float64))[:, None]
    written = np.rint(weight.numpy() / steps) * steps
    np.testing.assert_allclose(round_to(weight, "i8").numpy(), written, atol=1e-6)


@pytest.mark.parametrize("weight", MATRICES)
def test_four_bits_are_as_near_as_what_export_writes(weight: Any) -> None:
    values = weight.numpy().astype(np.float64)
    steps = channel_scales(values, most=MOST * SCALES[-1])[:, None]
    rounded_ = round_to(weight, "i4").numpy()
    least = ((to_four_bits(values / steps) * steps - values) ** 2).sum()
    assert ((rounded_ - values) ** 2).sum() <= 1.01 * least + 1e-12
    # and such a file can hold them: rounding again changes nothing
    np.testing.assert_allclose(to_four_bits(rounded_ / steps) * steps, rounded_, atol=1e-5)


def test_weights_are_as_before_even_after_an_error() -> None:
    model = bert.build(CONFIG)
    before = {name: values.clone() for name, values in model.state_dict().items()}
    with pytest.raises(KeyboardInterrupt), rounded(model, "i4"):
        changed = {n for n, v in model.state_dict().items() if not torch.equal(v, before[n])}
        raise KeyboardInterrupt
    assert "bert.encoder.layer.0.output.dense.weight" in changed
    assert not {name for name in changed if "LayerNorm" in name or "token_type" in name}
    assert all(torch.equal(values, before[name]) for name, values in model.state_dict().items())


def test_the_best_of_the_last_epochs_is_kept_as_it_was_judged(tmp_path: Path) -> None:
    recipe = replace(RECIPE, epochs=6, patience=1, quantise_aware="i4", quantise_epochs=2)
    options = job(tmp_path, recipe=recipe)
    document = train(options)
    assert document["epochs_run"] == 6
    assert document["best_epoch"] in (5, 6)
    model, config, tokenizer = load_torch(options.output)
    rows = [row.split("\t") for row in color_rows(40, 1)]
    with rounded(model, "i4"):
        logits = bert.logits(model, config, tokenizer, [text for text, _ in rows])
    right = sum(["cold", "warm"][i] == y for i, (_, y) in zip(logits.argmax(1), rows, strict=True))
    assert right / len(rows) == pytest.approx(document["dev"]["accuracy"])


def test_rounded_training_loses_less_when_rounded(tmp_path: Path) -> None:
    def worst(quantise_aware: str | None) -> float:
        recipe = replace(RECIPE, epochs=8, quantise_aware=quantise_aware, quantise_epochs=6)
        options = job(tmp_path, recipe=recipe, output=tmp_path / f"{quantise_aware}.pt")
        train(options)
        model, config, tokenizer = load_torch(options.output)
        texts = [row.split("\t")[0] for row in color_rows(40, 1)]
        truth = torch.tensor([row.endswith("warm") for row in color_rows(40, 1)]).long()
        with rounded(model, "i4"):
            logits = torch.from_numpy(bert.logits(model, config, tokenizer, texts))
        return float(torch.nn.functional.cross_entropy(logits, truth))

    assert worst("i4") < worst(None)

"""Pretraining: what is hidden, that it learns, and that it survives interruption."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgebert.cli import main
from edgebert.errors import DataError, EdgebertError, ModelError, UsageError
from edgebert.tokenizer import Tokenizer

torch = pytest.importorskip("torch", reason="training needs torch: pip install 'edgebert[train]'")
pytest.importorskip("accelerate", reason="pretraining needs accelerate: 'edgebert[train]'")

from edgebert.export.checkpoint import read_checkpoint  # noqa: E402
from edgebert.export.roles import encoder_shapes  # noqa: E402
from edgebert.hash import HashEmbedding  # noqa: E402
from edgebert.train import text_stream  # noqa: E402
from edgebert.train.bert import build  # noqa: E402
from edgebert.train.init import load_encoder  # noqa: E402
from edgebert.train.masked_lm import OutputLoss  # noqa: E402
from edgebert.train.masking import NOT_PREDICTED, SPECIAL, Masker, choose_words  # noqa: E402
from edgebert.train.pretrain import Evaluation, Job, Recipe, pretrain  # noqa: E402
from edgebert.train.text_stream import find_files  # noqa: E402
from tests.corpus import sentences  # noqa: E402
from tests.test_train import CONFIG, assert_same, weights  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_thread")

RECIPE = Recipe(steps=30, batch_size=16, tokens=12, lr=5e-3, dropout=0.1, seed=1)
WORDS = Tokenizer.word()


def job(folder: Path, **changes: object) -> Job:
    values: dict[str, object] = {
        "config": CONFIG,
        "tokenizer": WORDS,
        "paths": [folder],
        "output": folder.parent / "encoder.pt",
        "recipe": RECIPE,
        "eval_every": 10,
    }
    return Job(**{**values, **changes})  # type: ignore[arg-type]


# Masks


@given(
    rows=st.lists(st.lists(st.integers(1, 4), min_size=1, max_size=6), min_size=1, max_size=5),
    share=st.floats(0.05, 0.95),
    seed=st.integers(0, 2**32),
)
def test_words_are_hidden_whole(rows: list[list[int]], share: float, seed: int) -> None:
    """Each number is a word of so many pieces."""
    longest = max(map(sum, rows)) + 2
    continues = np.zeros((len(rows), longest), bool)
    special = np.ones_like(continues)
    for row, sizes in enumerate(rows):
        special[row, 1 : 1 + sum(sizes)] = False
        continues[row, 1 : 1 + sum(sizes)] = [i > 0 for size in sizes for i in range(size)]
    chosen = choose_words(continues, special, share, np.random.default_rng(seed))
    assert not (chosen & special).any()
    for row, sizes in enumerate(rows):
        start = 1
        for size in sizes:
            assert len(set(chosen[row, start : start + size])) == 1
            start += size


def test_a_word_that_the_row_before_began_is_a_word_of_its_own() -> None:
    continues = np.array([[False, True, True, False, False]])
    special = np.array([[True, False, False, False, True]])
    draws = [
        choose_words(continues, special, 0.5, np.random.default_rng(seed))[0] for seed in range(50)
    ]
    assert {tuple(draw[1:4].tolist()) for draw in draws} == {
        (a, a, b) for a in (True, False) for b in (True, False)
    }


@given(share=st.sampled_from([0.15, 0.3]), pieces=st.booleans(), seed=st.integers(0, 1000))
def test_shares_are_berts(share: float, pieces: bool, seed: int) -> None:
    """Of 20,000 tokens; the bounds are five standard deviations."""
    vocabulary = ["a", "b", "##c", "d"] * 64
    vocabulary = [f"{token}{i}" for i, token in enumerate(vocabulary)]
    row = ["[CLS]", *vocabulary[:198], "[SEP]"]
    masked = Masker(vocabulary, share, pieces)([row] * 100, np.random.default_rng(seed))
    asked = masked.targets != NOT_PREDICTED
    assert asked.mean() * 200 / 198 == pytest.approx(share, abs=0.02)
    shown = np.array(masked.tokens)[masked.ids]
    original = np.array([row] * 100)
    assert (shown[~asked] == original[~asked]).all()
    assert (np.array(vocabulary)[masked.targets[asked]] == original[asked]).all()
    is_mask, same = shown[asked] == "[MASK]", shown[asked] == original[asked]
    assert is_mask.mean() == pytest.approx(0.8, abs=0.05)
    assert same.mean() == pytest.approx(0.1, abs=0.04)


def test_special_tokens_stay_and_what_has_no_class_is_hidden_but_not_asked() -> None:
    row = ["[CLS]", "rare", "[UNK]", "known", "[SEP]"]
    masked = Masker(["known"], 0.999, False)([row, row[:2]] * 40, np.random.default_rng(0))
    shown = np.array(masked.tokens)[masked.ids]
    assert (shown[::2, [0, 2, 4]] == ["[CLS]", "[UNK]", "[SEP]"]).all()
    assert (shown[1::2, 2:] == "[PAD]").all()
    assert (masked.attention == (shown != "[PAD]")).all()
    assert (shown[:, 1] == "[MASK]").mean() > 0.5
    assert (masked.targets[:, 1] == NOT_PREDICTED).all()
    assert (masked.targets[::2, 3] == 0).all()


# Training


@given(rows=st.integers(0, 300), seed=st.integers(0, 99))
def test_the_output_loss_is_pytorchs(rows: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    shapes = (rows, 8), (40, 8), (40,)
    values = [torch.randn(s, generator=generator).requires_grad_() for s in shapes]
    targets = torch.randint(40, (rows,), generator=generator)
    loss, right = OutputLoss.apply(*values, targets)
    (3 * loss).backward()
    doubles = [v.detach().double().requires_grad_() for v in values]
    logits = torch.nn.functional.linear(*doubles)
    expected = torch.nn.functional.cross_entropy(logits, targets, reduction="sum")
    (3 * expected).backward()
    torch.testing.assert_close(loss.double(), expected, rtol=1e-5, atol=1e-4)
    assert right == (logits.argmax(-1) == targets).sum()
    for value, double in zip(values, doubles, strict=True):
        torch.testing.assert_close(value.grad.double(), double.grad, rtol=1e-4, atol=1e-3)


def test_it_learns(corpus_folder: Path) -> None:
    """Guessing by frequency costs 2.08 nats a token."""
    recipe = replace(RECIPE, steps=100, lr=1e-2, dropout=0.0)
    history = pretrain(job(corpus_folder, recipe=recipe, eval_every=20))["history"]
    assert [evaluation["step"] for evaluation in history] == [20, 40, 60, 80, 100]
    assert history[-1]["loss"] < 1.4
    assert history[-1]["dev_loss"] < history[0]["dev_loss"]


def test_the_file_is_an_encoder_without_output_vocabulary_or_table(corpus_folder: Path) -> None:
    options = job(corpus_folder)
    pretrain(options)
    content = torch.load(options.output, weights_only=True)
    shapes = {name: tuple(values.shape) for name, values in content["state_dict"].items()}
    assert shapes == encoder_shapes(CONFIG)
    assert content["training"]["steps"] == RECIPE.steps
    parameters = sum(values.numel() for values in content["state_dict"].values())
    assert options.output.stat().st_size < 4 * parameters + 20_000
    names = [p.name for p in options.output.parent.iterdir() if p.name.startswith("encoder")]
    assert names == ["encoder.pt"]
    with pytest.raises(ModelError, match="without a head: edgebert train --init"):
        read_checkpoint(options.output)


def test_training_starts_from_it(corpus_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = job(corpus_folder)
    pretrain(options)
    model = build(CONFIG)
    taken, fresh = load_encoder(model, options.output)
    assert sorted(taken) == sorted(encoder_shapes(CONFIG))
    assert all(name.startswith(("bert.pooler", "classifier")) for name in fresh)
    state = {name: values for name, values in model.state_dict().items() if name in taken}
    assert_same(state, weights(options.output))

    assert main(["export", str(options.output), "-o", str(corpus_folder)]) == 1
    assert "edgebert train --init" in capsys.readouterr().err


def test_the_vectors_are_the_hash_as_written(corpus_folder: Path) -> None:
    """[MASK] included; nothing in the model could hold a table of tokens."""
    from accelerate import Accelerator

    from edgebert.train.masked_lm import Batches, MaskedLM

    batches = Batches(CONFIG, Masker(["a", "b"], 0.5, False), Accelerator())
    inputs, asked = batches.make([["[CLS]", "a", "b", "c", "[SEP]"]] * 9, (0, 0))
    assert asked == int((inputs["targets"] >= 0).sum())
    np.testing.assert_array_equal(
        inputs["vectors"][: len(SPECIAL)].numpy(), HashEmbedding(CONFIG.hash)(SPECIAL)
    )
    named = dict(MaskedLM(CONFIG, 2, 0.0).named_parameters())
    assert set(encoder_shapes(CONFIG)) < set(named)
    assert not [name for name in named if "word_embeddings" in name]


def test_an_interrupted_run_goes_on_and_ends_the_same(corpus_folder: Path) -> None:
    """Interrupted as by Ctrl-C, in the middle between two evaluations."""
    whole = pretrain(job(corpus_folder))
    expected = weights(corpus_folder.parent / "encoder.pt")
    options = job(corpus_folder, output=corpus_folder.parent / "again.pt")

    def interrupt(evaluation: Evaluation) -> None:
        if evaluation.step == 10:
            signal.raise_signal(signal.SIGINT)

    handler = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        pretrain(options, interrupt)
    assert not options.output.exists()
    assert signal.getsignal(signal.SIGINT) is handler
    remembered = torch.load(corpus_folder.parent / "again.pt.resume", weights_only=True)
    assert remembered["step"] == 10

    seen: list[Evaluation] = []
    document = pretrain(options, seen.append)
    assert [evaluation.step for evaluation in seen] == [10, 20, 30]
    assert_same(expected, weights(options.output))
    for key in ("loss", "dev_loss", "dev_accuracy", "tokens"):
        assert [h[key] for h in document["history"]] == [h[key] for h in whole["history"]]


def test_states_are_saved_as_time_goes_by_and_other_jobs_ignore_them(corpus_folder: Path) -> None:
    class Killed(Exception):
        pass

    def kill(evaluation: Evaluation) -> None:
        if evaluation.step == 20:
            raise Killed

    options = job(corpus_folder, save_minutes=0)
    with pytest.raises(Killed):
        pretrain(options, kill)
    memory = corpus_folder.parent / "encoder.pt.resume"
    assert torch.load(memory, weights_only=True)["step"] == 19  # not that of the evaluation
    saved = memory.read_bytes()
    for other in (
        replace(options, recipe=replace(RECIPE, lr=1e-3)),
        replace(options, resume=False),
    ):
        memory.write_bytes(saved)
        seen: list[Evaluation] = []
        pretrain(other, seen.append)
        assert [evaluation.step for evaluation in seen] == [10, 20, 30]
    memory.write_bytes(saved)
    first = weights(options.output)
    seen = []
    pretrain(options, seen.append)
    assert_same(first, weights(options.output))


def test_training_that_diverges_says_so_and_writes_nothing(corpus_folder: Path) -> None:
    options = job(corpus_folder, recipe=replace(RECIPE, lr=1e30))
    with pytest.raises(EdgebertError, match=r"diverged before step 10 .*smaller --lr, and --no-re"):
        pretrain(options)
    assert not options.output.exists()


def test_sequences_must_fit_the_model(corpus_folder: Path) -> None:
    with pytest.raises(UsageError, match="--tokens must be 3 to 16"):
        pretrain(job(corpus_folder, recipe=replace(RECIPE, tokens=17)))


def test_the_text_is_not_overwritten(corpus_folder: Path) -> None:
    with pytest.raises(DataError, match="holds the text"):
        pretrain(job(corpus_folder, output=corpus_folder / "a.txt"))


def test_bf16_learns_too(corpus_folder: Path) -> None:
    from accelerate.state import AcceleratorState

    AcceleratorState._reset_state()
    try:
        document = pretrain(job(corpus_folder, precision="bf16"))
    finally:
        AcceleratorState._reset_state()
    assert document["precision"] == "bf16"
    assert document["history"][-1]["dev_loss"] < document["history"][0]["dev_loss"]
    assert weights(corpus_folder.parent / "encoder.pt").popitem()[1].dtype == torch.float32


def test_command_line_from_text_to_a_model(
    corpus_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = corpus_folder.parent
    encoder, model, plot = folder / "encoder.pt", folder / "model.pt", folder / "loss.svg"
    tokens = ["--preset", "nano", "--tokenizer", "word", "--threads", "1"]
    recipe = ["--steps", "4", "--batch-size", "4", "--eval-every", "2", "--tokens", "16"]
    files = [str(corpus_folder / "a.txt"), str(corpus_folder), "-o", str(encoder)]
    pytest.importorskip("matplotlib", reason="plots need matplotlib: 'edgebert[bench]'")
    arguments = ["pretrain", *files, *tokens, *recipe, "--plot", str(plot), "--json"]
    assert main(arguments) == 0
    document = json.loads(capsys.readouterr().out)
    assert [evaluation["step"] for evaluation in document["history"]] == [2, 4]
    assert document["text_bytes"] == sum(
        len(line.encode())
        for file in find_files([corpus_folder])
        for line in text_stream.read_lines(file)
    )
    assert "held-out lines" in plot.read_text()
    rows = "".join(f"{line}\t{'dog' in line}\n" for line in sentences(40))
    (folder / "data.tsv").write_text("text\tlabel\n" + rows)
    data = ["--data", str(folder / "data.tsv"), "--dev", str(folder / "data.tsv")]
    init = ["--init", str(encoder), "--epochs", "1", "-o", str(model)]
    assert main(["train", *data, *tokens, *init]) == 0
    assert "fresh: bert.pooler.dense.weight" in capsys.readouterr().out


def test_two_processes_learn_the_same_as_one(corpus_folder: Path) -> None:
    """As ``accelerate launch`` and ``torchrun`` start them; each has half of every batch."""
    arguments = ["pretrain", str(corpus_folder), "--preset", "nano", "--tokenizer", "word"]
    arguments += ["--tokens", "16", "--batch-size", "5", "--steps", "3", "--threads", "1", "-o"]
    one, two = corpus_folder.parent / "one.pt", corpus_folder.parent / "two.pt"
    assert main([*arguments, str(one)]) == 0
    launch = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    done = subprocess.run(
        [sys.executable, *launch, "-m", "edgebert", *arguments, str(two)],
        env={**os.environ, "ACCELERATE_USE_CPU": "1", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 3  # one process speaks
    assert torch.load(two, weights_only=True)["training"]["devices"] == 2
    learned = weights(two)
    for name, values in weights(one).items():
        torch.testing.assert_close(learned[name], values, atol=1e-4, rtol=0)


def test_interruption_is_exit_status_130(
    corpus_folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("edgebert.train.pretrain.pretrain", interrupted)
    assert main(["pretrain", str(corpus_folder), "-o", str(corpus_folder / "e.pt")]) == 130
    assert capsys.readouterr().err == "edgebert: interrupted\n"

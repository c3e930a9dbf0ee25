"""Training: it learns, repeats itself, survives interruption, and writes what export reads."""

from __future__ import annotations

import json
import random
import re
import resource
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgebert.cli import main
from edgebert.config import HashParams, ModelConfig
from edgebert.errors import DataError, EdgebertError, ModelError
from edgebert.presets import PRESETS, num_parameters
from edgebert.tokenizer import Tokenizer
from tests.conftest import REPO
from tests.hugging_face import uncased_pieces

torch = pytest.importorskip("torch", reason="training needs torch: pip install 'edgebert[train]'")

from edgebert.export.checkpoint import read_checkpoint  # noqa: E402
from edgebert.export.roles import WORD_EMBEDDINGS, state_shapes  # noqa: E402
from edgebert.hash import HashEmbedding  # noqa: E402
from edgebert.train import bert, finetune  # noqa: E402
from edgebert.train.checkpoint import load_torch, save_atomically  # noqa: E402
from edgebert.train.finetune import Recipe  # noqa: E402
from edgebert.train.run import Job, train  # noqa: E402
from edgebert.train.targets import Targets  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_thread")

CONFIG = ModelConfig(
    hidden_size=32,
    num_hidden_layers=1,
    num_attention_heads=2,
    intermediate_size=48,
    max_position_embeddings=16,
    hash=HashParams(dimension=32),
)
RECIPE = Recipe(
    epochs=3,
    batch_size=16,
    lr=5e-3,
    warmup=0.1,
    weight_decay=0.01,
    dropout=0.1,
    label_smoothing=0.0,
    patience=3,
    seed=1,
)
COLORS = ["red", "green", "blue", "yellow"]


def write(path: Path, header: str, rows: list[str]) -> Path:
    path.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return path


def color_rows(count: int, seed: int) -> list[str]:
    """Whether a text holds a warm or a cold color."""
    rng = random.Random(seed)
    rows = []
    for _ in range(count):
        color = rng.choice(COLORS)
        text = f"{rng.choice(['the', 'a', 'one'])} {color} {rng.choice(['house', 'car', 'dog'])}"
        rows.append(f"{text}\t{'warm' if color in ('red', 'yellow') else 'cold'}")
    return rows


def job(tmp_path: Path, **changes: object) -> Job:
    """A small classification; each test changes what it is about."""
    values: dict[str, object] = {
        "config": CONFIG,
        "tokenizer": Tokenizer.word(),
        "train": write(tmp_path / "train.tsv", "text\tlabel", color_rows(160, 0)),
        "dev": write(tmp_path / "dev.tsv", "text\tlabel", color_rows(40, 1)),
        "output": tmp_path / "model.pt",
        "recipe": RECIPE,
    }
    return Job(**{**values, **changes})  # type: ignore[arg-type]


def weights(path: Path) -> dict[str, Any]:
    state: dict[str, Any] = torch.load(path, weights_only=True)["state_dict"]
    return state


def assert_same(a: dict[str, Any], b: dict[str, Any]) -> None:
    assert a.keys() == b.keys()
    assert [name for name in a if not torch.equal(a[name], b[name])] == []


@pytest.mark.parametrize(
    ("name", "millions"),
    [
        ("base", 86.0),
        ("mini", 3.36),
        ("tiny", 0.479),
        ("uno", 0.299),
        ("narrow", 0.284),
        ("nano", 0.076),
    ],
)
def test_presets_have_the_published_sizes(name: str, millions: float) -> None:
    assert num_parameters(PRESETS[name]) / 1e6 == pytest.approx(millions, rel=0.01)


def test_presets_are_what_transformers_builds() -> None:
    model = bert.build(PRESETS["uno"])
    learned = sum(p.numel() for name, p in model.named_parameters() if name != WORD_EMBEDDINGS)
    assert learned == num_parameters(PRESETS["uno"])


def test_classification_learns(tmp_path: Path) -> None:
    document = train(job(tmp_path))
    assert document["labels"] == ["cold", "warm"]
    assert document["dev"]["accuracy"] > 0.9


def test_pairs_learn(tmp_path: Path) -> None:
    """Same or different: neither text alone tells."""
    rng = random.Random(0)
    pairs = [rng.choices(COLORS[:2], k=2) for _ in range(400)]
    rows = [f"{a}\t{b}\t{'same' if a == b else 'other'}" for a, b in pairs]
    header = "text\ttext_b\tlabel"
    document = train(
        job(
            tmp_path,
            train=write(tmp_path / "pairs.tsv", header, rows[:320]),
            dev=write(tmp_path / "pairs-dev.tsv", header, rows[320:]),
            recipe=replace(RECIPE, epochs=12, patience=12, dropout=0.0),
        )
    )
    assert document["dev"]["accuracy"] > 0.9


def test_regression_learns_numbers_of_any_scale(tmp_path: Path) -> None:
    rows = [row.replace("warm", "1300.5").replace("cold", "700") for row in color_rows(200, 0)]
    options = job(
        tmp_path,
        train=write(tmp_path / "numbers.tsv", "text\tlabel", rows[:160]),
        dev=write(tmp_path / "numbers-dev.tsv", "text\tlabel", rows[160:]),
        recipe=replace(RECIPE, epochs=6, patience=6),
    )
    document = train(options)
    assert document["dev"]["pearson"] > 0.9
    logits = bert.logits(*load_torch(options.output), ["a red car", "a blue car"])
    assert logits[:, 0] == pytest.approx([1300.5, 700], abs=150)


def test_the_table_is_the_hash_and_stays_so(tmp_path: Path) -> None:
    vocabulary = bert.Vocabulary()
    inputs = vocabulary.encode(Tokenizer.word(), ["a red car", "a blue dog"] * 8, CONFIG)
    model = bert.build(CONFIG)
    model.set_input_embeddings(vocabulary.table(CONFIG.hash))
    before = model.get_input_embeddings().weight.clone()
    np.testing.assert_array_equal(
        before[inputs[0].ids].numpy(),
        HashEmbedding(CONFIG.hash)(["[CLS]", "a", "red", "car", "[SEP]"]),
    )
    finetune.finetune(
        model,
        inputs,
        finetune.Labelled(Targets(torch.tensor([0, 1] * 8))),
        inputs,
        lambda predictions: {"accuracy": 0.5},
        "accuracy",
        RECIPE,
        vocabulary.pad,
        tmp_path / "resume",
        "",
        lambda epoch: None,
    )
    assert torch.equal(model.get_input_embeddings().weight, before)


def test_the_checkpoint_has_no_table_and_needs_no_pickle(tmp_path: Path) -> None:
    options = job(tmp_path)
    train(options)
    content = torch.load(options.output, weights_only=True)
    config = ModelConfig.from_dict(content["config"])
    shapes = {name: tuple(values.shape) for name, values in content["state_dict"].items()}
    assert shapes == state_shapes(config)
    assert content["training"]["seed"] == RECIPE.seed
    assert options.output.stat().st_size < 4 * num_parameters(config) + 25_000
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith("model")] == ["model.pt"]


def test_export_reads_the_checkpoint_and_its_probe_is_what_pytorch_says(tmp_path: Path) -> None:
    options = job(tmp_path)
    train(options)
    checkpoint = read_checkpoint(options.output)
    assert checkpoint.tokenizer == Tokenizer.word().blob
    assert checkpoint.probe is not None
    again = bert.logits(*load_torch(options.output), checkpoint.probe.texts)
    np.testing.assert_allclose(again, checkpoint.probe.logits, atol=1e-6)


def test_same_seed_same_weights_other_seed_others(tmp_path: Path) -> None:
    results = []
    for seed in (1, 1, 2):
        train(job(tmp_path, recipe=replace(RECIPE, epochs=1, seed=seed)))
        results.append(weights(tmp_path / "model.pt"))
    assert_same(results[0], results[1])
    assert not torch.equal(results[0]["classifier.weight"], results[2]["classifier.weight"])


class Interrupted(Exception):
    pass


def interrupt_after(tmp_path: Path, number: int) -> Job:
    """A job that was stopped after an epoch."""
    options = job(tmp_path)

    def stop(epoch: finetune.Epoch) -> None:
        if epoch.number == number:
            raise Interrupted

    with pytest.raises(Interrupted):
        train(options, stop)
    assert not options.output.exists()
    return options


def test_an_interrupted_run_goes_on_and_ends_the_same(tmp_path: Path) -> None:
    train(job(tmp_path))
    whole = weights(tmp_path / "model.pt")
    (tmp_path / "model.pt").unlink()
    options = interrupt_after(tmp_path, 2)
    trained: list[float] = []
    document = train(options, lambda epoch: trained.append(epoch.seconds))
    assert len(trained) == document["epochs_run"] == RECIPE.epochs
    assert_same(whole, weights(options.output))


@pytest.mark.parametrize("change", ["no-resume", "other recipe", "other data", "damaged"])
def test_a_run_starts_over_when_it_must(tmp_path: Path, change: str) -> None:
    options = interrupt_after(tmp_path, 2)
    memory = tmp_path / "model.pt.resume"
    remembered = torch.load(memory, weights_only=True)["epochs"]
    if change == "no-resume":
        options = replace(options, resume=False)
    elif change == "other recipe":
        options = replace(options, recipe=replace(RECIPE, lr=1e-3))
    elif change == "other data":
        write(options.train, "text\tlabel", color_rows(170, 0))
    else:
        memory.write_bytes(memory.read_bytes()[:1000])
    epochs: list[finetune.Epoch] = []
    train(options, epochs.append)
    assert epochs[0].seconds != remembered[0]["seconds"]


def test_training_stops_when_patience_ends(tmp_path: Path) -> None:
    document = train(job(tmp_path, recipe=replace(RECIPE, epochs=30, patience=2)))
    assert document["epochs_run"] == document["best_epoch"] + 2


def test_the_best_epoch_is_kept(tmp_path: Path) -> None:
    options = job(tmp_path, recipe=replace(RECIPE, epochs=6, patience=6))
    document = train(options)
    best = max(epoch["scores"]["accuracy"] for epoch in document["epochs"])
    rows = [row.split("\t") for row in color_rows(40, 1)]
    logits = bert.logits(*load_torch(options.output), [text for text, _ in rows])
    predictions = [("cold", "warm")[i] for i in logits.argmax(1)]
    right = sum(p == label for p, (_, label) in zip(predictions, rows, strict=True))
    assert right / len(rows) == pytest.approx(best)


def test_init_takes_an_encoder_but_never_a_table(tmp_path: Path) -> None:
    learned = bert.build(replace(CONFIG, labels=("a", "b", "c")))
    state = {name: values.numpy() for name, values in learned.state_dict().items()}
    np.savez(tmp_path / "encoder.npz", **state)
    learned.save_pretrained(tmp_path / "folder")
    learned.bert.save_pretrained(tmp_path / "bare")
    recipe = replace(RECIPE, epochs=1, lr=1e-9)
    for source in ("encoder.npz", "folder", "bare"):
        said: list[str] = []
        options = job(tmp_path, init=tmp_path / source, recipe=recipe)
        train(options, say=said.append)
        name = "bert.encoder.layer.0.output.dense.weight"
        torch.testing.assert_close(weights(options.output)[name], learned.state_dict()[name])
        assert "fresh: classifier.weight, classifier.bias" in said[0]
    train(options)
    before = weights(options.output)
    train(replace(options, init=options.output))
    torch.testing.assert_close(weights(options.output), before, atol=1e-6, rtol=0)


def test_init_of_another_shape_is_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "other.npz", **{"bert.encoder.layer.0.output.dense.weight": np.eye(3)})  # type: ignore[arg-type]
    with pytest.raises(ModelError, match="no weight of its encoder has the shape"):
        train(job(tmp_path, init=tmp_path / "other.npz"))


@pytest.mark.parametrize("name", ["none.npz", "none.pt", "none", "bad.npz", "bad.safetensors"])
def test_a_bad_init_is_one_clear_error(tmp_path: Path, name: str) -> None:
    if name.startswith("bad"):
        (tmp_path / name).write_bytes(b"PK\x03\x04 not what it says")
    with pytest.raises(ModelError, match=rf"{name}.*(does not exist|cannot be read|damaged)"):
        train(job(tmp_path, init=tmp_path / name))


def test_errors_in_the_data_name_the_line(tmp_path: Path) -> None:
    dev = write(tmp_path / "bad.tsv", "text\tlabel", ["a red car\twarm", "a blue car\tfrozen"])
    with pytest.raises(DataError, match=r"bad.tsv:3: unknown label 'frozen'"):
        train(job(tmp_path, dev=dev))
    with pytest.raises(DataError, match=r"bad.tsv:2: the label 'warm' is not a number"):
        train(job(tmp_path, train=dev, task="regression"))


def test_an_output_that_cannot_be_written_fails_before_training(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is a folder"):
        train(job(tmp_path, output=tmp_path))
    with pytest.raises(DataError, match="create it first"):
        train(job(tmp_path, output=tmp_path / "none" / "model.pt"))
    with pytest.raises(DataError, match="/dev/null is not a file"):
        train(job(tmp_path, output=Path("/dev/null")))
    options = job(tmp_path)
    with pytest.raises(DataError, match="holds the data"):
        train(replace(options, output=options.train))


def test_a_full_disk_is_one_clear_error_and_leaves_no_file(tmp_path: Path) -> None:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # then writing fails, as on a full disk
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limits[1]))
    try:
        with pytest.raises(EdgebertError, match=r"cannot write .*model.pt: File too large"):
            save_atomically({"a": torch.zeros(100_000)}, tmp_path / "model.pt")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, before)
    assert not list(tmp_path.iterdir())


def test_training_that_diverges_says_so_and_writes_nothing(tmp_path: Path) -> None:
    options = job(tmp_path, recipe=replace(RECIPE, lr=1e30))
    with pytest.raises(EdgebertError, match=r"diverged in epoch 1 .*smaller --lr, or smaller num"):
        train(options)
    assert not options.output.exists()


@pytest.mark.parametrize(
    "arguments",
    [
        ["--epochs", "0"],
        ["--epochs", "many"],
        ["--lr", "-1"],
        ["--lr", "nan"],
        ["--seed", "99999999999999999999"],
        ["--threads", "100000"],
        ["--warmup", "1"],
        ["--cased"],
        ["--tokenizer", "word", "--vocab", "vocab.txt"],
    ],
)
def test_options_out_of_range_are_wrong_usage(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    try:
        status: Any = main(["train", "--data", "a", "--dev", "b", "-o", "c", *arguments])
    except SystemExit as exit_:
        status = exit_.code
    assert status == 2
    assert arguments[0] in capsys.readouterr().err


def test_an_empty_vocabulary_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "vocab.txt").write_text("\n")
    vocabulary = str(tmp_path / "vocab.txt")
    assert main(["train", "--data", "a", "--dev", "b", "-o", "c", "--vocab", vocabulary]) == 1
    assert "vocab.txt: holds no pieces" in capsys.readouterr().err


def test_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = job(tmp_path)
    files = ["--data", str(options.train), "--dev", str(options.dev), "-o", str(options.output)]
    arguments = ["--preset", "nano", "--tokenizer", "word", "--epochs", "1", "--seed", "3"]
    assert main(["train", *files, *arguments, "--max-tokens", "12", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["seed"] == 3
    assert load_torch(options.output)[1].max_position_embeddings == 12
    assert main(["train", *files, *arguments, "--metric", "pearson"]) == 1
    assert "classification is measured by accuracy" in capsys.readouterr().err


def test_the_loop_of_ones_own_in_the_documentation_ends_in_an_export(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("vocab.txt").write_text("\n".join(uncased_pieces()) + "\n")
    text = (REPO / "docs" / "training.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    exec(code, {})
    assert main(["export", "my-model", "-o", "out", "--json"]) == 0
    artifacts = json.loads(capsys.readouterr().out)
    assert [Path(a["path"]).name for a in artifacts] == [
        "my-model.onnx",
        "my-model.tflite",
        "my-model.ebm",
    ]
    assert all(a["difference"] < 1e-5 for a in artifacts)

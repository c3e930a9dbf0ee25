"""One Model in many threads and processes: the same answers as in one, and no waiting for ever."""

from __future__ import annotations

import asyncio
import multiprocessing
import pickle
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager
from multiprocessing.queues import Queue
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import edgebert
from edgebert._native import ffi, lib
from edgebert.config import HashParams
from edgebert.export import write_model
from edgebert.export.recipe import Recipe
from edgebert.hash import HashEmbedding
from tests.models import random_spec

TEXTS = [f"text number {i} " * (i % 5) for i in range(80)]  # more than a thread takes at a time
LIMIT = 60  # seconds after which something waits for ever

# file, packages that its engine needs, and threads
ENGINES = {
    "native": ("m.ebm", (), None),
    "native, 2 threads": ("m.ebm", (), 2),
    "onnx": ("m.onnx", ("onnx", "onnxruntime"), None),
    "onnx, 2 threads": ("m.onnx", ("onnx", "onnxruntime"), 2),
    "tflite": ("m.tflite", ("tflite", "ai_edge_litert"), None),
    "tflite, operator": ("m-custom-op.tflite", ("tflite", "ai_edge_litert"), None),
}


@pytest.fixture(scope="module", params=[*ENGINES.values()], ids=[*ENGINES])
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    name, packages, threads = request.param
    for package in packages:
        pytest.importorskip(package, reason=f"needs the package {package}")
    path = tmp_path_factory.mktemp("threads") / name
    write_model(random_spec(), path, Recipe(variant="custom-op" if "custom-op" in name else ""))
    return edgebert.load(path, threads=threads)


@pytest.fixture(scope="module")
def expected(model: edgebert.Model) -> np.ndarray:
    return model.logits(TEXTS)


@contextmanager
def busy(model: edgebert.Model) -> Iterator[None]:
    """Another thread runs the model meanwhile."""
    done = threading.Event()

    def run() -> None:
        while not done.is_set():
            model.logits(TEXTS)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def test_threads_get_what_one_gets(model: edgebert.Model, expected: np.ndarray) -> None:
    calls = [TEXTS, *(TEXTS[i : i + 5] for i in range(0, len(TEXTS), 5)), TEXTS, TEXTS]
    serial = [model.logits(texts) for texts in calls]
    np.testing.assert_array_equal(serial[0], expected)
    with ThreadPoolExecutor(8) as pool:
        for logits, alone in zip(pool.map(model.logits, calls), serial, strict=True):
            np.testing.assert_array_equal(logits, alone)


def test_coroutines_get_what_one_gets(model: edgebert.Model, expected: np.ndarray) -> None:
    async def ask() -> list[list[edgebert.Result]]:
        return await asyncio.gather(*(asyncio.to_thread(model.infer, TEXTS) for _ in range(8)))

    for results in asyncio.run(ask()):
        np.testing.assert_array_equal([result.logits for result in results], expected)


def _answer(model: edgebert.Model, answers: Queue[Any]) -> None:
    with ThreadPoolExecutor(2) as pool:
        answers.put(list(pool.map(model.logits, [TEXTS] * 2)))


def _drop(model: edgebert.Model, answers: Queue[Any]) -> None:
    vars(model).clear()
    answers.put([])


@contextmanager
def forked(child: Callable[..., None], model: edgebert.Model, count: int) -> Iterator[list[Any]]:
    """What some children answer; at the end of the block they must end as well."""
    context = multiprocessing.get_context("fork")
    answers: Queue[Any] = context.Queue()
    processes = [context.Process(target=child, args=(model, answers)) for _ in range(count)]
    try:
        for process in processes:
            time.sleep(0.01)  # others are elsewhere at each fork
            process.start()
        yield [answers.get(timeout=LIMIT) for _ in processes]
        for process in processes:
            process.join(LIMIT)
            assert process.exitcode == 0
    finally:
        for process in processes:
            process.kill()


@pytest.mark.parametrize("child", [_answer, _drop])
def test_a_forked_child_gets_the_same_whatever_other_threads_did(
    model: edgebert.Model, expected: np.ndarray, child: Callable[..., None]
) -> None:
    with busy(model), forked(child, model, 4) as answers:
        for logits in (logits for answer in answers for logits in answer):
            np.testing.assert_array_equal(logits, expected)
    np.testing.assert_array_equal(model.logits(TEXTS), expected)  # the parent goes on


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_a_model_travels_to_other_processes(
    model: edgebert.Model, expected: np.ndarray, method: str
) -> None:
    with ProcessPoolExecutor(1, multiprocessing.get_context(method)) as pool:
        found = pool.submit(model.logits, TEXTS).result(LIMIT)
    np.testing.assert_array_equal(found, expected)


def test_a_pickled_model_is_all_of_it(tmp_path: Path) -> None:
    write_model(random_spec(), tmp_path / "m.ebm")
    model = edgebert.load(tmp_path / "m.ebm", threads=3)
    size = (tmp_path / "m.ebm").stat().st_size
    (tmp_path / "m.ebm").unlink()
    pickled = pickle.dumps(model)
    assert len(pickled) < size + 200
    other = pickle.loads(pickled)
    assert other.config == model.config and other._engine.threads == 3
    np.testing.assert_array_equal(other.logits(TEXTS), model.logits(TEXTS))


def test_a_child_does_not_take_up_a_file_that_replaced_the_models(tmp_path: Path) -> None:
    pytest.importorskip("ai_edge_litert", reason="needs the package ai_edge_litert")
    write_model(random_spec(), tmp_path / "m.tflite")
    model = edgebert.load(tmp_path / "m.tflite")
    expected = model.logits(TEXTS)
    write_model(random_spec(seed=1), tmp_path / "m.tflite")
    with forked(_answer, model, 1) as ((found, _),):
        np.testing.assert_array_equal(found, expected)


def test_c_runs_without_the_interpreters_lock() -> None:
    """Two calls are seen half done at once, by a third thread that is in Python."""
    count, size = 1 << 10, 1 << 11
    tokens = np.random.default_rng(0).integers(97, 123, count * size, np.uint8)
    ends = np.arange(size, count * size + 1, size, dtype=np.uint32)
    embedding = HashEmbedding(HashParams(dimension=64))
    vectors = np.full((2, count, 64), np.nan, np.float32)

    def embed(i: int) -> None:
        lib.eb_hash_embed_many(
            embedding._handle,
            ffi.from_buffer("uint8_t[]", tokens),
            ffi.from_buffer("uint32_t[]", ends),
            count,
            ffi.from_buffer("float[]", vectors[i]),
        )

    threads = [threading.Thread(target=embed, args=(i,)) for i in range(2)]
    for thread in threads:
        thread.start()
    seen = False
    while not seen and any(thread.is_alive() for thread in threads):
        begun, done = (~np.isnan(vectors[:, row, 0]) for row in (0, -1))
        seen = bool((begun & ~done).all())
        time.sleep(0.001)
    for thread in threads:
        thread.join()
    assert seen

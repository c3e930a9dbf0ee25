"""The operator HashEmbedding in other runtimes: the golden vectors' bits, or one clear error.

Each runtime that is not installed is skipped. CI runs this file once more in an environment with
tflite-runtime 2.14, which needs NumPy 1.
"""

from __future__ import annotations

import ctypes
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import edgebert.ort
import edgebert.tflite
from edgebert.config import HASH_FAMILIES, HashParams
from edgebert.errors import MissingPackageError, ModelError
from edgebert.hash import HashEmbedding
from edgebert.hash_reference import hash_embed
from tests.conftest import REPO
from tests.custom_op_models import (
    attributes,
    custom_options,
    nodes_model,
    onnx_model,
    tflite_model,
)
from tests.golden_hash import golden_vectors

WARNINGS = ("-Wall", "-Wextra", "-Wconversion", "-Wshadow", "-Werror")
MICRO = REPO / "tests" / "tflite_micro_stub"

Run = Callable[[np.ndarray, np.ndarray], np.ndarray]
Open = Callable[..., Run]


def padded(tokens: Sequence[bytes], width: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """The operator's inputs for one batch; padding is not read, so that it may be anything."""
    lengths = np.array([[len(token) for token in tokens]], np.int32)
    token_bytes = np.full((1, len(tokens), max(width, lengths.max(initial=1))), 0xEE, np.uint8)
    for row, token in zip(token_bytes[0], tokens, strict=True):
        row[: len(token)] = list(token)
    return token_bytes, lengths


def open_onnx(
    values: Mapping[str, int], names: tuple[str, ...] = ("batch", "tokens"), **types: str
) -> Run:
    onnxruntime = pytest.importorskip("onnxruntime", reason="needs edgebert[onnx]")
    pytest.importorskip("onnx", reason="needs edgebert[export]")
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.register_custom_ops_library(edgebert.ort.library_path())
    model = onnx_model(dict(values), names, **types)
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])

    def run(token_bytes: np.ndarray, token_lengths: np.ndarray) -> np.ndarray:
        feeds = {"token_bytes": token_bytes, "token_lengths": token_lengths}
        return np.asarray(session.run(None, feeds)[0])

    return run


@pytest.fixture
def open_tflite(tmp_path: Path) -> Open:
    pytest.importorskip("tflite", reason="needs the PyPI package tflite")

    def open_one(values: Mapping[str, int], options: bytes | None = None) -> Run:
        path = tmp_path / "one_op.tflite"
        options = custom_options(dict(values)) if options is None else options
        path.write_bytes(tflite_model(options, (1, 1, 1)))
        try:
            graph = edgebert.tflite.open_graph(path)
        except MissingPackageError as error:
            pytest.skip(str(error))

        def run(token_bytes: np.ndarray, token_lengths: np.ndarray) -> np.ndarray:
            inputs = {"token_bytes": token_bytes, "token_lengths": token_lengths}
            return graph.run(inputs)["vectors"]

        return run

    return open_one


@pytest.fixture(params=["onnx", "tflite"])
def open_op(request: pytest.FixtureRequest) -> Open:
    if request.param == "onnx":
        return open_onnx
    return request.getfixturevalue("open_tflite")


def test_golden_vectors(open_op: Open) -> None:
    vectors = 0
    for params, tokens, bits in golden_vectors():
        result = open_op(attributes(params))(*padded(tokens))
        np.testing.assert_array_equal(result[0].view(np.uint32), bits, str(params))
        vectors += len(tokens)
    assert vectors > 400


@pytest.mark.parametrize("family", HASH_FAMILIES)
@pytest.mark.parametrize("marks", [False, True])
def test_random_tokens_in_random_shapes(open_op: Open, family: str, marks: bool) -> None:
    params = HashParams(family, dimension=24, boundary_marks=marks)
    run, embed = open_op(attributes(params)), HashEmbedding(params)

    @given(st.lists(st.binary(max_size=20), min_size=1, max_size=6), st.integers(0, 40))
    def check(tokens: list[bytes], width: int) -> None:
        result = run(*padded(tokens, width))
        np.testing.assert_array_equal(result[0].view(np.uint32), embed(tokens).view(np.uint32))

    check()


def test_batches(open_op: Open) -> None:
    params = HashParams(dimension=16)
    tokens = [b"a", b"", b"film", b"##ing", b"xy", b"\xff\x00"]
    token_bytes, lengths = padded(tokens)
    result = open_op(attributes(params))(token_bytes.reshape(2, 3, -1), lengths.reshape(2, 3))
    np.testing.assert_array_equal(result, hash_embed(tokens, params).reshape(2, 3, 16))


@pytest.mark.parametrize("names", [(), ("tokens",), ("a", "b", "c", "d")], ids=len)
def test_onnx_takes_any_rank(names: tuple[str, ...]) -> None:
    params = HashParams(dimension=16)
    token_bytes, lengths = padded([b"film"])
    shape = (1,) * len(names)
    result = open_onnx(attributes(params), names)(
        token_bytes.reshape(*shape, 4), lengths.reshape(shape)
    )
    np.testing.assert_array_equal(result.ravel(), hash_embed([b"film"], params)[0])


def errors(open_op: Open) -> type[Exception]:
    """ONNX Runtime's errors have a class for each of its codes, and only Exception in common."""
    return Exception if open_op is open_onnx else ModelError


@pytest.mark.parametrize(("lengths", "token"), [((2, 9), 1), ((-1, 2), 0), ((-(2**31), 2), 0)])
def test_impossible_lengths_are_refused(
    open_op: Open, lengths: tuple[int, int], token: int
) -> None:
    run = open_op(attributes(HashParams()))
    token_bytes, good = padded([b"ab", b"abcdefgh"])
    message = f"token {token} has length {lengths[token]}, but room for 8 bytes"
    with pytest.raises(errors(open_op), match=f"edgebert.HashEmbedding: {message}"):
        run(token_bytes, np.array([lengths], np.int32))
    np.testing.assert_array_equal(
        run(token_bytes, good)[0], HashEmbedding(HashParams())([b"ab", b"abcdefgh"])
    )


@pytest.mark.parametrize("shape", [(1, 3), (2, 2), (1, 1)])
def test_shapes_that_do_not_go_together_are_refused(open_op: Open, shape: tuple[int, ...]) -> None:
    run = open_op(attributes(HashParams()))
    token_bytes, good = padded([b"ab", b"cd"])
    with pytest.raises(errors(open_op), match="must have the dimensions of token_lengths"):
        run(token_bytes, np.zeros(shape, np.int32))
    np.testing.assert_array_equal(
        run(token_bytes, good)[0], HashEmbedding(HashParams())([b"ab", b"cd"])
    )


@pytest.mark.parametrize(
    "change",
    [{"dimension": 0}, {"max_ngram": 17}, {"modulus": 10}, {"base": 0}, {"boundary_marks": 2}],
    ids=str,
)
def test_impossible_attributes_are_refused(open_op: Open, change: dict[str, int]) -> None:
    with pytest.raises(errors(open_op), match="no possible hash parameters"):
        open_op({**attributes(HashParams()), **change})(*padded([b"ab"]))


@pytest.mark.parametrize(
    ("change", "message"),
    [({"seed": -1}, "not a 32-bit unsigned"), ({"seed": 2**32}, "not a 32-bit unsigned")],
    ids=str,
)
def test_onnx_attributes_of_more_bits_are_refused(change: dict[str, int], message: str) -> None:
    with pytest.raises(Exception, match=message):
        open_onnx({**attributes(HashParams()), **change})


def test_onnx_needs_all_attributes() -> None:
    values = attributes(HashParams())
    del values["base"]
    with pytest.raises(Exception, match="base"):
        open_onnx(values)


@pytest.mark.parametrize("types", [{"token_bytes": "INT8"}, {"token_lengths": "INT64"}], ids=str)
def test_onnx_refuses_other_types(types: dict[str, str]) -> None:
    with pytest.raises(Exception, match=r"HashEmbedding"):
        open_onnx(attributes(HashParams()), ("batch", "tokens"), **types)


def test_tflite_refuses_other_types(open_tflite: Open) -> None:
    token_bytes, lengths = padded([b"ab"])
    with pytest.raises(ModelError, match=r"token_lengths.*int32|INT32.*token_lengths"):
        open_tflite(attributes(HashParams()))(token_bytes, lengths.astype(np.int64))


def test_tflite_refuses_a_node_without_an_output(open_tflite: Open, tmp_path: Path) -> None:
    open_tflite(attributes(HashParams()))  # skips where no runtime is installed
    (tmp_path / "m.tflite").write_bytes(nodes_model(((0, 1), -1)))
    with pytest.raises(ModelError, match=r"needs two inputs and one output|cannot load"):
        edgebert.tflite.open_graph(tmp_path / "m.tflite")


@pytest.mark.parametrize("failing", [0, 1])
def test_tflite_says_which_node_failed_of_two(
    failing: int, open_tflite: Open, tmp_path: Path
) -> None:
    """LiteRT goes on to the second: that this one gives vectors does not make the first one's."""
    open_tflite(attributes(HashParams()))  # skips where no runtime is installed
    (tmp_path / "m.tflite").write_bytes(nodes_model(((0, 1), 2), ((3, 4), 5)))
    graph = edgebert.tflite.open_graph(tmp_path / "m.tflite")
    token_bytes, lengths = padded([b"ab", b"cdef"])
    inputs = {f"token_bytes_{i}": token_bytes for i in range(2)}
    inputs |= {f"token_lengths_{i}": lengths for i in range(2)}
    for _ in range(2):
        with pytest.raises(ModelError, match="token 1 has length 9, but room for 4 bytes"):
            graph.run({**inputs, f"token_lengths_{failing}": np.array([[2, 9]], np.int32)})
        for vectors in graph.run(inputs).values():
            expected = hash_embed([b"ab", b"cdef"], HashParams(dimension=8))
            np.testing.assert_array_equal(vectors[0], expected)


def test_litert_reads_types_of_other_inputs_or_names_them(
    open_tflite: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_tflite(attributes(HashParams()))  # skips where no runtime is installed
    pytest.importorskip("ai_edge_litert", reason="needs edgebert[tflite]")
    from edgebert.export import tflite_file

    monkeypatch.setitem(tflite_file._TYPES, np.dtype(np.complex64), 8)
    token_bytes, lengths = padded([b"ab", b"cdef"])
    inputs = {"token_bytes_0": token_bytes, "token_lengths_0": lengths}
    for other in (np.bool_, np.int16):
        (tmp_path / "m.tflite").write_bytes(nodes_model(((0, 1), 2), other=other))
        graph = edgebert.tflite.open_graph(tmp_path / "m.tflite")
        assert graph.run({**inputs, "other": np.zeros(1, other)})["vectors_0"].any()
    (tmp_path / "m.tflite").write_bytes(nodes_model(((0, 1), 2), other=np.complex64))
    with pytest.raises(ModelError, match=r"other is of a type \(8\) that edgebert lacks"):
        edgebert.tflite.open_graph(tmp_path / "m.tflite")


@pytest.mark.parametrize("options", [b"", b"\0" * 27, b"\0" * 32], ids=len)
def test_tflite_refuses_options_of_another_size(open_tflite: Open, options: bytes) -> None:
    with pytest.raises(ModelError, match="no possible hash parameters"):
        open_tflite({}, options)(*padded([b"ab"]))


@pytest.mark.parametrize("resizable", [False, True])
def test_tflite_signatures_of_several_lengths(
    open_tflite: Open, tmp_path: Path, resizable: bool
) -> None:
    params = HashParams(dimension=16)
    open_tflite(attributes(params))  # skips where no runtime is installed
    options = custom_options(attributes(params))
    path = tmp_path / "several.tflite"
    path.write_bytes(tflite_model(options, (1, 2, 8), (1, 5, 8), resizable=resizable))
    graph = edgebert.tflite.open_graph(path)
    assert list(graph.signatures) == ["tokens_2", "tokens_5"]
    for key, signature in [*graph.signatures.items(), *graph.signatures.items()]:
        count = int(key.split("_")[1])
        assert list(signature.inputs) == ["token_bytes", "token_lengths"]
        expected = edgebert.tflite.Tensor(np.dtype(np.uint8), (1, count, 8))
        assert signature.inputs["token_bytes"] == expected
        tokens = [b"ab", b"film", b"xyz", b"", b"q"][:count]
        token_bytes, token_lengths = padded(tokens, 8)
        inputs = {"token_bytes": token_bytes, "token_lengths": token_lengths}
        np.testing.assert_array_equal(
            graph.run(inputs, key)["vectors"][0], hash_embed(tokens, params)
        )


def test_threads_share_one_session(open_op: Open) -> None:
    params = HashParams("murmur3")
    run, embed = open_op(attributes(params)), HashEmbedding(params)

    def check(seed: int) -> None:
        rng = np.random.default_rng(seed)
        for _ in range(50):
            tokens = [rng.bytes(int(rng.integers(0, 12))) for _ in range(seed + 1)]
            np.testing.assert_array_equal(run(*padded(tokens))[0], embed(tokens))

    with ThreadPoolExecutor(8) as pool:
        for result in [pool.submit(check, seed) for seed in range(8)]:
            result.result()


def test_threads_may_register_the_library_at_once() -> None:
    values = attributes(HashParams(dimension=8))
    with ThreadPoolExecutor(8) as pool:
        runs = list(pool.map(lambda _: open_onnx(values), range(16)))
    for run in runs:
        np.testing.assert_array_equal(run(*padded([b"ab"])), runs[0](*padded([b"ab"])))


def test_missing_runtime_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in [*sys.modules]:
        if name.startswith(("ai_edge_litert", "tflite_runtime")):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "path", [])  # where nothing is installed
    with pytest.raises(MissingPackageError, match=r"pip install 'edgebert\[tflite\]'"):
        edgebert.tflite.open_graph(tmp_path / "one_op.tflite")


def test_file_that_is_none_is_named(tmp_path: Path, open_tflite: Open) -> None:
    open_tflite(attributes(HashParams()))  # skips where no runtime is installed
    (tmp_path / "broken.tflite").write_bytes(b"not a model")
    for name in ("broken.tflite", "missing.tflite"):
        with pytest.raises(ModelError, match=f"cannot load {name}"):
            edgebert.tflite.open_graph(tmp_path / name)


def test_package_itself_does_not_load_the_runtimes() -> None:
    code = "import sys, edgebert; print([m for m in sys.modules if m in sys.argv[1:]])"
    names = ("edgebert.ort", "edgebert.tflite", "edgebert.litert", "onnxruntime")
    done = subprocess.run(
        [sys.executable, "-c", code, *names], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_documented_command_builds_the_library(tmp_path: Path) -> None:
    page = (REPO / "docs" / "custom-op.md").read_text("utf-8")
    command = (
        page.split("```sh\n")[1].split("```")[0].replace("cc ", f"cc {' '.join(WARNINGS)} ", 1)
    )
    target = tmp_path / "libedgebert_ops.so"
    subprocess.run(
        command.replace("-o libedgebert_ops.so", f"-o {target}"), shell=True, cwd=REPO, check=True
    )
    assert ctypes.CDLL(str(target)).RegisterCustomOps


@pytest.mark.parametrize(
    "port", sorted((REPO / "csrc" / "ports").glob("*.c")), ids=lambda p: p.name
)
def test_ports_compile_without_warnings(port: Path, tmp_path: Path) -> None:
    flags = [*(REPO / "csrc" / "CFLAGS").read_text().split(), *WARNINGS]
    includes = [f"-I{REPO / 'csrc'}", f"-I{REPO / 'csrc' / 'include'}"]
    subprocess.run(["cc", *flags, *includes, "-c", port, "-o", tmp_path / "port.o"], check=True)


@pytest.fixture(scope="module")
def micro(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """csrc/ports/tflite_micro.cc in a program; TensorFlow Lite Micro is played by stubs."""
    csrc, folder = REPO / "csrc", tmp_path_factory.mktemp("micro")
    try:
        subprocess.run(["g++", "--version"], capture_output=True, check=True)
    except OSError:
        pytest.skip("needs the Debian package g++")
    flags = ["-O1", *WARNINGS, f"-I{csrc}", f"-I{csrc / 'include'}"]
    sources = [csrc / "hash.c", csrc / "ports" / "hash_kernels.c", csrc / "ports" / "op.c"]
    for source in sources:
        target = folder / f"{source.stem}.o"
        subprocess.run(["cc", "-std=c99", *flags, "-c", source, "-o", target], check=True)
    flags += [f"-I{csrc / 'ports'}", f"-I{MICRO}", "-std=c++11"]
    main = [csrc / "ports" / "tflite_micro.cc", MICRO / "main.cc", *folder.glob("*.o")]
    subprocess.run(["g++", *flags, *main, "-o", folder / "main"], check=True)
    yield folder / "main"


def test_micro_gives_the_same_vectors(micro: Path) -> None:
    arguments = ["3", "2", "4", "3", "3"]
    done = subprocess.run([micro, *arguments], capture_output=True, text=True, check=True)
    expected = hash_embed([b"abc", b"xy"], HashParams(dimension=4)).view(np.uint32)
    assert [int(line, 16) for line in done.stdout.split()] == expected.ravel().tolist()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("3 4 4 3 3", "a token's length"),
        ("-1 2 4 3 3", "a token's length"),
        ("3 2 5 3 3", "token_bytes and the output must have the dimensions"),
        ("3 2 4 -1 3", "token_bytes and the output must have the dimensions"),
        ("3 2 4 3 0", "needs two inputs and one output"),
        ("3 2 4 3 1", "needs two inputs and one output"),
        ("3 2 4 3 2", "needs two inputs and one output"),
    ],
)
def test_micro_refuses_what_it_cannot_do(micro: Path, arguments: str, message: str) -> None:
    done = subprocess.run([micro, *arguments.split()], capture_output=True, text=True)
    assert done.returncode == 1
    assert f"edgebert.HashEmbedding: {message}" in done.stdout

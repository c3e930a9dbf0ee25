"""Files of torch.save: every tensor comes back to the bit, and a hostile pickle runs nothing."""

from __future__ import annotations

import collections
import contextlib
import copyreg
import os
import pickle
import random
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgebert.errors import ModelError
from edgebert.export.checkpoint import Checkpoint, read_checkpoint
from edgebert.export.torch_pickle import MAX_BYTES, read_pickle
from edgebert.export.torch_zip import TorchFile

TINY = Path(__file__).parent / "data" / "tiny.pt"
EXTENSION_CODE = 0x65  # of os.mkdir, in the registry that EXT opcodes use


def with_pickle(program: bytes, path: Path, compression: int = zipfile.ZIP_STORED) -> Path:
    """tiny.pt with another program; its CRC is right."""
    with zipfile.ZipFile(TINY) as source, zipfile.ZipFile(path, "w", compression) as target:
        for entry in source.infolist():
            is_pickle = entry.filename.endswith("/data.pkl")
            target.writestr(entry.filename, program if is_pickle else source.read(entry))
    return path


def tiny_pickle() -> bytes:
    with zipfile.ZipFile(TINY) as file:
        return file.read("tiny/data.pkl")


def pickle_of(value: Any) -> bytes:
    """The part of a program that pushes a value."""
    return pickle.dumps(value, 2)[2:-1]


class Call:
    """Pickles to a call of any function."""

    def __init__(self, function: Any, *arguments: Any, state: Any = None) -> None:
        self.reduced = (function, arguments) if state is None else (function, arguments, state)

    def __reduce__(self) -> tuple[Any, ...]:
        return self.reduced


@pytest.fixture
def canary(tmp_path: Path) -> Iterator[str]:
    """A path where nothing is; every attack below tries to make a folder there."""
    path = tmp_path / "canary"
    copyreg.add_extension("os", "mkdir", EXTENSION_CODE)
    yield str(path)
    copyreg.remove_extension("os", "mkdir", EXTENSION_CODE)


def attacks(canary: str) -> dict[str, bytes]:
    """Programs that make a folder when pickle reads them, one for each way to call a function."""
    call = Call(os.mkdir, canary)
    by_protocol = {f"protocol {n}": pickle.dumps(call, n) for n in range(6)}
    path = pickle_of(canary)
    return {
        **by_protocol,
        "inside a state dict": pickle.dumps({"edgebert": 1, "state_dict": {"a": call}}, 2),
        "before a good object": pickle.dumps(call, 2)[:-1] + b"0}.",
        "as a dictionary's key": pickle.dumps({call: 1}, 2),
        "os.system": pickle.dumps(Call(os.system, f"mkdir {canary}"), 2),
        "eval": pickle.dumps(Call(eval, f"__import__('os').mkdir({canary!r})"), 2),
        "as an argument of an allowed function": pickle.dumps(
            Call(collections.OrderedDict, [("a", call)]), 2
        ),
        "BUILD": pickle.dumps(Call(collections.OrderedDict, state={"a": call}), 2),
        "INST": b"(" + path + b"ios\nmkdir\n.",
        "OBJ": b"(cos\nmkdir\n" + path + b"o.",
        "EXT": b"\x82" + bytes([EXTENSION_CODE]) + path + b"\x85R.",
        "STACK_GLOBAL": pickle_of("os") + pickle_of("mkdir") + b"\x93" + path + b"\x85R.",
        "memo": b"cos\nmkdir\nq\x000h\x00" + path + b"\x85R.",
        "a class": b"csubprocess\nPopen\n" + pickle_of(["mkdir", canary]) + b"\x85R.",
    }


ATTACKS = tuple(attacks("/"))


@pytest.mark.parametrize("name", ATTACKS)
def test_a_malicious_pickle_runs_nothing(name: str, canary: str, tmp_path: Path) -> None:
    program = attacks(canary)[name]
    with contextlib.suppress(Exception):
        pickle.loads(program)
    while name == "a class" and not os.path.isdir(canary):
        time.sleep(0.01)  # it starts a process
    assert os.path.isdir(canary), "the attack is blunt: it would prove nothing"
    os.rmdir(canary)
    path = with_pickle(program, tmp_path / "evil.pt")
    with pytest.raises(ModelError, match="nothing of it was run"):
        read_checkpoint(path)
    assert not os.path.exists(canary)


@pytest.mark.parametrize(
    "name",
    [
        "torch load",
        "torch.hub load",
        "torch.storage _load_from_bytes",
        "torch.serialization _load",
        "torch._utils _rebuild_sparse_tensor",
        "torch._utils _import_dotted_name",
        "torch.jit load",
        "builtins getattr",
        "collections OrderedDict.fromkeys",
        "numpy load",
    ],
)
def test_only_names_that_checkpoints_need_are_known(name: str) -> None:
    module, function = name.split()
    program = f"\x80\x02c{module}\n{function}\n)R.".encode("latin-1")
    with pytest.raises(ModelError, match="which no checkpoint needs"):
        read_pickle(program)


def tensor_program(size: Any, offset: Any, shape: Any, strides: Any, key: Any = "0") -> bytes:
    """The pickle of one float tensor, as torch.save writes it."""
    storage = pickle_of("storage") + b"ctorch\nFloatStorage\n" + pickle_of(key)
    storage = b"(" + storage + pickle_of("cpu") + pickle_of(size) + b"tQ"
    window = pickle_of(offset) + pickle_of(shape) + pickle_of(strides)
    return b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n(" + storage + window + b"\x89}tR."


def test_a_storage_that_is_cut_within_an_element_is_refused(tmp_path: Path) -> None:
    with_pickle(tensor_program(48, 0, (2,), (1,)), tmp_path / "m.pt")
    with (
        zipfile.ZipFile(tmp_path / "m.pt") as source,
        zipfile.ZipFile(tmp_path / "cut.pt", "w") as target,
    ):
        for entry in source.infolist():
            target.writestr(entry.filename, source.read(entry)[:190])
    with pytest.raises(ModelError, match="wrong size"), TorchFile(tmp_path / "cut.pt") as file:
        file.array(file.content)


def read_tensor(program: bytes, path: Path) -> np.ndarray:
    with TorchFile(with_pickle(program, path)) as file:
        return file.array(file.content)


def test_a_window_into_a_storage_is_read_by_its_strides(tmp_path: Path) -> None:
    with zipfile.ZipFile(TINY) as file:
        stored = np.frombuffer(file.read("tiny/data/0"), "<f4")
    program = tensor_program(len(stored), 2, (3, 2, 1), (1, 4, 10**30))
    expected = np.stack([stored[2:5], stored[6:9]], axis=1)[:, :, None]
    np.testing.assert_array_equal(read_tensor(program, tmp_path / "m.pt"), expected)


@pytest.mark.parametrize(
    ("size", "offset", "shape", "strides"),
    [
        (48, 48, (), ()),
        (48, 0, (49,), (1,)),
        (48, 0, (2,), (48,)),
        (48, 0, (2, 2), (1,)),
        (48, 0, (10**9,), (0,)),
        (48, 0, (2,), (-1,)),
        (48, -1, (2,), (1,)),
        (48, 0, (0, 10**18), (1, 1)),
        (48, 0, (1,) * 100_000, (1,) * 100_000),
        (48, 0, (2**2000,), (2**2000,)),
        (48, 0.5, (2,), (1,)),
        (48, 0, ("2",), (1,)),
        (48, 0, [2], [1]),
        (49, 0, (2,), (1,)),
        (47, 0, (2,), (1,)),
        (96, 0, (2,), (1,)),
        (2**60, 0, (2**60,), (1,)),
        (-1, 0, (), ()),
        (48.0, 0, (2,), (1,)),
    ],
)
def test_a_tensor_beyond_its_storage_is_refused(
    size: Any, offset: Any, shape: Any, strides: Any, tmp_path: Path
) -> None:
    with pytest.raises(ModelError):
        read_tensor(tensor_program(size, offset, shape, strides), tmp_path / "m.pt")


@pytest.mark.parametrize("key", ["99", "../data/0", "", 0, None])
def test_a_storage_that_is_not_there_is_refused(key: Any, tmp_path: Path) -> None:
    with pytest.raises(ModelError):
        read_tensor(tensor_program(48, 0, (2,), (1,), key), tmp_path / "m.pt")


@pytest.mark.parametrize(
    "program",
    [
        b"",
        b".",
        b"\x80\x02",
        b"\x80\x02K\x01K\x02.",
        b"\x80\x02h\x05.",
        b"\x80\x02(.",
        b"\x80\x02t.",
        b"\x80\x02K\x01K\x01s.",
        b"\x80\x02}(K\x01u.",
        b"\x80\x02}]K\x01s.",
        b"\x80\x02X\xff\xff\xff\xffa.",
        b"\x80\x02X\x03\x00\x00\x00\xed\xa0\x80.",
        b"\x80\x02r\xff\xff\xff\xff.",
        b"\x80\x02" + b"]" * 200_000 + b"a" * 199_999,
        b"\x80\x02N" + b"2" * 1000 + b".",
        b"0" * (MAX_BYTES + 1),
    ],
)
def test_malformed_programs_are_refused(program: bytes) -> None:
    with pytest.raises(ModelError):
        read_pickle(program)


def test_deep_and_huge_looking_data_costs_no_more_than_its_bytes(tmp_path: Path) -> None:
    """200,000 levels, a memo index of 2^32 - 1, and lists that would double 60 times."""
    assert len(read_pickle(b"\x80\x02" + b"]" * 200_000 + b"a" * 199_999 + b".")) == 1
    assert read_pickle(b"\x80\x02K\x07r\xff\xff\xff\xff.") == 7
    doubled: list[Any] = []
    for _ in range(60):
        doubled = [doubled, doubled]
    for config in (doubled, {"labels": doubled, "hash": {}}, {"labels": [], "hash": doubled}):
        content = {"edgebert": 1, "config": config, "state_dict": {}}
        with pytest.raises(ModelError, match="config"):
            read_checkpoint(with_pickle(pickle.dumps(content, 2), tmp_path / "m.pt"))


def test_compressed_archives_are_refused_before_they_expand(tmp_path: Path) -> None:
    bomb = with_pickle(bytes(MAX_BYTES), tmp_path / "bomb.pt", zipfile.ZIP_DEFLATED)
    with pytest.raises(ModelError, match="compressed"):
        read_checkpoint(bomb)


def test_random_changes_of_the_program_behind_a_right_crc_do_no_harm(tmp_path: Path) -> None:
    program, rng, refused = tiny_pickle(), random.Random(7), 0
    for _ in range(500):
        changed = bytearray(program)
        for _ in range(rng.choice([1, 1, 2, 10])):
            changed[rng.randrange(len(changed))] = rng.randrange(256)
        try:
            result = read_checkpoint(with_pickle(bytes(changed), tmp_path / "m.pt"))
            assert type(result) is Checkpoint
        except ModelError as error:
            assert len(str(error).splitlines()) == 1
            refused += 1
    assert refused > 250


def test_tensors_of_every_type_equal_those_of_torch(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch", reason="needs PyTorch to write files")
    path, bits = tmp_path / "m.pt", torch.randint(0, 255, (4, 6, 16), dtype=torch.uint8)
    names = "float64 float32 float16 bfloat16 int64 int32 int16 int8 uint8"
    tensors = {name: bits.clone().view(getattr(torch, name)) for name in names.split()}
    tensors["bool"] = bits > 100
    tensors["transposed"] = tensors["float32"].clone().transpose(0, 2)
    tensors["sliced"] = tensors["float32"][1:3, ::2]
    tensors["scalar"] = torch.tensor(0.1)
    tensors["parameter"] = torch.nn.Parameter(torch.ones(3))
    torch.save(tensors, path)
    expected = torch.load(path, weights_only=True)
    with TorchFile(path) as file:
        assert list(file.content) == list(tensors)
        for name, stored in file.content.items():
            values = expected[name].detach()
            values = values.float() if name == "bfloat16" else values
            assert file.array(stored).tobytes() == values.numpy().tobytes(), name
            assert file.array(stored).shape == values.shape

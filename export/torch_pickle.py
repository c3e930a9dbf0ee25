"""Reads the pickle inside a PyTorch file as data: nothing is imported, called or constructed.

``pickle`` is a program for a small machine that may call any function. Here that program is only
walked: the opcodes that ``torch.save`` writes for numbers, texts, containers and tensors are given
their meaning, with tensors as inert :class:`StoredTensor` descriptions. Whatever else occurs is
refused, so a hostile file can do no more than be malformed.
"""

from __future__ import annotations

import io
import pickletools
from dataclasses import dataclass
from typing import Any, NoReturn

from edgebert.errors import ModelError

MAX_BYTES = 4 << 20  # a state dict of 1000 tensors and a vocabulary of 100,000 pieces take half

MAX_DIMENSIONS = 8

# torch's storage classes -> element type by its safetensors name
STORAGE_DTYPES = {
    "torch DoubleStorage": "F64",
    "torch FloatStorage": "F32",
    "torch HalfStorage": "F16",
    "torch BFloat16Storage": "BF16",
    "torch LongStorage": "I64",
    "torch IntStorage": "I32",
    "torch ShortStorage": "I16",
    "torch CharStorage": "I8",
    "torch ByteStorage": "U8",
    "torch BoolStorage": "BOOL",
}
_ORDERED_DICT = "collections OrderedDict"
_REBUILD_TENSOR = "torch._utils _rebuild_tensor_v2"
_REBUILD_PARAMETER = "torch._utils _rebuild_parameter"
_KNOWN_NAMES = {_ORDERED_DICT, _REBUILD_TENSOR, _REBUILD_PARAMETER, *STORAGE_DTYPES}


@dataclass(frozen=True)
class Storage:
    """A file in the archive: ``size`` elements of type ``dtype``, named ``key``."""

    dtype: str
    key: str
    size: int


@dataclass(frozen=True)
class StoredTensor:
    """A strided window into a storage, in elements; it lies inside the storage."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


@dataclass(frozen=True)
class _Name:
    """What stands for an imported function or class: its name, never the thing itself."""

    text: str


_MARK = object()
_OPCODES = {opcode.code.encode("latin-1"): opcode for opcode in pickletools.opcodes}


def read_pickle(program: bytes) -> Any:
    """The pickled object: None, bool, int, float, str, list, tuple, dict and StoredTensor.

    Raises:
        ModelError: the program is malformed, or does more than describe such data.
    """
    if len(program) > MAX_BYTES:
        raise ModelError(f"its pickle has {len(program)} bytes, more than {MAX_BYTES}")
    machine = _Machine(program)
    try:
        while code := machine.program.read(1):
            opcode = _OPCODES[code]
            if opcode.name == "STOP":
                return machine.result()
            machine.step(opcode)
    except (ValueError, LookupError, OverflowError, TypeError) as error:
        raise ModelError(f"its pickle is malformed: {error!s:.80}") from error
    _refuse("has no end")


def _refuse(reason: str) -> NoReturn:
    raise ModelError(f"its pickle {reason}; it was not read any further and nothing of it was run")


class _Machine:
    """Stack and memo of the pickle machine, and the program behind the current opcode."""

    def __init__(self, program: bytes) -> None:
        self.program = io.BytesIO(program)
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}

    def result(self) -> Any:
        value = self._pop(1)[0]
        if self.stack:
            _refuse("leaves values behind")
        return value

    def step(self, opcode: pickletools.OpcodeInfo) -> None:
        stack = self.stack
        match opcode.name:
            case "PROTO":
                if (protocol := self._argument(opcode)) != 2:
                    _refuse(f"has protocol {protocol}, where torch.save writes 2")
            case "NONE" | "NEWTRUE" | "NEWFALSE":
                stack.append({"NONE": None, "NEWTRUE": True, "NEWFALSE": False}[opcode.name])
            case "BININT" | "BININT1" | "BININT2" | "LONG1" | "BINFLOAT":
                stack.append(self._argument(opcode))
            case "BINUNICODE":
                text = self._argument(opcode)
                text.encode()  # a ValueError for lone surrogates, which pickle lets pass
                stack.append(text)
            case "EMPTY_DICT":
                stack.append({})
            case "EMPTY_LIST":
                stack.append([])
            case "EMPTY_TUPLE":
                stack.append(())
            case "MARK":
                stack.append(_MARK)
            case "TUPLE":
                stack.append(tuple(self._pop_to_mark()))
            case "TUPLE1" | "TUPLE2" | "TUPLE3":
                stack.append(tuple(self._pop(int(opcode.name[-1]))))
            case "APPEND" | "APPENDS":
                items = self._pop(1) if opcode.name == "APPEND" else self._pop_to_mark()
                self._top(list).extend(items)
            case "SETITEM" | "SETITEMS":
                items = self._pop(2) if opcode.name == "SETITEM" else self._pop_to_mark()
                self._set_items(items)
            case "BINPUT" | "LONG_BINPUT":
                self.memo[self._argument(opcode)] = stack[-1]
            case "BINGET" | "LONG_BINGET":
                stack.append(self.memo[self._argument(opcode)])
            case "GLOBAL":
                lines = self.program.readline() + self.program.readline()  # module, name
                name = " ".join(lines.decode().splitlines())
                if name not in _KNOWN_NAMES:
                    _refuse(f"names {name[:60]!r}, which no checkpoint needs")
                stack.append(_Name(name))
            case "BINPERSID":
                stack.append(_storage(*self._pop(1)))
            case "REDUCE":
                stack.append(_reduce(*self._pop(2)))
            case "BUILD":  # attributes of an OrderedDict: versions of modules
                self._pop(1)
                self._top(dict)
            case _:
                _refuse(f"holds the opcode {opcode.name}, which no checkpoint needs")

    def _argument(self, opcode: pickletools.OpcodeInfo) -> Any:
        """What stands behind the opcode in the program; ValueError if it is cut off."""
        assert opcode.arg is not None
        return opcode.arg.reader(self.program)

    def _pop(self, count: int) -> list[Any]:
        items = self.stack[-count:]
        if len(items) < count or any(item is _MARK for item in items):
            _refuse("takes more than there is")
        del self.stack[-count:]
        return items

    def _pop_to_mark(self) -> list[Any]:
        items: list[Any] = []
        while (item := self.stack.pop()) is not _MARK:
            items.append(item)
        return items[::-1]

    def _top(self, kind: type) -> Any:
        if not self.stack or type(self.stack[-1]) is not kind:
            _refuse(f"fills something that is not a {kind.__name__}")
        return self.stack[-1]

    def _set_items(self, items: list[Any]) -> None:
        target = self._top(dict)
        if len(items) % 2:
            _refuse("has a key without a value")
        for key, value in zip(items[::2], items[1::2], strict=True):
            if type(key) not in (str, int):
                _refuse("has a key that is neither text nor number")
            target[key] = value


def _reduce(function: Any, arguments: Any) -> Any:
    """What a call stands for: one of three known ones, none of which is made."""
    match function, arguments:
        case _Name(text), () if text == _ORDERED_DICT:
            return {}
        case _Name(text), (Storage() as storage, offset, shape, strides, *_) if (
            text == _REBUILD_TENSOR
        ):
            return _tensor(storage, offset, shape, strides)
        case _Name(text), (StoredTensor() as tensor, *_) if text == _REBUILD_PARAMETER:
            return tensor
    _refuse("calls something that is not a tensor's constructor")


def _storage(reference: Any) -> Storage:
    match reference:
        case ("storage", _Name(kind), str(key), str(_), int(size)) if kind in STORAGE_DTYPES:
            return Storage(STORAGE_DTYPES[kind], key, size)
    _refuse("refers to a storage of an unknown kind")


def _tensor(storage: Storage, offset: Any, shape: Any, strides: Any) -> StoredTensor:
    """Checks that the window lies inside the storage and is no larger than it."""
    if type(shape) is not tuple or type(strides) is not tuple or len(shape) != len(strides):
        _refuse("has a tensor whose shape is not one")
    if len(shape) > MAX_DIMENSIONS or 0 in shape:
        _refuse("has a tensor with an impossible shape")
    if any(type(n) is not int or n < 0 for n in (offset, *shape, *strides)):
        _refuse("has a tensor with an impossible size")
    count, last = 1, offset
    for n, stride in zip(shape, strides, strict=True):
        count *= n
        last += (n - 1) * stride
    if count > storage.size or last >= storage.size:
        _refuse("has a tensor that reaches beyond its storage")
    return StoredTensor(storage, offset, shape, strides)

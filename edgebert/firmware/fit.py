"""What would fit where a model does not."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

from edgebert._native import ffi, lib
from edgebert.config import ModelConfig
from edgebert.engines.native import NativeEngine
from edgebert.firmware.boards import Board
from edgebert.native import config_struct
from edgebert.presets import PRESETS, num_parameters

_LEAST_TOKENS = 8  # a text of fewer is hardly one

# Roles of format.h that each layer has; the others a model has once.
_OF_A_LAYER = {*range(lib.EB_QKV_WEIGHT, lib.EB_POOLER_WEIGHT)} | {
    *range(lib.EB_QKV_MULTIPLIER, lib.EB_POOLER_MULTIPLIER),
    lib.EB_GELU_TABLE,
    lib.EB_LAYER_SCALES,
}


def how_to_fit(
    engine: NativeEngine,
    board: Board,
    used: Mapping[str, int],
    memory: Callable[[int], int],
    tokens: int,
) -> str:
    """One line: what is too much, and what would fit.

    Args:
        engine: the model.
        board: which is too small.
        used: bytes that the image takes of "FLASH" and "RAM".
        memory: bytes of arena and handle for so many tokens.
        tokens: longest text that was asked for.
    """
    parts = []
    if used["FLASH"] > board.flash_size:
        over = used["FLASH"] - board.flash_size
        fitting = _smaller_models(engine, engine.model.file_size - over)
        would = f"would fit: {' or '.join(fitting)}" if fitting else "no preset would fit"
        parts.append(f"flash: {used['FLASH']:,} bytes of {board.flash_size:,}, {would}")
    if used["RAM"] > board.ram_size:
        room = memory(tokens) - (used["RAM"] - board.ram_size)
        fewer = largest_tokens(memory, room, tokens)
        if fewer >= _LEAST_TOKENS:
            would = f"would fit: --tokens {fewer}"
        elif engine.config.hidden_size > PRESETS["nano"].hidden_size:
            would = "needs less: a smaller preset (edgebert train --preset nano)"
        else:
            would = "this board is too small for this model"
        parts.append(f"RAM: {used['RAM']:,} bytes of {board.ram_size:,}, {would}")
    return f"it does not fit {board.folder}. {'; '.join(parts)}"


def largest_tokens(memory: Callable[[int], int], room: int, tokens: int) -> int:
    """Most tokens, fewer than ``tokens``, whose memory fits into ``room``; 0 if none do."""
    least, beyond = 0, tokens
    while beyond - least > 1:
        middle = (least + beyond) // 2
        if memory(middle) <= room:
            least = middle
        else:
            beyond = middle
    return least


def _smaller_models(engine: NativeEngine, room: int) -> list[str]:
    """The models that fit into so many bytes of flash and differ least from this one."""
    fitting: dict[int, list[str]] = {}
    for changes, size in _models(engine):
        if changes and size <= room:
            fitting.setdefault(len(changes), []).append(" with ".join(changes))
    return fitting[min(fitting)] if fitting else []


def _models(engine: NativeEngine) -> Iterator[tuple[list[str], int]]:
    """Models like this one: what is other in them, and bytes of the file."""
    own, dtype = engine.config, engine.model.dtype
    configs = {"": own}
    for name, preset in PRESETS.items():
        if num_parameters(preset) < num_parameters(own):
            # Its layers, with this model's labels and texts no longer than its own.
            configs[f"the {name} preset (edgebert train --preset {name})"] = replace(
                preset, labels=own.labels, task=own.task
            )
    dtypes = {"": dtype, "4-bit weights (edgebert export --dtype i4)": "i4"}
    words = {"": False, "the word tokenizer (edgebert train --tokenizer word)": True}
    if dtype == "i4":
        dtypes = {"": dtype}
    if engine.tokenizer.kind == "word":
        words = {"": False}
    rest = engine.model.file_size - _weight_bytes(own, dtype)
    word_saves = len(engine.tokenizer.blob) - ffi.sizeof("eb_tokenizer_header")
    for config, word, data in itertools.product(configs, words, dtypes):  # the cheapest first
        size = _weight_bytes(configs[config], dtypes[data]) + rest - word_saves * words[word]
        yield [change for change in (config, data, word) if change], size


def _weight_bytes(config: ModelConfig, dtype: str) -> int:
    """Bytes of all weights in an .ebm, each aligned."""
    c_config = ffi.new("eb_config *", config_struct(config, dtype))
    tensor = ffi.new("eb_tensor *")
    total = 0
    for role in range(lib.EB_NUM_ROLES):
        if lib.eb_tensor_of_role(c_config, role, tensor) == lib.EB_OK:
            size = -(-tensor.data.size // lib.EB_ALIGNMENT) * lib.EB_ALIGNMENT
            total += size * (config.num_hidden_layers if role in _OF_A_LAYER else 1)
    return total

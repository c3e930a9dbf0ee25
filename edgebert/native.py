"""The C library as Python objects: handles whose memory Python owns, statuses as errors."""

from __future__ import annotations

import mmap
import os
from pathlib import Path
from typing import Any

import numpy as np

from edgebert._native import ffi, lib
from edgebert.config import ACTIVATIONS, DTYPES, HASH_FAMILIES, TASKS, HashParams, ModelConfig
from edgebert.errors import EdgebertError, ModelError
from edgebert.memory import aligned, status_text


class NativeModel:
    """An .ebm file opened by the C library, mapped rather than read."""

    def __init__(self, path: Path) -> None:
        with open(path, "rb") as file:
            size = file.seek(0, 2)
            if size == 0:
                raise ModelError("the file is empty")
            self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        self._file = ffi.from_buffer(self._map)
        bytes_needed = ffi.new("size_t *")
        self._check(lib.eb_model_size(self._file, size, bytes_needed))
        self._memory = aligned(bytes_needed[0])
        handle = ffi.new("eb_model **")
        memory = ffi.from_buffer(self._memory)
        self._check(lib.eb_model_open(self._file, size, memory, bytes_needed[0], handle))
        self.handle = handle[0]
        self.file_size = size
        isa = os.environ.get("EDGEBERT_ISA")
        if isa and lib.eb_model_use_isa(self.handle, isa.encode()) != lib.EB_OK:
            raise EdgebertError(
                f"EDGEBERT_ISA={isa}: this build or processor has no such instruction set; "
                f"unset it to use {self.isa}"
            )

    @staticmethod
    def _check(status: int) -> None:
        if status != lib.EB_OK:
            raise ModelError(status_text(status))

    @property
    def isa(self) -> str:
        """Name of the instruction set in use."""
        return str(ffi.string(lib.eb_model_isa(self.handle)), "ascii")

    @property
    def dtype(self) -> str:
        """Type of the arithmetic, of config.DTYPES."""
        return DTYPES[lib.eb_model_config(self.handle).dtype]

    def file(self) -> bytes:
        """The whole file."""
        return self._map[:]

    def section(self, name: str) -> bytes:
        """The bytes of the header's span ``name``, for example ``tokenizer``."""
        span = getattr(ffi.cast("const eb_file_header *", self._file), name)
        return self._map[span.offset : span.offset + span.size]

    def config(self) -> ModelConfig:
        """The file's config as Python knows it."""
        c, h = lib.eb_model_config(self.handle), lib.eb_model_hash_params(self.handle)
        return ModelConfig(
            hidden_size=c.hidden_size,
            num_hidden_layers=c.num_hidden_layers,
            num_attention_heads=c.num_attention_heads,
            intermediate_size=c.intermediate_size,
            max_position_embeddings=c.max_position_embeddings,
            type_vocab_size=c.type_vocab_size,
            layer_norm_eps=float(str(np.float32(c.layer_norm_eps))),  # shortest
            hidden_act=ACTIVATIONS[c.activation],
            task=TASKS[c.task],
            labels=self._names(lib.eb_model_label, c.num_labels),
            tags=self._names(lib.eb_model_tag, c.num_tags),
            hash=HashParams(
                family=HASH_FAMILIES[h.family],
                dimension=h.dimension,
                max_ngram=h.max_ngram,
                modulus=h.modulus,
                base=h.base,
                seed=h.seed,
                boundary_marks=bool(h.boundary_marks),
            ),
        )

    def _names(self, name: Any, count: int) -> tuple[str, ...]:
        """What ``eb_model_label`` or ``eb_model_tag`` gives for each index."""
        size = ffi.new("size_t *")
        texts = ((name(self.handle, i, size), size[0]) for i in range(count))
        return tuple(
            ffi.unpack(text, length).decode("utf-8", "replace") if length else ""
            for text, length in texts
        )

    def transitions(self) -> np.ndarray:
        """How well tags follow each other, as :func:`edgebert.entities.best_tags` takes it."""
        count = int(lib.eb_model_config(self.handle).num_tags)
        pointer = lib.eb_model_transitions(self.handle)
        size = count * (count + 1)
        values = (
            np.frombuffer(ffi.buffer(pointer, size), np.int8) if count else np.empty(0, np.int8)
        )
        return values.reshape(count, count + 1)

    def arena_size(self, num_tokens: int) -> int:
        """Bytes of arena for a run over so many tokens."""
        size = ffi.new("size_t *")
        status = lib.eb_arena_size(self.handle, num_tokens, size)
        if status != lib.EB_OK:
            raise ModelError(status_text(status))
        return int(size[0])


def config_struct(config: ModelConfig, dtype: str) -> dict[str, Any]:
    """What an eb_config holds of a model whose arithmetic is of a dtype."""
    return {
        "hidden_size": config.hidden_size,
        "num_hidden_layers": config.num_hidden_layers,
        "num_attention_heads": config.num_attention_heads,
        "intermediate_size": config.intermediate_size,
        "max_position_embeddings": config.max_position_embeddings,
        "type_vocab_size": config.type_vocab_size,
        "num_labels": config.num_labels,
        "num_tags": config.num_tags,
        "task": TASKS.index(config.task),
        "activation": ACTIVATIONS.index(config.hidden_act),
        "dtype": DTYPES.index(dtype),
        "layer_norm_eps": config.layer_norm_eps,
    }

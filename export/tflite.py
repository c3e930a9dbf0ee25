"""Writes .tflite: the encoder and its head in TensorFlow Lite's builtin operators.

Shapes are fixed, as delegates and microcontrollers want them: one subgraph and signature for each
length, all of the same weights. One text at a time. No TensorFlow is needed.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from edgebert.config import ModelConfig
from edgebert.errors import ModelError
from edgebert.export.heads import description
from edgebert.export.recipe import STANDARD, Recipe
from edgebert.export.spec import ModelSpec
from edgebert.export.tflite_file import tflite_bytes
from edgebert.export.tflite_graph import Graph
from edgebert.export.tflite_i8 import MOST_AVERAGED, Int8Graph
from edgebert.export.tflite_variants import Float16Graph, MicroGraph, MicroInt8Graph
from edgebert.files import write_atomically
from edgebert.metadata import TOKENIZER, encode_metadata, seal

MICRO_LENGTH = 64  # unless told
# Unless told: the shortest length, and by what each is multiplied for the next. One takes 2.5 KB of
# a file, which int8 has not to spare, and in engines the memory of weights packed once more.
_LENGTHS = {"f32": (16, 2), "f16": (16, 2), "i8": (32, 4)}

_DESCRIPTION = "{} of edgebert; metadata edgebert.config has its labels and hash."

_GRAPHS: dict[str, type[Graph]] = {"f32": Graph, "f16": Float16Graph, "i8": Int8Graph}
_MICRO_GRAPHS: dict[str, type[Graph]] = {"f32": MicroGraph, "i8": MicroInt8Graph}


def tflite_file(spec: ModelSpec, recipe: Recipe = STANDARD) -> bytes:
    """The whole file.

    Raises:
        ModelError: the recipe asks for what this format or this model does not have.
    """
    classes = _MICRO_GRAPHS if recipe.variant == "micro" else _GRAPHS
    if recipe.dtype not in classes:
        raise ModelError(f"--micro has no {recipe.dtype}: choose of {', '.join(classes)}")
    graphs = [
        classes[recipe.dtype](spec, tokens, recipe.variant).build()
        for tokens in lengths(spec.config, recipe)
    ]
    entries = encode_metadata(spec.config, b"", spec.tag_transitions, recipe.dtype, recipe.variant)
    metadata = {key: text.encode() for key, text in entries.items()}
    metadata[TOKENIZER] = spec.tokenizer
    return seal(tflite_bytes(graphs, _DESCRIPTION.format(description(spec.config)), metadata))


def write_tflite(spec: ModelSpec, path: Path, recipe: Recipe = STANDARD) -> None:
    """Write ``spec`` to ``path``, or nothing if that fails."""
    write_atomically(path, tflite_file(spec, recipe))


def lengths(config: ModelConfig, recipe: Recipe) -> Sequence[int]:
    """The numbers of tokens for which a file has subgraphs, ascending."""
    limit, whose = config.max_position_embeddings, "the model"
    if recipe.dtype == "i8" and not config.labels and limit > MOST_AVERAGED:
        limit, whose = MOST_AVERAGED, "a mean in int8"
    if recipe.tokens:
        if recipe.tokens[-1] > limit:
            raise ModelError(f"--tokens {recipe.tokens[-1]}: {whose} takes at most {limit}")
        if recipe.variant == "micro" and len(recipe.tokens) > 1:
            raise ModelError("--micro takes one length: TensorFlow Lite Micro runs one subgraph")
        return recipe.tokens
    if recipe.variant == "micro":
        return [min(limit, MICRO_LENGTH)]
    shortest, factor = _LENGTHS[recipe.dtype]
    found = [min(limit, shortest)]
    while found[-1] < limit:
        found.append(min(factor * found[-1], limit))
    return found

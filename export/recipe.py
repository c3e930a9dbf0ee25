"""Recipe: how a model is to be written, where a format leaves a choice."""

from __future__ import annotations

from dataclasses import dataclass

# What graphs may be in place of standard ones, which start at hash vectors (docs/format.md).
VARIANTS = {
    "custom-op": "start at the tokens' bytes, hashed by an operator of edgebert's own",
    "portable": "start at the tokens' bytes, hashed by standard operators",
    "micro": "have only operators that TensorFlow Lite Micro registers",
}


@dataclass(frozen=True)
class Recipe:
    """How a writer is to write a ModelSpec.

    Attributes:
        dtype: arithmetic of the file; where it is not the spec's, the writer converts.
        variant: one of VARIANTS, or "" for a graph that starts at hash vectors.
        tokens: the lengths that a file with fixed shapes is to take; empty for the writer's choice.
    """

    dtype: str = "f32"
    variant: str = ""
    tokens: tuple[int, ...] = ()


STANDARD = Recipe()

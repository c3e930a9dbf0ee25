"""Writes .onnx: the encoder and its head in standard operators, starting at the hash vectors.

Variants start at the tokens' bytes. Opset 17 is the first with LayerNormalization; every runtime
since 2022 reads it. ONNX Runtime fuses the rest when it loads the file: bias and GELU, scale and
product, product and Tanh; in int8, a product and the conversions before it.
"""

from __future__ import annotations

from pathlib import Path

from edgebert.errors import MissingPackageError
from edgebert.export.heads import description
from edgebert.export.recipe import STANDARD, Recipe
from edgebert.export.spec import ModelSpec
from edgebert.files import write_atomically
from edgebert.metadata import encode_metadata, seal
from edgebert.version import __version__

try:
    import onnx
    from onnx import helper

    from edgebert.export.onnx_graph import Graph
    from edgebert.export.onnx_hash import DOMAIN, VERSION
    from edgebert.export.onnx_i8 import Int8Graph
except ImportError as error:
    raise MissingPackageError(
        "writing .onnx files needs the package onnx: pip install 'edgebert[export]'"
    ) from error

OPSET = 17
IR_VERSION = 8  # the one that came with opset 17

_GRAPHS = {"f32": Graph, "i8": Int8Graph}  # by dtype

_DOC = """\
{what} of edgebert. {start}

{inputs}
attention_mask  int64 [batch, tokens]       1 for a token, 0 for padding
token_type_ids  int64 [batch, tokens]       0; 1 in the second text of a pair
{outputs}

At most {c.max_position_embeddings} tokens, [CLS] and [SEP] included."""
_VECTORS = """\
Its inputs_embeds are the hash vectors of the tokens, which
edgebert computes from their bytes; edgebert.config in the metadata has the hash's parameters."""
_TOKENS = "It hashes the bytes of tokens itself."
_VECTOR_INPUTS = "inputs_embeds   float [batch, tokens, {c.hidden_size}]  hash vector of each token"
_TOKEN_INPUTS = """\
token_bytes     uint8 [batch, tokens, bytes]  UTF-8 of each token, filled up with zeros
token_lengths   int32 [batch, tokens]       bytes of each token, 0 for padding"""

_LOGITS = "logits          float [batch, {c.num_labels}]         one number for each label"
_POOLED = "pooled          float [batch, {c.hidden_size}]       vector of the whole text"
_MEAN = f"{_POOLED}, of length 1"
_TAGS = "tag_logits      float [batch, tokens, {c.num_tags}]  one number for each tag"


def onnx_bytes(spec: ModelSpec, recipe: Recipe = STANDARD) -> bytes:
    """The whole file."""
    opsets = [helper.make_opsetid("", OPSET)]
    if recipe.variant == "custom-op":
        opsets.append(helper.make_opsetid(DOMAIN, VERSION))
    c = spec.config
    start, inputs = (_TOKENS, _TOKEN_INPUTS) if recipe.variant else (_VECTORS, _VECTOR_INPUTS)
    outputs = [*([_LOGITS, _POOLED] if c.labels else [_MEAN]), *([_TAGS] if c.tags else [])]
    model = helper.make_model(
        _GRAPHS[recipe.dtype](spec, recipe.variant).build(),
        opset_imports=opsets,
        ir_version=IR_VERSION,
        producer_name="edgebert",
        producer_version=__version__,
        doc_string=_DOC.format(
            what=description(c),
            start=start,
            inputs=inputs.format(c=c),
            outputs="\n".join(outputs).format(c=c),
            c=c,
        ),
    )
    metadata = onnx.ModelProto()
    entries = encode_metadata(
        spec.config, spec.tokenizer, spec.tag_transitions, recipe.dtype, recipe.variant
    )
    for key, value in entries.items():
        metadata.metadata_props.add(key=key, value=value)
    # Two serialised messages in a row are their union: so the checksum stands at the very end.
    return seal(model.SerializeToString() + metadata.SerializeToString())


def write_onnx(spec: ModelSpec, path: Path, recipe: Recipe = STANDARD) -> None:
    """Write ``spec`` to ``path``, or nothing if that fails."""
    write_atomically(path, onnx_bytes(spec, recipe))

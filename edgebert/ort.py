"""The operator HashEmbedding for ONNX Runtime, 1.17 or later.

A graph that ``edgebert export --custom-op`` wrote starts at the tokens' bytes. ONNX Runtime runs it
once it has been told of the library that holds the operator; so do its C, C++, C# and Java APIs::

    import edgebert.ort, onnxruntime

    options = onnxruntime.SessionOptions()
    options.register_custom_ops_library(edgebert.ort.library_path())
    session = onnxruntime.InferenceSession("model.onnx", options)
"""

from __future__ import annotations

from pathlib import Path


def library_path() -> str:
    """The shared library with the operator; it needs neither Python nor this package."""
    return str(Path(__file__).with_name("libedgebert_ops.so"))

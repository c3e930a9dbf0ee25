"""ONNX Runtime as tests use it."""

from __future__ import annotations

import onnxruntime


def session(file: bytes, optimise: bool = True, library: str = "") -> onnxruntime.InferenceSession:
    """With all of ONNX Runtime's optimisations or with none; ``library`` has operators."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    levels = onnxruntime.GraphOptimizationLevel
    options.graph_optimization_level = levels.ORT_ENABLE_ALL if optimise else levels.ORT_DISABLE_ALL
    if library:
        options.register_custom_ops_library(library)
    return onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])

"""Other runtimes of the same encoder, each with the settings that were its fastest.

They start at the tokens' vectors and end at the logits, on one thread. A builder raises
ImportError where its runtime is not installed.
"""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from edgebert.export.spec import ModelSpec

Inputs = dict[str, np.ndarray]
"""The inputs of an .onnx file of ours (docs/format.md)."""
Encoder = Callable[[Inputs], np.ndarray]
"""From inputs to logits, float32 [texts, num_labels]."""


@dataclass(frozen=True)
class Job:
    """What a builder gets.

    Attributes:
        spec: the model.
        checkpoint: the file that it was read from.
        folder: a place for files.
        tokens: how many there will be; most runtimes are faster if they know.
        calibration: inputs to calibrate static quantisation with.
        texts: how many there will be in a call.
    """

    spec: ModelSpec
    checkpoint: Path
    folder: Path
    tokens: int
    calibration: Sequence[Inputs]
    texts: int = 1


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Without the reports and the advice of converters."""
    log = io.StringIO()
    with (
        warnings.catch_warnings(),
        contextlib.redirect_stdout(log),
        contextlib.redirect_stderr(log),
    ):
        warnings.simplefilter("ignore")
        logging.disable(logging.WARNING)
        yield


def onnxruntime_f32(job: Job) -> Encoder:
    """ONNX Runtime with its fused attention: 20 % faster than standard operators at 8 tokens.

    Its own optimiser would make the same node of a Hugging Face graph; of one with a single
    product for query, key and value it does not. Fixed shapes made it slower: then it fuses
    residuals into normalisations (export/onnx_graph.py).
    """
    return _onnxruntime_session(_fused_graph(job))


def onnxruntime_dynamic_int8(job: Job) -> Encoder:
    """The same graph with int8 weights; the scales of activations are found as it runs.

    7-bit weights (reduce_range): without VNNI, sums of two 8-bit products saturate, which costs
    0.2 in the logits. One scale for a matrix is faster than one for each column.
    """
    from onnxruntime.quantization import QuantType, quantize_dynamic

    path = job.folder / "dynamic.onnx"
    quantize_dynamic(
        _fused_graph(job),
        path,
        weight_type=QuantType.QInt8,
        reduce_range=True,
        # its shape inference does not know the fused node and must be told that all is float
        extra_options={"DefaultTensorType": 1},
    )
    return _onnxruntime_session(path)


def onnxruntime_static_int8(job: Job) -> Encoder:
    """Static scales, as QDQ nodes, for the standard graph: these do not know the fused node.

    All operators in int8, not products alone: 12 % faster at 128 tokens. Weights as above.
    """
    from onnxruntime.quantization import (
        CalibrationDataReader,
        QuantFormat,
        QuantType,
        quantize_static,
    )

    from edgebert.export import write_model

    class Reader(CalibrationDataReader):
        def __init__(self) -> None:
            self._feeds: Iterator[Inputs] = iter(job.calibration)

        def get_next(self) -> Inputs | None:
            return next(self._feeds, None)

    source, path = job.folder / "standard.onnx", job.folder / "static.onnx"
    write_model(job.spec, source)
    quantize_static(
        source,
        path,
        Reader(),
        quant_format=QuantFormat.QDQ,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
        reduce_range=True,
    )
    return _onnxruntime_session(path)


def our_onnx_int8(job: Job) -> Encoder:
    """The file that `edgebert export --dtype i8` writes: QDQ of products with weights alone."""
    from edgebert.export import write_model
    from edgebert.export.recipe import Recipe

    path = job.folder / "ours-i8.onnx"
    write_model(job.spec, path, Recipe("i8"))
    return _onnxruntime_session(path)


def openvino_default(job: Job) -> Encoder:
    """OpenVINO as it likes: bfloat16 where the processor has it."""
    return _openvino(job, {})


def openvino_f32(job: Job) -> Encoder:
    """OpenVINO held to float32."""
    return _openvino(job, {"INFERENCE_PRECISION_HINT": "f32"})


def our_tflite_f32(job: Job) -> Encoder:
    """LiteRT with XNNPACK, and the file that `edgebert export` writes."""
    return _our_tflite(job, "f32")


def our_tflite_int8(job: Job) -> Encoder:
    """The same in int8 from end to end."""
    return _our_tflite(job, "i8")


def litert_f32(job: Job) -> Encoder:
    """LiteRT with XNNPACK, converted from PyTorch by litert-torch."""
    return _litert(_litert_file(job), job)


def litert_dynamic_int8(job: Job) -> Encoder:
    """The same with int8 weights; the scales of activations are found as it runs."""
    from ai_edge_quantizer import quantizer, recipe

    path = job.folder / f"dynamic-{job.texts}x{job.tokens}.tflite"
    quantiser = quantizer.Quantizer(str(_litert_file(job)), recipe.dynamic_wi8_afp32())
    quantiser.quantize().export_model(str(path), overwrite=True)
    return _litert(path, job)


def torch_eager(job: Job) -> Encoder:
    """Transformers' BERT as it is."""
    return _torch(_transformers_module(job), job)


def torch_jit(job: Job) -> Encoder:
    """The same traced and frozen, which takes most of Python out of it."""
    import torch

    module = _torch_module(job)
    with torch.inference_mode():
        traced = torch.jit.freeze(torch.jit.trace(module, _torch_inputs(job)))
        return _torch(torch.jit.optimize_for_inference(traced), job)


class Runtime(NamedTuple):
    """A way to run the encoder.

    Attributes:
        dtype: the type of its weights.
        build: its builder.
        any_shape: whether what is built takes other numbers of texts and tokens than the job's.
        step: built for each length that is a multiple of this. LiteRT takes 5 s to convert one.
        most_texts: that it takes in a call.
    """

    dtype: str
    build: Callable[[Job], Encoder]
    any_shape: bool = False
    step: int = 1
    most_texts: int = 1 << 31


RUNTIMES = {
    "ONNX Runtime": Runtime("f32", onnxruntime_f32, any_shape=True),
    "ONNX Runtime, dynamic": Runtime("int8", onnxruntime_dynamic_int8, any_shape=True),
    "ONNX Runtime, static QDQ": Runtime("int8", onnxruntime_static_int8, any_shape=True),
    "ONNX Runtime, edgebert's file": Runtime("int8", our_onnx_int8, any_shape=True),
    "OpenVINO": Runtime("f32", openvino_f32),
    "OpenVINO, its default": Runtime("auto", openvino_default),
    "LiteRT": Runtime("f32", litert_f32, step=4),
    "LiteRT, dynamic": Runtime("int8", litert_dynamic_int8, step=4),
    "LiteRT, edgebert's file": Runtime("f32", our_tflite_f32, most_texts=1),
    "LiteRT, edgebert's int8 file": Runtime("int8", our_tflite_int8, most_texts=1),
    "torch": Runtime("f32", torch_eager, any_shape=True),
    "torch.jit": Runtime("f32", torch_jit),
}


def _shapes(job: Job) -> dict[str, list[int]]:
    """The inputs' shapes, in the order in which PyTorch takes them."""
    tokens = [job.texts, job.tokens]
    return {
        "inputs_embeds": [*tokens, job.spec.config.hidden_size],
        "attention_mask": tokens,
        "token_type_ids": tokens,
    }


def _fused_graph(job: Job) -> Path:
    """Our graph with each attention as one node, as ONNX Runtime's optimiser leaves BERTs."""
    import onnx

    from edgebert.export.onnx import IR_VERSION, OPSET
    from edgebert.export.onnx_graph import Graph

    class Fused(Graph):
        def attention_bias(self) -> str:
            int32 = onnx.TensorProto.INT32
            return self.node("Cast", ["attention_mask"], "attention_mask/int32", to=int32)

        def attention(self, hidden: str, mask: str, layer: int) -> str:
            weight = np.ascontiguousarray(self.spec.weight("qkv_weight", layer).T)
            context = self.node(
                "Attention",
                [
                    hidden,
                    self.constant(f"{layer}/qkv_weight", weight),
                    self.weight("qkv_bias", layer),
                    mask,
                ],
                f"{layer}/attention",
                domain="com.microsoft",
                num_heads=self.config.num_attention_heads,
            )
            name = f"{layer}/attention/first"
            return self.first_token(context, name) if self.reads_first(layer) else context

    path = job.folder / "fused.onnx"
    opsets = [onnx.helper.make_opsetid("", OPSET), onnx.helper.make_opsetid("com.microsoft", 1)]
    graph = Fused(job.spec).build()
    onnx.save(onnx.helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION), path)
    return path


def _onnxruntime_session(path: Path) -> Encoder:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return lambda inputs: session.run(["logits"], inputs)[0]


def _openvino(job: Job, properties: dict[str, Any]) -> Encoder:
    import openvino

    from edgebert.export import write_model

    path = job.folder / "standard.onnx"
    write_model(job.spec, path)
    core = openvino.Core()
    model = core.read_model(path)
    model.reshape(_shapes(job))  # fixed: nothing is worked out anew for each call
    properties |= {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_NUM_THREADS": 1,
        "ENABLE_CPU_PINNING": False,  # pinned to a core, it waits whenever that one is busy
    }
    compiled = core.compile_model(model, "CPU", properties)
    request, logits = compiled.create_infer_request(), compiled.output("logits")

    def encode(inputs: Inputs) -> np.ndarray:
        return request.infer(inputs, share_inputs=True, share_outputs=True)[logits]

    return encode


def _litert_file(job: Job) -> Path:
    path = job.folder / f"{job.texts}x{job.tokens}.tflite"
    if not path.exists():
        import litert_torch

        litert_torch.convert(_torch_module(job), _torch_inputs(job)).export(str(path))
    return path


def _litert(path: Path, job: Job) -> Encoder:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(path), num_threads=1)
    interpreter.allocate_tensors()
    details = sorted(interpreter.get_input_details(), key=lambda detail: detail["name"])
    (output,) = interpreter.get_output_details()

    def encode(inputs: Inputs) -> np.ndarray:
        for name, detail in zip(_shapes(job), details, strict=True):
            value = inputs[name].astype(detail["dtype"], copy=False)
            interpreter.set_tensor(detail["index"], value)
        interpreter.invoke()
        return interpreter.get_tensor(output["index"])

    return encode


def _our_tflite(job: Job, dtype: str) -> Encoder:
    from ai_edge_litert.interpreter import Interpreter

    from edgebert.export import write_model
    from edgebert.export.recipe import Recipe

    path = job.folder / f"ours-{dtype}-{job.tokens}.tflite"
    write_model(job.spec, path, Recipe(dtype, tokens=(job.tokens,)))
    interpreter = Interpreter(str(path), num_threads=1)
    interpreter.allocate_tensors()
    details = {detail["name"]: detail for detail in interpreter.get_input_details()}
    (output,) = (one for one in interpreter.get_output_details() if one["name"] == "logits")
    scale, zero_point = output["quantization"]

    def encode(inputs: Inputs) -> np.ndarray:
        for name, detail in details.items():
            value = inputs[name]
            if name == "inputs_embeds" and dtype == "i8":
                value = np.rint(value * 127)
            interpreter.set_tensor(detail["index"], value.astype(detail["dtype"], copy=False))
        interpreter.invoke()
        logits = interpreter.get_tensor(output["index"])
        return (logits - np.float32(zero_point)) * np.float32(scale) if scale else logits

    return encode


def _transformers_module(job: Job) -> Any:
    """Transformers' model from inputs to logits."""
    import torch

    model = _torch_model(job)

    class Logits(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, embeds: Any, mask: Any, types: Any) -> Any:
            return self.model(
                inputs_embeds=embeds, attention_mask=mask, token_type_ids=types
            ).logits

    return Logits().eval()


def _torch_module(job: Job) -> Any:
    """The same weights in a module that leaves out what the head does not read.

    Of the last layer it computes the first token alone, as our own files do.
    """
    import torch

    model = _torch_model(job)

    class Logits(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, embeds: Any, mask: Any, types: Any) -> Any:
            bert = self.model.bert
            x = bert.embeddings(inputs_embeds=embeds, token_type_ids=types)
            bias = (1.0 - mask[:, None, None, :].to(x.dtype)) * torch.finfo(x.dtype).min
            *layers, last = bert.encoder.layer
            for layer in layers:
                x = self.encode(layer, x, x, bias)
            return self.model.classifier(bert.pooler(self.encode(last, x[:, :1], x, bias)))

        def encode(self, layer: Any, states: Any, x: Any, bias: Any) -> Any:
            attention = layer.attention.self
            query, key, value = (
                part.unflatten(-1, (attention.num_attention_heads, -1)).transpose(1, 2)
                for part in (attention.query(states), attention.key(x), attention.value(x))
            )
            scores = query @ key.transpose(-1, -2) * query.shape[-1] ** -0.5 + bias
            context = (torch.softmax(scores, -1) @ value).transpose(1, 2).flatten(2)
            attended = layer.attention.output(context, states)
            return layer.output(layer.intermediate(attended), attended)

    return Logits().eval()


def _torch_model(job: Job) -> Any:
    import torch

    from edgebert.train.checkpoint import load_torch

    torch.set_num_threads(1)
    return load_torch(job.checkpoint)[0]


def _torch_inputs(job: Job) -> tuple[Any, ...]:
    import torch

    shapes = _shapes(job)
    embeds = torch.zeros(shapes.pop("inputs_embeds"))
    return embeds, *(torch.ones(shape, dtype=torch.int64) for shape in shapes.values())


def _torch(module: Any, job: Job) -> Encoder:
    import torch

    names = list(_shapes(job))

    def encode(inputs: Inputs) -> np.ndarray:
        with torch.inference_mode():
            return module(*(torch.from_numpy(inputs[name]) for name in names)).numpy()

    return encode

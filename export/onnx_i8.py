"""The ONNX graph with matrix products of integers, in the form that runtimes call QDQ.

What goes into a product with weights is rounded to uint8, by what calibration saw; weights are int8
with a scale for each column. Runtimes make one integer kernel of a product and the
DequantizeLinear before it, which gives floats: all between such products is as in the float graph.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from onnx import TensorProto

from edgebert.errors import ModelError
from edgebert.export.float_reference import gelu
from edgebert.export.heads import reads_all_tokens
from edgebert.export.onnx_graph import Graph, scope
from edgebert.export.quantise import channel_scales
from edgebert.export.spec import ModelSpec

# AVX2 without VNNI adds products of uint8 and int8 by pairs into int16 (vpmaddubsw), and cuts off
# what is beyond: 2 * 255 * 64 is not. Weights up to 127 cost twice the error there.
_MOST_WEIGHT = 64


class Int8Graph(Graph):
    """Overrides what has weights; the spec must be calibrated.

    Raises:
        ModelError: it is not.
    """

    def __init__(self, spec: ModelSpec, variant: str = "") -> None:
        super().__init__(spec, variant)
        if spec.activations is None:
            raise ModelError(
                "an int8 graph needs activations: replace(spec, activations=observe(spec, texts))"
            )
        self.scales = spec.activations.scales

    def positions(self) -> str:
        """From a table of int8."""
        table = self.spec.weight("position_embeddings")
        scale = np.float32(np.abs(table).max() / 127 or 1)
        integers = np.rint(table / scale).astype(np.int8)
        rows = self.first_positions(self.constant("position_embeddings", integers))
        inputs = [rows, self.constant("position_embeddings/scale", scale)]
        return self.node("DequantizeLinear", inputs, "embeddings/positions/float")

    def weight(self, role: str, layer: int | None = None) -> str:
        """Vectors in float16, whose error is nothing beside int8's: runtimes convert them once."""
        values = self.spec.weight(role, layer or 0)
        if np.abs(values).max() > np.finfo(np.float16).max:
            raise ModelError(f"{role} is beyond float16: export f32")
        name = scope(role, layer)
        half = self.constant(name, values.astype(np.float16))
        return self.node("Cast", [half], f"{name}/float", to=TensorProto.FLOAT)

    def node(self, operator: str, inputs: list[str], name: str, **attributes: Any) -> str:
        """Without a name but its output's, which saves 2 KB."""
        super().node(operator, inputs, name, **attributes)
        self.nodes[-1].ClearField("name")
        return name

    def label_head(self, hidden: str) -> None:
        """The pooler as a layer of the encoder; the classifier, which is small, in float."""
        if reads_all_tokens(self.config):
            hidden = self.first_token(hidden, "pooler/cls")
        pooled = self.node("Tanh", [self.linear(hidden, "pooler", None)], "pooler/tanh")
        self.classify(self.first_state(pooled, "pooled"))

    def factors(self, x: str, role: str, layer: int | None) -> list[str]:
        """Integers, as floats."""
        weight = self.spec.weight(f"{role}_weight", layer or 0)
        scales = channel_scales(weight, floor=0, most=_MOST_WEIGHT)
        integers = np.ascontiguousarray(np.rint(weight / scales[:, None]).T.astype(np.int8))
        name = scope(f"{role}_weight", layer)
        inputs = [
            self.constant(name, integers),
            self.constant(f"{name}/scales", scales.astype(np.float32)),
        ]
        return [
            self.rounded(x, role, layer),
            self.node("DequantizeLinear", inputs, f"{name}/float", axis=1),
        ]

    def rounded(self, x: str, role: str, layer: int | None) -> str:
        """The input of a product, rounded to one of 256 values."""
        name = scope(f"{role}/input", layer)
        scale, zero = self.steps(role, layer)
        steps = [
            self.constant(f"{name}/scale", np.float32(scale)),
            self.constant(f"zero/{zero}", np.uint8(zero)),
        ]
        integers = self.node("QuantizeLinear", [x, *steps], name)
        return self.node("DequantizeLinear", [integers, *steps], f"{name}/float")

    def steps(self, role: str, layer: int | None) -> tuple[float, int]:
        """Scale and zero point of the input of a product."""
        last = self.config.num_hidden_layers - 1
        if role == "output":
            values = gelu(np.arange(-128, 128) * self.scales["intermediate", layer or 0])
            scale = float(np.ptp(values)) / 255
            return scale, round(-values.min() / scale)
        sources = {
            "qkv": ("output_norm", layer - 1) if layer else ("embeddings_norm", 0),
            "attention_output": ("context", layer or 0),
            "intermediate": ("attention_norm", layer or 0),
            "pooler": ("output_norm", last),
            "tagger": ("output_norm", last),
        }
        return self.scales[sources[role]], 128

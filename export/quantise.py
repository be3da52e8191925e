# SPDX-License-Identifier: MIT
"""A live graph once more with int8 convolutions, for ONNX Runtime and TensorRT alike. Knows no network.

Quantise and dequantise nodes stand around each convolution that is worth it: activations symmetric with one
scale, weights symmetric with one scale an output channel, both int8; biases stay float32, which TensorRT asks
for. Left in float are the features up to 8 pixels, which carry the pose, the last and largest ones and the
image heads, which carry the colours (Andreev et al. 2021), and convolutions of one channel each, which int8
makes slower.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from engines.base import Array
from engines.onnx_engine import ERRORS_ONLY
from face.errors import WrongUse

LARGEST = 127  # -128 is left out: TensorRT's int8 is symmetric
FLOAT_UP_TO_PX = 8
LEAST_CHANNELS = 16  # on either side; fewer are image heads
KEPT = 1 << 16  # values of an activation that are looked at, a sample
INSIDE = 0.9999  # of the values are not cut off


@dataclass(frozen=True, slots=True)
class Quantised:
    """What became int8."""

    convolutions: int
    of: int
    share: float  # of all convolutions' multiply-adds
    samples: int


@dataclass(frozen=True, slots=True)
class Convolution:
    """One candidate."""

    node: onnx.NodeProto
    multiply_adds: int
    taken: bool


def quantise_graph(graph: Path, out: Path, samples: Sequence[dict[str, Array]]) -> Quantised:
    """Write the int8 form of a float32 graph of static shapes, calibrated on these inputs."""
    model = onnx.load(graph)
    weights = {constant.name: constant for constant in model.graph.initializer}
    found = _convolutions(model, weights)
    taken = [convolution.node for convolution in found if convolution.taken]
    if not taken:
        raise WrongUse(
            f"{graph.name} has no convolution between {FLOAT_UP_TO_PX} px and its largest size to make int8, "
            "expected a generator of 64 px or more; leave --precision int8 out"
        )
    ranges = _ranges(model, [name for node in taken for name in (node.input[0], node.output[0])], samples)
    graph_nodes = []
    for node in model.graph.node:
        if node not in taken:
            graph_nodes.append(node)
            continue
        graph_nodes += _quantised(model.graph, node, weights, ranges)
    del model.graph.node[:]
    model.graph.node.extend(graph_nodes)
    used = {name for node in model.graph.node for name in node.input}
    for constant in [c for c in model.graph.initializer if c.name not in used]:
        model.graph.initializer.remove(constant)
    onnx.checker.check_model(model)
    onnx.save_model(model, out)
    whole = sum(convolution.multiply_adds for convolution in found)
    part = sum(convolution.multiply_adds for convolution in found if convolution.taken)
    return Quantised(len(taken), len(found), part / whole, len(samples))


def _convolutions(model: onnx.ModelProto, weights: dict[str, onnx.TensorProto]) -> list[Convolution]:
    """Every convolution with its cost; taken are dense ones of middle sizes with constant weights."""
    inferred = onnx.shape_inference.infer_shapes(model).graph
    shapes = {
        value.name: [size.dim_value for size in value.type.tensor_type.shape.dim]
        for value in [*inferred.value_info, *inferred.input, *inferred.output]
    }
    nodes = [n for n in model.graph.node if n.op_type in ("Conv", "ConvTranspose") and n.input[1] in weights]
    largest = max((shapes[node.output[0]][-1] for node in nodes if node.op_type == "Conv"), default=0)
    found = []
    for node in nodes:
        shape = list(weights[node.input[1]].dims)
        size_in, size_out = shapes[node.input[0]][-1], shapes[node.output[0]][-1]
        swept = size_in if node.op_type == "ConvTranspose" else size_out
        taken = (
            node.op_type == "Conv"  # ONNX Runtime has no transposed one in int8
            and min(shape[:2]) >= LEAST_CHANNELS
            and FLOAT_UP_TO_PX < size_out < largest
        )
        found.append(Convolution(node, int(np.prod(shape)) * swept**2, taken))
    return found


def _ranges(
    model: onnx.ModelProto, names: Sequence[str], samples: Sequence[dict[str, Array]]
) -> dict[str, float]:
    """Largest absolute value of each activation over the samples, but for the few that lie far out."""
    watched = onnx.ModelProto()
    watched.CopyFrom(model)
    outputs = list(dict.fromkeys(names))
    watched.graph.output.extend(onnx.ValueInfoProto(name=name) for name in outputs)
    options = ort.SessionOptions()
    options.log_severity_level = ERRORS_ONLY
    session = ort.InferenceSession(watched.SerializeToString(), options, providers=["CPUExecutionProvider"])
    found = dict.fromkeys(outputs, 0.0)
    for arrays in samples:
        for name, value in zip(outputs, session.run(outputs, arrays), strict=True):
            size = np.abs(np.asarray(value, np.float32).ravel())
            step = max(1, size.size // KEPT)
            found[name] = max(found[name], float(np.quantile(size[::step], INSIDE)))
    return found


def _quantised(
    graph: onnx.GraphProto,
    node: onnx.NodeProto,
    weights: dict[str, onnx.TensorProto],
    ranges: dict[str, float],
) -> list[onnx.NodeProto]:
    """The nodes that stand for one convolution; new constants go into the graph."""
    prefix = node.name
    zero = numpy_helper.from_array(np.zeros((), np.int8), f"{prefix}_zero")
    graph.initializer.append(zero)

    def around(value: str, scale: float, result: str) -> list[onnx.NodeProto]:
        factor = numpy_helper.from_array(np.array(scale, np.float32), f"{result}_scale")
        graph.initializer.append(factor)
        middle = f"{result}_int8"
        return [
            helper.make_node("QuantizeLinear", [value, factor.name, zero.name], [middle], name=f"{result}_q"),
            helper.make_node(
                "DequantizeLinear", [middle, factor.name, zero.name], [result], name=f"{result}_dq"
            ),
        ]

    kernel: NDArray[np.float32] = numpy_helper.to_array(weights[node.input[1]])
    scales = np.maximum(np.abs(kernel).max(axis=(1, 2, 3)) / LARGEST, np.finfo(np.float32).tiny)
    whole = np.clip(np.rint(kernel / scales[:, None, None, None]), -LARGEST, LARGEST).astype(np.int8)
    names = [f"{prefix}_kernel", f"{prefix}_kernel_scale", f"{prefix}_kernel_zero"]
    values = (whole, scales.astype(np.float32), np.zeros(len(scales), np.int8))
    graph.initializer.extend(numpy_helper.from_array(v, n) for v, n in zip(values, names, strict=True))

    before, after = f"{prefix}_in", f"{prefix}_out"
    scale_in, scale_out = (max(ranges[name], 1e-6) / LARGEST for name in (node.input[0], node.output[0]))
    convolution = onnx.NodeProto()
    convolution.CopyFrom(node)
    convolution.input[0], convolution.input[1] = before, f"{prefix}_kernel_float"
    convolution.output[0] = after
    return [
        *around(node.input[0], scale_in, before),
        helper.make_node(
            "DequantizeLinear", names, [f"{prefix}_kernel_float"], name=f"{prefix}_kernel_dq", axis=0
        ),
        convolution,
        *around(after, scale_out, node.output[0]),
    ]

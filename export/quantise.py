# SPDX-License-Identifier: MIT
"""A live graph once more with int8 convolutions, for ONNX Runtime and TensorRT alike. Knows no network.

Quantise and dequantise nodes stand around each convolution that is worth it: activations symmetric with one
scale, weights symmetric with one scale an output channel, both int8; biases stay float32, which TensorRT asks
for. Left in float are the features up to 8 pixels, which carry the pose, the last and largest ones and the
image heads, which carry the colours (Andreev et al. 2021), convolutions of one channel each, which int8 makes
slower, and whatever alone would cost the picture too much.
"""

from collections import Counter
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
ALONE_DB = 36.0  # a convolution that alone costs more than this stays in float
TRIED_ON = 4  # pictures
CLIPS = (1.0, 0.85, 0.7, 0.6, 0.5, 0.4, 0.32, 0.25, 0.2)  # shares of the largest value that are tried


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
    scales = _calibrated(model, taken, samples)
    bearing = _bearing(model, [node.name for node in taken], scales, samples[:TRIED_ON])
    if not bearing:
        raise WrongUse(
            f"{graph.name} has no convolution that int8 leaves above {ALONE_DB:.0f} dB; "
            "leave --precision int8 out"
        )
    onnx.save_model(_with_int8(model, bearing, scales), out)
    whole = sum(convolution.multiply_adds for convolution in found)
    part = sum(convolution.multiply_adds for convolution in found if convolution.node.name in bearing)
    return Quantised(len(bearing), len(found), part / whole, len(samples))


def _calibrated(
    model: onnx.ModelProto, taken: Sequence[onnx.NodeProto], samples: Sequence[dict[str, Array]]
) -> dict[str, float]:
    """Balances the model's channels, and gives the step of each activation around the taken convolutions."""
    names = [name for node in taken for name in (node.input[0], node.output[0])]
    largest, drawn = _sizes(model, names, samples)
    before = {name: size.copy() for name, size in largest.items()}
    _balance(model, taken, largest)
    steps = {}
    for name, values in drawn.items():
        factor = largest[name] / np.maximum(before[name], np.float32(1e-12))
        steps[name] = _scale((values * factor[:, None]).astype(np.float32))
    return steps


def _bearing(
    model: onnx.ModelProto,
    names: Sequence[str],
    scales: dict[str, float],
    samples: Sequence[dict[str, Array]],
) -> set[str]:
    """Those convolutions which alone in int8 keep the picture near that of the float graph."""
    wanted = _pictures(model, samples)
    squares = {
        name: float(np.square(_pictures(_with_int8(model, {name}, scales), samples) - wanted).mean())
        for name in names
    }
    return {name for name, square in squares.items() if square <= 255**2 / 10 ** (ALONE_DB / 10)}


def _pictures(model: onnx.ModelProto, samples: Sequence[dict[str, Array]]) -> NDArray[np.float32]:
    session = _session(model)
    return np.stack([np.asarray(session.run(None, arrays)[0], np.float32) for arrays in samples])


def _session(model: onnx.ModelProto) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.log_severity_level = ERRORS_ONLY
    return ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def _with_int8(model: onnx.ModelProto, names: set[str], scales: dict[str, float]) -> onnx.ModelProto:
    """A copy of the model in which these convolutions are int8."""
    made = onnx.ModelProto()
    made.CopyFrom(model)
    weights = {constant.name: constant for constant in made.graph.initializer}
    nodes: list[onnx.NodeProto] = []
    for node in model.graph.node:
        nodes += _quantised(made.graph, node, weights, scales) if node.name in names else [node]
    del made.graph.node[:]
    made.graph.node.extend(nodes)
    used = {name for node in made.graph.node for name in node.input}
    for constant in [c for c in made.graph.initializer if c.name not in used]:
        made.graph.initializer.remove(constant)
    onnx.checker.check_model(made)
    return made


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


def _balance(
    model: onnx.ModelProto, nodes: Sequence[onnx.NodeProto], sizes: dict[str, NDArray[np.float32]]
) -> None:
    """Bring a convolution's input channels nearer to one size, and its kernel the other way.

    One scale must serve all of an activation. Where the step before multiplies each channel anyway, by a
    style or by a kernel of its own, it can take a factor a channel that this kernel takes back.
    """
    makers = {node.output[0]: node for node in model.graph.node}
    readers = Counter(name for node in model.graph.node for name in node.input)
    constants = {constant.name: constant for constant in model.graph.initializer}
    for node in nodes:
        before = makers.get(node.input[0])
        if before is None or readers[node.input[0]] != 1 or readers[node.input[1]] != 1:
            continue
        kernel = numpy_helper.to_array(constants[node.input[1]])
        size = np.maximum(sizes[node.input[0]], 1e-6)
        factor = np.sqrt(np.maximum(np.abs(kernel).max(axis=(0, 2, 3)), 1e-6) / size).astype(np.float32)
        factor /= np.exp(np.log(factor).mean())
        if not _scaled(model, before, factor, constants, readers):
            continue
        scaled = kernel / factor[None, :, None, None]
        constants[node.input[1]].CopyFrom(numpy_helper.from_array(scaled, node.input[1]))
        sizes[node.input[0]] = sizes[node.input[0]] * factor


def _scaled(
    model: onnx.ModelProto,
    node: onnx.NodeProto,
    factor: NDArray[np.float32],
    constants: dict[str, onnx.TensorProto],
    readers: Counter[str],
) -> bool:
    """Let the node's result be `factor` times as large a channel; False where it has no place for that."""
    if node.op_type == "Conv" and node.input[1] in constants and len(node.input) == 2:
        kernel = numpy_helper.to_array(constants[node.input[1]])
        if readers[node.input[1]] != 1 or kernel.shape[:2] != (len(factor), 1):
            return False
        scaled = kernel * factor[:, None, None, None]
        constants[node.input[1]].CopyFrom(numpy_helper.from_array(scaled, node.input[1]))
        return True
    if node.op_type != "Mul":
        return False
    makers = {each.output[0]: each for each in model.graph.node}
    for position, name in enumerate(node.input):
        maker = makers.get(name)
        if maker is not None and maker.op_type == "Unsqueeze":  # a style: (1, C) on its way to (1, C, 1, 1)
            constant = numpy_helper.from_array(factor[None, :, None, None], f"{node.name}_factor")
            model.graph.initializer.append(constant)
            product = helper.make_node(
                "Mul", [name, constant.name], [f"{node.name}_style"], name=f"{node.name}_balance"
            )
            node.input[position] = product.output[0]
            model.graph.node.insert(list(model.graph.node).index(node), product)
            return True
    return False


def _sizes(
    model: onnx.ModelProto, names: Sequence[str], samples: Sequence[dict[str, Array]]
) -> tuple[dict[str, NDArray[np.float32]], dict[str, NDArray[np.float32]]]:
    """Of each activation: the largest absolute value a channel, and values drawn from all samples."""
    watched = onnx.ModelProto()
    watched.CopyFrom(model)
    outputs = list(dict.fromkeys(names))
    watched.graph.output.extend(onnx.ValueInfoProto(name=name) for name in outputs)
    session = _session(watched)
    largest: dict[str, NDArray[np.float32]] = {}
    drawn: dict[str, list[NDArray[np.float32]]] = {name: [] for name in outputs}
    for arrays in samples:
        for name, value in zip(outputs, session.run(outputs, arrays), strict=True):
            size = np.abs(np.asarray(value, np.float32))
            peak = size.max(axis=(0, 2, 3))
            largest[name] = np.maximum(largest.get(name, peak), peak)
            pixels = size.reshape(size.shape[1], -1)  # (C, H W): one picture
            drawn[name].append(pixels[:, :: max(1, size.size // KEPT)])
    return largest, {name: np.concatenate(parts, axis=1) for name, parts in drawn.items()}


def _scale(values: NDArray[np.float32]) -> float:
    """The step that loses least of these absolute values: fine for the many or wide for the few."""
    peak = max(float(values.max()), 1e-6)
    flat = values.ravel()
    errors = {}
    for share in CLIPS:
        step = share * peak / LARGEST
        kept = np.minimum(np.rint(flat / step), LARGEST) * step
        errors[step] = float(np.square(flat - kept, dtype=np.float64).mean())
    return min(errors, key=lambda step: errors[step])


def _quantised(
    graph: onnx.GraphProto,
    node: onnx.NodeProto,
    weights: dict[str, onnx.TensorProto],
    steps: dict[str, float],
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
    scale_in, scale_out = steps[node.input[0]], steps[node.output[0]]
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

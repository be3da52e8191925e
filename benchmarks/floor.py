# SPDX-License-Identifier: MIT
"""The least a machine can do a network in: arithmetic and bytes counted off its graph, rates measured.

A convolution or product reads its input and weights once and writes its output once; whatever is pointwise
rides along. So the floor is, layer by layer, the longer of arithmetic at the measured rate and traffic at the
measured rate, and no program reaches it. Knows no network and no engine.
"""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import onnx
import torch
from onnx import ModelProto, NodeProto, shape_inference

WARMUP_S = 1.0
LONGEST_S, FEWEST = 20.0, 5  # calls that take long are ended after this, but not before so many


@dataclass(frozen=True, slots=True)
class Layer:
    """One convolution or product of a graph, for one sample."""

    name: str
    multiply_adds: int
    numbers: int  # read and written: input, weights, output


@dataclass(frozen=True, slots=True)
class Rates:
    """What the machine does at best, measured."""

    tflops: float  # matrix product in the dtype used
    terabytes: float  # a second, read and written


def layers_of(model: ModelProto) -> list[Layer]:
    """Every convolution and product of a graph with its free dimensions at 1."""
    fixed = onnx.ModelProto()
    fixed.CopyFrom(model)
    for value in (*fixed.graph.input, *fixed.graph.output):
        for size in value.type.tensor_type.shape.dim:
            if size.dim_param:
                size.ClearField("dim_param")
                size.dim_value = 1
    inferred = shape_inference.infer_shapes(fixed, data_prop=True).graph
    shapes = {
        value.name: tuple(size.dim_value for size in value.type.tensor_type.shape.dim)
        for value in (*inferred.input, *inferred.output, *inferred.value_info)
    }
    shapes |= {constant.name: tuple(constant.dims) for constant in inferred.initializer}
    counted = [_counted(node, shapes) for node in inferred.node]
    return [layer for layer in counted if layer is not None]


def _counted(node: NodeProto, shapes: dict[str, tuple[int, ...]]) -> Layer | None:
    if node.op_type not in ("Conv", "ConvTranspose", "Gemm", "MatMul"):
        return None
    given, weight, made = (shapes[name] for name in (node.input[0], node.input[1], node.output[0]))
    if 0 in (*given, *weight, *made):
        raise ValueError(f"{node.name} has no known size: {given}, {weight}, {made}")
    if node.op_type == "Conv":  # every output meets one filter: inputs a group, times the taps
        work = math.prod(made) * math.prod(weight[1:])
    elif node.op_type == "ConvTranspose":  # every input meets every tap of its group's filters
        work = math.prod(given) * math.prod(weight[1:])
    else:
        work = math.prod(made) * given[-1]
    return Layer(node.name, work, math.prod(given) + math.prod(weight) + math.prod(made))


def floor_ms(layers: Sequence[Layer], rates: Rates, bytes_each: int) -> float:
    return 1e3 * sum(
        max(
            2 * layer.multiply_adds / (rates.tflops * 1e12),
            layer.numbers * bytes_each / (rates.terabytes * 1e12),
        )
        for layer in layers
    )


def measured_rates(device: torch.device, dtype: torch.dtype) -> Rates:
    """The fastest of several large products and of several copies well beyond every cache."""
    side, length = (8192, 2**28) if device.type == "cuda" else (1024, 2**24)
    a, b = (torch.randn(side, side, device=device, dtype=dtype) for _ in range(2))
    product_s = min(timed(lambda: a @ b, device, runs=8))
    source = torch.randn(length, device=device)
    target = torch.empty_like(source)
    copy_s = min(timed(lambda: target.copy_(source), device, runs=8))
    return Rates(2 * side**3 / product_s / 1e12, 2 * 4 * length / copy_s / 1e12)


def timed(call: Callable[[], object], device: torch.device, *, runs: int) -> list[float]:
    """Seconds of each of `runs` calls after a warm-up, the device's work included; slow ones are fewer."""

    def wait() -> None:
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    call()
    wait()
    end = time.perf_counter() + min(WARMUP_S, 0.02 * runs)
    while time.perf_counter() < end:
        call()
        wait()
    spans: list[float] = []
    ends = time.perf_counter() + LONGEST_S
    while len(spans) < runs and (len(spans) < FEWEST or time.perf_counter() < ends):
        start = time.perf_counter()
        call()
        wait()
        spans.append(time.perf_counter() - start)
    return spans

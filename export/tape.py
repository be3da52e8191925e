# SPDX-License-Identifier: MIT
"""Records a torch network as an ONNX graph while it runs on symbols. Knows operators, no network.

A symbol is a tensor without data. Whatever a network computes from its weights alone is computed by torch as
usual and becomes one constant of the graph; whatever touches a symbol becomes a node. So the graph holds no
arithmetic on constants, for any network, and recording a 1024-pixel generator costs no convolution.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor

from engines.base import TensorSpec

OPSET = 17  # LayerNormalization and all we use; ONNX Runtime and TensorRT (-RTX) take it
IR_VERSION = 9  # the oldest that goes with it, for runtimes older than this onnx package
FREE = 1009  # size of a free dimension while recording: a prime no layer has, so that it is known again
ONNX_DTYPES = {
    torch.float32: TensorProto.FLOAT,
    torch.float16: TensorProto.FLOAT16,
    torch.uint8: TensorProto.UINT8,
    torch.int64: TensorProto.INT64,
    torch.bool: TensorProto.BOOL,
}


@dataclass
class Graph:
    """Nodes and constants gathered so far."""

    nodes: list[onnx.NodeProto] = field(default_factory=list)
    constants: dict[bytes, onnx.TensorProto] = field(
        default_factory=dict
    )  # by hash: equal ones are kept once

    def add(self, operator: str, inputs: Sequence[str], **attributes: Any) -> str:
        """Append a node with one output; returns the output's name."""
        name = f"{operator.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, list(inputs), [name], name=name, **attributes))
        return name

    def constant(self, value: NDArray[Any]) -> str:
        """Name of the constant with this value."""
        raw = np.array(value, order="C", ndmin=0)
        key = hashlib.sha256(f"{raw.dtype}{raw.shape}".encode() + raw.tobytes()).digest()
        if key not in self.constants:
            self.constants[key] = numpy_helper.from_array(raw, f"constant_{len(self.constants)}")
        return str(self.constants[key].name)

    def publish(self, value: str, name: str) -> None:
        """Make a value an output. Its own node writes it, as TensorRT has no uint8 but outputs."""
        maker = next((node for node in self.nodes if value in node.output), None)
        if maker is None or any(value in node.input for node in self.nodes):
            self.nodes.append(helper.make_node("Identity", [value], [name], name=name))
        else:
            maker.output[0] = name

    def shape(self, sizes: Sequence[int]) -> str:
        return self.constant(np.array(sizes, np.int64))


class Symbol(torch.Tensor):
    """A named value of the graph. A subclass because torch dispatches its operators to nothing else."""

    graph: Graph
    value: str  # its name in the graph
    meta: Tensor

    @staticmethod
    def make(graph: Graph, name: str, meta: Tensor) -> "Symbol":
        symbol: Symbol = torch.Tensor._make_wrapper_subclass(Symbol, meta.shape, dtype=meta.dtype)
        symbol.graph, symbol.value = graph, name
        symbol.meta = meta.contiguous()  # the strides a symbol has
        return symbol

    @classmethod
    def __torch_dispatch__(
        cls, operator: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        graph = next(s.graph for s in _leaves(args) if isinstance(s, Symbol))
        name = operator.overloadpacket.__name__
        if name not in TRANSLATIONS:
            raise TypeError(f"aten::{name} has no translation to ONNX; add it to export/tape.py")
        with torch.no_grad():
            meta = operator(*_as_meta(args), **{**kwargs, "device": "meta"} if name == "_to_copy" else kwargs)
        first = meta[0] if isinstance(meta, tuple) else meta
        value = TRANSLATIONS[name](Call(graph, args, kwargs, first))
        symbol = Symbol.make(graph, value, first)
        return (symbol, *meta[1:]) if isinstance(meta, tuple) else symbol


def _leaves(value: Any) -> list[Any]:
    return [leaf for item in value for leaf in _leaves(item)] if isinstance(value, list | tuple) else [value]


def _as_meta(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return type(value)(_as_meta(item) for item in value)
    if isinstance(value, Symbol):
        return value.meta
    return value.to("meta") if isinstance(value, Tensor) else value


@dataclass(frozen=True, slots=True)
class Call:
    """One operator call that touches a symbol."""

    graph: Graph
    args: tuple[Any, ...]
    options: dict[str, Any]
    result: Tensor  # shape and dtype of the (first) result, no data

    def arg(self, index: int, default: Any = None) -> Any:
        return self.args[index] if index < len(self.args) else default

    def value(self, index: int) -> str:
        """Name of argument `index`; numbers take the dtype of the result."""
        argument = self.args[index]
        if isinstance(argument, Symbol):
            return argument.value
        if isinstance(argument, Tensor):
            return self.graph.constant(argument.detach().cpu().numpy())
        return self.graph.constant(torch.tensor(argument, dtype=self.result.dtype).numpy())

    def add(self, operator: str, *inputs: str, **attributes: Any) -> str:
        return self.graph.add(operator, inputs, **attributes)


def _scaled(call: Call) -> str:
    """The second operand of add and sub, times their `alpha`."""
    if call.options.get("alpha", 1) != 1:
        raise TypeError("add and sub with alpha have no translation to ONNX; multiply before")
    return call.value(1)


def _axes(call: Call, index: int) -> list[int]:
    axes = call.args[index]
    return [int(axis) for axis in (axes if isinstance(axes, list | tuple) else [axes])]


def _power(call: Call) -> str:
    if call.args[1] == 2:
        return call.add("Mul", call.value(0), call.value(0))
    return call.add("Pow", call.value(0), call.value(1))


def _reduce(operator: str) -> Callable[[Call], str]:
    def translate(call: Call) -> str:
        keep = int(call.arg(2, False))
        axes = _axes(call, 1)
        if operator == "ReduceSum":  # took its axes as an input earlier than the other reductions
            return call.add(operator, call.value(0), call.graph.shape(axes), keepdims=keep)
        return call.add(operator, call.value(0), axes=axes, keepdims=keep)

    return translate


def _unary(operator: str) -> Callable[[Call], str]:
    return lambda call: call.add(operator, call.value(0))


def _binary(operator: str) -> Callable[[Call], str]:
    return lambda call: call.add(operator, call.value(0), call.value(1))


def _clamp(call: Call) -> str:
    bounds = []
    for index in (1, 2):
        bound = call.arg(index)
        dtype = call.result.dtype
        bounds.append("" if bound is None else call.graph.constant(torch.tensor(bound, dtype=dtype).numpy()))
    return call.add("Clip", call.value(0), *bounds)


def _convolution(call: Call) -> str:
    stride, padding, dilation, transposed, output_padding, groups = call.args[3:9]
    inputs = [call.value(0), call.value(1)] + ([call.value(2)] if call.args[2] is not None else [])
    attributes = {
        "kernel_shape": list(call.args[1].shape[2:]),
        "strides": list(stride),
        "pads": list(padding) * 2,
        "dilations": list(dilation),
        "group": groups,
    }
    if transposed:
        return call.add("ConvTranspose", *inputs, output_padding=list(output_padding), **attributes)
    return call.add("Conv", *inputs, **attributes)


def _max_pool(call: Call) -> str:
    kernel, stride, padding, dilation = (
        list(call.arg(index, default)) for index, default in ((1, ()), (2, ()), (3, (0, 0)), (4, (1, 1)))
    )
    if call.arg(5, False):
        raise TypeError("max_pool2d with ceil_mode has no translation to ONNX; pad before")
    attributes = {
        "kernel_shape": kernel,
        "strides": stride or kernel,
        "pads": padding * 2,
        "dilations": dilation,
    }
    return call.add("MaxPool", call.value(0), **attributes)


def _average_pool(call: Call) -> str:
    kernel, stride, padding = (list(call.arg(i, default)) for i, default in ((1, ()), (2, ()), (3, (0, 0))))
    if any(padding) or call.arg(4, False):
        raise TypeError("avg_pool2d with padding or ceil_mode has no translation to ONNX; pad before")
    return call.add("AveragePool", call.value(0), kernel_shape=kernel, strides=stride or kernel)


def _adaptive_pool(call: Call) -> str:
    """As products with a matrix an axis: cells may overlap, which no pooling of ONNX does."""
    (height, width), (rows, columns) = call.args[0].shape[2:], call.args[1]
    across = call.graph.constant(_cells(width, columns).T)
    down = call.add("MatMul", call.graph.constant(_cells(height, rows)), call.value(0))  # (N, C, rows, W)
    return call.add("MatMul", down, across)


def _cells(size: int, count: int) -> NDArray[np.float32]:
    """(count, size) means of the pixels from floor(i size / count) up to ceil((i + 1) size / count)."""
    means = np.zeros((count, size), np.float32)
    for cell in range(count):
        start, end = cell * size // count, -(-(cell + 1) * size // count)
        means[cell, start:end] = 1 / (end - start)
    return means


def _pad(call: Call) -> str:
    if call.arg(2, 0):
        raise TypeError("padding by other numbers than 0 has no translation to ONNX; add them before")
    pairs = list(zip(call.args[1][::2], call.args[1][1::2], strict=True))[::-1]  # of the last axes
    pairs = [(0, 0)] * (call.result.ndim - len(pairs)) + pairs
    return call.add("Pad", call.value(0), call.graph.shape([*(a for a, _ in pairs), *(b for _, b in pairs)]))


def _addmm(call: Call) -> str:
    return call.add("Gemm", call.value(1), call.value(2), call.value(0))


def _batch_norm(call: Call) -> str:
    inputs = [call.value(0), call.value(1), call.value(2), call.value(3), call.value(4)]
    return call.add("BatchNormalization", *inputs, epsilon=float(call.args[-1]))


def _transpose(call: Call) -> str:
    order = list(range(call.result.ndim))
    a, b = (call.args[1], call.args[2]) if len(call.args) > 1 else (0, 1)
    order[a], order[b] = order[b], order[a]
    return call.add("Transpose", call.value(0), perm=order)


def _view(call: Call) -> str:
    sizes, before = list(call.result.shape), call.args[0].shape
    if before and sizes and before[0] == sizes[0] == FREE:
        sizes[0] = 0  # ONNX: as it is
    sizes = [-1 if size and size % FREE == 0 else size for size in sizes]
    return call.add("Reshape", call.value(0), call.graph.shape(sizes))


def _expand(call: Call) -> str:
    before = call.args[0].shape
    after = call.result.shape
    grown = [
        1 if old == new else new
        for old, new in zip((1,) * (len(after) - len(before)) + before, after, strict=True)
    ]
    return call.add("Expand", call.value(0), call.graph.shape(grown))


def _slice(call: Call) -> str:
    axis, start, end, step = (call.arg(i, d) for i, d in ((1, 0), (2, 0), (3, None), (4, 1)))
    bounds = [start or 0, np.iinfo(np.int64).max if end is None else end]
    return call.add("Slice", call.value(0), *(call.graph.shape([v]) for v in (*bounds, axis, step)))


def _select(call: Call) -> str:
    return call.add(
        "Gather", call.value(0), call.graph.constant(np.array(call.args[2], np.int64)), axis=call.args[1]
    )


def _unsqueeze(call: Call) -> str:
    return call.add("Unsqueeze", call.value(0), call.graph.shape(_axes(call, 1)))


def _squeeze(call: Call) -> str:
    return call.add("Squeeze", call.value(0), call.graph.shape(_axes(call, 1)))


def _concatenate(call: Call) -> str:
    names = [
        part.value if isinstance(part, Symbol) else call.graph.constant(part.detach().cpu().numpy())
        for part in call.args[0]
    ]
    return call.add("Concat", *names, axis=call.arg(1, 0))


def _stack(call: Call) -> str:
    axis = call.graph.shape([call.arg(1, 0)])
    rows = [call.add("Unsqueeze", part.value, axis) for part in call.args[0]]
    return call.add("Concat", *rows, axis=call.arg(1, 0))


def _bilinear(call: Call) -> str:
    mode = "align_corners" if call.args[2] else "half_pixel"
    scales = [
        1.0,
        1.0,
        *(new / old for new, old in zip(call.result.shape[2:], call.args[0].shape[2:], strict=True)),
    ]
    scale = call.graph.constant(np.array(scales, np.float32))
    return call.add("Resize", call.value(0), "", scale, mode="linear", coordinate_transformation_mode=mode)


def _pixel_shuffle(call: Call) -> str:
    return call.add("DepthToSpace", call.value(0), blocksize=int(call.args[1]), mode="CRD")


def _cast(call: Call) -> str:
    return call.add("Cast", call.value(0), to=ONNX_DTYPES[call.result.dtype])


TRANSLATIONS: dict[str, Callable[[Call], str]] = {
    "add": lambda call: call.add("Add", call.value(0), _scaled(call)),
    "sub": lambda call: call.add("Sub", call.value(0), _scaled(call)),
    "mul": _binary("Mul"),
    "div": _binary("Div"),
    "mm": _binary("MatMul"),
    "bmm": _binary("MatMul"),
    "addmm": _addmm,
    "abs": _unary("Abs"),
    "relu": _unary("Relu"),
    "sigmoid": _unary("Sigmoid"),
    "tanh": _unary("Tanh"),
    "floor": _unary("Floor"),
    "sin": _unary("Sin"),
    "sqrt": _unary("Sqrt"),
    "rsqrt": lambda call: call.add("Reciprocal", call.add("Sqrt", call.value(0))),
    "pow": _power,
    "sum": _reduce("ReduceSum"),
    "mean": _reduce("ReduceMean"),
    "amax": _reduce("ReduceMax"),
    "clamp": _clamp,
    "leaky_relu": lambda call: call.add("LeakyRelu", call.value(0), alpha=float(call.arg(1, 0.01))),
    "_prelu_kernel": lambda call: call.add("PRelu", call.value(0), call.value(1)),
    "convolution": _convolution,
    "max_pool2d_with_indices": _max_pool,
    "avg_pool2d": _average_pool,
    "_adaptive_avg_pool2d": _adaptive_pool,
    "constant_pad_nd": _pad,
    "native_batch_norm": _batch_norm,
    "_native_batch_norm_legit_no_training": _batch_norm,
    "upsample_bilinear2d": _bilinear,
    "pixel_shuffle": _pixel_shuffle,
    "t": _transpose,
    "transpose": _transpose,
    "permute": lambda call: call.add("Transpose", call.value(0), perm=list(call.args[1])),
    "view": _view,
    "_unsafe_view": _view,
    "expand": _expand,
    "slice": _slice,
    "select": _select,
    "unsqueeze": _unsqueeze,
    "squeeze": _squeeze,
    "cat": _concatenate,
    "stack": _stack,
    "_to_copy": _cast,
    "alias": lambda call: call.value(0),
    "detach": lambda call: call.value(0),
    "clone": lambda call: call.value(0),
}


def record(
    network: Callable[..., Any], inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec], *, title: str
) -> onnx.ModelProto:
    """The graph of `network`, whose positional arguments are `inputs` and whose results are `outputs`."""
    graph = Graph()
    symbols = []
    for spec in inputs:
        sizes = [FREE if isinstance(size, str) else size for size in spec.shape]
        meta = torch.empty(sizes, dtype=getattr(torch, spec.dtype), device="meta")
        symbols.append(Symbol.make(graph, spec.name, meta))
    with torch.no_grad():
        results = network(*symbols)
    results = results if isinstance(results, tuple) else (results,)
    for spec, result in zip(outputs, results, strict=True):
        if not isinstance(result, Symbol):
            raise TypeError(f"output {spec.name} does not depend on the inputs")
        graph.publish(result.value, spec.name)
    body = helper.make_graph(
        graph.nodes,
        title,
        [_value(s) for s in inputs],
        [_value(s) for s in outputs],
        list(graph.constants.values()),
    )
    opset = helper.make_opsetid("", OPSET)
    return helper.make_model(body, opset_imports=[opset], ir_version=IR_VERSION, producer_name="facepuppet")


def _value(spec: TensorSpec) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(spec.name, ONNX_DTYPES[getattr(torch, spec.dtype)], list(spec.shape))

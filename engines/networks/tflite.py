# SPDX-License-Identifier: MIT
"""Small TFLite networks in torch, so that gradients pass through them. Knows not what a network is for.

A file is read as data only: tables of offsets, never code. Tensors keep TFLite's (N, H, W, C) order; the
batch may be larger than the file's.
"""

import math
import struct
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from face.errors import ModelUnavailable

# BuiltinOperator numbers of TFLite's schema, those that the networks in use have.
OPERATORS = {
    0: "add", 2: "concatenation", 3: "conv", 4: "depthwise", 6: "dequantize", 14: "logistic", 17: "max_pool",
    18: "mul", 22: "reshape", 34: "pad", 39: "transpose", 40: "mean", 41: "sub", 42: "div", 45:
    "strided_slice", 54: "prelu", 59: "neg", 74: "sum", 75: "sqrt", 76: "rsqrt", 99: "squared_difference",
}  # fmt: skip
DTYPES = {0: np.float32, 1: np.float16, 2: np.int32}


@dataclass(frozen=True, slots=True)
class Step:
    """One operator: its name, the tensors it reads and makes, the numbers that set it."""

    name: str
    reads: tuple[int, ...]
    makes: int
    settings: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Graph:
    """A network as the file holds it."""

    constants: dict[int, NDArray[np.generic]]
    steps: tuple[Step, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


# Settings by operator: field of its options table, how it is packed, the default.
SETTINGS: dict[str, tuple[tuple[int, str, int], ...]] = {
    "conv": ((0, "b", 0), (1, "i", 0), (2, "i", 0), (3, "b", 0), (4, "i", 1), (5, "i", 1)),
    "depthwise": ((0, "b", 0), (1, "i", 0), (2, "i", 0), (4, "b", 0), (5, "i", 1), (6, "i", 1)),
    "max_pool": ((0, "b", 0), (1, "i", 0), (2, "i", 0), (3, "i", 0), (4, "i", 0), (5, "b", 0)),
    "concatenation": ((0, "i", 0), (1, "b", 0)),
    "mean": ((0, "?", 0),),
    "sum": ((0, "?", 0),),
    "strided_slice": ((0, "i", 0), (1, "i", 0), (2, "i", 0), (3, "i", 0), (4, "i", 0)),
    "add": ((0, "b", 0),),
    "sub": ((0, "b", 0),),
    "mul": ((0, "b", 0),),
    "div": ((0, "b", 0),),
}


def read_graph(content: bytes) -> Graph:
    """The only subgraph of a TFLite file; raises ModelUnavailable for anything else."""
    try:
        if content[4:8] != b"TFL3":
            raise ValueError("no TFL3 mark")
        return _Reader(content).graph()
    except (struct.error, ValueError, KeyError, IndexError) as error:
        raise ModelUnavailable(
            f"a TFLite network cannot be read ({error}); reinstall the package that holds it"
        ) from error


class _Reader:
    """Tables of a flat buffer; positions are bytes from its start."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    def graph(self) -> Graph:
        model = self._offset(0)
        codes = [self._code(table) for table in self._tables(model, 1)]
        buffers = self._tables(model, 4)
        subgraphs = self._tables(model, 2)
        if len(subgraphs) != 1:
            raise ValueError(f"{len(subgraphs)} subgraphs, expected 1")
        constants = {}
        for index, tensor in enumerate(self._tables(subgraphs[0], 0)):
            data = self._bytes(buffers[self._number(tensor, 2, "I", 0)], 0)
            if data:
                dtype = DTYPES[self._number(tensor, 1, "b", 0)]
                constants[index] = np.frombuffer(data, dtype).reshape(self._integers(tensor, 0))
        steps = tuple(self._step(table, codes) for table in self._tables(subgraphs[0], 3))
        return Graph(
            constants, steps, tuple(self._integers(subgraphs[0], 1)), tuple(self._integers(subgraphs[0], 2))
        )

    def _step(self, table: int, codes: list[int]) -> Step:
        name = OPERATORS[codes[self._number(table, 0, "I", 0)]]
        at = self._field(table, 4)
        settings = SETTINGS.get(name, ())
        options = self._offset(at) if at and settings else 0
        values = tuple(
            int(self._number(options, field, kind, default)) if options else default
            for field, kind, default in settings
        )
        (makes,) = self._integers(table, 2)
        return Step(name, tuple(self._integers(table, 1)), makes, values)

    def _code(self, table: int) -> int:
        return max(self._number(table, 0, "b", 0), self._number(table, 3, "i", 0))

    def _unpack(self, kind: str, at: int) -> int:
        value: int = struct.unpack_from("<" + kind, self._content, at)[0]
        return value

    def _offset(self, at: int) -> int:
        return at + self._unpack("I", at)

    def _field(self, table: int, field: int) -> int:
        """Where a field lies, 0 when it is left out."""
        layout = table - self._unpack("i", table)
        if 4 + 2 * field >= self._unpack("H", layout):
            return 0
        inside = self._unpack("H", layout + 4 + 2 * field)
        return table + inside if inside else 0

    def _number(self, table: int, field: int, kind: str, default: int) -> int:
        at = self._field(table, field)
        return self._unpack(kind, at) if at else default

    def _tables(self, table: int, field: int) -> list[int]:
        start, length = self._vector(table, field)
        return [self._offset(start + 4 * index) for index in range(length)]

    def _integers(self, table: int, field: int) -> list[int]:
        start, length = self._vector(table, field)
        return list(struct.unpack_from(f"<{length}i", self._content, start))

    def _bytes(self, table: int, field: int) -> bytes:
        start, length = self._vector(table, field)
        if start + length > len(self._content):
            raise ValueError("a tensor reaches beyond the end of the file")
        return self._content[start : start + length]

    def _vector(self, table: int, field: int) -> tuple[int, int]:
        at = self._field(table, field)
        if not at:
            return 0, 0
        start = self._offset(at)
        return start + 4, self._unpack("I", start)


class TfliteNetwork(nn.Module):
    """A graph as a module: float32 (N, H, W, C) inputs to its outputs, in the file's order. Frozen."""

    def __init__(self, graph: Graph) -> None:
        super().__init__()
        self._steps, self._names = graph.steps, graph.inputs
        self._outputs = graph.outputs
        self._integers = {
            index: tuple(int(v) for v in np.atleast_1d(value).ravel())
            for index, value in graph.constants.items()
            if value.dtype == np.int32
        }
        for index, value in graph.constants.items():
            if value.dtype != np.int32:
                self.register_buffer(f"t{index}", torch.from_numpy(value.astype(np.float32)))

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        values: dict[int, Tensor] = dict(zip(self._names, inputs, strict=True))
        for step in self._steps:
            read = [values[i] if i in values else getattr(self, f"t{i}", None) for i in step.reads if i >= 0]
            plain = self._integers.get(step.reads[-1], ()) if len(step.reads) > 1 else ()
            if step.name == "strided_slice":
                shape = [self._integers[i] for i in step.reads[1:]]
                values[step.makes] = _strided_slice(read[0], shape, step.settings)
            elif step.name in PLAIN:
                values[step.makes] = PLAIN[step.name](read[0], plain, step.settings)
            else:
                values[step.makes] = FLOATING[step.name](read, step.settings)
        return tuple(values[index] for index in self._outputs)


Read = list[Tensor]
Settings = tuple[int, ...]


def _activated(x: Tensor, kind: int) -> Tensor:
    if kind not in (0, 1, 3):
        raise ValueError(f"fused activation {kind}, expected none, relu or relu6")
    return x if kind == 0 else functional.relu(x) if kind == 1 else functional.relu6(x)


def _padded(x: Tensor, kernel: tuple[int, int], settings: Settings, fill: float = 0.0) -> Tensor:
    """(N, C, H, W) padded as TFLite's SAME does: the odd pixel at the end."""
    valid, stride_x, stride_y = settings[:3]
    if valid:
        return x
    (height, width) = x.shape[2:]
    across = max((math.ceil(width / stride_x) - 1) * stride_x + kernel[1] - width, 0)
    down = max((math.ceil(height / stride_y) - 1) * stride_y + kernel[0] - height, 0)
    if not across and not down:
        return x
    return functional.pad(x, [across // 2, across - across // 2, down // 2, down - down // 2], value=fill)


def _convolved(read: Read, settings: Settings, depthwise: bool) -> Tensor:
    x, weight = read[0].permute(0, 3, 1, 2), read[1]
    if settings[4:6] != (1, 1):
        raise ValueError(f"dilation {settings[4:6]}, expected none")
    # (O, H, W, I) or, by channel, (1, H, W, O) to torch's (O, I or 1, H, W)
    weight = weight.permute(3, 0, 1, 2) if depthwise else weight.permute(0, 3, 1, 2)
    x = _padded(x, (weight.shape[2], weight.shape[3]), settings)
    groups = x.shape[1] if depthwise else 1
    y = functional.conv2d(x, weight, read[2], stride=(settings[2], settings[1]), groups=groups)
    return _activated(y.permute(0, 2, 3, 1), settings[3])


def _pooled(read: Read, settings: Settings) -> Tensor:
    kernel = (settings[4], settings[3])
    x = _padded(read[0].permute(0, 3, 1, 2), kernel, settings, fill=-math.inf)
    y = functional.max_pool2d(x, kernel, (settings[2], settings[1])).permute(0, 2, 3, 1)
    return _activated(y, settings[5])


def _prelu(read: Read, settings: Settings) -> Tensor:
    x, slope = read  # slope by channel, (1, 1, C)
    return functional.prelu(x.permute(0, 3, 1, 2), slope.flatten()).permute(0, 2, 3, 1)


def _strided_slice(x: Tensor, where: list[tuple[int, ...]], settings: Settings) -> Tensor:
    begin, end, stride = where
    begin_mask, end_mask, ellipsis, new_axis, shrink = settings
    if ellipsis or new_axis or any(step < 1 for step in stride):
        raise ValueError("a strided slice of a kind that is not read here")
    index: list[slice | int] = []
    for axis, (first, last, step) in enumerate(zip(begin, end, stride, strict=True)):
        if shrink >> axis & 1:
            index.append(first)
        else:
            index.append(
                slice(None if begin_mask >> axis & 1 else first, None if end_mask >> axis & 1 else last, step)
            )
    index[0] = slice(None)  # the whole batch, however large
    return x[tuple(index)]


def _reshape(x: Tensor, shape: tuple[int, ...], settings: Settings) -> Tensor:
    """The file is written for one sample: what is one there is the batch here."""
    return x.reshape(x.shape[0], *shape[1:]) if len(shape) > 1 else x.reshape(x.shape[0], -1)


def _reduced(reduce: Callable[..., Tensor]) -> Callable[[Tensor, tuple[int, ...], Settings], Tensor]:
    return lambda x, axes, settings: reduce(x, dim=axes, keepdim=bool(settings[0]))


def _pad(x: Tensor, amounts: tuple[int, ...], settings: Settings) -> Tensor:
    """Amounts are before and after, axis by axis; torch wants the last axis first."""
    pairs = [list(amounts[i : i + 2]) for i in range(0, len(amounts), 2)]
    return functional.pad(x, [amount for pair in reversed(pairs) for amount in pair])


# Operators whose last input is a list of whole numbers, and those of tensors alone.
PLAIN: dict[str, Callable[[Tensor, tuple[int, ...], Settings], Tensor]] = {
    "reshape": _reshape,
    "transpose": lambda x, axes, _: x.permute(axes),
    "mean": _reduced(torch.mean),
    "sum": _reduced(torch.sum),
    "pad": _pad,
}
FLOATING: dict[str, Callable[[Read, Settings], Tensor]] = {
    "dequantize": lambda read, _: read[0],
    "conv": lambda read, settings: _convolved(read, settings, False),
    "depthwise": lambda read, settings: _convolved(read, settings, True),
    "max_pool": _pooled,
    "prelu": _prelu,
    "add": lambda read, settings: _activated(read[0] + read[1], settings[0]),
    "sub": lambda read, settings: _activated(read[0] - read[1], settings[0]),
    "mul": lambda read, settings: _activated(read[0] * read[1], settings[0]),
    "div": lambda read, settings: _activated(read[0] / read[1], settings[0]),
    "squared_difference": lambda read, _: (read[0] - read[1]).square(),
    "neg": lambda read, _: -read[0],
    "sqrt": lambda read, _: read[0].sqrt(),
    "rsqrt": lambda read, _: read[0].rsqrt(),
    "logistic": lambda read, _: read[0].sigmoid(),
    "concatenation": lambda read, settings: torch.cat(
        [x.expand(max(y.shape[0] for y in read), *x.shape[1:]) for x in read], dim=settings[0]
    ),
}

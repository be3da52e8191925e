# SPDX-License-Identifier: MIT
"""A float32 graph once more with fewer multiplications, for ONNX Runtime on a CPU. Knows no network.

Dense 3x3 convolutions become Winograd's F(4x4, 3x3) (Lavin and Gray 2016) in plain operators: tiles of 6x6 by
one strided convolution, 36 matrix products instead of 144 multiplications for 16 pixels, back to tiles of 4x4
by rows and by columns, and two moves of one axis that put them side by side. Rounding is thirty times that of
the plain form, 1e-5 of the largest value. Transformed kernels take four times the memory; the graph keeps the
plain ones, the runtime transforms them once, at opening.
"""

from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from export.passes import with_fewer_passes
from export.phases import with_phases

TILE, PIXELS = 6, 4
LEAST_CHANNELS, LEAST_PX = 64, 16  # below, moving tiles costs what the multiplications save: measured

_INPUT = np.array(
    [
        [4, 0, -5, 0, 1, 0],
        [0, -4, -4, 1, 1, 0],
        [0, 4, -4, -1, 1, 0],
        [0, -2, -1, 2, 1, 0],
        [0, 2, -1, -2, 1, 0],
        [0, 4, 0, -5, 0, 1],
    ],
    np.float64,
)
_KERNEL = np.array(
    [
        [1 / 4, 0, 0],
        [-1 / 6, -1 / 6, -1 / 6],
        [-1 / 6, 1 / 6, -1 / 6],
        [1 / 24, 1 / 12, 1 / 6],
        [1 / 24, -1 / 12, 1 / 6],
        [0, 0, 1],
    ],
    np.float64,
)
_OUTPUT = np.array(
    [[1, 1, 1, 1, 1, 0], [0, 1, -1, 2, -2, 0], [0, 1, 1, 4, 4, 0], [0, 1, -1, 8, -8, 1]], np.float64
)


def winograd_graph(graph: Path, out: Path) -> int:
    """Write the graph with fewer passes and its larger convolutions rewritten; how many there were."""
    model = onnx.load(graph)
    inferred = onnx.shape_inference.infer_shapes(model).graph
    shapes = {v.name: [d.dim_value for d in v.type.tensor_type.shape.dim] for v in inferred.value_info}
    rewritten = with_phases(model, shapes)
    with_fewer_passes(model, shapes)
    weights = {constant.name: constant for constant in model.graph.initializer}
    nodes: list[onnx.NodeProto] = []
    constants: dict[str, NDArray[np.generic]] = {}
    for node in model.graph.node:
        if _worth_it(node, weights, shapes):
            kernel = numpy_helper.to_array(weights[node.input[1]])
            nodes += _rewritten(node, kernel, shapes[node.output[0]][-1], constants)
            rewritten += 1
        else:
            nodes.append(node)
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    model.graph.initializer.extend(numpy_helper.from_array(v, name) for name, v in constants.items())
    used = {name for node in model.graph.node for name in node.input}
    for constant in [c for c in model.graph.initializer if c.name not in used]:
        model.graph.initializer.remove(constant)
    onnx.checker.check_model(model)
    onnx.save_model(model, out)
    return rewritten


def _worth_it(
    node: onnx.NodeProto, weights: dict[str, onnx.TensorProto], shapes: dict[str, list[int]]
) -> bool:
    if node.op_type != "Conv" or len(node.input) != 2 or node.input[1] not in weights:
        return False
    given = {attribute.name: attribute for attribute in node.attribute}
    size = shapes.get(node.output[0], [0])
    return (
        list(weights[node.input[1]].dims[2:]) == [3, 3]
        and given["group"].i == 1
        and list(given["strides"].ints) == [1, 1]
        and list(given["pads"].ints) == [1, 1, 1, 1]
        and min(weights[node.input[1]].dims[:2]) >= LEAST_CHANNELS
        and len(size) == 4
        and size[0] == 1
        and size[2] == size[3] >= LEAST_PX
        and size[2] % PIXELS == 0
    )


def _rewritten(
    node: onnx.NodeProto, kernel: NDArray[np.float32], size: int, constants: dict[str, NDArray[np.generic]]
) -> list[onnx.NodeProto]:
    outputs, inputs = kernel.shape[:2]
    tiles, points = size // PIXELS, TILE * TILE
    own, square = node.name, np.einsum
    into = square("ia,jb->ijab", _INPUT, _INPUT).reshape(points, 1, TILE, TILE).astype(np.float32)
    turn = square("ia,jb->ijab", _KERNEL, _KERNEL).reshape(points, 9).astype(np.float32)
    constants |= {
        "winograd_input": into,
        "winograd_output": _OUTPUT.astype(np.float32),
        "winograd_kernel": turn,
        f"{own}_kernel": kernel.reshape(outputs * inputs, 9).T.copy(),
        f"{own}_kernel_shape": np.array([points, outputs, inputs]),
        f"{own}_planes": np.array([inputs, 1, size, size]),
        f"{own}_tiles": np.array([inputs, points, tiles**2]),
        f"{own}_by_rows": np.array([TILE, TILE * outputs * tiles**2]),
        f"{own}_by_columns": np.array([PIXELS, TILE, outputs * tiles**2]),
        f"{own}_line_shape": np.array([PIXELS, outputs * tiles, size]),
        f"{own}_image": np.array([1, outputs, size, size]),
    }

    def step(operator: str, given: list[str], made: str, **attributes: object) -> onnx.NodeProto:
        names = [name if name in constants or name == node.input[0] else f"{own}_{name}" for name in given]
        result = node.output[0] if made == "out" else f"{own}_{made}"
        return helper.make_node(operator, names, [result], name=f"{own}_{operator}_{made}", **attributes)

    pads, sides = [1, 1, 1, 1], [PIXELS, PIXELS]
    return [
        step("MatMul", ["winograd_kernel", f"{own}_kernel"], "turned"),
        step("Reshape", ["turned", f"{own}_kernel_shape"], "ready"),  # (36, O, I): folded at opening
        step("Reshape", [node.input[0], f"{own}_planes"], "plane"),
        step("Conv", ["plane", "winograd_input"], "tile", pads=pads, strides=sides, kernel_shape=[TILE] * 2),
        step("Reshape", ["tile", f"{own}_tiles"], "flat"),  # (I, 36, T)
        step("Transpose", ["flat"], "points", perm=[1, 0, 2]),
        step("MatMul", ["ready", "points"], "product"),  # (36, O, T)
        step("Reshape", ["product", f"{own}_by_rows"], "tall"),
        step("MatMul", ["winograd_output", "tall"], "rows"),  # (4, 6 O T)
        step("Reshape", ["rows", f"{own}_by_columns"], "wide"),
        step("MatMul", ["winograd_output", "wide"], "pixels"),  # (4, 4, O T)
        step("Transpose", ["pixels"], "columns", perm=[0, 2, 1]),  # row in the tile; O, T, column in it
        step("Reshape", ["columns", f"{own}_line_shape"], "lines"),
        step("Transpose", ["lines"], "sides", perm=[1, 0, 2]),
        step("Reshape", ["sides", f"{own}_image"], "out"),
    ]

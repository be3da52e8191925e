# SPDX-License-Identifier: MIT
"""Up-convolutions by their four phases, for ONNX Runtime on a CPU. Knows operators, no network.

A transposed 3x3 convolution of stride 2 gives its even and its odd rows and columns their own few taps: 2x2,
2x1, 1x2 and 1x1 of them, at the size of its input. As four plain convolutions they run in the runtime's
blocked layout, without the nine products a pixel that a transposed convolution writes out and gathers; two
moves of one axis put the phases side by side. The same multiplications, the same rounding.
"""

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

LEAST_PX = 16
BLOCK = 16  # channels of the blocked layout
CHANNELS_A_PIXEL = 2  # of the input's side, at least: with fewer, moves cost what they save; measured
TAPS = ((2, 0), (1,))  # of the even and the odd rows, in the order that a plain convolution reads them


def with_phases(model: onnx.ModelProto, shapes: dict[str, list[int]]) -> int:
    """Rewrite the model's up-convolutions in place, where that pays; how many there were."""
    weights = {constant.name: constant for constant in model.graph.initializer}
    readers: dict[str, list[onnx.NodeProto]] = {}
    for node in model.graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(node)
    nodes: list[onnx.NodeProto] = []
    constants: dict[str, NDArray[np.generic]] = {}
    rewritten = 0
    for node in model.graph.node:
        blurs = readers.get(node.output[0], [])
        if _worth_it(node, weights, shapes) and len(blurs) == 1 and _is_blur(blurs[0], weights):
            kernel = numpy_helper.to_array(weights[node.input[1]])
            nodes += _rewritten(node, kernel, shapes[node.input[0]][-1], constants)
            pads = next(attribute for attribute in blurs[0].attribute if attribute.name == "pads")
            pads.ints[:] = [1, 1, 0, 0]  # the last row and column of what it reads are zeros
            rewritten += 1
        else:
            nodes.append(node)
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    model.graph.initializer.extend(numpy_helper.from_array(v, name) for name, v in constants.items())
    return rewritten


def _worth_it(
    node: onnx.NodeProto, weights: dict[str, onnx.TensorProto], shapes: dict[str, list[int]]
) -> bool:
    if node.op_type != "ConvTranspose" or len(node.input) != 2 or node.input[1] not in weights:
        return False
    given = {attribute.name: attribute for attribute in node.attribute}
    inputs, outputs, *taps = weights[node.input[1]].dims
    size = shapes.get(node.input[0], [0])
    return (
        taps == [3, 3]
        and given["group"].i == 1
        and list(given["strides"].ints) == [2, 2]
        and not any(given["pads"].ints)
        and not any(given["output_padding"].ints)
        and inputs % BLOCK == outputs % BLOCK == 0
        and len(size) == 4
        and size[0] == 1
        and size[2] == size[3] >= LEAST_PX
        and inputs >= CHANNELS_A_PIXEL * size[2]
    )


def _is_blur(node: onnx.NodeProto, weights: dict[str, onnx.TensorProto]) -> bool:
    given = {attribute.name: attribute for attribute in node.attribute}
    return (
        node.op_type == "Conv"
        and node.input[1] in weights
        and weights[node.input[1]].dims[1] == 1
        and given["group"].i > 1
        and list(given["strides"].ints) == [1, 1]
        and list(given["pads"].ints) == [1, 1, 1, 1]
    )


def _rewritten(
    node: onnx.NodeProto, kernel: NDArray[np.float32], size: int, constants: dict[str, NDArray[np.generic]]
) -> list[onnx.NodeProto]:
    own, outputs, side = node.name, kernel.shape[1], size + 1
    nodes, phases = [], []
    for x, columns in enumerate(TAPS):
        for y, rows in enumerate(TAPS):
            phases.append(f"{own}_phase{y}{x}")
            taps = np.ascontiguousarray(kernel[:, :, rows][:, :, :, columns].swapaxes(0, 1))
            constants[f"{phases[-1]}_kernel"] = taps
            nodes.append(
                helper.make_node(
                    "Conv",
                    [node.input[0], f"{phases[-1]}_kernel"],
                    [phases[-1]],
                    name=phases[-1],
                    kernel_shape=taps.shape[2:],
                    pads=[len(rows) - 1, len(columns) - 1, 1, 1],  # odd ones end with a row of zeros
                )
            )
    constants |= {
        f"{own}_columns": np.array([2, 2, outputs * side**2]),
        f"{own}_rows": np.array([2, outputs * side, 2 * side]),
        f"{own}_image": np.array([1, outputs, 2 * side, 2 * side]),
    }
    steps: tuple[tuple[str, list[str], str, dict[str, object]], ...] = (
        ("Concat", [], "phases", {"axis": 1}),  # column's phase, row's phase, channel
        ("Reshape", [f"{own}_columns"], "apart", {}),
        ("Transpose", [], "lines", {"perm": [1, 2, 0]}),  # row's phase; channel, row, column, its phase
        ("Reshape", [f"{own}_rows"], "long", {}),
        ("Transpose", [], "turned", {"perm": [1, 0, 2]}),
        ("Reshape", [f"{own}_image"], "out", {}),
    )
    given = phases
    for operator, more, made, attributes in steps:
        result = node.output[0] if made == "out" else f"{own}_{made}"
        nodes.append(
            helper.make_node(operator, [*given, *more], [result], name=f"{own}_{made}", **attributes)
        )
        given = [result]
    return nodes

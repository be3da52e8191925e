# SPDX-License-Identifier: MIT
"""A graph with fewer passes over its activations, for ONNX Runtime on a CPU. Knows operators, no network.

What one runtime call spends on a whole activation goes into numbers beside it: the gain after a leaky ReLU
into the clamp's bounds and the styles that follow, a style into the weights of the convolution that reads
it, a scale after a resampled convolution into its weights, two added constants into one. Equal but for
rounding.
"""

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

LARGEST_OFFSET = 1 << 22  # values, 16 MiB, of what two added constants may make
PAYS = 4  # times as many activations as weights: scaling weights each frame costs more than a plain pass
FEW = 4  # outputs of a 1x1 convolution that may lose its constant weights


class Passes:
    """One graph while it is rewritten."""

    def __init__(self, graph: onnx.GraphProto, shapes: dict[str, list[int]]) -> None:
        self.nodes = list(graph.node)
        self.shapes = shapes
        self.outputs = {value.name for value in graph.output}
        self.constants = {c.name: numpy_helper.to_array(c) for c in graph.initializer}
        self.made: dict[str, NDArray[np.generic]] = {}

    def rewrite(self) -> None:
        self.gains()
        self.styles()
        self.scales()
        self.offsets()

    def readers(self, name: str) -> list[onnx.NodeProto]:
        return [node for node in self.nodes if name in node.input]

    def maker(self, name: str) -> onnx.NodeProto | None:
        return next((node for node in self.nodes if name in node.output), None)

    def only_reader(self, name: str, operator: str) -> onnx.NodeProto | None:
        readers = self.readers(name)
        fits = len(readers) == 1 and readers[0].op_type == operator and name not in self.outputs
        return readers[0] if fits else None

    def channelwise(self, name: str) -> bool:
        shape = self.shapes.get(name, [])
        return name not in self.constants and len(shape) == 4 and [shape[0], *shape[2:]] == [1, 1, 1]

    def add(self, name: str, value: NDArray[np.generic]) -> str:
        self.constants[name] = self.made[name] = value
        return name

    def before(self, node: onnx.NodeProto, new: onnx.NodeProto) -> str:
        self.nodes.insert(self.nodes.index(node), new)
        return str(new.output[0])

    def drop(self, node: onnx.NodeProto, kept: str) -> None:
        """Everyone who read the node reads `kept`."""
        self.nodes.remove(node)
        for reader in self.readers(node.output[0]):
            reader.input[:] = [kept if name == node.output[0] else name for name in reader.input]

    def gains(self) -> None:
        """LeakyRelu, times a number, [Clip,] times a style each: the number joins the bounds and styles."""
        for leaky in [node for node in self.nodes if node.op_type == "LeakyRelu"]:
            gain = self.only_reader(leaky.output[0], "Mul")
            if gain is None or gain.input[1] not in self.constants:
                continue
            number = self.constants[gain.input[1]]
            clip = self.only_reader(gain.output[0], "Clip")
            last = gain if clip is None else clip
            readers = self.readers(last.output[0])
            ends = [reader.op_type == "Mul" and self.channelwise(reader.input[1]) for reader in readers]
            if number.size != 1 or number <= 0 or not all(ends) or last.output[0] in self.outputs:
                continue
            for reader in readers:
                style = f"{reader.name}_gained"
                self.shapes[style] = self.shapes[reader.input[1]]
                step = helper.make_node("Mul", [reader.input[1], gain.input[1]], [style], name=style)
                reader.input[1] = self.before(reader, step)
            if clip is not None:
                for place in (1, 2):
                    bound = self.constants[clip.input[place]] / number
                    clip.input[place] = self.add(f"{clip.name}_{place}", bound.astype(np.float32))
            self.drop(gain, leaky.output[0])

    def styles(self) -> None:
        """Times a style, then a convolution to few channels or a transposed one: the style joins weights."""
        for mul in [node for node in self.nodes if node.op_type == "Mul" and self.channelwise(node.input[1])]:
            conv = self.only_reader(mul.output[0], "Conv")
            few = conv is not None and self.is_few(conv)
            conv = conv if few else self.only_reader(mul.output[0], "ConvTranspose")
            if conv is None or not (few or self.pays(conv)):
                continue
            style = mul.input[1]
            if not few:
                turned = f"{mul.name}_turned"
                step = helper.make_node("Transpose", [style], [turned], name=turned, perm=[1, 0, 2, 3])
                style = self.before(conv, step)
            self.scale_weights(conv, style, f"{mul.name}_weights")
            self.drop(mul, mul.input[0])

    def scales(self) -> None:
        """A transposed convolution, a filter each channel, times a scale: the scale joins the weights."""
        for conv in [node for node in self.nodes if node.op_type == "ConvTranspose"]:
            blur = self.only_reader(conv.output[0], "Conv")
            mul = None if blur is None else self.only_reader(blur.output[0], "Mul")
            if blur is None or mul is None or not self.channelwise(mul.input[1]) or len(blur.input) != 2:
                continue
            channels = self.shapes[mul.input[1]][1]
            if not self.pays(conv) or self.constants[blur.input[1]].shape[:2] != (channels, 1):
                continue
            first = self.nodes.index(conv)
            for node in self.needed(mul.input[1], first):  # the scale is made between the two
                self.nodes.remove(node)
                self.nodes.insert(self.nodes.index(conv), node)
            self.scale_weights(conv, mul.input[1], f"{mul.name}_weights")
            self.drop(mul, blur.output[0])

    def offsets(self) -> None:
        """Two constants added one after the other: one, or the one a channel first, as a bias is fused."""
        for first in [node for node in self.nodes if node.op_type == "Add"]:
            second = self.only_reader(first.output[0], "Add") if first in self.nodes else None
            if second is None or not {first.input[1], second.input[1]} <= set(self.constants):
                continue
            maker = self.maker(first.input[0])
            if maker is not None and maker.op_type == "Conv":
                first.input[1], second.input[1] = second.input[1], first.input[1]
                continue
            shape = self.shapes.get(second.output[0], [])
            if np.prod(shape or [LARGEST_OFFSET + 1]) <= LARGEST_OFFSET:
                both = f"{second.name}_both"
                step = helper.make_node("Add", [first.input[1], second.input[1]], [both], name=both)
                second.input[1] = self.before(second, step)  # folded at opening
                self.drop(first, first.input[0])

    def is_few(self, conv: onnx.NodeProto) -> bool:
        weights = self.constants.get(conv.input[1])
        return weights is not None and weights.shape[0] <= FEW and weights.shape[2:] == (1, 1)

    def pays(self, conv: onnx.NodeProto) -> bool:
        weights = self.shapes.get(conv.input[1]) or list(self.constants[conv.input[1]].shape)
        activations = int(np.prod(self.shapes[conv.output[0]]))
        plain = next(a.i for a in conv.attribute if a.name == "group") == 1
        return plain and PAYS * int(np.prod(weights)) <= activations

    def needed(self, name: str, after: int) -> list[onnx.NodeProto]:
        """The nodes at `after` and later that make a value, in their order."""
        wanted, found = {name}, []
        for node in reversed(self.nodes[after:]):
            if wanted & set(node.output):
                found.append(node)
                wanted |= set(node.input)
        return found[::-1]

    def scale_weights(self, conv: onnx.NodeProto, by: str, made: str) -> None:
        weights = self.shapes.get(conv.input[1]) or list(self.constants[conv.input[1]].shape)
        self.shapes[made] = weights
        conv.input[1] = self.before(conv, helper.make_node("Mul", [conv.input[1], by], [made], name=made))


def with_fewer_passes(model: onnx.ModelProto, shapes: dict[str, list[int]]) -> None:
    """Rewrite the model's graph in place; `shapes` of its values, all static."""
    passes = Passes(model.graph, dict(shapes))
    passes.rewrite()
    del model.graph.node[:]
    model.graph.node.extend(passes.nodes)
    model.graph.initializer.extend(
        numpy_helper.from_array(value, name) for name, value in passes.made.items()
    )

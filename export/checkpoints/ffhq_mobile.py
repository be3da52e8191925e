# SPDX-License-Identifier: MIT
"""MobileStyleGAN FFHQ-1024 as the package `random-face` carries it: OpenVINO graphs to our own networks.

Knows that one pair of graphs, by their sha256; the package is located, never imported. The order of its
nodes is that of execution, so that the weights are found by what feeds what, not by name. Images of 256 and
512 pixels are made by heads of our own, from features the graph has on its way to 1024.
"""

import math
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray

from engines.ffhq_mobile import (
    HEADS,
    INSTALL,
    LICENCE,
    MAPPING,
    PACKAGE,
    SHA256,
    SYNTHESIS,
    VERSION,
    WEIGHTS,
    check_size,
    own_file,
)
from engines.model_folder import sha256_of
from engines.networks.mobile_stylegan import MobileHead, MobileSynthesis, cut_short
from engines.networks.store import load_network
from engines.networks.stylegan2 import Mapping, MappingConfig
from export.checkpoints.containers import OPENVINO
from export.checkpoints.imported import Arrays, Imported, built
from export.checkpoints.mobile_stylegan import MEAN_SAMPLES, set_mean, synthesis_of
from face.errors import BadCheckpoint

CURE = f"install it again: {INSTALL}"
LR_MULTIPLIER = 0.01  # any will do: the graph's weights carry theirs, ours is divided out again
Matrix = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Node:
    """One operator of a graph, its inputs in their order; `value` where it is a constant of floats."""

    operator: str
    inputs: tuple[str, ...]
    value: Matrix | None


class Graph:
    """The nodes of an IR pair by their id, in the order of execution."""

    def __init__(self, path: Path) -> None:
        raw = path.with_suffix(".bin").read_bytes()
        root = ElementTree.fromstring(path.read_bytes())
        sources: dict[str, dict[int, str]] = {}
        for edge in root.iter("edge"):
            target = sources.setdefault(edge.attrib["to-layer"], {})
            target[int(edge.attrib["to-port"])] = edge.attrib["from-layer"]
        self.nodes: dict[str, Node] = {}
        for layer in root.iter("layer"):
            inputs = sources.get(layer.attrib["id"], {})
            ordered = tuple(inputs[port] for port in sorted(inputs))
            node = Node(layer.attrib["type"], ordered, _constant(layer, raw))
            self.nodes[layer.attrib["id"]] = node

    def of(self, operator: str) -> list[Node]:
        return [node for node in self.nodes.values() if node.operator == operator]

    def only(self, shape: tuple[int, ...]) -> Matrix:
        """The one constant of that shape, for a batch of one."""
        values = [node.value for node in self.nodes.values() if node.value is not None]
        (found,) = (value for value in values if value.shape == (1, *shape))
        return found.reshape(shape)

    def inputs(self, node: Node) -> list[Node]:
        return [self.nodes[name] for name in node.inputs]

    def values(self, node: Node) -> list[Matrix]:
        """The constants among the inputs."""
        return [source.value for source in self.inputs(node) if source.value is not None]

    def consumer(self, node: Node, operator: str) -> Node:
        """The one node of that operator that reads this one."""
        name = next(name for name, other in self.nodes.items() if other is node)
        (found,) = (n for n in self.nodes.values() if name in n.inputs and n.operator == operator)
        return found


def is_graph(path: Path) -> bool:
    """Whether the file is an OpenVINO graph's description, of this generator or another."""
    try:
        with path.open("rb") as file:
            return file.read(len(OPENVINO)) == OPENVINO
    except OSError:
        return False


def read_ffhq_mobile(folder: Path, *, size: int = 1024) -> Imported:
    """Generator of that many pixels and mapping network of the four files there, each checked first."""
    check_size(size)
    for name, expected in SHA256.items():
        path = folder / name
        if not path.is_file():
            raise BadCheckpoint(f"{path} is missing, expected the files of {PACKAGE} {VERSION}; {CURE}")
        if sha256_of(path) != expected:
            raise BadCheckpoint(f"{name} is not that of {PACKAGE} {VERSION} (its sha256 differs); {CURE}")
    generator = _synthesis(Graph(folder / f"{SYNTHESIS}.xml"))
    notes = [f"psi pulls towards the mean of {MEAN_SAMPLES} fixed samples"]
    if size in HEADS:
        head = load_network(own_file(HEADS[size]), MobileHead)
        generator = cut_short(generator, head, size=size)
        notes.append(f"its image head for {size} px was trained here; see {WEIGHTS.name}/MODEL_CARD.md")
    mapping = _mapping(Graph(folder / f"{MAPPING}.xml"), generator.config.rows)
    return Imported(PACKAGE, LICENCE, {"generator": generator, "mapping": mapping}, tuple(notes))


def _constant(layer: ElementTree.Element, raw: bytes) -> Matrix | None:
    data = layer.find("data")
    if layer.attrib["type"] != "Const" or data is None or data.attrib["element_type"] != "f32":
        return None
    sizes = [int(size) for size in data.attrib["shape"].split(",") if size.strip()]
    values = np.frombuffer(raw, "<f4", math.prod(sizes), int(data.attrib["offset"]))
    return np.array(values.reshape(sizes), np.float32)


def _synthesis(graph: Graph) -> MobileSynthesis:
    dense, *mixes, image = graph.of("Convolution")
    depthwise = graph.of("GroupConvolution")
    scaled = [graph.inputs(split)[0] for split in graph.of("VariadicSplit")]
    ups = [node for node in scaled if node.operator == "Multiply"]  # the other splits part bands
    own: Arrays = {"constant": graph.only((512, 4, 4))}
    _take_conv(graph, dense, "first", own)
    own["first.weight"] = graph.values(dense)[0]
    _take_style(graph, graph.inputs(dense)[0], "first.affine", own)
    for index, up in enumerate(ups):
        _take_style(graph, up, f"layers.{index}.up", own)
        for part, position in (("conv1", 2 * index), ("conv2", 2 * index + 1)):
            name = f"layers.{index}.{part}"
            own[f"{name}.depthwise"] = graph.values(depthwise[position])[0][:, 0]
            own[f"{name}.pointwise"] = graph.values(mixes[position])[0]
            _take_conv(graph, mixes[position], name, own)
            _take_style(graph, graph.inputs(depthwise[position])[0], f"{name}.affine", own)
    own["head.to_bands.weight"] = graph.values(image)[0]
    own["head.to_bands.bias"] = graph.values(graph.consumer(image, "Add"))[0].reshape(-1)
    _take_style(graph, graph.inputs(image)[0], "head.affine", own)
    return synthesis_of(own)


def _take_conv(graph: Graph, mix: Node, name: str, own: Arrays) -> None:
    """Noise and bias, the two sums behind a convolution."""
    noise = graph.consumer(mix, "Add")
    own[f"{name}.noise"] = graph.values(noise)[0][0, 0]
    own[f"{name}.bias"] = graph.values(graph.consumer(noise, "Add"))[0].reshape(-1)


def _take_style(graph: Graph, product: Node, name: str, own: Arrays) -> None:
    """What the features are multiplied with: MatMul, Add, Reshape and mostly a gain, read backwards."""
    (chain,) = (chain for source in graph.inputs(product) if (chain := _to_w(graph, source)))
    constants = {node.operator: graph.values(node) for node in chain}
    gain = constants.get("Multiply", [np.ones(1, np.float32)])[0].reshape(-1)[0]
    own[f"{name}.weight"] = constants["MatMul"][0] * gain
    own[f"{name}.bias"] = constants["Add"][0].reshape(-1) * gain


def _to_w(graph: Graph, node: Node) -> list[Node]:
    """The nodes from here back to the product with w; empty where the way leads through features."""
    if node.operator == "MatMul":
        return [node]
    if node.operator not in ("Add", "Reshape", "Multiply"):
        return []
    for source in graph.inputs(node):
        if chain := _to_w(graph, source):
            return [node, *chain]
    return []


def _mapping(graph: Graph, rows: int) -> Mapping:
    layers = graph.of("MatMul")
    own: Arrays = {"w_avg": np.zeros((1, 512), np.float32)}
    for index, product in enumerate(layers):
        weight = graph.values(product)[0]
        (shaped,) = (n for n in graph.inputs(graph.consumer(product, "Add")) if n.operator == "Reshape")
        (bias,) = graph.values(shaped)
        own[f"fc{index}.weight"] = weight * np.float32(math.sqrt(weight.shape[1]) / LR_MULTIPLIER)
        own[f"fc{index}.bias"] = bias / np.float32(LR_MULTIPLIER)
    config = MappingConfig(num_ws=rows, num_layers=len(layers), lr_multiplier=LR_MULTIPLIER, embed_dim=0)
    network = built("mapping network", Mapping, config, own)
    set_mean(network)
    return network

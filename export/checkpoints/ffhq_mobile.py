# SPDX-License-Identifier: MIT
"""MobileStyleGAN FFHQ-1024 as the package `random-face` carries it: OpenVINO graphs to our own networks.

Knows that one pair of graphs, by their sha256; the package is located, never imported. The order of its
nodes is that of execution, so that the weights are found by what feeds what, not by name. Images of 256 and
512 pixels are made by heads of our own, from features the graph has on its way to 1024.
"""

import math
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray

import engines
from engines.model_folder import sha256_of
from engines.networks.mobile_stylegan import MobileHead, MobileSynthesis, cut_short
from engines.networks.store import load_network
from engines.networks.stylegan2 import Mapping, MappingConfig
from export.checkpoints.imported import Arrays, Imported, built
from export.checkpoints.mobile_stylegan import MEAN_SAMPLES, set_mean, synthesis_of
from face.errors import BadCheckpoint, ModelUnavailable, WrongUse

ORIGIN = "random-face"
VERSION = "2021.7.21.1"
LICENCE = (
    "package: Apache-2.0; weights distilled from NVIDIA's StyleGAN2-FFHQ, so research and evaluation only, "
    "non-commercial; never redistributed here"
)
INSTALL = "pip install 'facepuppet[ffhq]'"
CURE = f"install it again: {INSTALL}"
FULL_SIZE = 1024
XML = b"<?xml"
WEIGHTS = Path(engines.__file__).parent / "weights" / "ffhq-mobile"
HEADS = {256: "head256.safetensors", 512: "head512.safetensors"}
SYNTHESIS, MAPPING = "SynthesisNetwork", "MappingNetwork"
SHA256 = {
    "MappingNetwork.xml": "73e2096cad6e696e4af47df2477e048ab4c42c0e0dec83c7c66604822689e55b",
    "MappingNetwork.bin": "212dd716bdb556e18db603ea97300d4fa3c872b878c726b2402fea80820e7305",
    "SynthesisNetwork.xml": "7918fce515243954d3e06628cb39a23902d6b1d5d02932cc0c2faee7a2aeeedd",
    "SynthesisNetwork.bin": "c7da15fa22d508c82e1c30dd6b4cdf67fe3ccdddaf85b310ee764dbf0c289645",
}
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


def find_ffhq_mobile() -> Path:
    """Folder with the package's graphs; ModelUnavailable says how to install it."""
    spec = find_spec("random_face")
    for place in (spec.submodule_search_locations or ()) if spec else ():
        folder = Path(place) / "data"
        if (folder / f"{SYNTHESIS}.xml").is_file():
            return folder
    raise ModelUnavailable(
        f"the generator ffhq-mobile needs random-face {VERSION}, which is not installed; run: {INSTALL}"
    )


def is_graph(path: Path) -> bool:
    """Whether the file is an OpenVINO graph's description, of this generator or another."""
    try:
        with path.open("rb") as file:
            return file.read(len(XML)) == XML
    except OSError:
        return False


def read_ffhq_mobile(folder: Path, *, size: int = FULL_SIZE) -> Imported:
    """Generator of that many pixels and mapping network of the four files there, each checked first."""
    if size not in (*HEADS, FULL_SIZE):
        raise WrongUse(f"found size {size}, expected one of {', '.join(map(str, (*HEADS, FULL_SIZE)))}")
    for name, expected in SHA256.items():
        path = folder / name
        if not path.is_file():
            raise BadCheckpoint(f"{path} is missing, expected the files of random-face {VERSION}; {CURE}")
        if sha256_of(path) != expected:
            raise BadCheckpoint(f"{name} is not that of random-face {VERSION} (its sha256 differs); {CURE}")
    generator = _synthesis(Graph(folder / f"{SYNTHESIS}.xml"))
    notes = [f"psi pulls towards the mean of {MEAN_SAMPLES} fixed samples"]
    if size != FULL_SIZE:
        if not (WEIGHTS / HEADS[size]).is_file():
            raise ModelUnavailable(
                f"{HEADS[size]}, the image head for {size} px, is not there; use --size 256, or make it: "
                f"facepuppet train image-head --size {size} --work head --out {HEADS[size]}"
            )
        head = load_network(WEIGHTS / HEADS[size])
        if not isinstance(head, MobileHead):
            raise ModelUnavailable(f"{HEADS[size]} holds no image head; install facepuppet again")
        generator = cut_short(generator, head, size=size)
        notes.append(f"its image head for {size} px was trained here; see {WEIGHTS.name}/MODEL_CARD.md")
    mapping = _mapping(Graph(folder / f"{MAPPING}.xml"), generator.config.rows)
    return Imported(ORIGIN, LICENCE, {"generator": generator, "mapping": mapping}, tuple(notes))


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
    network = built("mapping network", config, own)
    if not isinstance(network, Mapping):
        raise TypeError("no mapping network")
    set_mean(network)
    return network

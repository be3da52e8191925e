# SPDX-License-Identifier: MIT
"""Networks keep what their formulas promise, and come back from our own weight files unchanged."""

import json
import struct
import sys
from collections.abc import Iterator
from dataclasses import is_dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed: the player does without it")

from reference_networks import modulated_conv2d_reference, upfirdn2d_reference

from engines import networks, open_engine
from engines.networks.directions import Directions, DirectionsConfig
from engines.networks.encoder import Encoder, EncoderConfig
from engines.networks.store import (
    build_network,
    load_any_network,
    load_network,
    network_class,
    network_classes,
    save_network,
)
from engines.networks.stylegan2 import Mapping, MappingConfig, Synthesis, SynthesisConfig
from export.checkpoints.identify import import_checkpoint
from export.onnx_export import save_graph
from export.verify import verify_graph
from face.errors import ModelUnavailable

SMALL = SynthesisConfig(resolution=16, channels=(12, 10, 8), w_dim=16)
ENCODER = EncoderConfig(4, "flat", widths=(4, 6, 8, 12), depths=(1, 1, 1, 1), style_dim=8, reduction=2)
FP16_TOLERANCE = 0.01  # of the image's range: 11 bits through four layers


def randomised(network: Any) -> Any:
    """Every term random, as no fresh network is."""
    torch.manual_seed(2)
    with torch.no_grad():
        for name, value in network.state_dict().items():
            if value.dtype == torch.float32 and name != "fir":
                value.add_(torch.randn_like(value) * 0.3)
                if name.endswith("running_var"):
                    value.abs_().add_(0.5)
    return network.eval()


@pytest.mark.parametrize(
    "network",
    [
        Synthesis(replace(SMALL, conv_clamp=2.0)),
        Synthesis(replace(SMALL, use_noise=False)),
        Mapping(MappingConfig(10, 16, 6, 3, 16, label_dim=2, embed_dim=16, mean_rows=6)),
        Encoder(ENCODER),
        Directions(DirectionsConfig(5, 2, 16, bias=False)),
    ],
    ids=lambda network: type(network).__name__,
)
def test_weight_file_gives_the_same_network(network: Any, tmp_path: Path) -> None:
    path = tmp_path / "network.safetensors"
    save_network(randomised(network), path, notes={"licence": "own"})
    again = load_any_network(path)
    assert again.config == network.config
    assert again.inputs == network.inputs
    for name, value in network.state_dict().items():
        assert torch.equal(value, again.state_dict()[name]), name


def with_header(path: Path, **changes: Any) -> None:
    """Rewrite the metadata of a safetensors file."""
    data = path.read_bytes()
    (size,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + size])
    header["__metadata__"].update(changes)
    raw = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(raw)) + raw + data[8 + size :])


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"format": "other-2"}, "other-2"),
        ({"kind": "diffusion"}, "diffusion"),
        ({"config": json.dumps({"parameters": 5})}, "missing or unknown"),
        (
            {"config": json.dumps({"parameters": 5, "rows": 2, "w_dim": 16, "bias": True, "x": 1})},
            "missing or unknown",
        ),
        ({"config": json.dumps({"parameters": 6, "rows": 2, "w_dim": 16, "bias": True})}, "linear.weight"),
        ({"config": json.dumps({"parameters": 5, "rows": 2, "w_dim": 16, "bias": False})}, "linear.bias"),
        ({"config": "no json"}, "header"),
    ],
)
def test_weight_file_that_contradicts_itself_is_one_line(
    tmp_path: Path, changes: dict[str, str], said: str
) -> None:
    path = tmp_path / "directions.safetensors"
    save_network(Directions(DirectionsConfig(5, 2, 16)), path)
    with_header(path, **changes)
    with pytest.raises(ModelUnavailable, match=said) as raised:
        load_network(path, Directions)
    assert "\n" not in str(raised.value)


def test_config_from_a_file_allocates_nothing() -> None:
    huge = DirectionsConfig(parameters=1 << 20, rows=1 << 10, w_dim=1 << 10)  # 4 PiB of weights
    with pytest.raises(ValueError, match="linear.weight"):
        build_network(Directions, huge, {"linear.weight": torch.zeros(2, 2), "linear.bias": torch.zeros(2)})


def slow_image(network: Synthesis, w: "torch.Tensor") -> "torch.Tensor":
    """The synthesis with the slow twins of its operations."""

    def conv(
        layer: Any, x: "torch.Tensor", row: "torch.Tensor", fir: "torch.Tensor | None"
    ) -> "torch.Tensor":
        x = modulated_conv2d_reference(x, layer.weight, layer.affine(row), fir=fir)
        x = x + layer.noise_const * layer.noise_strength + layer.bias[:, None, None]
        return torch.where(x < 0, 0.2 * x, x) * 2**0.5

    def colour(layer: Any, x: "torch.Tensor", row: "torch.Tensor") -> "torch.Tensor":
        style = layer.affine(row) / layer.weight.shape[1] ** 0.5
        return (
            modulated_conv2d_reference(x, layer.weight, style, demodulate=False) + layer.bias[:, None, None]
        )

    block = network.blocks["b4"]
    x = conv(block.conv1, block.const.expand(len(w), -1, -1, -1), w[:, 0], None)
    image = colour(block.torgb, x, w[:, 1])
    for index, size in enumerate((8, 16)):
        block = network.blocks[f"b{size}"]
        x = conv(block.conv0, x, w[:, 2 * index + 1], network.fir)
        x = conv(block.conv1, x, w[:, 2 * index + 2], None)
        image = upfirdn2d_reference(image, network.fir * 4, up=2, padding=(2, 1, 2, 1))
        image = image + colour(block.torgb, x, w[:, 2 * index + 3])
    return image


def test_synthesis_agrees_with_its_slow_twin() -> None:
    network = randomised(Synthesis(SMALL))
    w = torch.randn(3, SMALL.num_ws, SMALL.w_dim)
    with torch.no_grad():
        torch.testing.assert_close(network(w), slow_image(network, w), atol=1e-4, rtol=0)


def test_half_precision_blocks_stay_near_the_full_ones() -> None:
    config = replace(SMALL, fp16_blocks=2, conv_clamp=256.0)
    full, half = randomised(Synthesis(config)), Synthesis(config, half=True).eval()
    half.load_state_dict(full.state_dict())
    w = torch.randn(2, config.num_ws, config.w_dim)
    with torch.no_grad():
        exact, near = full(w), half(w)
    assert near.dtype == torch.float32  # the image is summed in full precision
    difference = float((near - exact).abs().max() / exact.abs().max())
    assert 0 < difference < FP16_TOLERANCE  # something ran in half precision, and well


def test_config_that_cannot_be_is_refused() -> None:
    with pytest.raises(ValueError, match="3 blocks"):
        SynthesisConfig(resolution=32, channels=(8, 8, 8))
    with pytest.raises(ValueError, match="head"):
        EncoderConfig(head="tail")
    with pytest.raises(ValueError, match="stages"):
        EncoderConfig(widths=(8, 8), depths=(1, 1))


TOY = """
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn

from engines.base import TensorSpec


@dataclass(frozen=True)
class ToyConfig:
    width: int = 3


class Toy(nn.Module):
    kind: ClassVar[str] = "toy"
    role: ClassVar[str] = "toy"
    Config: ClassVar[type] = ToyConfig

    def __init__(self, config: ToyConfig) -> None:
        super().__init__()
        self.config = config
        self.scale = nn.Parameter(Tensor([2.0]).expand(config.width).clone())
        self.inputs = (TensorSpec("x", ("n", config.width)),)
        self.outputs = (TensorSpec("y", ("n", config.width)),)

    def forward(self, x: Tensor) -> Tensor:
        return x * self.scale
"""


@pytest.fixture
def toy_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A stored network of a class that only a file in a temporary folder has."""
    (tmp_path / "toy_network.py").write_text(TOY, encoding="utf-8")
    with monkeypatch.context() as changed:
        changed.setattr(networks, "__path__", [*networks.__path__, str(tmp_path)])
        network_classes.cache_clear()
        toy = network_class("toy")
        save_network(toy(toy.Config(4)), tmp_path / "toy.safetensors")
        yield tmp_path / "toy.safetensors"
    network_classes.cache_clear()
    sys.modules.pop(toy.__module__)


def test_a_new_network_is_one_file_and_nothing_else(toy_file: Path, tmp_path: Path) -> None:
    with open_engine(toy_file, backend="torch") as engine:
        assert (engine.run(x=np.ones((2, 4), np.float32))["y"] == 2).all()
    imported = import_checkpoint(toy_file).networks
    save_graph(imported["toy"], tmp_path / "toy.onnx")
    verify_graph(imported["toy"], tmp_path / "toy.onnx")


def test_a_file_of_another_kind_is_one_line(tmp_path: Path) -> None:
    save_network(Mapping(MappingConfig(10, 16, 6, 3, 16)), tmp_path / "mapping.safetensors")
    with pytest.raises(ModelUnavailable, match="stylegan2-mapping, expected facepuppet-1 with directions"):
        load_network(tmp_path / "mapping.safetensors", Directions)
    with_header(tmp_path / "mapping.safetensors", kind="toy")
    with pytest.raises(ModelUnavailable, match="kind 'toy', expected one of .*directions"):
        load_any_network(tmp_path / "mapping.safetensors")


def test_every_kind_is_one_class_that_says_what_it_is() -> None:
    classes = network_classes()
    assert len(classes) >= 18
    for kind, network in classes.items():
        assert network.kind == kind and network.role and is_dataclass(network.Config), network

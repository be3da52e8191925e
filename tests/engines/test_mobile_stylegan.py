# SPDX-License-Identifier: MIT
"""MobileStyleGAN's network does what its formulas say, whole and cut short."""

from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed: the player does without it")

from reference_networks import inverse_haar_reference
from torch.nn import functional

from engines.networks.mobile_stylegan import (
    MobileHead,
    MobileHeadConfig,
    MobileSynthesis,
    MobileSynthesisConfig,
    cut_short,
    inverse_haar,
)
from engines.networks.store import load_any_network, save_network

SMALL = MobileSynthesisConfig(channels=(16, 12, 8), w_dim=16)  # 32 pixels
TOLERANCE = 1e-5  # sums in another order


def randomised(network: Any) -> Any:
    """Every term random, the noise too."""
    torch.manual_seed(5)
    with torch.no_grad():
        for value in network.state_dict().values():
            value.copy_(torch.randn_like(value) * 0.4)
    return network.eval().requires_grad_(False)


@pytest.fixture(scope="module")
def network() -> MobileSynthesis:
    return randomised(MobileSynthesis(SMALL))


def rows(batch: int = 2) -> "torch.Tensor":
    return torch.randn(batch, SMALL.rows, SMALL.w_dim, generator=torch.Generator().manual_seed(1))


def slow_image(network: MobileSynthesis, w: "torch.Tensor") -> "torch.Tensor":
    """The same as it was published: each style where it belongs, noise and bias apart."""

    def styled(x: "torch.Tensor", affine: Any, row: "torch.Tensor") -> "torch.Tensor":
        return x * affine(row)[..., None, None]

    def separable(conv: Any, x: "torch.Tensor", row: "torch.Tensor") -> "torch.Tensor":
        x = functional.conv2d(styled(x, conv.affine, row), conv.depthwise, padding=1, groups=x.shape[1])
        return active(functional.conv2d(x, conv.pointwise), conv)

    def active(x: "torch.Tensor", conv: Any) -> "torch.Tensor":
        x = x + conv.noise + conv.bias[:, None, None]
        return torch.where(x > 0, x, 0.2 * x)

    first = network.first
    x = styled(network.constant[None].expand(len(w), -1, -1, -1), first.affine, w[:, 0])
    x = active(functional.conv2d(x, first.weight, padding=1), first)
    for index, layer in enumerate(network.layers):
        x = inverse_haar_reference(styled(x, layer.up, w[:, 2 * index + 1]))
        x = separable(layer.conv1, x, w[:, 2 * index + 1])
        x = separable(layer.conv2, x, w[:, 2 * index + 2])
    head = network.head
    x = functional.conv2d(styled(x, head.affine, w[:, -1]), head.to_bands.weight)
    return inverse_haar_reference(x + head.to_bands.bias[:, None, None])


def test_inverse_transform_agrees_with_its_slow_twin() -> None:
    x = torch.randn(2, 12, 5, 7)
    assert torch.allclose(inverse_haar(x), inverse_haar_reference(x), atol=TOLERANCE)


def test_inverse_transform_undoes_the_transform() -> None:
    image = torch.randn(1, 1, 4, 4)
    corners = [image[:, :, y::2, x::2] for y in (0, 1) for x in (0, 1)]
    signs = ((1, 1, 1, 1), (1, 1, -1, -1), (1, -1, 1, -1), (1, -1, -1, 1))  # mean, along y, along x, both
    bands = torch.cat([sum(s * c for s, c in zip(sign, corners, strict=True)) / 4 for sign in signs], dim=1)
    assert torch.allclose(inverse_haar(bands), image, atol=TOLERANCE)


def test_synthesis_agrees_with_its_slow_twin(network: MobileSynthesis) -> None:
    w = rows()
    expected = slow_image(network, w)
    assert network(w).shape == (2, 3, SMALL.size, SMALL.size) == expected.shape
    assert torch.allclose(network(w), expected, rtol=TOLERANCE, atol=TOLERANCE * float(expected.abs().max()))


def test_each_row_is_read(network: MobileSynthesis) -> None:
    w = rows(1)
    for row in range(SMALL.rows):
        moved = w.clone()
        moved[:, row] += 1
        assert not torch.allclose(network(moved), network(w), atol=1e-3), row


def test_cut_short_is_the_same_trunk_under_another_head(network: MobileSynthesis) -> None:
    w = rows()[:, :4]
    x = network.first(network.constant * network.first.affine(w[:, 0])[..., None, None])
    linear = randomised(MobileHead(MobileHeadConfig(12, (), 16)))
    short = cut_short(network, linear, size=16)
    assert short.config.rows == 4
    assert torch.equal(short(w), linear(network.layers[0](x, w[:, 1], w[:, 2]), w[:, 2:]))
    assert short.first.weight.data_ptr() == network.first.weight.data_ptr()


def test_head_with_layers_stands_in_for_the_last_convolution(network: MobileSynthesis) -> None:
    head = randomised(MobileHead(MobileHeadConfig(12, (8, 6), 16)))
    short = cut_short(network, head, size=16)
    w = rows()[:, :4]
    x = network.first(network.constant * network.first.affine(w[:, 0])[..., None, None])
    styles = network.layers[0].up(w[:, 1]) * network.layers[0].conv1.affine(w[:, 1]).repeat(1, 4)
    x = network.layers[0].conv1(inverse_haar(x * styles[..., None, None]))
    assert "layers.0.conv2.bias" not in short.state_dict()
    assert torch.allclose(short(w), head(x, w[:, 2:]), atol=TOLERANCE)
    for row in range(4):
        moved = w.clone()
        moved[:, row] += 1
        assert not torch.allclose(short(moved), short(w), atol=1e-3), row


@pytest.mark.parametrize(("size", "channels"), [(16, 8), (64, 12), (20, 12)])
def test_head_that_does_not_fit_is_refused(network: MobileSynthesis, size: int, channels: int) -> None:
    with pytest.raises(ValueError, match="head of"):
        cut_short(network, MobileHead(MobileHeadConfig(channels, (), 16)), size=size)


@pytest.mark.parametrize("half", [False, True])
def test_weight_file_gives_the_same_network(network: MobileSynthesis, half: bool, tmp_path: Path) -> None:
    path = tmp_path / "network.safetensors"
    save_network(network, path, half=half)
    again = load_any_network(path)
    assert again.config == network.config
    for name, value in network.state_dict().items():
        stored = value.half().float() if half else value
        assert torch.equal(stored, again.state_dict()[name]), name

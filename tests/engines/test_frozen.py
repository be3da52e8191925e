# SPDX-License-Identifier: MIT
"""The network for running draws what the network for training draws, in every form it has."""

from dataclasses import replace

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed: the player does without it")

from engines.networks.frozen import NEVER, FrozenSynthesis, folded_kernel, frozen
from engines.networks.ops import fir_kernel, modulated_conv2d
from engines.networks.stylegan2 import Mapping, MappingConfig, Synthesis, SynthesisConfig

SMALL = SynthesisConfig(resolution=32, channels=(12, 10, 8, 6), w_dim=16)
TOLERANCE = 2e-5  # of images up to about 10: the order of float32 sums
FP16_TOLERANCE = 0.01  # of the image's range: 11 bits through four layers


def randomised(config: SynthesisConfig, *, half: bool = False) -> Synthesis:
    """The same network for the same config."""
    torch.manual_seed(4)
    network = Synthesis(config, half=half)
    with torch.no_grad():
        for name, value in network.state_dict().items():
            if name != "fir":
                value.add_(torch.randn_like(value) * 0.3)
    return network.eval().requires_grad_(False)


def latents(n: int = 3) -> "torch.Tensor":
    return torch.randn(n, SMALL.num_ws, SMALL.w_dim, generator=torch.Generator().manual_seed(5))


@pytest.mark.parametrize("folded_from", [NEVER, 16, 8])
@pytest.mark.parametrize("config", [SMALL, replace(SMALL, conv_clamp=1.5), replace(SMALL, use_noise=False)])
def test_frozen_network_draws_the_same_image(config: SynthesisConfig, folded_from: int) -> None:
    network = randomised(config)
    image = network(latents())
    again = FrozenSynthesis(network, folded_from=folded_from)(latents())
    assert again.shape == image.shape and again.dtype == torch.float32
    assert float((again - image).abs().max()) < TOLERANCE


@pytest.mark.parametrize("change", ["noise_strength", "affine.bias", "torgb.weight", "bias", "const"])
def test_every_term_is_in_the_frozen_network(change: str) -> None:
    network = randomised(SMALL)
    before = FrozenSynthesis(network)(latents())
    with torch.no_grad():
        for name, value in network.named_parameters():
            if name.endswith(change):
                value.add_(0.1)
    assert float((FrozenSynthesis(network)(latents()) - before).abs().max()) > 100 * TOLERANCE


def test_rows_are_read_as_the_synthesis_reads_them() -> None:
    network = randomised(SMALL)
    fast = FrozenSynthesis(network)
    for row in range(SMALL.num_ws):
        w = latents(1)
        w[:, row] += 1
        assert float((fast(w) - network(w)).abs().max()) < TOLERANCE, row


def test_half_precision_normalises_as_the_network_does() -> None:
    config = replace(SMALL, fp16_blocks=2, conv_clamp=256.0)
    network = randomised(config, half=True)
    calm = network(latents())
    for name, value in network.named_parameters():
        if "conv" in name and "affine" in name:
            value.mul_(1e5)  # styles far outside fp16's range, which demodulation cancels again
    w = latents()
    image, again = network(w), frozen(network)(w)
    assert float((again - calm).abs().max() / calm.abs().max()) < FP16_TOLERANCE
    assert [conv.weight.dtype for conv in frozen(network).convs][-1] == torch.float16
    assert float((again - image).abs().max() / image.abs().max()) < FP16_TOLERANCE
    full = randomised(config)(w)
    assert 0 < float((again - full).abs().max() / full.abs().max()) < FP16_TOLERANCE


def test_folded_kernel_is_the_transposed_convolution_and_its_blur() -> None:
    torch.manual_seed(1)
    x, weight, fir = torch.randn(2, 5, 7, 6).double(), torch.randn(4, 5, 3, 3).double(), fir_kernel().double()
    fir = fir * torch.rand(4, 4, dtype=torch.float64)  # no symmetry to hide a flip behind
    slow = modulated_conv2d(x, weight, torch.ones(2, 5).double(), demodulate=False, fir=fir)
    wide = torch.nn.functional.conv2d(x, folded_kernel(weight, fir), padding=1)
    fast = torch.nn.functional.pixel_shuffle(wide, 2)
    torch.testing.assert_close(fast, slow, atol=1e-12, rtol=0)


def test_freezing_reaches_inside_and_leaves_others_alone() -> None:
    network = randomised(SMALL)
    mapping = Mapping(MappingConfig(10, 16, 8, 2, 16))
    both = torch.nn.Sequential(torch.nn.Identity(), network)
    assert frozen(mapping) is mapping
    assert isinstance(frozen(both)[1], FrozenSynthesis)

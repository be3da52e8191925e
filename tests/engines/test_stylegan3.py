# SPDX-License-Identifier: MIT
"""StyleGAN3's fast operations agree with their slow twins; its grids are the published ones."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed: the player does without it")

from reference_networks import filtered_leaky_relu_reference

from engines.networks.alias_free import (
    filtered_leaky_relu,
    fourier_features,
    modulated_full_conv2d,
)
from engines.networks.store import load_network, save_network
from engines.networks.stylegan3 import AliasFreeConfig, AliasFreeSynthesis
from face.errors import ModelUnavailable

TOLERANCE = 1e-4  # absolute, on values up to about 10: rounding of float32 sums of a few hundred terms
FP16_TOLERANCE = 0.01  # of the image's range: 11 bits through four layers
SMALL = AliasFreeConfig(
    channels=(6, 5, 4, 3),
    sizes=(36, 52, 32, 32),
    rates=(16, 32, 32, 32),
    radial=(False, True, False, False),
    input_channels=6,
    w_dim=16,
    conv_clamp=256.0,
)
# (lowest, highest) padding of layers 0 to 13 at 1024 pixels: measured on the authors' own network
PADDINGS = {
    3: [(9, 8), (9, 8), (-6, -9), (9, 8), (-6, -9), (-6, -9), (9, 8), (-6, -9), (9, 8), (-6, -9), (-6, -9)]
    + [(9, 8), (9, 8), (-11, -12)],
    1: [(11, 10), (11, 10), (-2, -5), (11, 10), (-2, -5), (-2, -5), (11, 10), (-2, -5), (11, 10), (-2, -5)]
    + [(-2, -5), (11, 10), (11, 10), (-9, -10)],
}


def randomised(network: Any) -> Any:
    """Every term random, as no fresh network is."""
    torch.manual_seed(2)
    with torch.no_grad():
        for name, value in network.state_dict().items():
            value.add_(torch.randn_like(value) * (0.3 / value.numel() if name.endswith("_filter") else 0.3))
            if name.endswith("magnitude_ema"):
                value.abs_().add_(0.3)
    return network.eval()


@pytest.mark.parametrize("radial", [False, True])
@pytest.mark.parametrize(("up", "down", "crop"), [(2, 2, 0), (2, 2, 3), (4, 2, 9), (2, 4, 1)])
def test_filtered_activation_agrees_with_its_twin(up: int, down: int, crop: int, radial: bool) -> None:
    torch.manual_seed(3)
    x, rise = torch.randn(2, 3, 11, 12) * 3, torch.rand(6 * up) / 3
    fall = torch.rand(6 * down, 6 * down) / 9 if radial else torch.rand(6 * down) / 3
    options: dict[str, Any] = {"up": up, "down": down, "crop": crop}
    fast = filtered_leaky_relu(x, rise, fall, clamp=2.0, **options)
    slow = filtered_leaky_relu_reference(x, rise, fall, clamp=2.0, **options)
    assert fast.shape == slow.shape
    torch.testing.assert_close(fast, slow, atol=TOLERANCE, rtol=0)
    for wrong in (
        filtered_leaky_relu(x, rise.flip(0), fall, clamp=2.0, **options),
        filtered_leaky_relu(x, rise, fall.flip(0), clamp=2.0, **options),
        filtered_leaky_relu(x, rise, fall, **options),
    ):
        assert (wrong - slow).abs().max() > 100 * TOLERANCE


@pytest.mark.parametrize("size", [1, 3])
def test_convolution_has_own_weights_for_each_sample_and_reaches_over_the_edge(size: int) -> None:
    torch.manual_seed(4)
    x, weight, style = torch.randn(3, 5, 6, 6), torch.randn(4, 5, size, size), torch.randn(3, 5) * 4
    gain = torch.tensor(0.7)
    results = []
    for sample, s in zip(x, style, strict=True):
        own = weight * s[None, :, None, None]
        own = 0.7 * own / own.square().sum(dim=(1, 2, 3), keepdim=True).sqrt()
        spread = torch.nn.functional.pad(sample[None], [size - 1] * 4)
        results.append(torch.nn.functional.conv2d(spread, own))
    found = modulated_full_conv2d(x, weight, style, gain)
    assert found.shape == (3, 4, 6 + size - 1, 6 + size - 1)
    torch.testing.assert_close(found, torch.cat(results), atol=TOLERANCE, rtol=0)


def test_wave_is_where_its_phase_and_frequency_say() -> None:
    frequencies, phases = torch.tensor([[[1.0, 0.0], [0.0, 2.0]]]), torch.tensor([[0.25, 0.0]])
    waves = fourier_features(frequencies, phases, size=6, rate=4)
    middle = (
        torch.arange(6) - 2.5
    ) / 4  # samples of the picture's width, its middle between the third and fourth
    torch.testing.assert_close(waves[0, 0, 3], torch.cos(2 * torch.pi * middle))
    torch.testing.assert_close(waves[0, 1, :, 1], torch.sin(4 * torch.pi * middle))
    assert float(waves[0, 0].std(dim=0).max()) < 1e-6  # the first frequency is along a row


@pytest.mark.parametrize("kernel_size", [3, 1])
def test_grids_are_those_of_the_public_models(kernel_size: int) -> None:
    config = AliasFreeConfig(kernel_size=kernel_size)
    assert config.num_ws == 16
    for index, expected in enumerate(PADDINGS[kernel_size]):
        up, _ = config.factors(index)
        crop, taps = config.crop(index), 6 * up
        assert (taps - 1 - crop, taps - up - crop) == expected, index


@pytest.mark.parametrize(("kind", "count"), [("T", 22_313_167), ("R", 15_093_151)])
def test_full_size_has_as_many_parameters_as_the_public_models(kind: str, count: int) -> None:
    config = AliasFreeConfig()
    if kind == "R":
        channels = (1024,) * 7 + (645, 406, 256, 161, 102, 64, 64, 3)
        config = replace(config, channels=channels, input_channels=1024, kernel_size=1)
    with torch.device("meta"):
        network = AliasFreeSynthesis(config)
    mapping = 2 * (512 * 512 + 512)
    assert sum(parameter.numel() for parameter in network.parameters()) + mapping == count


def test_activation_at_twice_the_rate_lets_fewer_aliases_through() -> None:
    size, taps = 64, torch.sinc((torch.arange(48) - 23.5) / 2) * torch.hann_window(50, periodic=False)[1:-1]
    taps = taps / taps.sum()
    wave = torch.sin(2 * torch.pi * 0.4 * torch.arange(size))[None, None, None].expand(1, 1, size, size)
    plain = torch.nn.functional.leaky_relu(wave, 0.2) * 2**0.5
    filtered = filtered_leaky_relu(wave, taps, taps, up=2, down=2, crop=0)

    def alias(x: "torch.Tensor") -> float:
        line = x[0, 0, x.shape[2] // 2, 8:56]
        spectrum = torch.fft.rfft(line * torch.hann_window(len(line))).abs()
        return float(spectrum[8:11].max() / spectrum.max())  # 0.2: the second harmonic, folded

    assert alias(filtered) < alias(plain) / 3


def test_each_row_of_w_drives_its_own_layer() -> None:
    network = randomised(AliasFreeSynthesis(SMALL))
    w = torch.randn(1, SMALL.num_ws, SMALL.w_dim)
    with torch.no_grad():
        image = network(w)
        for row in range(SMALL.num_ws):
            changed = w.clone()
            changed[:, row] += 1
            assert float((network(changed) - image).abs().max()) > 100 * TOLERANCE, row


def test_half_precision_layers_stay_near_the_full_ones() -> None:
    config = replace(SMALL, fp16_blocks=1)
    full, half = randomised(AliasFreeSynthesis(config)), AliasFreeSynthesis(config, half=True).eval()
    half.load_state_dict(full.state_dict())
    w = torch.randn(2, config.num_ws, config.w_dim)
    with torch.no_grad():
        exact, near = full(w), half(w)
    assert near.dtype == torch.float32
    difference = float((near - exact).abs().max() / exact.abs().max())
    assert 0 < difference < FP16_TOLERANCE  # something ran in half precision, and well


def test_sums_before_demodulation_stay_within_half_precision() -> None:
    """All 512 channels at the clamp and of one sign: the result is 500, and unnormalised sums over 65504."""
    torch.manual_seed(7)
    x, style = torch.full((1, 512, 8, 8), 256.0), 100 + torch.randn(1, 512)
    weight, gain = torch.rand(4, 512, 3, 3) * 4, torch.tensor(0.05)
    exact = modulated_full_conv2d(x, weight, style, gain)
    found = modulated_full_conv2d(x.half(), weight, style, gain)
    assert exact.max() > 500
    torch.testing.assert_close(found.float(), exact, atol=0, rtol=0.01)
    unit = weight * weight.square().mean(dim=(1, 2, 3), keepdim=True).rsqrt()  # as it was stated
    assert not torch.nn.functional.conv2d(x.half(), unit.half(), padding=2).isfinite().all()


def test_weight_file_gives_the_same_network(tmp_path: Path) -> None:
    network = randomised(AliasFreeSynthesis(SMALL))
    save_network(network, tmp_path / "g.safetensors")
    again = load_network(tmp_path / "g.safetensors", AliasFreeSynthesis)
    assert again.config == SMALL
    w = torch.randn(2, SMALL.num_ws, SMALL.w_dim)
    with torch.no_grad():
        assert torch.equal(network(w), again(w))
    save_network(AliasFreeSynthesis(replace(SMALL, input_channels=7)), tmp_path / "g.safetensors")
    with pytest.raises(ModelUnavailable, match="input"):
        tampered = (tmp_path / "g.safetensors").read_bytes()
        (tmp_path / "g.safetensors").write_bytes(
            tampered.replace(b'\\"input_channels\\": 7', b'\\"input_channels\\": 6')
        )
        load_network(tmp_path / "g.safetensors", AliasFreeSynthesis)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"sizes": (36, 52, 32)}, "as many of each"),
        ({"channels": (6, 5, 0, 3)}, "not above 0"),
        ({"rates": (16, 20, 32, 32)}, "whole factor"),
        ({"rates": (16, 24, 32, 32)}, "leave out"),
        ({"sizes": (36, 90, 32, 32)}, "leave out"),
        ({"sizes": (36, 52, 32, 30)}, "the same"),
        ({"input_size": 4096}, "wider than the picture"),
        ({"channels": (6, 1 << 20, 1 << 20, 3)}, "activations"),
        ({"bandwidth": 8.0}, "bandwidth"),
    ],
)
def test_config_that_cannot_be_is_refused(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        replace(SMALL, **changes)

# SPDX-License-Identifier: MIT
"""Fast operations agree with their slow twins, and the twins with independent arithmetic."""

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed: the player does without it")

from reference_networks import modulated_conv2d_reference, upfirdn2d_reference

from engines.networks.ops import (
    blur,
    fir_kernel,
    leaky_relu,
    modulated_conv2d,
    normalise_second_moment,
    upsample_image,
)

TOLERANCE = 1e-4  # absolute, on values up to about 10: rounding of float32 sums of a few hundred terms


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(3)


def asymmetric() -> "torch.Tensor":
    """A kernel that tells a convolution from a correlation."""
    return torch.rand(4, 4) + torch.arange(16.0).reshape(4, 4) / 8


@pytest.mark.parametrize(
    ("up", "down", "padding"),
    [
        (1, 1, (0, 0, 0, 0)),
        (2, 1, (2, 1, 2, 1)),
        (1, 2, (1, 1, 1, 1)),
        (2, 2, (3, 0, -1, 2)),
        (3, 2, (-2, 5, 4, -1)),
    ],
)
def test_upfirdn2d_is_torch_s_convolution(up: int, down: int, padding: tuple[int, int, int, int]) -> None:
    x, kernel = torch.randn(2, 3, 7, 6), asymmetric()
    spread = torch.zeros(2, 3, 7 * up, 6 * up)
    spread[:, :, ::up, ::up] = x
    padded = torch.nn.functional.pad(spread, list(padding))  # negative numbers crop
    weight = kernel.flip([0, 1]).expand(3, 1, 4, 4)
    wanted = torch.nn.functional.conv2d(padded, weight, stride=down, groups=3)
    found = upfirdn2d_reference(x, kernel, up=up, down=down, padding=padding)
    torch.testing.assert_close(found, wanted, atol=TOLERANCE, rtol=0)


def test_upfirdn2d_is_a_convolution_of_zero_stuffed_samples() -> None:
    kernel = asymmetric()
    impulse = torch.zeros(1, 1, 3, 3)
    impulse[0, 0, 1, 1] = 1
    spread = upfirdn2d_reference(impulse, kernel, up=2, padding=(3, 3, 3, 3))
    torch.testing.assert_close(
        spread[0, 0, 2:6, 2:6], kernel
    )  # the impulse comes back as the kernel, unflipped
    assert spread.abs().sum() == pytest.approx(float(kernel.sum()))


def test_image_upsampling_is_the_low_passed_one_and_not_bilinear() -> None:
    x, kernel = torch.randn(2, 3, 8, 8), fir_kernel()
    slow = upfirdn2d_reference(x, kernel * 4, up=2, padding=(2, 1, 2, 1))
    torch.testing.assert_close(upsample_image(x, kernel), slow, atol=TOLERANCE, rtol=0)
    bilinear = torch.nn.functional.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
    assert (bilinear - slow).abs().max() > 100 * TOLERANCE


def test_blur_agrees_with_upfirdn2d() -> None:
    x, kernel = torch.randn(2, 3, 9, 9), asymmetric()
    slow = upfirdn2d_reference(x, kernel * 4, padding=(1, 1, 1, 1))
    torch.testing.assert_close(blur(x, kernel, gain=4), slow, atol=TOLERANCE, rtol=0)


@pytest.mark.parametrize("demodulate", [True, False])
@pytest.mark.parametrize("up", [True, False])
def test_activation_scaling_agrees_with_weights_of_each_sample(demodulate: bool, up: bool) -> None:
    x, weight, style = torch.randn(3, 5, 6, 6), torch.randn(4, 5, 3, 3), torch.randn(3, 5) + 1
    fir = fir_kernel() if up else None
    fast = modulated_conv2d(x, weight, style, demodulate=demodulate, fir=fir)
    slow = modulated_conv2d_reference(x, weight, style, demodulate=demodulate, fir=fir)
    assert fast.shape == (3, 4, 12 if up else 6, 12 if up else 6)
    torch.testing.assert_close(fast, slow, atol=TOLERANCE, rtol=0)
    flipped = modulated_conv2d(x, weight.flip([2, 3]), style, demodulate=demodulate, fir=fir)
    assert (flipped - slow).abs().max() > 1000 * TOLERANCE


def test_demodulation_gives_unit_variance_for_any_style() -> None:
    x, weight = torch.randn(1, 64, 32, 32), torch.randn(64, 64, 3, 3)
    for size in (0.01, 1.0, 100.0):
        y = modulated_conv2d(x, weight, torch.randn(1, 64) * size)
        assert float(y[..., 1:-1, 1:-1].std()) == pytest.approx(1, abs=0.05)


def test_half_precision_stays_in_range_where_plain_scaling_leaves_it() -> None:
    x, weight, style = torch.randn(1, 256, 8, 8) * 30, torch.randn(32, 256, 3, 3), torch.randn(1, 256) * 150
    exact = modulated_conv2d(x, weight, style)
    half = modulated_conv2d(x.half(), weight, style).float()
    plain = torch.nn.functional.conv2d((x.half() * style.half()[:, :, None, None]), weight.half(), padding=1)
    assert not torch.isfinite(plain).all()  # what the normalisation is for
    assert float((half - exact).abs().max() / exact.abs().max()) < 4e-3  # 11 bits of fp16 and a sum of 2304


def test_activation_has_slope_gain_and_clamp() -> None:
    x = torch.tensor([-10.0, -1.0, 0.0, 1.0, 10.0])
    torch.testing.assert_close(leaky_relu(x), torch.tensor([-2.0, -0.2, 0.0, 1.0, 10.0]) * 2**0.5)
    torch.testing.assert_close(leaky_relu(x, 5.0)[[0, 4]], torch.tensor([-2.0 * 2**0.5, 5.0]))


def test_second_moment_becomes_one() -> None:
    x = normalise_second_moment(torch.randn(4, 64) * 7)
    torch.testing.assert_close(x.square().mean(1), torch.ones(4))

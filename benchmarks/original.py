# SPDX-License-Identifier: MIT
"""StyleGAN2's synthesis as its authors' code computes it: each sample's own weights, one grouped convolution.

Written from the formulation (Karras et al. 2020, appendix B; mixed precision: Karras et al. 2020b). Knows no
engine; it is what ours is timed against.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager

from torch import Tensor, float16
from torch.nn import functional

from engines.networks import stylegan2
from engines.networks.ops import DEMODULATION_EPSILON, blur


def grouped_conv2d(
    x: Tensor, weight: Tensor, style: Tensor, *, demodulate: bool = True, fir: Tensor | None = None
) -> Tensor:
    """`modulated_conv2d` with N sets of weights in one grouped convolution."""
    n, inputs, height, width = x.expand(style.shape[0], -1, -1, -1).shape
    x = x.expand(n, -1, -1, -1)
    outputs, taps = weight.shape[0], weight.shape[-1]
    if x.dtype == float16 and demodulate:
        weight = weight / (weight.abs().amax(dim=(1, 2, 3), keepdim=True) * math.sqrt(weight[0].numel()))
        style = style / style.abs().amax(dim=1, keepdim=True)
    own = weight[None] * style[:, None, :, None, None]  # (N, O, I, k, k)
    if demodulate:
        own = own * (own.square().sum(dim=(2, 3, 4), keepdim=True) + DEMODULATION_EPSILON).rsqrt()
    own = own.to(x.dtype)
    x = x.reshape(1, n * inputs, height, width)
    if fir is None:
        x = functional.conv2d(x, own.reshape(n * outputs, inputs, taps, taps), padding=taps // 2, groups=n)
        return x.reshape(n, outputs, height, width)
    turned = own.transpose(1, 2).reshape(n * inputs, outputs, taps, taps)
    x = functional.conv_transpose2d(x, turned, stride=2, groups=n)
    return blur(x.reshape(n, outputs, 2 * height + 1, 2 * width + 1), fir, gain=4.0)


@contextmanager
def original_formulation() -> Iterator[None]:
    """While open, every Synthesis computes by `grouped_conv2d`."""
    ours = stylegan2.modulated_conv2d
    stylegan2.modulated_conv2d = grouped_conv2d
    try:
        yield
    finally:
        stylegan2.modulated_conv2d = ours

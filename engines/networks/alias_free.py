# SPDX-License-Identifier: MIT
"""The operations StyleGAN3 adds (Karras et al. 2021). Knows no network.

Filters are as stored: (taps,) where separable, (taps, taps) where radial. `crop` is what an upsampling leaves
out at each side of its full convolution; the public models' paddings, negative ones too, come to that.
"""

import math

import torch
from torch import Tensor
from torch.nn import functional

from engines.networks.ops import DEMODULATION_EPSILON


def filtered_leaky_relu(
    x: Tensor,
    up_filter: Tensor,
    down_filter: Tensor,
    *,
    up: int,
    down: int,
    crop: int,
    clamp: float | None = None,
) -> Tensor:
    """A leaky ReLU at `up` times the sampling rate, so that the filter behind it takes its aliases off."""
    # The activation's gain goes into the filter before it: the tensor between them is the largest of all.
    x = functional.leaky_relu(upsample(x, up_filter, up=up, crop=crop, gain=math.sqrt(2)), 0.2)
    return downsample(x if clamp is None else x.clamp(-clamp, clamp), down_filter, down=down)


def square(taps: Tensor) -> Tensor:
    """(K, K) of a filter of either kind."""
    return torch.outer(taps, taps) if taps.ndim == 1 else taps


def upsample(x: Tensor, taps: Tensor, *, up: int, crop: int, gain: float) -> Tensor:
    """`up` times the samples, low-passed with gain `up` an axis; `crop` samples off at each side."""
    channels = x.shape[1]
    columns = (taps * up).to(x.dtype)[None, None, None, :].expand(channels, 1, 1, -1).contiguous()
    rows = (taps * up * gain).to(x.dtype)[None, None, :, None].expand(channels, 1, -1, 1).contiguous()
    x = functional.conv_transpose2d(x, columns, stride=(1, up), padding=(0, crop), groups=channels)
    return functional.conv_transpose2d(x, rows, stride=(up, 1), padding=(crop, 0), groups=channels)


def downsample(x: Tensor, taps: Tensor, *, down: int) -> Tensor:
    """Low-passed, each `down`-th sample kept, no padding."""
    channels = x.shape[1]
    kernel = taps.flip(tuple(range(taps.ndim))).to(x.dtype)  # convolution, not correlation
    if taps.ndim == 2:
        weight = kernel.expand(channels, 1, *kernel.shape).contiguous()
        return functional.conv2d(x, weight, stride=down, groups=channels)
    rows = kernel[None, None, :, None].expand(channels, 1, -1, 1).contiguous()
    columns = kernel[None, None, None, :].expand(channels, 1, 1, -1).contiguous()
    x = functional.conv2d(x, rows, stride=(down, 1), groups=channels)
    return functional.conv2d(x, columns, stride=(1, down), groups=channels)


def modulated_full_conv2d(x: Tensor, weight: Tensor, style: Tensor, gain: Tensor) -> Tensor:
    """gain * d * conv(W, s * x), padded so that every sample counts: (K - 1) more samples come out.

    W and s are divided by their root mean squares first, which demodulation cancels but for its epsilon: by
    each sample's own s, where the paper's authors take that of the whole batch. W is divided by the root of
    its terms besides, so that in half precision sums stay as small before demodulation as behind it.
    """
    terms = weight[0].numel()
    weight = weight * (weight.square().mean(dim=(1, 2, 3), keepdim=True) * terms).rsqrt()
    style = style * style.square().mean(dim=1, keepdim=True).rsqrt()
    energy = weight.square().sum(dim=(2, 3))  # (O, I), a constant
    demodulation = (style.square() @ energy.t() + DEMODULATION_EPSILON / terms).rsqrt()  # (N, O)
    x = x * style.to(x.dtype)[:, :, None, None]
    x = functional.conv2d(x, (weight * gain).to(x.dtype), padding=weight.shape[-1] - 1)
    return x * demodulation.to(x.dtype)[:, :, None, None]


def fourier_features(frequencies: Tensor, phases: Tensor, *, size: int, rate: float) -> Tensor:
    """(N, C, size, size): waves of (N, C, 2) cycles a picture's width, sampled `rate` times a width.

    The picture is [-0.5, 0.5] wide and its middle the origin; what is more than `rate` lies outside of it.
    """
    at = (torch.arange(size, dtype=torch.float32) - (size - 1) / 2) / rate
    x = frequencies[:, :, 0, None, None] * at  # (N, C, 1, size)
    y = frequencies[:, :, 1, None, None] * at[:, None]  # (N, C, size, 1)
    return torch.sin((x + y + phases[:, :, None, None]) * (2 * math.pi))

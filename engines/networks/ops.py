# SPDX-License-Identifier: MIT
"""A style-based generator's few operations in plain torch, fast ones beside slow twins. Knows no network.

Activations are (N, C, H, W), weights (O, I, K, K), styles (N, I). The fast forms use only operators that
every runtime has, with constant weights, so that graphs and quantisers can take them.
"""

import math

import torch
from torch import Tensor
from torch.nn import functional

DEMODULATION_EPSILON = 1e-8
FIR_TAPS = (1.0, 3.0, 3.0, 1.0)  # every public StyleGAN2 uses this low-pass
Padding = tuple[int, int, int, int]  # left, right, top, bottom; negative crops


def fir_kernel(taps: tuple[float, ...] = FIR_TAPS) -> Tensor:
    """(K, K) outer product of the taps, sum 1."""
    line = torch.tensor(taps, dtype=torch.float32)
    kernel = torch.outer(line, line)
    return kernel / kernel.sum()


def upfirdn2d_reference(
    x: Tensor,
    kernel: Tensor,
    *,
    up: int = 1,
    down: int = 1,
    padding: Padding = (0, 0, 0, 0),
) -> Tensor:
    """Insert zeros, pad, convolve with the (K, K) kernel, keep each `down`-th, tap by tap."""
    n, c, h, w = x.shape
    left, right, top, bottom = padding
    canvas = x.new_zeros(n, c, h * up + max(top, 0) + max(bottom, 0), w * up + max(left, 0) + max(right, 0))
    canvas[:, :, max(top, 0) :: up, max(left, 0) :: up][:, :, :h, :w] = x
    rows = slice(max(-top, 0), canvas.shape[2] - max(-bottom, 0))
    columns = slice(max(-left, 0), canvas.shape[3] - max(-right, 0))
    canvas = canvas[:, :, rows, columns]
    taps_y, taps_x = kernel.shape
    out = x.new_zeros(n, c, canvas.shape[2] - taps_y + 1, canvas.shape[3] - taps_x + 1)
    for i in range(taps_y):
        for j in range(taps_x):
            shifted = canvas[:, :, i : i + out.shape[2], j : j + out.shape[3]]
            out = out + kernel[taps_y - 1 - i, taps_x - 1 - j] * shifted
    return out[:, :, ::down, ::down]


def blur(x: Tensor, kernel: Tensor, *, gain: float = 1.0) -> Tensor:
    """The FIR that follows a stride-2 transposed convolution: (2R+1) -> 2R with the 4x4 kernel."""
    weight = (kernel * gain).flip([0, 1]).to(x.dtype).expand(x.shape[1], 1, *kernel.shape).contiguous()
    return functional.conv2d(x, weight, padding=1, groups=x.shape[1])


def upsample_image(x: Tensor, kernel: Tensor) -> Tensor:
    """Twice the size, low-passed: upfirdn2d(x, 4 * kernel, up=2, padding=(2, 1, 2, 1)) in one operator."""
    weight = (kernel * 4).to(x.dtype).expand(x.shape[1], 1, *kernel.shape).contiguous()
    return functional.conv_transpose2d(x, weight, stride=2, padding=1, groups=x.shape[1])


def leaky_relu(x: Tensor, clamp: float | None = None) -> Tensor:
    """Slope 0.2, gain sqrt(2), then the clamp the model was trained with."""
    x = functional.leaky_relu(x, 0.2) * math.sqrt(2)
    return x if clamp is None else x.clamp(-clamp, clamp)


def normalise_second_moment(x: Tensor) -> Tensor:
    """x / rms(x) over the last axis."""
    return x * (x.square().mean(dim=-1, keepdim=True) + 1e-8).rsqrt()


def modulated_conv2d(
    x: Tensor, weight: Tensor, style: Tensor, *, demodulate: bool = True, fir: Tensor | None = None
) -> Tensor:
    """d * conv(W, s * x): constant weights for any N. With `fir` twice as large (stride 2, then FIR).

    In half precision W and s are divided by their largest entries first, which demodulation cancels exactly
    and without which 512 channels leave the range of fp16 (Karras et al. 2020b, appendix on mixed precision).
    """
    kernel_size = weight.shape[-1]
    if x.dtype == torch.float16 and demodulate:
        fan_in = math.sqrt(weight[0].numel())
        weight = weight / (weight.abs().amax(dim=(1, 2, 3), keepdim=True) * fan_in)
        style = style / style.abs().amax(dim=1, keepdim=True)
    demodulation = None
    if demodulate:
        energy = weight.square().sum(dim=(2, 3))  # (O, I), a constant
        demodulation = (style.square() @ energy.t() + DEMODULATION_EPSILON).rsqrt()  # (N, O)
    x = x * style.to(x.dtype)[:, :, None, None]
    constant = weight.to(x.dtype)
    if fir is None:
        x = functional.conv2d(x, constant, padding=kernel_size // 2)
    else:
        x = functional.conv_transpose2d(x, constant.transpose(0, 1), stride=2)  # (N, O, 2R+1, 2R+1)
        x = blur(x, fir, gain=4.0)
    return x if demodulation is None else x * demodulation.to(x.dtype)[:, :, None, None]


def modulated_conv2d_reference(
    x: Tensor, weight: Tensor, style: Tensor, *, demodulate: bool = True, fir: Tensor | None = None
) -> Tensor:
    """`modulated_conv2d` with own weights for each sample, as stated (Karras et al. 2020, eq. 1 and 3)."""
    results = []
    for sample, s in zip(x, style, strict=True):
        own = weight * s[None, :, None, None]  # eq. (1)
        if demodulate:
            own = (
                own * (own.square().sum(dim=(1, 2, 3), keepdim=True) + DEMODULATION_EPSILON).rsqrt()
            )  # eq. (3)
        if fir is None:
            y = functional.conv2d(sample[None], own, padding=weight.shape[-1] // 2)
        else:
            spread = upfirdn2d_reference(sample[None], torch.ones(1, 1), up=2, padding=(2, 1, 2, 1))
            y = functional.conv2d(spread, own.flip([2, 3]))
            y = upfirdn2d_reference(y, fir * 4, padding=(1, 1, 1, 1))
        results.append(y)
    return torch.cat(results)

# SPDX-License-Identifier: MIT
"""A style-based generator's few operations in plain torch. Knows no network.

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

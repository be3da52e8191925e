# SPDX-License-Identifier: MIT
"""Slow twins of the networks' fast operations, as papers and standards define them."""

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from engines.networks.alias_free import square
from engines.networks.mobile_stylegan import BANDS
from engines.networks.ops import DEMODULATION_EPSILON, Padding, leaky_relu
from engines.networks.yuv import BT601, OFFSETS, Layout


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


def filtered_leaky_relu_reference(
    x: Tensor,
    up_filter: Tensor,
    down_filter: Tensor,
    *,
    up: int,
    down: int,
    crop: int,
    clamp: float | None = None,
) -> Tensor:
    """`filtered_leaky_relu` by zero insertion, padding and whole kernels, as it is defined."""
    before, after = up_filter.shape[0] - 1 - crop, up_filter.shape[0] - up - crop
    kernel = square(up_filter) * up**2
    x = upfirdn2d_reference(x, kernel, up=up, padding=(before, after, before, after))
    return upfirdn2d_reference(leaky_relu(x, clamp), square(down_filter), down=down)


def inverse_haar_reference(x: Tensor) -> Tensor:
    """`inverse_haar` as a product with the transform's matrix."""
    n, channels, h, w = x.shape
    line = torch.tensor([[1.0, 1.0], [1.0, -1.0]])
    bands = x.reshape(n, 2, 2, channels // BANDS, h, w)  # detail along the width, along the height
    pixels = torch.einsum("nvuchw,iu,jv->nchiwj", bands, line, line)
    return pixels.reshape(n, channels // BANDS, 2 * h, 2 * w)


def to_yuv_reference(image: Tensor, layout: Layout = "nv12") -> Tensor:
    """`ToYuv` block by block in double precision, as the standard is written."""
    red_green_blue = (image.double().clamp(-1, 1).numpy() + 1) / 2
    n, _, height, width = red_green_blue.shape
    out = np.zeros((n, height * 3 // 2, width), np.uint8)
    for sample, rgb in enumerate(red_green_blue):
        for row in range(0, height, 2):
            for column in range(0, width, 2):
                block = rgb[:, row : row + 2, column : column + 2]
                for i in range(2):
                    for j in range(2):
                        out[sample, row + i, column + j] = _quantised(0, block[:, i, j])
                mean = block.mean(axis=(1, 2))
                for plane in (1, 2):
                    at = _chroma_at(plane, row // 2, column // 2, height, width, layout)
                    out[sample][at] = _quantised(plane, mean)
    return torch.from_numpy(out)


def _quantised(plane: int, rgb: "np.ndarray[tuple[int], np.dtype[np.float64]]") -> int:
    return int(np.floor(np.dot(BT601[plane], rgb) + OFFSETS[plane] + 0.5))


def _chroma_at(plane: int, row: int, column: int, height: int, width: int, layout: Layout) -> tuple[int, int]:
    """Row and column in the packed picture of one chroma sample."""
    if layout == "nv12":
        return height + row, 2 * column + plane - 1
    flat = (plane - 1) * (height // 2) * (width // 2) + row * (width // 2) + column
    return height + flat // width, flat % width

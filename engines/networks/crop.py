# SPDX-License-Identifier: MIT
"""Squares cut out of pictures so that gradients pass into the picture. Knows no face."""

import torch
from torch import Tensor
from torch.nn import functional


def crop(images: Tensor, to_picture: Tensor, size: int) -> Tensor:
    """(N, C, size, size) of pictures (N, C, H, W), linearly sampled, black outside.

    `to_picture` (N, 2, 3) takes pixels of the crop to pixels of the picture; pixel centres at whole numbers,
    as in OpenCV.
    """
    height, width = images.shape[2:]
    line = torch.arange(size, dtype=images.dtype, device=images.device)
    y, x = torch.meshgrid(line, line, indexing="ij")
    points = torch.stack([x, y, torch.ones_like(x)], dim=-1).reshape(-1, 3)  # (size^2, 3)
    places = points @ to_picture.to(images.dtype).transpose(1, 2)  # (N, size^2, 2)
    extent = torch.tensor([width, height], dtype=images.dtype, device=images.device)
    grid = ((2 * places + 1) / extent - 1).reshape(-1, size, size, 2)
    return functional.grid_sample(images, grid, mode="bilinear", padding_mode="zeros", align_corners=False)


def similarity(source: Tensor, target: Tensor) -> Tensor:
    """(N, 2, 3) rotation, scale and shift that take points (N, P, 2) onto others, least squared error."""
    a, b = source - source.mean(1, keepdim=True), target - target.mean(1, keepdim=True)
    energy = a.square().sum((1, 2))
    cosine = (a * b).sum((1, 2)) / energy
    sine = (a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0]).sum(1) / energy
    rows = [torch.stack([cosine, -sine], -1), torch.stack([sine, cosine], -1)]
    linear = torch.stack(rows, 1)  # (N, 2, 2)
    shift = target.mean(1) - (linear @ source.mean(1)[..., None])[..., 0]
    return torch.cat([linear, shift[..., None]], -1)


def inverted(affine: Tensor) -> Tensor:
    """(N, 2, 3) the way back."""
    linear = torch.linalg.inv(affine[..., :2])
    return torch.cat([linear, -linear @ affine[..., 2:]], -1)

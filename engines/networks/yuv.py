# SPDX-License-Identifier: MIT
"""A picture as virtual cameras take it, NV12 or I420, made where it was drawn. Knows no camera.

BT.601, limited range (luma 16 to 235, chroma 16 to 240), as pyvirtualcam's own conversion by libyuv makes and
readers of a webcam assume; chroma is the mean of 2 x 2 pixels. Half the bytes of RGB leave the device.
"""

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from engines.base import TensorSpec

Layout = Literal["nv12", "i420"]  # chroma interleaved, or one plane after the other
# ITU-R BT.601-7, 8-bit quantisation (3.5): rows Y, Cb, Cr of red, green and blue in [0, 1]
BT601 = ((65.481, 128.553, 24.966), (-37.797, -74.203, 112.0), (112.0, -93.786, -18.214))
OFFSETS = (16.0, 128.0, 128.0)


class ToYuv(nn.Module):
    """Image (1, 3, H, W) in [-1, 1] to uint8 (1, 3 H / 2, W): H rows of luma, then the chroma."""

    luma: Tensor
    chroma: Tensor
    offsets: Tensor

    def __init__(self, size: int, layout: Layout = "nv12") -> None:
        super().__init__()
        if size % 4:
            raise ValueError(f"{size} px, expected a multiple of 4: chroma has half the rows and columns")
        self.layout = layout
        matrix = torch.tensor(BT601) / 2  # of [-1, 1]; what is left of the offset is added below
        constant = torch.tensor(OFFSETS) + matrix.sum(1) + 0.5  # rounded by the cast
        self.register_buffer("luma", matrix[:1, :, None, None], persistent=False)  # (1, 3, 1, 1)
        mean = (matrix[1:, :, None, None] / 4).expand(2, 3, 2, 2).contiguous()  # (2, 3, 2, 2)
        self.register_buffer("chroma", mean, persistent=False)
        self.register_buffer("offsets", constant, persistent=False)
        self.inputs = (TensorSpec("image", (1, 3, size, size)),)
        self.outputs = (TensorSpec(layout, (1, size * 3 // 2, size), "uint8"),)

    def forward(self, image: Tensor) -> Tensor:
        image = image.float().clamp(-1, 1)
        n, _, height, width = image.shape
        y = functional.conv2d(image, self.luma, self.offsets[:1])
        uv = functional.conv2d(image, self.chroma, self.offsets[1:], stride=2)  # (N, 2, H/2, W/2)
        if self.layout == "nv12":
            uv = uv.permute(0, 2, 3, 1)  # (N, H/2, W/2, 2)
        y, uv = y.reshape(n, height, width), uv.reshape(n, height // 2, width)
        return torch.cat([y, uv], dim=1).to(torch.uint8)  # (N, 3H/2, W)

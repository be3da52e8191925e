# SPDX-License-Identifier: MIT
"""The landmark mapping network (One-Shot Landmark-Based Face Reenactment): drawings to a shift of W+.

A stack of convolutions and two linear layers. Knows neither landmarks nor the generator that is shifted.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from engines.base import TensorSpec
from engines.networks.stylegan2 import MAX_SAMPLES

FIRST_KERNEL, KERNEL = 5, 3
SLOPE = 0.01


@dataclass(frozen=True, slots=True)
class LandmarkMappingConfig:
    channels: tuple[int, ...] = (16, 32, 64, 128, 256, 512, 512, 512)  # halved in size after all but the last
    hidden: int = 768
    rows: int = 16  # of W+: the public network was trained for a StyleGAN3 of 1024 pixels
    w_dim: int = 512
    input_channels: int = 3
    input_size: int = 580  # pixels, both sides

    def __post_init__(self) -> None:
        if not self.channels or self.last_size < 1:
            raise ValueError(f"{len(self.channels)} convolutions of a picture of {self.input_size} pixels")
        widest = max(width * (self.input_size >> index) ** 2 for index, width in enumerate(self.channels))
        if widest > MAX_SAMPLES:  # a file of a few kilobytes may ask for more
            raise ValueError(f"a layer has {widest} activations, expected {MAX_SAMPLES} at most")

    @property
    def last_size(self) -> int:
        """Side of the last feature map: each pooling halves, and drops an odd last row and column."""
        return self.input_size >> (len(self.channels) - 1)


class LandmarkMapping(nn.Module):
    """Difference of two landmark drawings (driver less portrait, RGB in [0, 1]) to the shift of W+."""

    kind: ClassVar[str] = "landmark-mapping"
    role: ClassVar[str] = "landmarks"
    Config: ClassVar[type] = LandmarkMappingConfig

    def __init__(self, config: LandmarkMappingConfig) -> None:
        super().__init__()
        self.config = config
        layers: list[nn.Module] = []
        width = config.input_channels
        for index, outputs in enumerate(config.channels):
            kernel = KERNEL if index else FIRST_KERNEL
            layers += [
                nn.Conv2d(width, outputs, kernel, padding=kernel // 2),
                nn.BatchNorm2d(outputs),
                nn.LeakyReLU(SLOPE),
            ]
            if index < len(config.channels) - 1:
                layers.append(nn.MaxPool2d(2))
            width = outputs
        layers += [
            nn.Flatten(),
            nn.Linear(width * config.last_size**2, config.hidden),
            nn.BatchNorm1d(config.hidden),
            nn.LeakyReLU(SLOPE),
            nn.Linear(config.hidden, config.rows * config.w_dim),
        ]
        self.landmark_encoder = nn.Sequential(*layers)
        size = config.input_size
        self.inputs = (TensorSpec("difference", ("n", config.input_channels, size, size)),)
        self.outputs = (TensorSpec("shift", ("n", config.rows, config.w_dim)),)

    def forward(self, difference: Tensor) -> Tensor:
        shift = self.landmark_encoder(difference)
        return torch.unflatten(shift, 1, (self.config.rows, self.config.w_dim))

# SPDX-License-Identifier: MIT
"""StyleMask (Bounareli et al. 2023): the portrait's styles, where they give way to the driver's.

Knows no generator. Both pictures are inverted and truncated first. Their styles are those of the generator's
convolutions in order, ToImage left out; styles of later layers, and w for ToImage, stay the portrait's.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from engines.base import TensorSpec


@dataclass(frozen=True, slots=True)
class StyleMaskConfig:
    channels: tuple[int, ...]  # of each masked convolution's style, from the first


class StyleMask(nn.Module):
    """Styles of portrait and driver (N, C), C the sum of `channels`, to the styles of the result."""

    kind: ClassVar[str] = "style-mask"
    role: ClassVar[str] = "mask"
    Config: ClassVar[type] = StyleMaskConfig

    def __init__(self, config: StyleMaskConfig) -> None:
        super().__init__()
        self.config = config
        self.networks = nn.ModuleList(
            nn.Sequential(nn.Linear(size, size), nn.ReLU(), nn.Linear(size, size), nn.Sigmoid())
            for size in config.channels
        )
        total = sum(config.channels)
        self.inputs = (TensorSpec("source", ("n", total)), TensorSpec("target", ("n", total)))
        self.outputs = (TensorSpec("style", ("n", total)),)

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        """m * target + (1 - m) * source, with a mask m of their difference, layer by layer."""
        difference = source - target
        masks, start = [], 0
        for network, size in zip(self.networks, self.config.channels, strict=True):
            masks.append(network(difference[:, start : start + size]))
            start += size
        return source - torch.cat(masks, dim=1) * difference

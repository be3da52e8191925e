# SPDX-License-Identifier: MIT
"""The map of pose and expression transfer (Jahoda and Cech 2025): identity and motion to w. Knows no image.

Reading its 170 million weights is what a frame costs. What the half of the identity gives is the same for a
whole session: `split` makes it a network of its own, run once a portrait, beside the half to run a frame.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from engines.base import TensorSpec


@dataclass(frozen=True, slots=True)
class MotionMappingConfig:
    rows: int = 18
    w_dim: int = 512


@dataclass(frozen=True, slots=True)
class IdentityHalfConfig:
    rows: int = 18
    w_dim: int = 512


@dataclass(frozen=True, slots=True)
class MotionHalfConfig:
    rows: int = 18
    w_dim: int = 512


def _latents(name: str, config: MotionMappingConfig | IdentityHalfConfig | MotionHalfConfig) -> TensorSpec:
    return TensorSpec(name, ("n", config.rows, config.w_dim))


class MotionMapping(nn.Module):
    """W+ of the portrait and latent of the driver's frame, (N, rows, w_dim) each, to W+ of the result.

    The portrait's comes from ReStyle, the driver's from the checkpoint's encoder, with no mean latent added.
    """

    kind: ClassVar[str] = "motion-mapping"
    role: ClassVar[str] = "motion"
    Config: ClassVar[type] = MotionMappingConfig

    def __init__(self, config: MotionMappingConfig) -> None:
        super().__init__()
        self.config = config
        size = config.rows * config.w_dim
        self.linear = nn.Linear(2 * size, size)
        self.inputs = (_latents("identity", config), _latents("motion", config))
        self.outputs = (_latents("w", config),)

    def forward(self, identity: Tensor, motion: Tensor) -> Tensor:
        """Identity first, then motion: so the released weights take them, other than the paper writes it."""
        both = torch.cat([identity.flatten(1), motion.flatten(1)], dim=1)  # (N, 2 * rows * w_dim)
        return torch.unflatten(self.linear(both), 1, (self.config.rows, self.config.w_dim))

    def split(self) -> "tuple[IdentityHalf, MotionHalf]":
        """The same map as two: motion_half(identity_half(identity), motion); weights are shared."""
        rows, w_dim = self.config.rows, self.config.w_dim
        with torch.device("meta"):
            halves = IdentityHalf(IdentityHalfConfig(rows, w_dim)), MotionHalf(MotionHalfConfig(rows, w_dim))
        size = rows * w_dim
        weight, bias = self.linear.weight.detach(), self.linear.bias.detach()
        halves[0].load_state_dict({"weight": weight[:, :size], "bias": bias}, strict=True, assign=True)
        halves[1].load_state_dict({"weight": weight[:, size:]}, strict=True, assign=True)
        return halves


class IdentityHalf(nn.Module):
    """What the portrait adds to every frame: `base`, to be kept with the enrolled identity."""

    kind: ClassVar[str] = "motion-identity-half"
    role: ClassVar[str] = "motion_identity"
    Config: ClassVar[type] = IdentityHalfConfig

    def __init__(self, config: IdentityHalfConfig) -> None:
        super().__init__()
        self.config = config
        size = config.rows * config.w_dim
        self.weight = nn.Parameter(torch.zeros(size, size))
        self.bias = nn.Parameter(torch.zeros(size))
        self.inputs = (_latents("identity", config),)
        self.outputs = (_latents("base", config),)

    def forward(self, identity: Tensor) -> Tensor:
        base = functional.linear(identity.flatten(1), self.weight, self.bias)
        return torch.unflatten(base, 1, (self.config.rows, self.config.w_dim))


class MotionHalf(nn.Module):
    """What is left of the map a frame."""

    kind: ClassVar[str] = "motion-half"
    role: ClassVar[str] = "motion_live"
    Config: ClassVar[type] = MotionHalfConfig

    def __init__(self, config: MotionHalfConfig) -> None:
        super().__init__()
        self.config = config
        size = config.rows * config.w_dim
        self.weight = nn.Parameter(torch.zeros(size, size))
        self.inputs = (_latents("base", config), _latents("motion", config))
        self.outputs = (_latents("w", config),)

    def forward(self, base: Tensor, motion: Tensor) -> Tensor:
        change = functional.linear(motion.flatten(1), self.weight)
        return base + torch.unflatten(change, 1, (self.config.rows, self.config.w_dim))

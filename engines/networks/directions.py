# SPDX-License-Identifier: MIT
"""The matrix of directions (Bounareli et al. 2022): face parameters to a shift of W+. Knows no face."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from engines.base import TensorSpec


@dataclass(frozen=True, slots=True)
class DirectionsConfig:
    parameters: int = 15
    rows: int = 8  # the first rows of W+ are shifted, the others kept
    w_dim: int = 512
    bias: bool = True


class Directions(nn.Module):
    """Shift of the first rows of W+, to be added before truncation; for delta 0 it is the bias."""

    kind: ClassVar[str] = "directions"
    role: ClassVar[str] = "directions"
    Config: ClassVar[type] = DirectionsConfig

    def __init__(self, config: DirectionsConfig) -> None:
        super().__init__()
        self.config = config
        self.linear = nn.Linear(config.parameters, config.rows * config.w_dim, bias=config.bias)
        self.inputs = (TensorSpec("delta", ("n", config.parameters)),)
        self.outputs = (TensorSpec("shift", ("n", config.rows, config.w_dim)),)

    def forward(self, delta: Tensor) -> Tensor:
        """w' = w + A dp (eq. 3, Bounareli et al. 2022); this is A dp."""
        return torch.unflatten(self.linear(delta), 1, (self.config.rows, self.config.w_dim))

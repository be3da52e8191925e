# SPDX-License-Identifier: MIT
"""Portrait to w by one linear map from a recogniser's features and the picture's colours. Knows no generator.

The small encoder that two cores can train: the features are those of a network that has seen three million
faces, only the map is learned. It gives a start that is refined by optimisation afterwards.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from engines.base import TensorSpec
from engines.networks.face_embedding import MEAN_RGB, SCALE, FaceEmbedding

INPUT_SIZE = 256  # pixels, both sides, FFHQ-aligned
# Features: after which residual unit of the recogniser, its channels, pooled to how many cells a side.
LEVELS = ((6, 64, 4), (9, 128, 4), (12, 256, 3))
COLOUR_CELLS = 8
FEATURES = sum(channels * cells**2 for _, channels, cells in LEVELS) + 3 * COLOUR_CELLS**2


@dataclass(frozen=True, slots=True)
class FeatureEncoderConfig:
    features: int = FEATURES
    w_dim: int = 512
    rows: int = 16  # all the same: w, not W+


class FeatureEncoder(nn.Module):
    """(N, 3, 256, 256) in [-1, 1] to (N, rows, w_dim); needs the recogniser, which its file does not hold."""

    kind: ClassVar[str] = "feature-encoder"
    role: ClassVar[str] = "encoder"
    Config: ClassVar[type] = FeatureEncoderConfig

    def __init__(self, config: FeatureEncoderConfig) -> None:
        super().__init__()
        self.config = config
        self.register_buffer("centre", torch.zeros(config.features))
        self.register_buffer("spread", torch.ones(config.features))
        self.map = nn.Linear(config.features, config.w_dim)
        self._recogniser: list[FaceEmbedding] = []  # in a list: no part of this module's own weights
        self.inputs = (TensorSpec("image", ("n", 3, INPUT_SIZE, INPUT_SIZE)),)
        self.outputs = (TensorSpec("w", ("n", config.rows, config.w_dim)),)

    def attach(self, recogniser: FaceEmbedding) -> "FeatureEncoder":
        """Look through this recogniser; call it once before the first picture."""
        self._recogniser[:] = [recogniser]
        return self

    def forward(self, image: Tensor) -> Tensor:
        if not self._recogniser:
            raise ValueError("the encoder has no recogniser; call attach() first")
        features = features_of(self._recogniser[0], image)
        w = self.map((features - self.centre) / self.spread)
        return w[:, None].expand(-1, self.config.rows, -1)


def features_of(recogniser: FaceEmbedding, image: Tensor) -> Tensor:
    """(N, FEATURES) of whole pictures (N, 3, 256, 256): hair and surroundings count as much as the face."""
    # no chip is cut: the trunk is convolutional, and an aligned face is nearly as large as in its chip
    mean = image.new_tensor(MEAN_RGB)[:, None, None]
    x = functional.relu(recogniser.stem(((image + 1) * 127.5 - mean) / SCALE))
    x = functional.max_pool2d(x, 3, 2)
    parts = [functional.adaptive_avg_pool2d(image, COLOUR_CELLS).flatten(1)]
    taps = {unit: cells for unit, _, cells in LEVELS}
    for index, unit in enumerate(recogniser.units):
        x = unit(x)
        if index in taps:
            parts.append(functional.adaptive_avg_pool2d(x, taps[index]).flatten(1))
        if index == LEVELS[-1][0]:
            break
    return torch.cat(parts, 1)

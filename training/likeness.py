# SPDX-License-Identifier: MIT
"""How far a generated picture is from a portrait: colours at several sizes, and the face as a recogniser sees
it. Knows no generator.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from engines.networks.crop import crop
from engines.networks.face_embedding import CHIP_PX, FaceEmbedding, chip_to_picture

LEVELS = 5  # sizes at which pictures are compared, each half of the one before
COARSE_WEIGHT = 0.5  # of what is left below the last size
FACE_SHARE = 3.0  # weight of the face against its surroundings
# Units of the recogniser whose features are compared: edges and texture, parts, the whole.
FEATURE_UNITS = (2, 6, 9)


@dataclass(frozen=True, slots=True)
class Weights:
    """Of the terms of the sum."""

    pixels: float = 1.0
    features: float = 0.15
    identity: float = 1.0


class Likeness(nn.Module):
    """The distance of pictures (N, 3, S, S) in [-1, 1] to one portrait, and its terms by name.

    `recogniser` None leaves features and identity out. `landmarks` (478, 2 or 3) are pixels of the portrait,
    `weight` (S, S) says how much each of them counts.
    """

    def __init__(
        self,
        portrait: Tensor,
        landmarks: Tensor,
        weight: Tensor,
        *,
        recogniser: FaceEmbedding | None,
        weights: Weights | None = None,
    ) -> None:
        super().__init__()
        self.recogniser, self.weights = recogniser, weights or Weights()
        self.register_buffer("portrait", portrait)  # (1, 3, S, S)
        self.register_buffer("weight", (weight / weight.mean())[None, None])
        self.register_buffer("to_picture", chip_to_picture(landmarks[None]))
        if recogniser is not None:
            with torch.no_grad():
                features, numbers = self._seen(portrait)
            self.features = features
            self.register_buffer("numbers", numbers)

    def forward(self, pictures: Tensor) -> tuple[Tensor, dict[str, float]]:
        terms = {"pixels": self.weights.pixels * self._pixels(pictures)}
        if self.recogniser is not None:
            features, numbers = self._seen(pictures)
            apart = [
                (found - wanted).abs().mean() / wanted.abs().mean().clamp_min(1e-6)
                for found, wanted in zip(features, self.features, strict=True)
            ]
            terms["features"] = self.weights.features * torch.stack(apart).mean()
            distance = (numbers - self.numbers).norm(dim=1).mean()
            terms["identity"] = self.weights.identity * distance.square()
        total = torch.stack(list(terms.values())).sum()
        return total, {name: float(term.detach()) for name, term in terms.items()}

    def identity_distance(self, pictures: Tensor) -> float:
        """Of the recogniser's numbers; nan without one."""
        if self.recogniser is None:
            return float("nan")
        with torch.no_grad():
            return float((self._seen(pictures)[1] - self.numbers).norm(dim=1).mean())

    def _pixels(self, pictures: Tensor) -> Tensor:
        """Weighted absolute difference of a pyramid of band-passed pictures: edges count at every size."""
        difference, weight = pictures - self.portrait, self.weight
        total = difference.new_zeros(())
        for _ in range(LEVELS):
            coarse = functional.avg_pool2d(difference, 2)
            detail = difference - functional.interpolate(coarse, scale_factor=2.0, mode="nearest")
            total = total + (detail.abs() * weight).mean()
            difference, weight = coarse, functional.avg_pool2d(weight, 2)
        return total + COARSE_WEIGHT * LEVELS * (difference.abs() * weight).mean()

    def _seen(self, pictures: Tensor) -> tuple[list[Tensor], Tensor]:
        """Features of some units and the numbers of the face, which stays where the portrait has it."""
        assert self.recogniser is not None
        network = self.recogniser
        chips = (crop(pictures, self.to_picture.expand(len(pictures), -1, -1), CHIP_PX) + 1) * 127.5
        x = functional.relu(network.stem((chips - network.mean) / 256.0))
        x = functional.max_pool2d(x, 3, 2)
        kept = []
        for index, unit in enumerate(network.units):
            x = unit(x)
            if index in FEATURE_UNITS:
                kept.append(x)
        return kept, network.numbers(x.mean((2, 3)))


def face_weight(landmarks: Tensor, size: int) -> Tensor:
    """(size, size) more inside the face than around it, smoothly."""
    points = landmarks[:, :2]
    low, high = points.amin(0), points.amax(0)
    middle, half = (low + high) / 2, (high - low) / 2 * 1.15
    at = torch.arange(size, dtype=points.dtype)
    x, y = (at - middle[0]) / half[0], (at - middle[1]) / half[1]
    inside = torch.sigmoid((1 - (x[None].square() + y[:, None].square()).sqrt()) * 12)
    return 1 + (FACE_SHARE - 1) * inside

# SPDX-License-Identifier: MIT
"""What a driver's mouth does, as amounts of a few named directions of the face model."""

import numpy as np

from face.arrays import Floats
from face.face_model import (
    LIPS_INNER_LOWER,
    LIPS_INNER_UPPER,
    LIPS_OUTER_LOWER,
    LIPS_OUTER_UPPER,
    SURFACE,
    FaceModel,
)
from face.motion import BLENDSHAPE_INDEX

# Directions of the mouth told apart from one another in a driver's offsets, as sums of blendshapes.
DIRECTIONS: dict[str, tuple[str, ...]] = {
    "jawOpen": ("jawOpen",),
    "smile": ("mouthSmileLeft", "mouthSmileRight"),
    "pucker": ("mouthPucker",),
    "funnel": ("mouthFunnel",),
    "upperUp": ("mouthUpperUpLeft", "mouthUpperUpRight"),
    "lowerDown": ("mouthLowerDownLeft", "mouthLowerDownRight"),
    "stretch": ("mouthStretchLeft", "mouthStretchRight"),
}
CHIN = frozenset((148, 152, 199, 200, 377))


def directions(model: FaceModel) -> Floats:
    """(7, 468, 3) offsets of DIRECTIONS, in their order."""
    sums = [
        model.basis[[BLENDSHAPE_INDEX[name] for name in names], :SURFACE].sum(0)
        for names in DIRECTIONS.values()
    ]
    return np.stack(sums)


class MouthReader:
    """Splits a driver's offsets into amounts along DIRECTIONS, by least squares over the lips and the
    chin.
    """

    def __init__(self, model: FaceModel) -> None:
        lips = {*LIPS_INNER_LOWER, *LIPS_INNER_UPPER, *LIPS_OUTER_LOWER, *LIPS_OUTER_UPPER}
        self._where = sorted(lips | CHIN)
        flat = directions(model)[:, self._where].reshape(len(DIRECTIONS), -1).astype(np.float64)
        gram = flat @ flat.T
        self._solve = np.linalg.solve(gram + 0.02 * np.trace(gram) / len(gram) * np.eye(len(gram)), flat)

    def __call__(self, offsets: Floats) -> Floats:
        """(7,) amounts of offsets (468, 3)."""
        return np.asarray(self._solve @ offsets[self._where].ravel(), np.float32)

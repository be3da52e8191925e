# SPDX-License-Identifier: MIT
"""Lips as shapes: how far apart nine pairs of points on their inner rims are, and where the corners are."""

import numpy as np
from numpy.typing import NDArray

from face.arrays import Floats
from face.face_model import FACE_OVAL, LIPS_INNER_LOWER, LIPS_INNER_UPPER, FaceModel
from methods.mesh.skin import spread

UPPER, LOWER = list(LIPS_INNER_UPPER[1:-1]), list(LIPS_INNER_LOWER[1:-1])
CORNERS = (61, 78, 308, 291)
SIDES = ((61, 62, 76, 78), (291, 292, 306, 308))  # corners of the mouth, right and left
MIDDLE = (0, 11, 12, 13, 14, 15, 16, 17)
NOSE = (1, 4, 5, 195, 197, 6, 168, 94, 2, 97, 326, 98, 327)
EYES = (33, 133, 159, 145, 263, 362, 386, 374)
CHEEKBONES = (50, 280)
SEALED_GAP = 0.02  # a driver's lips nearer than this are together, outer eye distances
SHUT_AT_REST, OPEN_AT_REST = 0.015, 0.03  # portraits' own gaps: up to one lips can meet, from the other not


class Lips:
    """Gaps between one portrait's lips; all are (9,) in outer eye distances, from its right to its left."""

    def __init__(self, model: FaceModel, portrait: Floats) -> None:
        self.rest = gaps_of(portrait)
        points = [(index,) for index in (*UPPER, *LOWER)]
        around = {*NOSE, *EYES, *CHEEKBONES, *FACE_OVAL}
        self._spread = spread(model, points, {*CORNERS, *around})
        self._widen = spread(model, SIDES, {*MIDDLE, *around})

    def gaps(self, offsets: Floats) -> Floats:
        """With offsets (468, 3)."""
        return np.asarray(self.rest + offsets[LOWER, 1] - offsets[UPPER, 1], np.float32)

    def set(self, offsets: Floats, gaps: NDArray[np.floating]) -> Floats:
        """Offsets (468, 3) with these gaps: both lips move by half, with their outer rims and the skin."""
        change = (gaps - self.gaps(offsets)) / 2
        moved = offsets.copy()
        moved[:, 1] += self._spread @ np.concatenate([-change, change])
        return np.asarray(moved, np.float32)

    def widened(self, offsets: Floats, aside: NDArray[np.floating]) -> Floats:
        """Offsets (468, 3) with the corners as far to the left of their rest as `aside` (2,) says."""
        moved = offsets.copy()
        moved[:, 0] += self._widen @ (aside - corners_of(offsets))
        return np.asarray(moved, np.float32)


def gaps_of(shape: Floats) -> Floats:
    """(9,) of a shape (478, 3) in the model's frame."""
    return np.asarray(shape[LOWER, 1] - shape[UPPER, 1], np.float32)


def corners_of(shape: Floats) -> Floats:
    """(2,) how far to the left the mouth's right and left corners are, of a shape or of offsets."""
    return np.array([shape[list(side), 0].mean() for side in SIDES], np.float32)


def width_of(shape: Floats) -> float:
    """Of the mouth, between the corners."""
    right, left = corners_of(shape)
    return float(left - right)


def middle_of(gaps: Floats) -> float:
    """The middle one, which is measured (landmarks 13 and 14)."""
    return float(gaps[4])


def wanted_gaps(at_rest: Floats, now: Floats, rest: Floats) -> Floats:
    """Of a portrait which has `at_rest` while its driver has `rest`, when the driver has `now`.

    Lips that the driver closes meet, except those of a portrait that shows its teeth at rest.
    """
    gaps = np.maximum(at_rest + now - rest, 0)
    shut = 1 - np.clip(now / SEALED_GAP, 0, 1)
    can_meet = np.clip((OPEN_AT_REST - middle_of(at_rest)) / (OPEN_AT_REST - SHUT_AT_REST), 0, 1)
    return np.asarray(gaps * (1 - shut * can_meet), np.float32)

# SPDX-License-Identifier: MIT
"""How far the rest of a face goes along where some of its points are moved: as a stretched skin would."""

from collections.abc import Collection, Sequence

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

LIPS = frozenset(
    (*LIPS_OUTER_UPPER, *LIPS_INNER_UPPER, *LIPS_OUTER_LOWER, *LIPS_INNER_LOWER)
    # and between the rims, upper lip and lower
    + (76, 184, 74, 73, 72, 11, 302, 303, 304, 408, 306, 62, 183, 42, 41, 38, 12, 268, 271, 272, 407, 292)
    + (77, 90, 180, 85, 16, 315, 404, 320, 307, 96, 89, 179, 86, 15, 316, 403, 319, 325)
)
LIPS_STIFF = 12.0  # times as stiff as skin: lips keep their thickness


def spread(model: FaceModel, moved: Sequence[Collection[int]], held: Collection[int]) -> Floats:
    """(468, G) share by which each landmark goes along with each of G groups of landmarks, which move as one;
    `held` stay.
    """
    stiffness = _stiffness(model)
    groups = [sorted(group) for group in moved]
    fixed = np.concatenate([np.array(group) for group in groups])
    free = np.setdiff1d(np.arange(SURFACE), np.concatenate([fixed, np.array(sorted(held))]))
    shares = np.zeros((SURFACE, len(groups)))
    for column, group in enumerate(groups):
        shares[group, column] = 1
    balance = np.diag(stiffness.sum(1)) - stiffness
    pull = stiffness[np.ix_(free, fixed)] @ shares[fixed]
    shares[free] = np.linalg.solve(balance[np.ix_(free, free)], pull)
    return np.asarray(shares, np.float32)


def _stiffness(model: FaceModel) -> np.ndarray:
    """(468, 468) of the edges between landmarks; the opening of the mouth holds nothing together."""
    opening = {*LIPS_INNER_UPPER, *LIPS_INNER_LOWER}
    stiffness = np.zeros((SURFACE, SURFACE))
    for triangle in model.triangles.tolist():
        if opening.issuperset(triangle):
            continue
        for a, b in zip(triangle, triangle[1:] + triangle[:1], strict=True):
            of_lips = LIPS_STIFF if a in LIPS and b in LIPS else 1.0
            stiffness[a, b] = stiffness[b, a] = of_lips / np.linalg.norm(model.mean[a] - model.mean[b])
    return stiffness

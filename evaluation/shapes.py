# SPDX-License-Identifier: MIT
"""Shapes of a face, read off its landmarks: how wide mouth and eyes are open, how high the brows are.

Each is a distance between points, measured in the face's own frontal plane and divided by the distance of the
outer eye corners there. The head's rotation, size and place are taken out by the face model's rigid fit,
which reads neither lips, lids nor brows. What the tracker itself adds when a head turns remains: on six clips
the head's angles explain up to a tenth of a lid gap's variance, a seventh of the mouth's and a third of a
brow height's that the tracker's own scores do not.
"""

import numpy as np
from numpy.typing import NDArray

from face.arrays import Floats
from face.face_model import face_model
from face.motion import LANDMARKS

# Left and right are the subject's. A distance is that of the means of two groups of landmarks:
POINTS: dict[str, tuple[tuple[int, ...], tuple[int, ...]]] = {
    "lip_gap": ((13,), (14,)),  # middles of the lips' inner rims
    "mouth_width": ((61,), (291,)),  # outer corners
    "lid_gap_left": ((386,), (374,)),  # middles of the upper and the lower rim
    "lid_gap_right": ((159,), (145,)),
    "brow_height_left": ((334, 282), (263, 362)),  # middles of a brow's two edges; corners of the eye
    "brow_height_right": ((105, 52), (33, 133)),
}
SHAPES = tuple(POINTS)
EYE_CORNERS = (33, 263)  # outer


def shapes_of(landmarks: NDArray[np.floating]) -> Floats:
    """(6,) in the order of SHAPES of landmarks (478, 3), (N, 6) of (N, 478, 3); pixels, z in the unit of x.

    NaN where landmarks are NaN, as where no face was found.
    """
    if landmarks.ndim not in (2, 3) or landmarks.shape[-2:] != (LANDMARKS, 3):
        raise ValueError(f"landmarks are {landmarks.shape}, expected ({LANDMARKS}, 3) or (N, {LANDMARKS}, 3)")
    rows = [_shapes(face) for face in landmarks.reshape(-1, LANDMARKS, 3)]
    return np.array(rows, np.float32).reshape(*landmarks.shape[:-2], len(SHAPES))


def _shapes(landmarks: NDArray[np.floating]) -> list[float]:
    if not np.isfinite(landmarks).all():
        return [np.nan] * len(SHAPES)
    frontal = face_model().unpose(landmarks)[0][:, :2]
    unit = np.linalg.norm(frontal[EYE_CORNERS[0]] - frontal[EYE_CORNERS[1]])
    gaps = [frontal[list(one)].mean(0) - frontal[list(other)].mean(0) for one, other in POINTS.values()]
    return [float(np.linalg.norm(gap) / unit) for gap in gaps]

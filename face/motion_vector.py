# SPDX-License-Identifier: MIT
"""A face as one flat vector, in which faces are smoothed, averaged, eased and scaled. Knows no picture.

Head and expression are kept apart, so that a sum or mean of two vectors is again a face: the landmarks are
unposed by the face model into its own frame, and posed again at the end. Lengths are in units of picture
width.
"""

from functools import cache

import numpy as np
from numpy.typing import NDArray

from face.arrays import Floats
from face.face_model import face_model
from face.motion import BLENDSHAPES, LANDMARKS, Motion
from face.pose import euler_angles, rotation_matrix

ROTATION = slice(0, 3)  # Motion.rotation, degrees
TURN = slice(3, 6)  # the rigid fit's own yaw, pitch, roll: what poses the landmarks, degrees
CENTRE = slice(6, 9)  # the fit's centroid in the picture, from the picture's centre; z as the landmarks'
LOG_SCALE = slice(9, 10)  # natural logarithm of Motion.scale
GAZE = slice(10, 12)  # Motion.gaze, degrees
SCORES = slice(12, 12 + len(BLENDSHAPES))
SHAPE = slice(SCORES.stop, SCORES.stop + 3 * LANDMARKS)  # unposed landmarks in the face model's frame
SIZE = SHAPE.stop
HEAD_POSE = slice(0, LOG_SCALE.stop)

# In the face model's frame: between the ears, at the height of the mouth, where skull and neck turn. A head
# that only turns hardly moves this point, so Motion.translation is free of rotation.
HEAD_CENTRE: Floats = np.array([0.0, 0.62, 0.62], np.float32)
# The vector holds another point, the centroid of the fitted landmarks: there the noise of the fit's turn and
# of its translation are independent. (At HEAD_CENTRE they cancel, and smoothing each on its own doubles the
# jitter.)
CENTROID: Floats = np.array([0.0, 0.18, -0.14], np.float32)


def vector_of(
    landmarks: NDArray[np.floating],
    image_size: tuple[int, int],
    *,
    rotation: NDArray[np.floating],
    gaze: NDArray[np.floating],
    blendshapes: NDArray[np.floating],
) -> Floats:
    """(SIZE,) vector of a tracked face; the arguments are as the fields of Motion."""
    width, height = image_size
    shape, turn, scale, translation = face_model().unpose(landmarks)
    vector = np.empty(SIZE, np.float32)
    vector[ROTATION] = rotation
    vector[TURN] = euler_angles(turn)
    vector[CENTRE] = (scale * turn @ CENTROID + translation - _middle(width, height)) / width
    vector[LOG_SCALE] = np.log(scale / width)
    vector[GAZE] = gaze
    vector[SCORES] = blendshapes
    vector[SHAPE] = shape.ravel()
    return vector


def vector_of_motion(motion: Motion) -> Floats:
    """(SIZE,) vector of a motion; its confidence, time, neutral and picture are left behind."""
    return vector_of(
        motion.landmarks,
        motion.image_size,
        rotation=motion.rotation,
        gaze=motion.gaze,
        blendshapes=motion.blendshapes,
    )


def landmarks_of(vector: Floats, image_size: tuple[int, int]) -> Floats:
    """(478, 3) pixels: the vector's shape, posed in a picture of `image_size` (width, height)."""
    width, height = image_size
    posed = _pose(vector, vector[SHAPE].reshape(LANDMARKS, 3))
    return np.asarray(posed * width + _middle(width, height), dtype=np.float32)


def motion_of(
    vector: Floats,
    image_size: tuple[int, int],
    *,
    captured_s: float,
    confidence: float = 1.0,
    neutral: Motion | None = None,
    mirrored: bool = False,
    seen: Floats | None = None,
) -> Motion:
    """The vector as a motion in a picture of `image_size`; the motion owns its arrays."""
    return Motion(
        captured_s=captured_s,
        rotation=vector[ROTATION].copy(),
        translation=_pose(vector, HEAD_CENTRE)[:2].copy(),
        scale=float(np.exp(vector[LOG_SCALE.start])),
        blendshapes=np.clip(vector[SCORES], 0.0, 1.0),
        landmarks=landmarks_of(vector, image_size),
        gaze=vector[GAZE].copy(),
        confidence=confidence,
        image_size=image_size,
        neutral=neutral,
        mirrored=mirrored,
        seen=seen,
    )


def mirrored(vector: Floats) -> Floats:
    """The same face in the mirror image of its picture; left and right change places, also by name."""
    flipped = vector.copy()
    for part in (ROTATION, TURN):
        flipped[part] *= (-1, 1, -1)
    flipped[CENTRE] *= (-1, 1, 1)
    flipped[GAZE] *= (-1, 1)
    landmarks, scores = _opposites()
    flipped[SCORES] = vector[SCORES][scores]
    flipped[SHAPE] = (vector[SHAPE].reshape(LANDMARKS, 3)[landmarks] * (-1, 1, 1)).ravel()
    return flipped


@cache
def _opposites() -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """(478,) and (52,): the landmark and the score on the other side."""
    mean = face_model().mean
    distances = np.linalg.norm(mean[:, None] * (-1, 1, 1) - mean, axis=2)
    scores = [
        BLENDSHAPES.index(
            name[:-4] + "Right"
            if name.endswith("Left")
            else name[:-5] + "Left"
            if name.endswith("Right")
            else name
        )
        for name in BLENDSHAPES
    ]
    return distances.argmin(1), np.array(scores)


def resting_vector(scale: float = 0.14) -> Floats:
    """(SIZE,) the face model's mean face: upright, frontal, in the middle of the picture, looking ahead.

    `scale` is Motion.scale: 0.14 is a head at arm's length from a webcam.
    """
    vector = np.zeros(SIZE, np.float32)
    vector[LOG_SCALE] = np.log(scale)
    vector[SHAPE] = face_model().mean.ravel()
    return vector


def _pose(vector: Floats, points: Floats) -> Floats:
    """(..., 3) points of the face model's frame in the picture, from its centre, in picture widths."""
    turn = rotation_matrix(*vector[TURN])
    posed: Floats = np.exp(vector[LOG_SCALE.start]) * (points - CENTROID) @ turn.T + vector[CENTRE]
    return posed


def _middle(width: int, height: int) -> Floats:
    return np.array([width / 2, height / 2, 0.0], np.float32)

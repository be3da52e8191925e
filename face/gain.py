# SPDX-License-Identifier: MIT
"""More or less of a face's movement against its rest, region by region. Knows neither tracker nor puppet."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from face.arrays import Floats
from face.face_model import (
    LEFT_EYE_LOWER,
    LEFT_EYE_UPPER,
    LIPS_INNER_LOWER,
    LIPS_INNER_UPPER,
    RIGHT_EYE_LOWER,
    RIGHT_EYE_UPPER,
)
from face.motion import LANDMARKS, Motion
from face.motion_vector import GAZE, HEAD_POSE, SCORES, SHAPE, motion_of, vector_of_motion
from face.regions import eye_scores, eye_weights

CONTACTS = (
    (RIGHT_EYE_UPPER, RIGHT_EYE_LOWER),
    (LEFT_EYE_UPPER, LEFT_EYE_LOWER),
    (LIPS_INNER_UPPER, LIPS_INNER_LOWER),
)


@dataclass(frozen=True, slots=True)
class Gain:
    """Share of the movement that is passed on: 0 stays at rest, 1 as it is."""

    pose: float = 1.0  # head rotation, translation and scale
    expression: float = 1.0  # mouth, cheeks and brows
    eyes: float = 1.0  # lids and gaze

    def __post_init__(self) -> None:
        for value in (self.pose, self.expression, self.eyes):
            if not 0 <= value <= 10:
                raise ValueError(f"a gain is {value}, expected 0 to 10")


NO_CHANGE = Gain()


def gain_of(shares: Mapping[str, float], otherwise: Gain = NO_CHANGE) -> Gain:
    """A gain from shares by region; regions not named keep `otherwise`. ValueError names a stranger."""
    for region in shares:
        if region not in Gain.__slots__:
            raise ValueError(f"region is {region!r}, expected one of {', '.join(Gain.__slots__)}")
    return replace(otherwise, **shares)


def gained(motion: Motion, neutral: Motion, gain: Gain) -> Motion:
    """The motion with its movement against `neutral` scaled, and that neutral set."""
    if gain == NO_CHANGE:
        return replace(motion, neutral=neutral)
    scaled = apply_gain(vector_of_motion(motion), vector_of_motion(neutral), gain)
    return motion_of(
        scaled,
        motion.image_size,
        captured_s=motion.captured_s,
        confidence=motion.confidence,
        neutral=neutral,
        mirrored=motion.mirrored,
        seen=motion.seen,
    )


def apply_gain(vector: Floats, neutral: Floats, gain: Gain) -> Floats:
    """The face with its movement against `neutral` scaled; landmarks, scores and angles follow alike.

    More than 1 does not push lids or lips through one another: they meet.
    """
    if gain == NO_CHANGE:
        return vector
    moved = vector - neutral
    moved[HEAD_POSE] *= gain.pose
    moved[GAZE] *= gain.eyes
    moved[SCORES] *= np.where(eye_scores(), gain.eyes, gain.expression).astype(np.float32)
    eyes = eye_weights()
    moved[SHAPE] *= np.repeat(gain.eyes * eyes + gain.expression * (1 - eyes), 3)
    scaled: Floats = neutral + moved
    if max(gain.expression, gain.eyes) > 1:
        _part_contacts(scaled[SHAPE].reshape(LANDMARKS, 3))
    scaled[SCORES] = np.clip(scaled[SCORES], 0, 1)
    return scaled


def _part_contacts(shape: Floats) -> None:
    """Lets lids and lips that passed through one another meet in the middle, in place."""
    for upper, lower in CONTACTS:
        up, low = list(upper[1:-1]), list(lower[1:-1])
        crossed = np.minimum(shape[low, 1] - shape[up, 1], 0) / 2
        shape[up, 1] += crossed
        shape[low, 1] -= crossed

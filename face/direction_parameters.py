# SPDX-License-Identifier: MIT
"""The motion vector p of the method `directions`: which numbers it has and how they are read off a face.

Knows no network. Fifteen numbers, each a weighted sum of the head's angles and the tracker's scores, so
that the same table serves a driver's Motion and a batch of pictures in training. Roll is not among them: in
FFHQ-aligned pictures the eyes are level, so a generator of such pictures cannot roll a head; turn the picture
instead.
"""

import numpy as np
from numpy.typing import NDArray

from face.arrays import Floats
from face.motion import BLENDSHAPE_INDEX, BLENDSHAPES, Motion

SCALED_LIMIT = (
    6.0  # a of the paper: every number is brought to [-a, a] (Bounareli et al. 2022, section 3.1.4)
)
GAZE_DEGREES = 30.0  # of an eye at a look score of 1, as in face/gaze.py
ANGLES = 3  # yaw, pitch, roll come before the scores in what TABLE is multiplied with

# name: (what it is a sum of, how far from a face's own value it is asked to move)
# Angles in degrees with the signs of Motion.rotation, gaze in degrees with those of Motion.gaze, the others
# are scores.
_NUMBERS: dict[str, tuple[dict[str, float], float]] = {
    "yaw": ({"yaw": 1.0}, 30.0),
    "pitch": ({"pitch": 1.0}, 20.0),
    "jaw_open": ({"jawOpen": 1.0}, 0.5),
    "smile": ({"mouthSmileLeft": 0.5, "mouthSmileRight": 0.5}, 1.0),
    "upper_lip": ({"mouthUpperUpLeft": 0.5, "mouthUpperUpRight": 0.5}, 0.9),
    "lower_lip": ({"mouthLowerDownLeft": 0.5, "mouthLowerDownRight": 0.5}, 0.6),
    "pucker": ({"mouthPucker": 1.0}, 0.8),
    "press": ({"mouthPressLeft": 0.5, "mouthPressRight": 0.5}, 0.5),
    "blink_left": ({"eyeBlinkLeft": 1.0}, 0.6),
    "blink_right": ({"eyeBlinkRight": 1.0}, 0.6),
    "brow_up": ({"browInnerUp": 0.5, "browOuterUpLeft": 0.25, "browOuterUpRight": 0.25}, 0.7),
    "brow_down": ({"browDownLeft": 0.5, "browDownRight": 0.5}, 0.8),
    "squint": ({"eyeSquintLeft": 0.5, "eyeSquintRight": 0.5}, 0.6),
    "gaze_x": (
        {name: sign * GAZE_DEGREES / 2 for name, sign in (
            ("eyeLookOutLeft", 1), ("eyeLookInRight", 1), ("eyeLookInLeft", -1), ("eyeLookOutRight", -1),
        )},
        25.0,
    ),
    "gaze_y": (
        {name: sign * GAZE_DEGREES / 2 for name, sign in (
            ("eyeLookUpLeft", 1), ("eyeLookUpRight", 1), ("eyeLookDownLeft", -1), ("eyeLookDownRight", -1),
        )},
        18.0,
    ),
}  # fmt: skip
NAMES: tuple[str, ...] = tuple(_NUMBERS)
INDEX = {name: index for index, name in enumerate(NAMES)}
RANGES: Floats = np.array([reach for _, reach in _NUMBERS.values()], np.float32)
_COLUMNS = {"yaw": 0, "pitch": 1, "roll": 2} | {name: ANGLES + i for name, i in BLENDSHAPE_INDEX.items()}


def _table() -> Floats:
    table = np.zeros((len(NAMES), ANGLES + len(BLENDSHAPES)), np.float32)
    for row, (parts, _) in enumerate(_NUMBERS.values()):
        for name, weight in parts.items():
            table[row, _COLUMNS[name]] = weight
    return table


TABLE: Floats = _table()  # (15, 55): p = TABLE @ (yaw, pitch, roll, 52 scores)


def parameters(rotation: NDArray[np.floating], blendshapes: NDArray[np.floating]) -> Floats:
    """(..., 15) in raw units of angles (..., 3) and scores (..., 52), fields as those of Motion."""
    seen = np.concatenate([rotation, blendshapes], axis=-1)
    return np.asarray(seen @ TABLE.T, dtype=np.float32)


def parameters_of(motion: Motion) -> Floats:
    """(15,) in raw units: against the driver's neutral where there is one, absolute otherwise."""
    own = parameters(motion.rotation, motion.blendshapes)
    if motion.neutral is None:
        return own
    rest = motion.neutral
    return np.asarray(own - parameters(rest.rotation, rest.blendshapes), dtype=np.float32)


def scaled(delta: NDArray[np.floating]) -> Floats:
    """(..., 15) a change of p in raw units as the network takes it, in [-6, 6]; what is beyond is cut off."""
    return np.asarray(np.clip(delta / RANGES, -1, 1) * SCALED_LIMIT, dtype=np.float32)

# SPDX-License-Identifier: MIT
"""Where the eyes look, against the head, from the irises' place and the tracker's look scores.

Knows no picture. Measured on clips: over the range of a talking face the irises' shift and the scores agree
(correlation 0.94 to 0.99 sideways, 0.7 to 0.9 up and down) at 30 degrees for a score of 1, and their mean is
steadier than either.
"""

import numpy as np
from numpy.typing import NDArray

from face.arrays import Floats
from face.face_model import LEFT_IRIS, RIGHT_IRIS
from face.motion import BLENDSHAPE_INDEX

SCORE_DEGREES = 30.0  # eye rotation at a look score of 1
# An iris, 11.7 mm wide, measures 0.136 outer eye distances; it lies some 10.5 mm before the point the eye
# turns about.
IRIS_RADIUS = 0.122
# Up and down the tracked iris follows less than the eye turns: 0.04 outer eye distances a look score of 1.
DEGREES_PER_LIFT = SCORE_DEGREES / 0.04
REST_LIFT = -0.022  # of an iris above the line between the corners, eyes straight ahead
LARGEST = 40.0  # degrees
SHUT_FROM, SHUT_TO = 0.3, 0.6  # blink scores between which an iris turns into a guess


def gaze_of(shape: NDArray[np.floating], blendshapes: NDArray[np.floating]) -> tuple[Floats, float]:
    """(2,) yaw and pitch in degrees, signs as Motion.gaze, and how far to trust it: 1 open eyes, 0 shut ones.

    `shape` is (478, 3) in the face model's frame.
    """
    right = shape[RIGHT_IRIS[0]] - (shape[33] + shape[133]) / 2
    left = shape[LEFT_IRIS[0]] - (shape[263] + shape[362]) / 2
    aside, down = (right[:2] + left[:2]) / 2
    iris_yaw = np.rad2deg(np.arcsin(np.clip(aside / IRIS_RADIUS, -0.9, 0.9)))
    iris_pitch = (REST_LIFT - down) * DEGREES_PER_LIFT
    score = {
        name: float(blendshapes[BLENDSHAPE_INDEX[f"eyeLook{name}"]])
        for name in ("OutLeft", "InRight", "InLeft", "OutRight", "UpLeft", "UpRight", "DownLeft", "DownRight")
    }
    score_yaw = (score["OutLeft"] + score["InRight"] - score["InLeft"] - score["OutRight"]) / 2
    score_pitch = (score["UpLeft"] + score["UpRight"] - score["DownLeft"] - score["DownRight"]) / 2
    gaze = np.array((iris_yaw + score_yaw * SCORE_DEGREES, iris_pitch + score_pitch * SCORE_DEGREES)) / 2
    shut = (
        blendshapes[BLENDSHAPE_INDEX["eyeBlinkLeft"]] + blendshapes[BLENDSHAPE_INDEX["eyeBlinkRight"]]
    ) / 2
    trust = float(np.clip((SHUT_TO - shut) / (SHUT_TO - SHUT_FROM), 0, 1))
    return np.clip(gaze, -LARGEST, LARGEST).astype(np.float32), trust

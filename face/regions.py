# SPDX-License-Identifier: MIT
"""Which landmarks and scores belong to the eyes, which to the mouth. Knows the mean face, no tracked one."""

from functools import cache

import numpy as np
from numpy.typing import NDArray

from face.arrays import Floats
from face.face_model import (
    LEFT_EYE_LOWER,
    LEFT_EYE_UPPER,
    RIGHT_EYE_LOWER,
    RIGHT_EYE_UPPER,
    SURFACE,
    face_model,
)
from face.motion import BLENDSHAPES, LANDMARKS

LID_REACH = 0.06  # outer eye distances: skin this near to a lid's rim moves with the eye,
LID_FADE = 0.16  # and from here on not at all; the brows begin at about 0.18
MOUTH_TOP = 0.55  # height in the face model's frame, between nose and upper lip


@cache
def eye_weights() -> Floats:
    """(478,) 1 = lids and irises, fading to 0 towards brows and cheeks; read-only."""
    mean = face_model().mean[:, :2]
    rims = mean[list({*RIGHT_EYE_UPPER, *RIGHT_EYE_LOWER, *LEFT_EYE_UPPER, *LEFT_EYE_LOWER})]
    nearest = np.linalg.norm(mean[:, None] - rims, axis=2).min(1)  # (478,)
    weights: Floats = np.clip((LID_FADE - nearest) / (LID_FADE - LID_REACH), 0, 1).astype(np.float32)
    weights[SURFACE:] = 1
    weights.setflags(write=False)
    return weights


@cache
def mouth_landmarks() -> NDArray[np.bool_]:
    """(478,) True for lips, chin and lower cheeks; read-only."""
    mouth = face_model().mean[:, 1] > MOUTH_TOP
    assert mouth.shape == (LANDMARKS,)
    mouth.setflags(write=False)
    return mouth


@cache
def eye_scores() -> NDArray[np.bool_]:
    """(52,) True for the scores of lids and gaze; read-only."""
    scores = np.array([name.startswith("eye") for name in BLENDSHAPES])
    scores.setflags(write=False)
    return scores

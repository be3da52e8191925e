# SPDX-License-Identifier: MIT
"""An iris under shut lids is a guess, and is not followed."""

import numpy as np
import pytest

from face.gaze import SHUT_FROM, SHUT_TO, gaze_of
from face.motion import BLENDSHAPE_INDEX, LANDMARKS
from face.motion_vector import SHAPE, resting_vector


def trust(blink: float) -> float:
    scores = np.zeros(52, np.float32)
    for side in ("Left", "Right"):
        scores[BLENDSHAPE_INDEX[f"eyeBlink{side}"]] = blink
    return gaze_of(resting_vector()[SHAPE].reshape(LANDMARKS, 3), scores)[1]


def test_shut_eyes_say_nothing_of_where_they_look() -> None:
    assert trust(0.0) == trust(SHUT_FROM) == pytest.approx(1)
    assert trust((SHUT_FROM + SHUT_TO) / 2) == pytest.approx(0.5)
    assert trust(SHUT_TO) == pytest.approx(0, abs=1e-6)
    assert trust(1.0) == 0

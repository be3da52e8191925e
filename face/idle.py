# SPDX-License-Identifier: MIT
"""Life without a driver: blinks as people blink, breath, a little sway. Knows neither tracker nor clock."""

import numpy as np
from numpy.typing import NDArray

from face.arrays import Floats
from face.face_model import LEFT_EYE_LOWER, LEFT_EYE_UPPER, RIGHT_EYE_LOWER, RIGHT_EYE_UPPER
from face.motion import BLENDSHAPE_INDEX, LANDMARKS
from face.motion_vector import CENTRE, LOG_SCALE, ROTATION, SCORES, SHAPE, TURN

SHUT_S, KEPT_S, OPEN_S = 0.09, 0.04, 0.19  # lids fall faster than they rise
EARLIEST_S, LATEST_S = 2.6, 5.4  # from one blink to the next
TWICE = 0.12  # share of the blinks that come as a pair
PAIR_S = 0.42  # from the first of a pair to the second
SHUT_SCORE = 0.85  # what the tracker reads off shut eyes

# Skin above the upper lid's rim, index by index of its seven inner points, and the share of the way it goes
# along.
RIGHT_FOLD = (247, 30, 29, 27, 28, 56, 190)
LEFT_FOLD = (467, 260, 259, 257, 258, 286, 414)
FOLD_SHARE = 0.45
LOWER_SHARE = 0.12  # of the way to closing that the lower lid comes up

BREATH_S = 4.3  # one breath
BREATH_DEGREES = 0.5  # of pitch
BREATH_RISE = 0.012  # of the head, outer eye distances
# Amplitude in degrees and periods in seconds of yaw, pitch, roll: no common multiple anyone would notice.
SWAY_DEGREES = np.array([[0.9, 0.5], [0.3, 0.2], [0.35, 0.2]])
SWAY_S = np.array([[11.3, 7.1], [9.7, 6.1], [13.9, 8.3]])


class IdleMotion:
    """A face at rest that is alive. The same seed gives the same life; time must not run backwards."""

    def __init__(self, seed: int = 0) -> None:
        self._random = np.random.default_rng(seed)
        self._blinks_s: list[float] = []  # starts that may still matter
        self._next_s = self._random.uniform(1.0, EARLIEST_S)

    def __call__(self, rest: Floats, time_s: float) -> Floats:
        """The motion vector `rest` as it is `time_s` seconds after idling began (0: exactly `rest`)."""
        face = rest.copy()
        shut = self._shut(time_s)
        if shut > 0:
            shape = face[SHAPE].reshape(LANDMARKS, 3)
            shape[:] = close_lids(shape, shut)
            for name in ("eyeBlinkLeft", "eyeBlinkRight"):
                index = SCORES.start + BLENDSHAPE_INDEX[name]
                face[index] += (max(SHUT_SCORE, face[index]) - face[index]) * shut
        breath = np.sin(2 * np.pi * time_s / BREATH_S)
        sway = (SWAY_DEGREES * np.sin(2 * np.pi * time_s / SWAY_S)).sum(1)
        sway[1] += BREATH_DEGREES * breath
        face[ROTATION] += sway
        face[TURN] += sway
        face[CENTRE][1] -= BREATH_RISE * breath * np.exp(rest[LOG_SCALE.start])
        return face

    def _shut(self, time_s: float) -> float:
        """How far the lids are shut, 0 to 1."""
        while self._next_s <= time_s:
            self._blinks_s.append(self._next_s)
            if self._random.random() < TWICE:
                self._blinks_s.append(self._next_s + PAIR_S)
            self._next_s += self._random.uniform(EARLIEST_S, LATEST_S)
        self._blinks_s = [at for at in self._blinks_s if time_s - at < 1.0]
        return max((blink(time_s - at) for at in self._blinks_s), default=0.0)


def blink(since_s: float) -> float:
    """How far the lids are shut, 0 to 1, some seconds after a blink began."""
    if since_s <= 0:
        return 0.0
    if since_s < SHUT_S:
        part = since_s / SHUT_S
    else:
        part = 1 - np.clip((since_s - SHUT_S - KEPT_S) / OPEN_S, 0, 1)
    return float(part * part * (3 - 2 * part))


def close_lids(shape: NDArray[np.floating], shut: float) -> Floats:
    """(478, 3) face with both eyes shut that far, 0 as it is to 1 wholly; in the face model's frame."""
    closed = np.array(shape, np.float32)
    for upper, lower, fold in (
        (RIGHT_EYE_UPPER, RIGHT_EYE_LOWER, RIGHT_FOLD),
        (LEFT_EYE_UPPER, LEFT_EYE_LOWER, LEFT_FOLD),
    ):
        up, low = list(upper[1:-1]), list(lower[1:-1])
        opening = closed[up] - closed[low]  # (7, 3)
        fall = opening * (LOWER_SHARE - 1) * shut
        closed[up] += fall
        closed[low] += opening * LOWER_SHARE * shut
        closed[list(fold)] += fall * FOLD_SHARE
    return closed

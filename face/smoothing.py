# SPDX-License-Identifier: MIT
"""Takes the tracker's shimmer out of a face without its blinks: one One-Euro filter, tuned region by region.

Knows neither tracker nor clock. The numbers were chosen on real clips and on stills with camera noise; what
they give is in benchmarks/LOG.md, measured by benchmarks/smoothing.py.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from face.arrays import Floats
from face.motion_vector import CENTRE, GAZE, LOG_SCALE, ROTATION, SCORES, SHAPE, SIZE, TURN
from face.one_euro import OneEuro
from face.regions import eye_weights, mouth_landmarks


@dataclass(frozen=True, slots=True)
class Tuning:
    """How one region is smoothed; speeds in the region's own unit a second."""

    min_cutoff_hz: float
    beta: float
    rest_speed: float
    speed_cutoff_hz: float = 3.0


ANGLES = Tuning(0.5, 0.7, 2.5)  # degrees
PLACE = Tuning(0.5, 200.0, 0.005)  # picture widths
# Nothing annoys like a head that pumps: its size follows slowly, at rest not at all.
HEAD_SIZE = Tuning(0.2, 10.0, 0.015, speed_cutoff_hz=1.0)
GAZES = Tuning(1.0, 0.6, 4.0, speed_cutoff_hz=6.0)  # degrees; eyes jump within two frames
SCORE = Tuning(1.0, 20.0, 0.2, speed_cutoff_hz=8.0)
FACE = Tuning(0.5, 40.0, 0.03)  # outer eye distances, like the next two
MOUTH = Tuning(0.7, 100.0, 0.04)
LIDS = Tuning(
    0.8, 400.0, 0.05, speed_cutoff_hz=8.0
)  # a lid shuts within three frames and must not be held back


class MotionSmoother:
    """Smooths the vectors of one face; `strength` 0 is off, 1 the tuned default, 2 twice as slow."""

    def __init__(self, strength: float = 1.0) -> None:
        self.strength = strength
        tunings = np.empty((4, SIZE), np.float32)
        for part, tuning in ((ROTATION, ANGLES), (TURN, ANGLES), (CENTRE, PLACE), (LOG_SCALE, HEAD_SIZE)):
            tunings[:, part] = _column(tuning)
        tunings[:, GAZE] = _column(GAZES)
        tunings[:, SCORES] = _column(SCORE)
        shape = tunings[:, SHAPE]  # a view
        shape[:] = _column(FACE)
        shape[:, np.repeat(mouth_landmarks(), 3)] = _column(MOUTH)
        shape[:, np.repeat(eye_weights() > 0.5, 3)] = _column(LIDS)
        self._filter = OneEuro(tunings[0], tunings[1], rest_speed=tunings[2], speed_cutoff_hz=tunings[3])

    def __call__(self, vector: Floats, dt_s: float) -> Floats:
        """The face smoothed, `dt_s` seconds after the last one; the first passes unchanged."""
        return self._filter(vector, dt_s, strength=self.strength)

    def reset(self) -> None:
        """The next vector is another face, or the same one after a gap: begin anew with it."""
        self._filter.reset()


def _column(tuning: Tuning) -> NDArray[np.float32]:
    """(4, 1) in the order of the filter's arguments."""
    return np.array(
        [[tuning.min_cutoff_hz], [tuning.beta], [tuning.rest_speed], [tuning.speed_cutoff_hz]], np.float32
    )

# SPDX-License-Identifier: MIT
"""A motion as the numbers our own directions are moved by, see face/direction_parameters.py."""

from collections.abc import Mapping

import numpy as np

from engines.base import Array
from face.arrays import Floats
from face.direction_parameters import NAMES, parameters_of, scaled
from face.frame import Frame
from face.motion import Motion

DELTA = "delta"  # the mover's input: (1, d) the change of each number, scaled
# What a face can show, in raw units of the parameters; scores are 0 to 1. A portrait that lies beyond may
# stay there.
LIMITS = {"yaw": 35.0, "pitch": 24.0, "gaze_x": 30.0, "gaze_y": 20.0}
EXPRESSION = np.array([name not in ("yaw", "pitch") for name in NAMES])
GAZE = np.array([name.startswith("gaze") for name in NAMES])
LARGEST_EXPRESSION, LARGEST_GAZE = 6.5, 3.0  # scaled; looked at on real portraits: beyond, hair and skin go
LOW = np.array([-LIMITS[name] if name in LIMITS else 0.0 for name in NAMES], np.float32)
HIGH = np.array([LIMITS.get(name, 1.0) for name in NAMES], np.float32)


class OwnNumbers:
    """The change of pose and expression against a portrait."""

    reads_frame = False

    def __init__(self, portrait: Motion) -> None:
        """portrait: its face as the tracker reads it, without neutral."""
        self.source = parameters_of(portrait)  # (d,) in raw units
        self.still: Mapping[str, Array] = {DELTA: np.zeros((1, len(NAMES)), np.float32)}

    def __call__(self, motion: Motion, frame: Frame | None = None) -> Mapping[str, Array]:
        """eq. (3), Bounareli et al. 2024."""
        change = parameters_of(motion)
        if motion.neutral is None:
            change = change - self.source
        target = np.clip(self.source + change, np.minimum(LOW, self.source), np.maximum(HIGH, self.source))
        return {DELTA: held_together(scaled(target - self.source))[None]}

    def close(self) -> None:
        """Nothing is open."""


def held_together(delta: Floats) -> Floats:
    """(d,) scaled, its expression no further from rest than what the directions were learned for.

    Each number may be within its range and all of them together far outside of what the generator draws as a
    face: a grin with bared teeth and a look aside. The whole expression is then made less, in proportion.
    """
    kept = np.where(GAZE, np.clip(delta, -LARGEST_GAZE, LARGEST_GAZE), delta)
    length = float(np.linalg.norm(kept[EXPRESSION]))
    if length > LARGEST_EXPRESSION:
        kept[EXPRESSION] *= LARGEST_EXPRESSION / length
    return np.asarray(kept, np.float32)

# SPDX-License-Identifier: MIT
"""The search for the instant at which a driver looks most like the portrait at rest. Knows no tracker."""

import numpy as np

from face.motion import BLENDSHAPES, Motion
from methods.method import Rest

# Looks count little: eyes wander while a head is at rest.
WEIGHTS = np.array([0.0 if name == "_neutral" else 0.2 if "Look" in name else 1.0 for name in BLENDSHAPES])
FULL_TURN = 25.0  # degrees of head rotation that count like one full blendshape
BETTER_BY = 0.9  # a new instant must come this much closer, or noise would recalibrate again and again


def distance(motion: Motion, rest: Rest) -> float:
    """How far a driver is from a portrait's rest; 0 is the same."""
    turned = np.linalg.norm(motion.rotation - rest.rotation) / FULL_TURN
    moved = np.linalg.norm((motion.blendshapes - rest.blendshapes) * WEIGHTS)
    return float(np.hypot(turned, moved))


class ReferenceSearch:
    """Says of each instant, until `ends_s`, whether it is the best one so far."""

    def __init__(self, rest: Rest, *, ends_s: float) -> None:
        self._rest, self.ends_s = rest, ends_s
        self.best = float("inf")

    def __call__(self, motion: Motion) -> bool:
        if motion.confidence < 1.0:
            return False
        found = distance(motion, self._rest)
        if found >= self.best * BETTER_BY:
            return False
        self.best = found
        return True

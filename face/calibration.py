# SPDX-License-Identifier: MIT
"""The driver's neutral: which instant of a face is its rest. Knows neither tracker nor clock.

An instant costs the more, the more its mouth and brows do, its lids hang, and its head and eyes are away from
where they mostly are. Offline the cheapest instant of a clip is its neutral, live the median over the
cheapest of the first second.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from face.motion import BLENDSHAPE_INDEX, BLENDSHAPES, Floats, Motion
from face.motion_vector import GAZE, ROTATION, SCORES

# What a score of 1 costs. Looks are judged in degrees, lids apart; a squint belongs to many faces' rest.
SCORE_COST = np.array(
    [
        (name in ("jawOpen", "mouthFunnel", "mouthPucker")) + name.startswith(("mouth", "jaw"))
        for name in BLENDSHAPES
    ],
    np.float32,
)
BROWS = np.array([name.startswith("brow") for name in BLENDSHAPES])
LIDS = [BLENDSHAPE_INDEX["eyeBlinkLeft"], BLENDSHAPE_INDEX["eyeBlinkRight"]]
LID_COST = 4.0  # of a blink score of 1 above this face's open eyes
OPEN_EYES = 20  # per cent of the instants have lids at least this far up
TURN_DEGREES = 10.0  # away from the usual head pose cost 1
LOOK_DEGREES = 15.0  # away from the usual gaze cost 1
FRONTAL_DEGREES = 20.0  # of yaw or roll cost 1 live, when a second is too short to know the usual pose

BEST_SHARE = 3  # one in three instants, the cheapest, make the live neutral
FIRST_SIGHT_S = 1.0  # of the automatic calibration at start
ON_DEMAND_S = 0.5  # of the calibration that was asked for
SURE = 0.999  # confidence of a tracked instant


def rest_costs(
    scores: NDArray[np.floating], rotation: NDArray[np.floating], gaze: NDArray[np.floating]
) -> NDArray[np.float64]:
    """(N,) how far from rest each instant is: scores (N, 52), rotation (N, 3) and gaze (N, 2) in degrees.

    Brows, lids, head and eyes are judged against their own median, so N instants of one face belong together.
    """
    brows = scores[:, BROWS]
    lids = scores[:, LIDS].mean(1)
    costs = scores @ SCORE_COST
    costs = costs + np.abs(brows - np.median(brows, axis=0)).sum(1)
    costs = costs + LID_COST * np.maximum(lids - np.percentile(lids, OPEN_EYES), 0)
    costs = costs + np.linalg.norm(rotation - np.median(rotation, axis=0), axis=1) / TURN_DEGREES
    costs = costs + np.linalg.norm(gaze - np.median(gaze, axis=0), axis=1) / LOOK_DEGREES
    return np.asarray(costs, np.float64)


def neutral_of(motions: Sequence[Motion]) -> Motion:
    """The most neutral instant of a whole clip, itself without a neutral; faceless instants do not count.

    Raises ValueError for an empty clip. A clip in which no face was ever tracked gives its first motion.
    """
    if not motions:
        raise ValueError("a clip without motions has no neutral")
    seen = [motion for motion in motions if motion.confidence >= SURE] or list(motions[:1])
    costs = rest_costs(
        np.stack([motion.blendshapes for motion in seen]),
        np.stack([motion.rotation for motion in seen]),
        np.stack([motion.gaze for motion in seen]),
    )
    return replace(seen[int(np.argmin(costs))], neutral=None)


class NeutralEstimate:
    """Gathers the vectors of one face over `window_s` seconds of tracked time and says what its rest is.

    There is an estimate from the first vector on; it is final once `done`.
    """

    def __init__(self, window_s: float) -> None:
        if window_s <= 0:
            raise ValueError(f"window_s is {window_s}, expected more than 0")
        self._left_s = window_s
        self._vectors: list[Floats] = []

    @property
    def done(self) -> bool:
        return self._left_s <= 0

    def add(self, vector: Floats, dt_s: float) -> None:
        """One more instant, `dt_s` after the last; nothing changes once `done`."""
        if self.done:
            return
        self._vectors.append(vector)
        if len(self._vectors) > 1:
            self._left_s -= dt_s

    def __call__(self) -> Floats:
        """The vector of the rest as far as it is known; ValueError before the first `add`."""
        if not self._vectors:
            raise ValueError("no vector was added yet")
        vectors = np.stack(self._vectors)
        costs = rest_costs(vectors[:, SCORES], vectors[:, ROTATION], vectors[:, GAZE])
        costs = costs + np.hypot(vectors[:, 0], vectors[:, 2]) / FRONTAL_DEGREES
        best = np.argsort(costs)[: -(-len(vectors) // BEST_SHARE)]
        median: Floats = np.median(vectors[best], axis=0).astype(np.float32)
        return median

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

from face.arrays import Floats
from face.motion import BLENDSHAPE_INDEX, BLENDSHAPES, Motion
from face.motion_vector import GAZE, ROTATION, SCORES, SHAPE

# What a score of 1 costs; lids and lips are judged by their opening. Squints belong to many a rest.
SCORE_COST = np.array(
    [
        1.5 if name.startswith(("mouth", "jaw")) else 0.7 if name.startswith("eyeLook") else 0.0
        for name in BLENDSHAPES
    ],
    np.float32,
)
JAW_COST = 6.0  # on top, for a jawOpen of 1
LIPS_COST = 15.0  # of lips parted by an outer eye distance
BROWS = np.array([name.startswith("brow") for name in BLENDSHAPES])
LIDS_COST = 8.0  # of eyes that are shut, when they are usually open
OPEN_EYES = (
    70  # per cent of the instants have the eyes at most this far open: half-way down costs, staring does not
)
TURN_DEGREES = 12.0  # away from the usual head pose cost 1
LOOK_DEGREES = 15.0  # away from the usual gaze cost 1
FRONTAL_DEGREES = 20.0  # of yaw or roll cost 1 live, when a second is too short to know the usual pose

BEST_SHARE = 3  # one in three instants, the cheapest, make the live neutral
FIRST_SIGHT_S = 1.0  # of the automatic calibration at start
ON_DEMAND_S = 0.5  # of the calibration that was asked for
SURE = 0.999  # confidence of a tracked instant

# What is no rest, on what is a sum of a fit or a score, so that a face of few words is not refused.
OPEN_LIPS = 0.09  # of an outer eye distance between the lips' inner edges
SHUT_EYES = 0.04  # between the lids, both eyes' mean
TURNED_DEGREES = 25.0  # of yaw or pitch
# Bridge and sides of the nose, corners of the eyes, temples, cheekbones, forehead: a face moves them least.
BONES = (
    33, 133, 362, 263, 6, 168, 197, 195, 5, 4, 1, 2, 98, 327, 129, 358, 127, 356, 234, 454, 93, 323, 10, 54,
    284, 67, 297, 103, 332,
)  # fmt: skip
OTHER_FACE = 0.025  # rms of their distances: 3 % of one person's moments are farther, 97 % of other people's


def rest_costs(
    landmarks: NDArray[np.floating],
    scores: NDArray[np.floating],
    rotation: NDArray[np.floating],
    gaze: NDArray[np.floating],
) -> NDArray[np.float64]:
    """(N,) how far from rest each instant is.

    `landmarks` (N, 478, 3) in any rigid frame, `scores` (N, 52), `rotation` (N, 3) and `gaze` (N, 2) in
    degrees. Brows, lids, head and eyes are judged against what is usual, so the N instants must be of one
    face.
    """
    eye_line = np.linalg.norm(landmarks[:, 33] - landmarks[:, 263], axis=1)
    lips = np.linalg.norm(landmarks[:, 13] - landmarks[:, 14], axis=1) / eye_line
    lids = np.linalg.norm(landmarks[:, (159, 386)] - landmarks[:, (145, 374)], axis=2).sum(1) / eye_line
    open_eyes = max(float(np.percentile(lids, OPEN_EYES)), 1e-6)
    costs = scores @ SCORE_COST + JAW_COST * scores[:, BLENDSHAPE_INDEX["jawOpen"]] + LIPS_COST * lips
    costs = costs + LIDS_COST * np.maximum(1 - lids / open_eyes, 0)
    brows = scores[:, BROWS]
    costs = costs + np.abs(brows - np.median(brows, axis=0)).sum(1)
    costs = costs + np.linalg.norm(rotation - np.median(rotation, axis=0), axis=1) / TURN_DEGREES
    costs = costs + np.linalg.norm(gaze - np.median(gaze, axis=0), axis=1) / LOOK_DEGREES
    return np.asarray(costs, np.float64)


def why_no_rest(vector: Floats) -> str:
    """What keeps a face, a vector (SIZE,), from being taken for its rest; "" for nothing."""
    shape = vector[SHAPE].reshape(-1, 3)
    eye_line = float(np.linalg.norm(shape[33] - shape[263]))
    lips = float(np.linalg.norm(shape[13] - shape[14])) / eye_line
    lids = float(np.linalg.norm(shape[[159, 386]] - shape[[145, 374]], axis=1).mean()) / eye_line
    yaw, pitch = (abs(float(angle)) for angle in vector[ROTATION][:2])
    if lips > OPEN_LIPS:
        return "the mouth is open"
    if lids < SHUT_EYES:
        return "the eyes are shut"
    if max(yaw, pitch) > TURNED_DEGREES:
        return f"the head is turned by {max(yaw, pitch):.0f} degrees"
    return ""


def same_face(rest: Floats, vectors: Sequence[Floats]) -> bool:
    """Whether a rest (SIZE,) may be of the face of some instants (SIZE,), by its bones."""
    bones = list(BONES)
    seen = np.median([vector[SHAPE].reshape(-1, 3)[bones] for vector in vectors], axis=0)
    away = rest[SHAPE].reshape(-1, 3)[bones] - seen
    return float(np.sqrt((away**2).sum(1).mean())) < OTHER_FACE


def neutral_of(motions: Sequence[Motion]) -> Motion:
    """The most neutral instant of a whole clip, itself without a neutral; faceless instants do not count.

    Raises ValueError for an empty clip. A clip in which no face was ever tracked gives its first motion.
    """
    if not motions:
        raise ValueError("a clip without motions has no neutral")
    seen = [motion for motion in motions if motion.confidence >= SURE] or list(motions[:1])
    costs = rest_costs(
        np.stack([motion.landmarks for motion in seen]),
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
        shapes = vectors[:, SHAPE].reshape(len(vectors), -1, 3)
        costs = rest_costs(shapes, vectors[:, SCORES], vectors[:, ROTATION], vectors[:, GAZE])
        costs = costs + np.hypot(vectors[:, 0], vectors[:, 2]) / FRONTAL_DEGREES
        best = np.argsort(costs)[: -(-len(vectors) // BEST_SHARE)]
        median: Floats = np.median(vectors[best], axis=0).astype(np.float32)
        return median

# SPDX-License-Identifier: MIT
"""How strongly one portrait's face must move for a tracker to read a given score. Knows neither tracker nor picture.

Scores are no plain function of the motion: some faces open their mouth far before `jawOpen` leaves zero, others smile at
rest. A portrait's curves are measured once, by moving it and reading it, and then turned around.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from face.face_model import LIPS_INNER_LOWER, LIPS_INNER_UPPER, LIPS_OUTER_LOWER, LIPS_OUTER_UPPER, SURFACE, FaceModel
from face.motion import BLENDSHAPE_INDEX

Floats = NDArray[np.float32]

# Directions of the mouth told apart from one another in a driver's offsets, as sums of blendshapes.
DIRECTIONS: dict[str, tuple[str, ...]] = {
    "jawOpen": ("jawOpen",),
    "smile": ("mouthSmileLeft", "mouthSmileRight"),
    "pucker": ("mouthPucker",),
    "funnel": ("mouthFunnel",),
    "upperUp": ("mouthUpperUpLeft", "mouthUpperUpRight"),
    "lowerDown": ("mouthLowerDownLeft", "mouthLowerDownRight"),
    "stretch": ("mouthStretchLeft", "mouthStretchRight"),
}
JAW_AMOUNTS = (0.0, 0.15, 0.3, 0.45, 0.6, 0.8, 1.0, 1.3)
SMILE_AMOUNTS = (-0.9, -0.6, -0.35, -0.15, 0.0, 0.15, 0.35, 0.6, 0.9, 1.2)
CALM_SHARE = 0.55  # of a portrait's own smile that is left when the driver's face rests


@dataclass(frozen=True, slots=True)
class Curve:
    """Score over amount, both ascending; an amount is a multiple of the face model's basis offset."""

    amounts: Floats
    scores: Floats

    def score(self, amount: float) -> float:
        return float(np.interp(amount, self.amounts, self.scores))

    def amount(self, score: float) -> float:
        """Smallest amount with that score, within the measured range."""
        steps = self.scores + np.arange(len(self.scores)) * np.float32(1e-5)  # strictly ascending for the inverse
        return float(np.interp(score, steps, self.amounts))


@dataclass(frozen=True, slots=True)
class Response:
    """A portrait's measured curves and what it scores at rest."""

    jaw: Curve
    smile: Curve
    jaw_at_rest: float
    smile_at_rest: float


def measure_response(read: Callable[[Floats], NDArray[np.floating] | None], model: FaceModel) -> Response | None:
    """Curves of the portrait behind `read`, which shows an expression offset (468, 3) and returns the (52,) scores the
    tracker reads off the picture, or None where it finds no face. None when the face is lost too often to tell.
    """
    smile_ids = [BLENDSHAPE_INDEX[name] for name in DIRECTIONS["smile"]]
    jaw_id = BLENDSHAPE_INDEX["jawOpen"]
    jaw = _curve(read, directions(model)[0], JAW_AMOUNTS, lambda scores: float(scores[jaw_id]))
    smile = _curve(read, directions(model)[1], SMILE_AMOUNTS, lambda scores: float(scores[smile_ids].mean()))
    if jaw is None or smile is None:
        return None
    return Response(jaw, smile, jaw.score(0.0), smile.score(0.0))


def _curve(
    read: Callable[[Floats], NDArray[np.floating] | None],
    direction: Floats,
    amounts: tuple[float, ...],
    of: Callable[[NDArray[np.floating]], float],
) -> Curve | None:
    pairs = [(amount, scores) for amount in amounts if (scores := read(direction * np.float32(amount))) is not None]
    if len(pairs) < len(amounts) / 2:
        return None
    values = np.maximum.accumulate([of(scores) for _, scores in pairs])
    return Curve(np.array([amount for amount, _ in pairs], np.float32), values.astype(np.float32))


def directions(model: FaceModel) -> Floats:
    """(7, 468, 3) offsets of DIRECTIONS, in their order."""
    sums = [model.basis[[BLENDSHAPE_INDEX[name] for name in names], :SURFACE].sum(0) for names in DIRECTIONS.values()]
    return np.stack(sums)


class MouthReader:
    """Splits a driver's offsets into amounts along DIRECTIONS, by least squares over the lips and the chin."""

    def __init__(self, model: FaceModel) -> None:
        lips = {*LIPS_INNER_LOWER, *LIPS_INNER_UPPER, *LIPS_OUTER_LOWER, *LIPS_OUTER_UPPER, 152, 148, 377, 199, 200}
        self._where = sorted(lips)
        flat = directions(model)[:, self._where].reshape(len(DIRECTIONS), -1).astype(np.float64)
        gram = flat @ flat.T
        self._solve = np.linalg.solve(gram + 0.02 * np.trace(gram) / len(gram) * np.eye(len(gram)), flat)

    def __call__(self, offsets: Floats) -> Floats:
        """(7,) amounts of offsets (468, 3)."""
        return np.asarray(self._solve @ offsets[self._where].ravel(), np.float32)


def corrections(amounts: Floats, jaw_score: float, smile_score: float, response: Response) -> tuple[float, float]:
    """What to add along jawOpen and smile so that the portrait reads what the driver reads.

    amounts (7,) the driver's offsets already hold; jaw_score, smile_score the driver's scores above its neutral, the
    smile's as share of the way from neutral to full.
    """
    jaw_target = min(response.jaw_at_rest + max(jaw_score, 0.0), float(response.jaw.scores[-1]))
    jaw = _towards(response.jaw, float(amounts[0]), jaw_target, jaw_score)
    calm = response.smile_at_rest * (1 - (1 - CALM_SHARE) * min(response.smile_at_rest / 0.5, 1.0))
    full = max(response.smile_at_rest, min(0.95, float(response.smile.scores[-1])))
    smile_target = calm + (full - calm) * float(np.clip(smile_score, 0, 1))
    smile = _towards(response.smile, float(amounts[1]), smile_target, smile_score)
    return float(np.clip(jaw, -0.5, 0.7)), float(np.clip(smile, -0.8, 0.8))


def _towards(curve: Curve, amount: float, target: float, activity: float) -> float:
    """Amount still missing; nothing while the score would be at its floor whichever way."""
    wanted = curve.amount(target)
    if activity < 0.02 and curve.score(amount) <= target + 0.02:
        return 0.0
    return wanted - amount

# SPDX-License-Identifier: MIT
"""How strongly one portrait's face must move for a tracker to read a given score. Knows neither tracker nor
picture.

Scores are no plain function of the motion: some faces open their mouth far before `jawOpen` leaves zero,
others smile at
rest. A portrait's curves are measured once, by moving it and reading it, and then turned around.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from face.arrays import Floats
from face.face_model import SURFACE, FaceModel
from face.motion import BLENDSHAPE_INDEX
from face.mouth_reader import DIRECTIONS, MouthReader, directions

LADDER = (0.2, 0.4, 0.6, 0.8, 1.0, 1.3)  # further amounts of jawOpen alone and smile alone
# Yaw, pitch and roll in degrees away from the photo's own pose.
TURNS = np.array(
    [
        (0, 0, 0),
        (12, 0, 0),
        (-12, 0, 0),
        (0, 10, 0),
        (0, -10, 0),
        (10, 8, 0),
        (-10, -8, 0),
        (10, -8, 0),
        (-10, 8, 0),
        (18, 0, 0),
        (-18, 0, 0),
    ],
    np.float32,
)
ROLLS = np.array([(0, 0, 10), (0, 0, -10), (10, 0, 8), (-10, 0, -8)], np.float32)
SURE_TURNS = 2000.0  # squared degrees of probes that weigh as much as the guess that a turn is read as it is
CALM_SHARE = 0.12  # of a portrait's own smile that is left when the driver's face rests
SMILES = 0.3  # score from which on a portrait at rest counts as one that smiles
FLOOR, CEILING = 0.015, 0.985  # scores beyond say "none" and "all", not how much
RIDGE = 0.1
REST_WEIGHT = 20  # the face at rest counts as so many mouths more: an error there would show all the time
QUIET = 0.03  # change of a score that does not count as meant
FEEDFORWARD = np.array([0.75, 1.0])  # share of the correction made; all of the jaw's overshoots on most faces
LEAST_STEEP = 0.8  # logits an amount: a portrait that hardly responds is not forced
DAMPING = 0.15
SWEEPS = 8  # of the solution within limits
LARGEST = (0.6, 0.9)  # correction along jawOpen and smile


@dataclass(frozen=True, slots=True)
class Response:
    """logit(score) = bias + weights @ features, for jawOpen and smile, and both scores at rest."""

    weights: Floats  # (2, 11) jawOpen, smile by DIRECTIONS and the turn's four terms, see `features`
    bias: Floats  # (2,)
    at_rest: Floats  # (2,) as read, not as fitted
    turning: Floats  # (3, 3) a turn's yaw, pitch and roll in degrees to those it is read as


@dataclass(frozen=True, slots=True)
class Probed:
    """What a tracker reads off one probe."""

    scores: NDArray[np.floating]  # (52,)
    rotation: NDArray[np.floating]  # (3,) yaw, pitch, roll in degrees, as Motion.rotation
    turn: NDArray[np.floating]  # (3,) degrees that were really shown, as a portrait may not turn as asked


def features(amounts: Floats, yaw: float, pitch: float) -> Floats:
    """(11,) what a score depends on: amounts (7,) along DIRECTIONS and the head's turn in degrees, which the
    tracker's scores do not quite leave out.
    """
    y, p = yaw / 15, pitch / 15
    return np.array([*amounts, y, p, y * y, p * p], np.float32)


def measure_response(read: Callable[[Floats, Floats], Probed | None], model: FaceModel) -> Response | None:
    """Response of the portrait behind `read`, which shows an expression offset (468, 3) with the head turned
    by (3,) degrees of yaw, pitch and roll, and returns what the tracker reads off the picture, or None where
    it finds no face. None when the face is lost too often to tell.
    """
    reader = MouthReader(model)
    alone = directions(model)[:2]
    expressions = [np.zeros_like(alone[0])]
    expressions += [direction * np.float32(amount) for direction in alone for amount in LADDER]
    expressions += list(np.tensordot(model.probes, model.modes, 1)[:, :SURFACE])
    turns = [TURNS[0]] * (1 + 2 * len(LADDER)) + [TURNS[k % len(TURNS)] for k in range(len(model.probes))]
    expressions += [expressions[0]] * (len(TURNS) + len(ROLLS))
    turns += [*TURNS, *ROLLS]
    shown = [
        (features(reader(expression), float(turn[0]), float(turn[1])), read(expression, turn))
        for expression, turn in zip(expressions, turns, strict=True)
    ]
    pairs = [(feature, seen) for feature, seen in shown if seen is not None]
    rest = shown[0][1]
    if rest is None or len(pairs) < 0.7 * len(shown):
        return None
    x = np.array([[1, *feature] for feature, _ in pairs])
    y = np.array([jaw_and_smile(seen.scores) for _, seen in pairs])  # (N, 2)
    counts = REST_WEIGHT * (np.arange(len(x)) == 0) + 1
    x, scores = np.repeat(x, counts, axis=0), np.repeat(y, counts, axis=0)
    fitted = np.stack([_censored_fit(x, scores[:, k]) for k in range(2)]).astype(np.float32)
    turned = np.array([seen.turn for _, seen in pairs], np.float64)
    read_as = np.array([seen.rotation - rest.rotation for _, seen in pairs], np.float64)
    gram = turned.T @ turned + SURE_TURNS * np.eye(3)
    turning = np.linalg.solve(gram, turned.T @ read_as + SURE_TURNS * np.eye(3)).T
    return Response(fitted[:, 1:], fitted[:, 0], y[0].astype(np.float32), turning.astype(np.float32))


def jaw_and_smile(scores: NDArray[np.floating]) -> tuple[float, float]:
    """The two scores the response is about, of all (52,); the smile is the mean of both sides."""
    smile = scores[[BLENDSHAPE_INDEX[name] for name in DIRECTIONS["smile"]]].mean()
    return float(scores[BLENDSHAPE_INDEX["jawOpen"]]), float(smile)


def logit(score: NDArray[np.floating] | float) -> NDArray[np.float64]:
    """Of a score kept between FLOOR and CEILING; NaN stays."""
    clipped = np.clip(score, FLOOR, CEILING)
    return np.asarray(np.log(clipped / (1 - clipped)))


def _censored_fit(x: NDArray[np.floating], scores: NDArray[np.floating]) -> NDArray[np.float64]:
    """Ridge regression of logit(scores) on x (N, 8); a score at the floor or ceiling only bounds the fit
    there.
    """
    observed = logit(scores)
    wanted: NDArray[np.floating] = observed
    gram = x.T @ x + RIDGE * np.eye(x.shape[1])
    solution: NDArray[np.floating] = np.zeros(x.shape[1])
    for _ in range(8):
        solution = np.linalg.solve(gram, x.T @ wanted)
        predicted = x @ solution
        wanted = np.where(scores <= FLOOR, np.minimum(predicted, observed), observed)
        wanted = np.where(scores >= CEILING, np.maximum(predicted, observed), wanted)
    return np.asarray(solution)


def targets(response: Response, jaw_score: float, smile_share: float) -> Floats:
    """(2,) scores the portrait should read: jaw_score above its own, and smile_share (0..1) of the way from
    its calm face to a full smile. A portrait that smiles at rest calms down, or it could never show that the
    driver smiles.
    """
    jaw_rest, smile_rest = (float(score) for score in response.at_rest)
    calm = smile_rest * (1 - (1 - CALM_SHARE) * min(smile_rest / SMILES, 1.0))
    full = max(smile_rest, 0.95)
    return np.array([jaw_rest + jaw_score, calm + (full - calm) * np.clip(smile_share, 0, 1)], np.float32)


def corrections(held: Floats, wanted: Floats, response: Response) -> Floats:
    """(2,) what to add along jawOpen and smile to `held` (11,) features for the portrait to read the wanted
    (2,) scores, as far as the fit can tell.
    """
    missing = _missing(response.bias + response.weights @ held, wanted, response)
    own = response.weights[:, :2].astype(np.float64)
    matrix = np.where(np.eye(2, dtype=bool), np.maximum(own, LEAST_STEEP), own)
    normal, aim = matrix.T @ matrix + DAMPING * np.eye(2), matrix.T @ missing
    jaw = smile = 0.0
    for _ in range(SWEEPS):  # each in turn, so that where one meets its limit the other makes up for it
        smile = float(np.clip((aim[1] - normal[1, 0] * jaw) / normal[1, 1], -LARGEST[1], LARGEST[1]))
        jaw = float(np.clip((aim[0] - normal[0, 1] * smile) / normal[0, 0], -LARGEST[0], LARGEST[0]))
    return np.asarray(FEEDFORWARD * (jaw, smile), np.float32)


def _missing(reading: NDArray[np.floating], wanted: Floats, response: Response) -> NDArray[np.float64]:
    """Logits (2,) still to go from a reading (2,) to the wanted scores; none where it does not matter."""
    missing = logit(wanted) - reading
    # where no more than the rest is wanted, less will do too
    missing = np.where((wanted <= response.at_rest + QUIET) & (missing > 0), 0, missing)
    return np.where((wanted >= CEILING) & (missing < 0), 0, missing)

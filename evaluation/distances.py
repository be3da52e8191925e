# SPDX-License-Identifier: MIT
"""ARD, AED and CSIM in the papers' form, and how they are summed up.

Bounareli et al. 2024, section 4.1.1: ARD is the mean absolute difference of yaw, pitch and roll between the
driver's frame and the result, in degrees; AED that of the expression coefficients, which are DECA's in the
papers and MediaPipe's scores here, so that only ARD compares with theirs; CSIM is the cosine of a
recogniser's numbers of the result and of the source picture.

The papers transfer absolutely: the result is to have the driver's own angles, which is `render --absolute`.
Usually the driver's movement away from its own rest is added here to what the photo shows: then `absolute`
holds the distance of the two rests, too, and `relative` is what remains of an error against that intention.
Most of it is a standing offset: `centred` compares both movements around their own means over the frames.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from evaluation.follow import SCORES, SIGNALS, follow
from face.arrays import Floats
from face.direction_parameters import ANGLES, NAMES, RANGES, parameters
from face.motion import BLENDSHAPES

if TYPE_CHECKING:
    from engines.mediapipe_reader import Face

Reduce = Callable[[NDArray[np.floating]], Any]

EXPRESSIONS = np.array([not name.startswith("_") for name in BLENDSHAPES])  # 51: all but "_neutral"
OF_P = np.array([name not in ("yaw", "pitch") for name in NAMES])  # 13 numbers of the motion vector p


@dataclass(frozen=True, slots=True)
class Track:
    """What the tracker reads in N pictures; NaN where it finds no face."""

    rotation: Floats  # (N, 3) degrees
    scores: Floats  # (N, 52)

    def __post_init__(self) -> None:
        if self.rotation.shape != (len(self.scores), ANGLES) or self.scores.shape[1] != len(BLENDSHAPES):
            raise ValueError(
                f"rotation is {self.rotation.shape}, scores are {self.scores.shape}, "
                f"expected (N, {ANGLES}) and (N, {len(BLENDSHAPES)})"
            )

    @property
    def seen(self) -> NDArray[np.bool_]:
        """(N,)"""
        return np.asarray(np.isfinite(np.column_stack([self.rotation, self.scores])).all(1))

    @property
    def signals(self) -> Floats:
        """(N, 6) in the order of SIGNALS."""
        return np.column_stack(
            [self.rotation, *(self.scores[:, list(columns)].mean(1) for columns in SCORES)]
        )

    def moved_from(self, rest: "Track", onto: "Track") -> "Track":
        """The same movement away from `rest` (one picture), added to `onto` (one picture), as far as scores
        can go.
        """
        scores = np.clip(self.scores - rest.scores + onto.scores, 0, 1)
        return Track(self.rotation - rest.rotation + onto.rotation, scores)

    def around_mean(self, other: "Track") -> "Track":
        """Less its own mean over the frames that both show."""
        both = self.seen & other.seen
        if not both.any():
            return self
        return Track(self.rotation - self.rotation[both].mean(0), self.scores - self.scores[both].mean(0))


def track_of(faces: "Sequence[Face | None]") -> Track:
    """Of N pictures, None where no face was found."""
    angles = np.full((len(faces), ANGLES), np.nan, np.float32)
    scores = np.full((len(faces), len(BLENDSHAPES)), np.nan, np.float32)
    for row, face in enumerate(faces):
        if face is not None:
            angles[row], scores[row] = face.rotation, face.blendshapes
    return Track(angles, scores)


@dataclass(frozen=True, slots=True)
class Transfer:
    """One portrait driven by one clip by one method; NaN where nothing was found."""

    ard: float  # degrees, absolute
    aed: float  # of the 51 scores, absolute
    aed_p: float  # of the 13 expression numbers of p, in their ranges; absolute
    ard_relative: float
    aed_relative: float
    aed_p_relative: float
    ard_centred: float
    aed_centred: float
    aed_p_centred: float
    yaw_relative: float  # degrees
    pitch_relative: float
    roll_relative: float
    csim: float  # mean cosine by the second recogniser, driven frames to the photo
    csim_worst: float  # its lowest
    dlib: float  # median distance by dlib's recogniser, driven frames to the photo
    faces: float  # share of frames in which a face was found


def ard(wanted: Track, result: Track) -> float:
    """Degrees; over frames that both show."""
    return _apart(wanted.rotation, result.rotation)


def aed(wanted: Track, result: Track) -> float:
    """Of the 51 scores, each 0 to 1."""
    return _apart(wanted.scores[:, EXPRESSIONS], result.scores[:, EXPRESSIONS])


def aed_p(wanted: Track, result: Track) -> float:
    """Of the expression numbers of p, each in units of the range it is asked to move in."""
    return _apart(*(_expression(track) for track in (wanted, result)))


def transfer(
    driver: Track, neutral: Track, photo: Track, result: Track, *, csim: Floats, dlib: Floats
) -> Transfer:
    """All of them for one pair.

    `neutral` is the driver's rest, `photo` what the tracker reads in the portrait, one picture each; `csim`
    and `dlib` are the recognisers' words on some driven frames, against the photo.
    """
    meant = driver.moved_from(neutral, photo)
    around = driver.around_mean(result), result.around_mean(driver)
    angles = [_apart(meant.rotation[:, [k]], result.rotation[:, [k]]) for k in range(ANGLES)]
    return Transfer(
        ard=ard(driver, result),
        aed=aed(driver, result),
        aed_p=aed_p(driver, result),
        ard_relative=ard(meant, result),
        aed_relative=aed(meant, result),
        aed_p_relative=aed_p(meant, result),
        ard_centred=ard(*around),
        aed_centred=aed(*around),
        aed_p_centred=aed_p(*around),
        yaw_relative=angles[0],
        pitch_relative=angles[1],
        roll_relative=angles[2],
        csim=over(np.mean, csim),
        csim_worst=over(np.min, csim),
        dlib=over(np.median, dlib),
        faces=float(result.seen.mean()),
    )


def unmoved(photo: Track, count: int) -> Track:
    """A photo that stands still for so many frames: what every method must beat."""
    return Track(np.repeat(photo.rotation, count, axis=0), np.repeat(photo.scores, count, axis=0))


def correlations(driver: Track, result: Track) -> tuple[Floats, Floats]:
    """Correlation over time (6,) and gain (6,) of SIGNALS; NaN where the driver hardly moves."""
    return follow(driver.signals, result.signals)


def over_pairs(transfers: Sequence[Transfer], field: str) -> tuple[float, float, float]:
    """Mean, median and worst over pairs; the worst is the lowest of what should be high."""
    if field not in {each.name for each in fields(Transfer)}:
        raise ValueError(f"{field} is no measure, expected a field of Transfer")
    values = np.array([getattr(each, field) for each in transfers], np.float64)
    worst = np.min if field in ("csim", "csim_worst", "faces") else np.max
    return over(np.mean, values), over(np.median, values), over(worst, values)


def median_of(rows: Sequence[Floats]) -> list[float]:
    """Of each of SIGNALS over pairs (6,), NaN where no pair counts."""
    stacked = np.array(rows, np.float64).reshape(-1, len(SIGNALS))
    return [over(np.median, stacked[:, k]) for k in range(len(SIGNALS))]


def _expression(track: Track) -> Floats:
    return np.asarray((parameters(track.rotation, track.scores) / RANGES)[:, OF_P], np.float32)


def _apart(one: Floats, other: Floats) -> float:
    """Mean absolute difference over the frames that both have."""
    if one.shape != other.shape:
        raise ValueError(f"there are {one.shape} and {other.shape} numbers, expected as many")
    both = np.isfinite(one).all(1) & np.isfinite(other).all(1)
    return float(np.abs(one[both] - other[both]).mean()) if both.any() else float("nan")


def over(reduce: Reduce, values: NDArray[np.floating]) -> float:
    """Of those that are known; NaN where none is."""
    found = values[np.isfinite(values)]
    return float(reduce(found)) if len(found) else float("nan")

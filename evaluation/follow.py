# SPDX-License-Identifier: MIT
"""How faithfully an output follows its driver over time: correlation and gain of six signals."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evaluation.recognisers import Spread
from evaluation.shape_follow import ShapeFollow
from face.arrays import Floats
from face.direction_parameters import ANGLES
from face.motion import BLENDSHAPE_INDEX

SIGNALS = ("yaw", "pitch", "roll", "jawOpen", "blink", "smile")  # degrees of the 4x4 matrix, then scores
SCORES = tuple(  # the blendshapes whose mean is a signal, after the angles
    [BLENDSHAPE_INDEX[name] for name in names]
    for names in (
        ("jawOpen",),
        ("eyeBlinkLeft", "eyeBlinkRight"),
        ("mouthSmileLeft", "mouthSmileRight"),
    )
)

MOVES_DEGREES, MOVES_SCORE = 8.0, 0.3  # a driver whose own range is smaller does not count for that signal
TARGETS = (0.9, 0.9, 0.9, 0.9, 0.75, 0.75)  # correlation asked for, in the order of SIGNALS
SMILES = 0.5  # a portrait whose own smile score is above it is one that already smiles
BLINK, SMILE = SIGNALS.index("blink"), SIGNALS.index("smile")


@dataclass(frozen=True, slots=True)
class Pair:
    """One portrait driven by one clip."""

    clip: str
    portrait: str
    portrait_smile: float  # its own smile score in the photo
    portrait_blink: float
    correlation: Floats  # (6,) in the order of SIGNALS, NaN where the driver hardly moves
    gain: Floats  # (6,) slope of output over driver, NaN as above
    faces: float  # share of output frames in which a face was found
    identity: Spread  # of output frames from the photo; empty when no face was found
    driver: Floats  # (N, 6) signals
    output: Floats  # (N, 6) signals, NaN where no face was found
    shapes: ShapeFollow

    @property
    def distance(self) -> float:
        """Median embedding distance from the photo, NaN when no output shows a face."""
        return float(np.median(self.identity.distance)) if len(self.identity.distance) else float("nan")

    @property
    def shortfall(self) -> float:
        """How far the worst signal is below its target; negative when all reach it, NaN when none counts."""
        short = np.array(TARGETS) - self.correlation
        return float(np.nanmax(short)) if np.isfinite(short).any() else float("nan")


@dataclass(frozen=True, slots=True)
class Summary:
    """One signal over many pairs; NaN everywhere when no pair counts."""

    pairs: int  # that count
    median: float
    p10: float
    worst: float
    reached: float  # share of pairs at or above the target
    gain: float  # median


def driver_moves(driver: Floats) -> NDArray[np.bool_]:
    """(6,) which signals of a driver's track (N, 6) range far enough to be measured."""
    need = np.array([MOVES_DEGREES] * ANGLES + [MOVES_SCORE] * (len(SIGNALS) - ANGLES))
    seen = driver[np.isfinite(driver).all(1)]
    if len(seen) == 0:
        return np.zeros(len(SIGNALS), np.bool_)
    return np.asarray(np.ptp(seen, axis=0) >= need)


def follow(driver: Floats, output: Floats) -> tuple[Floats, Floats]:
    """Pearson correlation over time (6,) and gain (6,) of an output's track (N, 6) with its driver's.

    Frames without a face in either do not count; an output that never moves has correlation 0.
    """
    if driver.shape != output.shape:
        raise ValueError(f"driver has {driver.shape} signals, output {output.shape}, expected as many")
    moves = driver_moves(driver)
    both = np.isfinite(driver).all(1) & np.isfinite(output).all(1)
    correlation = np.full(len(SIGNALS), np.nan, np.float32)
    gain = correlation.copy()
    if both.sum() < 3:
        correlation[moves] = gain[moves] = 0.0
        return correlation, gain
    for k in np.flatnonzero(moves):
        a = driver[both, k].astype(np.float64) - driver[both, k].mean()
        b = output[both, k].astype(np.float64) - output[both, k].mean()
        spread = float(np.sqrt((a @ a) * (b @ b)))
        correlation[k] = a @ b / spread if spread > 1e-12 else 0.0
        gain[k] = a @ b / (a @ a) if a @ a > 1e-12 else 0.0
    return correlation, gain


def summarise(pairs: Sequence[Pair], signal: int) -> Summary:
    """Over the pairs whose driver moves that signal."""
    values = np.array([pair.correlation[signal] for pair in pairs])
    counts = np.isfinite(values)
    if not counts.any():
        nan = float("nan")
        return Summary(0, nan, nan, nan, nan, nan)
    values = values[counts]
    gains = np.array([pair.gain[signal] for pair in pairs])[counts]
    return Summary(
        pairs=len(values),
        median=float(np.median(values)),
        p10=float(np.percentile(values, 10)),
        worst=float(values.min()),
        reached=float((values >= TARGETS[signal]).mean()),
        gain=float(np.median(gains)),
    )


def worst_first(pairs: Sequence[Pair]) -> list[Pair]:
    """By shortfall, the largest first; pairs that do not count come last."""
    return sorted(pairs, key=lambda pair: -np.nan_to_num(pair.shortfall, nan=-np.inf))

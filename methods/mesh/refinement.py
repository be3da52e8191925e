# SPDX-License-Identifier: MIT
"""Corrections of a whole clip, found by reading what they make of it. Knows neither tracker nor picture.

Six signals are read off each frame, see `SIGNALS`, and each has its own correction, the trim. The signals are
searched side by side: a round that brings one nearer to what is wanted is kept for it, one that does not is
taken back and tried again at half the stride, and a signal that is worse for its corrections gets none. Nor
does one whose corrections leave a shape farther from the driver's than it was.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from face.arrays import Floats
from methods.mesh.response import CEILING, logit

SIGNALS = ("jawOpen", "smile", "yaw", "pitch", "roll", "blink")
SCORES = [0, 1, 5]  # columns that are scores in [0, 1]; the others are degrees
NO_SCORES = [2, 3, 4, 6, 7, 8, 9]
SHAPES = ("lip gap", "mouth width", "lid gap", "brow height")  # columns after those of the signals
# Of which a signal's corrections are held to be the cause; readings of brows go with those of the lids.
MOVED = np.array([[1, 0, 0, 0], [0, 1, 0, 0], [0] * 4, [0] * 4, [0] * 4, [0, 0, 1, 1]], np.bool_)
SPOILT, SPOILT_BY = 1.05, 0.001  # share and outer eye distances by which a shape's error may rise: noise
UNTRIMMED = np.zeros(len(SIGNALS), np.float32)
# A trim adds amounts along jawOpen and smile, degrees, and openness of the eyes.
LARGEST = np.array([0.7, 1.0, 8.0, 8.0, 8.0, 0.4])
LARGEST_STEP = np.array([0.5, 0.6, 6.0, 6.0, 6.0, 0.25])
STRIDE = np.array([0.45, 0.8, 0.7, 0.7, 0.7, 0.7])  # share made of what is missing, at first
DAMPING = 0.15
ROUNDS = 4
QUIET = 0.05  # a score so near to the clip's lowest is next to nothing, within bounds
LITTLE = (0.12, 0.2)
FLAT = 0.04  # scores read below tell little of how far it is to go
# An error with which a signal is left as it is: this much, or this share of how far the signal is to move.
NEAR = np.array([0.02, 0.02, 0.5, 0.5, 0.5, 0.02])
NEAR_SHARE = 0.12
WORTH = 0.04  # share of its error that some signal must lose for one more round


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a clip's N frames should read; angles count from where the portrait at rest is read."""

    signals: Floats  # (N, 10) SIGNALS and SHAPES, NaN where nothing is wanted

    def missing(self, read: Floats) -> Floats:
        """(N, 10) of each, NaN without a face; 0 where a score next to nothing is wanted and less is
        read, as less will do too.
        """
        missing = self.signals - read
        lowest = np.nan_to_num(np.where(np.isnan(self.signals), np.inf, self.signals).min(0, initial=np.inf))
        calm = (self.signals <= np.clip(lowest + QUIET, *LITTLE)) & (missing > 0)
        calm[:, NO_SCORES] = False
        missing = np.where(calm | np.isnan(self.signals), 0, missing)
        return np.where(np.isnan(read), np.nan, missing).astype(np.float32)


def refine(
    read: Callable[[Floats], Floats], wanted: Wanted, *, steepness: Floats, rounds: int = ROUNDS
) -> tuple[Floats, Floats]:
    """Trims (N, 6), and the signals and shapes (N, 10) read with them, NaN for frames without a face.

    `read` draws the clip with trims (N, 6) and reads it; it is called `rounds` times at most, and once or
    twice more when the best of each signal are of different rounds. steepness (3,): logits that an amount
    of 1 adds to the jaw's, smile's and blink's scores.
    """
    signals = len(SIGNALS)
    best = trial = np.zeros((len(wanted.signals), signals), np.float32)
    towards, error, stride = best, np.full(signals, np.inf), STRIDE
    reach = np.nan_to_num(wanted.signals[:, :signals]).std(0)
    near = np.maximum(NEAR, NEAR_SHARE * reach)
    untrimmed, doubtful = error, np.zeros(signals, np.bool_)
    shapes = np.zeros(len(SHAPES))
    for number in range(rounds):
        seen = read(trial)
        now, shaped = np.split(_error(wanted.missing(seen)), [signals])
        if number == 0:
            untrimmed, shapes = now, shaped
        better = (now < error) & ~_spoilt(shaped, shapes)
        if number == 1:  # a signal may be worse because of what the others did: it may go on, but in doubt
            doubtful, better = ~better, np.ones_like(better)
        elif number == 2:
            dropped = doubtful & ~better
            best = np.where(dropped, 0, best)
            towards, error = np.where(dropped, 0, towards), np.where(dropped, untrimmed, error)
        gained = better & (now < (1 - WORTH) * error) & (now > near)
        best = np.where(better, trial, best)
        towards = np.where(better, _steps(seen, wanted, steepness), towards)
        error, stride = np.where(better, now, error), np.where(better, stride, stride / 2)
        going_on = gained.any() or (number == 1 and doubtful.any())
        if number == rounds - 1 or not going_on:
            break
        further = np.clip(best + stride * towards, -LARGEST, LARGEST)
        trial = np.where(error > near, further, best).astype(np.float32)
    if (best != trial).any():
        seen = read(best)
    spoilt = _spoilt(_error(wanted.missing(seen))[signals:], shapes)
    if best[:, spoilt].any():
        best = np.where(spoilt, 0, best).astype(np.float32)
        seen = read(best)
    return best, seen


def _spoilt(now: NDArray[np.float64], before: NDArray[np.float64]) -> NDArray[np.bool_]:
    """(6,) signals whose corrections move a shape that is farther from what is wanted than it was."""
    return np.asarray((MOVED & ((now - SPOILT_BY) / SPOILT > before)).any(1))


def _error(missing: Floats) -> NDArray[np.float64]:
    """(10,) of what is missing: its spread, and half of its mean, as a lasting error is no wrong motion."""
    if np.isnan(missing).all():
        return np.full(missing.shape[1], np.finfo(np.float64).max)
    return np.asarray(np.hypot(np.nanstd(missing, axis=0), 0.5 * np.nanmean(missing, axis=0)), np.float64)


def _steps(seen: Floats, wanted: Wanted, steepness: Floats) -> Floats:
    """(N, 6) trims that would make good what is missing, were the faces as `steepness` says."""
    missing = wanted.missing(seen)
    steps = missing[:, : len(SIGNALS)].copy()
    aim, reached = wanted.signals[:, SCORES], seen[:, SCORES]
    logits = logit(aim) - logit(np.maximum(reached, FLAT))
    logits = np.where((missing[:, SCORES] == 0) | ((aim >= CEILING) & (logits < 0)), 0, logits)
    steps[:, SCORES] = logits * steepness / (steepness**2 + DAMPING)
    steps = np.clip(steps, -LARGEST_STEP, LARGEST_STEP)
    lost = np.isnan(seen).any(1)
    if lost.all():
        return np.zeros_like(steps)
    index = np.arange(len(seen))
    for column in range(steps.shape[1]):  # a frame without a face goes with its neighbours
        steps[lost, column] = np.interp(index[lost], index[~lost], steps[~lost, column])
    padded = np.pad(steps, ((1, 1), (0, 0)), mode="edge")
    steady = (padded[:-2] + 2 * padded[1:-1] + padded[2:]) / 4  # the tracker's noise would show
    return np.asarray(steady, np.float32)

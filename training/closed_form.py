# SPDX-License-Identifier: MIT
"""Directions without training: the shift of w that a linear reading of samples asks for. Knows no network.

With B the regression of p on w, E that of the embedding and S the covariance of w, the least shift (in S)
that moves p by dp and leaves the predicted identity is dw = S M^T (M S M^T)^-1 (dp, 0), M = (B, E). Each
motion then goes into the rows of W+ that carry it. It is where training starts and what training is measured
against.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from engines.networks.directions import Directions, DirectionsConfig
from face.direction_parameters import NAMES, RANGES, SCALED_LIMIT
from training.samples import Samples

Floats = NDArray[np.float32]

RIDGE = 30.0  # of the regressions, on squares of w summed over samples; best of 1 to 130 for 900 faces
SPAN_IDENTITY, SPAN_AXES = 16, 24  # of the natural span: directions of identity, of the widest variance
ROWS = 8  # the first rows of W+, which directions shift; those after carry no motion
# First and last row that carries a motion, measured row by row; shifting others changes the picture in vain.
CARRIED = {"yaw": (0, 4), "pitch": (0, 4), "jaw_open": (2, 5), "smile": (2, 4), "pucker": (2, 5)}
CARRIED_ELSE = (2, 6)


@dataclass(frozen=True, slots=True)
class Whitening:
    """w = mean + (x * spread) @ axes: x has unit variance in every direction of the samples."""

    mean: Floats  # (512,)
    axes: Floats  # (512, 512) rows are principal axes, widest first
    spread: Floats  # (512,) standard deviations along them

    def __call__(self, w: Floats) -> Floats:
        """(N, 512) whitened."""
        return np.asarray((w - self.mean) @ self.axes.T / self.spread, np.float32)

    def widened(self, x: Floats) -> Floats:
        """(..., 512) differences of w of whitened differences."""
        return np.asarray((x * self.spread) @ self.axes, np.float32)


def whitening(w: Floats) -> Whitening:
    """Of many w; axes hardly spread at all are held at a hundredth of the widest."""
    mean = w.mean(0)
    values, vectors = np.linalg.eigh(np.cov((w - mean).T))
    spread = np.sqrt(np.maximum(values[::-1], values[-1] * 1e-4))
    return Whitening(mean, vectors[:, ::-1].T.astype(np.float32), spread.astype(np.float32))


def regression(x: Floats, y: Floats) -> Floats:
    """(K, 512) ridge coefficients of y (N, K), centred, on x (N, 512), centred but not whitened."""
    gram = x.T @ x + RIDGE * np.eye(x.shape[1], dtype=np.float32)
    return np.asarray(np.linalg.solve(gram, x.T @ (y - y.mean(0))).T, np.float32)


def explained(x: Floats, y: Floats, *, folds: int = 5) -> Floats:
    """(K,) cross-validated R2 of the regression."""
    left = np.zeros_like(y)
    for fold in range(folds):
        test = np.arange(len(x)) % folds == fold
        centre = y[~test].mean(0)
        left[test] = y[test] - centre - x[test] @ regression(x[~test], y[~test]).T
    return np.asarray(1 - left.var(0) / y.var(0), np.float32)


def closed_form(samples: Samples, basis: Whitening, *, held: bool, windows: bool) -> Floats:
    """(15, ROWS, 512) whitened shift for each number of p, scaled: 6 asks for a whole range.

    `held`: the predicted identity stays; `windows`: only the rows that carry a motion are shifted.
    """
    x = samples.w - basis.mean
    motion = regression(x, samples.parameters / RANGES)
    readings = [motion, regression(x, samples.embedding)] if held else [motion]
    matrix = np.concatenate(readings) @ basis.axes.T * basis.spread  # (15 or 143, 512), reads whitened w
    gram = matrix @ matrix.T
    gram += 1e-3 * np.trace(gram) / len(gram) * np.eye(len(gram), dtype=np.float32)
    shift = np.linalg.solve(gram, matrix)[: len(NAMES)] / SCALED_LIMIT  # (15, 512)
    rows = np.repeat(shift[:, None], ROWS, axis=1)
    if windows:
        for index, name in enumerate(NAMES):
            first, last = CARRIED.get(name, CARRIED_ELSE)
            rows[index, :first] = rows[index, last + 1 :] = 0
    return np.asarray(rows, np.float32)


def natural_span(samples: Samples, basis: Whitening) -> Floats:
    """(K, 512) orthonormal whitened directions in which shifts are looked for: where samples vary most, what
    they read of motion and of identity. Gradients beyond them mostly fool the judges, and drown the rest.
    """
    x = samples.w - basis.mean
    motion, identity = (regression(x, y) for y in (samples.parameters / RANGES, samples.embedding))
    read = np.concatenate([motion, identity]) @ basis.axes.T * basis.spread
    held = closed_form(samples, basis, held=True, windows=False)[:, 0]
    strongest = np.linalg.svd(read[len(NAMES) :], full_matrices=False)[2][:SPAN_IDENTITY]
    widest = np.eye(SPAN_AXES, read.shape[1], dtype=np.float32)
    parts = [read[: len(NAMES)], held, strongest, widest]
    lengths = [np.linalg.norm(part, axis=1, keepdims=True) for part in parts]
    together = np.concatenate([p / np.maximum(n, 1e-9) for p, n in zip(parts, lengths, strict=True)])
    return np.asarray(np.linalg.qr(together.T)[0].T, np.float32)


def plain_directions(samples: Samples, *, rows: int = 16) -> Directions:
    """The closed form with nothing held and one shift for all rows: what training is compared with."""
    basis = whitening(samples.w)
    shift = basis.widened(closed_form(samples, basis, held=False, windows=False)[:, :1])
    network = Directions(DirectionsConfig(len(NAMES), rows, shift.shape[-1], bias=False))
    plain = np.repeat(shift, rows, axis=1).reshape(len(NAMES), -1)
    network.linear.weight.data = torch.from_numpy(plain.T.copy())
    return network

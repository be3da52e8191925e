# SPDX-License-Identifier: MIT
"""Coordinates of w in which the generator's own faces vary alike in every direction."""

from dataclasses import dataclass

import numpy as np

from face.arrays import Floats


@dataclass(frozen=True, slots=True)
class Whitening:
    """w = mean + (x * spread) @ axes: x has unit variance in every direction of the samples."""

    mean: Floats  # (512,)
    axes: Floats  # (512, 512) rows are principal axes, widest first
    spread: Floats  # (512,) standard deviations along them

    def reading(self, coefficients: Floats) -> Floats:
        """(K, 512) regression coefficients on w as ones on whitened w."""
        return np.asarray(coefficients @ self.axes.T * self.spread, np.float32)

    def widened(self, x: Floats) -> Floats:
        """(..., 512) differences of w of whitened differences."""
        return np.asarray((x * self.spread) @ self.axes, np.float32)


def whitening(w: Floats) -> Whitening:
    """Of many w (N, 512); axes hardly spread at all are held at a hundredth of the widest."""
    mean = w.mean(0)
    values, vectors = np.linalg.eigh(np.cov((w - mean).T))
    spread = np.sqrt(np.maximum(values[::-1], values[-1] * 1e-4))
    return Whitening(mean, vectors[:, ::-1].T.astype(np.float32), spread.astype(np.float32))

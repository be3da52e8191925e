# SPDX-License-Identifier: MIT
"""How faithfully the shapes of an output's face follow its driver's, and the two faults that people notice.

A score of the tracker is not a face: lips that were pressed together were once shown open while the
correlation of jawOpen was .98. So lips, lids and brows are measured as distances.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evaluation.shapes import SHAPES
from face.arrays import Floats

FOLLOWED = ("lip gap", "mouth width", "lid gap", "brow height")  # both sides' mean where there are two
COLUMNS = tuple(
    [index for index, name in enumerate(SHAPES) if name.startswith(kind.replace(" ", "_"))]
    for kind in FOLLOWED
)
TARGETS = (0.95, 0.88, 0.9, 0.8)  # median correlation asked for, in the order of FOLLOWED
MOVES = (0.04, 0.06, 0.06, 0.04)  # of the eye distance: a driver whose range is smaller does not count
LIPS, WIDTH, LIDS, BROWS = range(len(FOLLOWED))
SHUT, SHOWN_OPEN = 0.02, 0.06  # lip gaps: of a driver, and of a portrait at rest; of its picture
OPEN, SHOWN_SHUT = 0.8, 0.5  # lid gaps, in shares of the median: of the driver's, and of the picture's


@dataclass(frozen=True, slots=True)
class ShapeFollow:
    """Shapes of one portrait driven by one clip, in units of the outer eye corners' distance."""

    correlation: Floats  # (4,) in the order of FOLLOWED, NaN where the driver hardly moves
    gain: Floats  # (4,) slope of output over driver, NaN as above
    offset: Floats  # (4,) median of output less driver
    shut_frames: int  # in which the driver's lips are shut, of a portrait whose own lips are shut
    shut_shown_open: int  # of those
    open_frames: int  # in which the driver's eyes are open
    open_shown_shut: int  # of those
    driver: Floats  # (N, 4)
    output: Floats  # (N, 4), NaN where no face was found


def followed(shapes: Floats) -> Floats:
    """(N, 4) in the order of FOLLOWED, of shapes (N, 6) in the order of SHAPES."""
    return np.stack([shapes[:, columns].mean(1) for columns in COLUMNS], axis=1).astype(np.float32)


def follow_shapes(driver: Floats, output: Floats, portrait: Floats) -> ShapeFollow:
    """Of shapes (N, 4) of driver and output, and (4,) of the portrait at rest.

    Frames without a face in either do not count.
    """
    if driver.shape != output.shape:
        raise ValueError(f"driver has {driver.shape} shapes, output {output.shape}, expected as many")
    both = np.isfinite(driver).all(1) & np.isfinite(output).all(1)
    a, b = driver[both].astype(np.float64), output[both].astype(np.float64)
    correlation = np.full(len(FOLLOWED), np.nan, np.float32)
    gain = correlation.copy()
    if len(a) > 2:
        apart, moved = a - a.mean(0), b - b.mean(0)
        spread = np.sqrt((apart**2).sum(0) * (moved**2).sum(0))
        product = (apart * moved).sum(0)
        counts = np.ptp(a, axis=0) >= MOVES
        correlation[counts] = (product / np.maximum(spread, 1e-12))[counts]
        gain[counts] = (product / np.maximum((apart**2).sum(0), 1e-12))[counts]
    shut = a[:, LIPS] < SHUT if portrait[LIPS] < SHUT else np.zeros(len(a), np.bool_)
    wide = a[:, LIDS] > OPEN * np.median(a[:, LIDS]) if len(a) else shut
    closed = b[:, LIDS] < SHOWN_SHUT * np.median(b[:, LIDS]) if len(a) else shut
    return ShapeFollow(
        correlation=correlation,
        gain=gain,
        offset=np.median(b - a, axis=0).astype(np.float32) if len(a) else np.full(4, np.nan, np.float32),
        shut_frames=int(shut.sum()),
        shut_shown_open=int((shut & (b[:, LIPS] > SHOWN_OPEN)).sum()),
        open_frames=int(wide.sum()),
        open_shown_shut=int((wide & closed).sum()),
        driver=driver,
        output=output,
    )


@dataclass(frozen=True, slots=True)
class ShapeSummary:
    """One shape over many pairs; NaN everywhere when no pair counts."""

    pairs: int
    median: float
    worst: float
    gain: float  # median
    offset: float  # median


def summarise_shape(pairs: Sequence[ShapeFollow], shape: int) -> ShapeSummary:
    """Over the pairs whose driver moves that shape."""
    moved = [pair for pair in pairs if np.isfinite(pair.correlation[shape])]
    if not moved:
        return ShapeSummary(0, *[float("nan")] * 4)
    values = [float(pair.correlation[shape]) for pair in moved]
    return ShapeSummary(
        len(moved),
        float(np.median(values)),
        min(values),
        float(np.median([pair.gain[shape] for pair in moved])),
        float(np.median([pair.offset[shape] for pair in moved])),
    )


def rates(pairs: Sequence[ShapeFollow]) -> tuple[float, float]:
    """Shares of frames: shut lips shown open, open eyes shown shut; NaN where there are no such frames."""
    shut, wide = sum(pair.shut_frames for pair in pairs), sum(pair.open_frames for pair in pairs)
    return (
        sum(pair.shut_shown_open for pair in pairs) / shut if shut else float("nan"),
        sum(pair.open_shown_shut for pair in pairs) / wide if wide else float("nan"),
    )


def unlike(follow: ShapeFollow, rest: tuple[Floats, Floats]) -> NDArray[np.float64]:
    """(N,) how far lips, mouth and lids of each frame are from where the driver's movement away from its rest
    would take the portrait's own; `rest` (4,) of driver and portrait. NaN without a face.
    """
    meant = follow.driver - rest[0] + rest[1]
    away = np.abs(follow.output - np.maximum(meant, 0))
    return np.asarray(away[:, [LIPS, WIDTH, LIDS]].max(1), np.float64)

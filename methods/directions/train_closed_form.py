# SPDX-License-Identifier: MIT
"""Directions without gradients: the shift of w that a linear reading of samples asks for.

With x the whitened w and b, B, E, G the regressions on it of one number of motion, of the others, of the
embedding and of the surroundings, the shift for that number is the x with b x = 1 of least

    |x|^2 + others |B x|^2 + identity |E x|^2 + surroundings |G x|^2

which is H^-1 b / (b H^-1 b), and goes into those rows of W+ alone that carry the motion. How much each is
held, and in which rows, was chosen by measuring (train_holds.py). With nothing held and all rows it
is the plain closed form that others are compared with.
"""

from dataclasses import dataclass

import numpy as np
import torch

from engines.networks.directions import Directions, DirectionsConfig
from face.arrays import Floats
from face.direction_parameters import INDEX, NAMES, RANGES, SCALED_LIMIT
from methods.directions.train_losses import surroundings_mask
from training.samples import Samples
from training.whitening import Whitening, whitening

PLAIN_RIDGE = 30.0  # of a regression, on squares of w summed over samples; best of 1 to 130 for 900 faces
SPAN_IDENTITY, SPAN_AXES = 16, 24  # of the natural span: directions of identity, of the widest variance
ROWS = 8  # the first rows of W+, which directions shift; those after carry no motion
SURROUNDINGS_CELLS = 16  # a side, of the picture whose part outside the face is read
LIDS = ("blink_left", "blink_right")


@dataclass(frozen=True, slots=True)
class Hold:
    """How one motion is found; weights are of squared whitened shifts."""

    identity: float = 200.0
    surroundings: float = 1000.0
    others: float = 20.0
    ridge: float = PLAIN_RIDGE
    first: int = 3  # rows that are shifted, from this
    last: int = 6  # to this one
    gain: float = 1.0  # by how much more must be asked for what is wanted


# Chosen on eight faces with seeds of their own; numbers of p that are not named have the default.
HOLDS: dict[tuple[str, ...], Hold] = {
    ("yaw",): Hold(16, 62, 6.5, 30, 0, 5, 1.16),
    ("pitch",): Hold(130, 75_000, 0.23, 30, 0, 5, 1.19),
    ("jaw_open",): Hold(22, 55_000, 7.6, 10, 2, 5, 1.05),
    ("smile",): Hold(3100, 21_400, 1800, 10, 2, 4, 1.2),
    LIDS: Hold(194, 225, 74, 10, 4, 7, 1.09),  # as one: nobody winks in the samples
    ("lower_lip",): Hold(gain=0.85),
    ("upper_lip",): Hold(gain=1.4),
    ("brow_up",): Hold(gain=0.9),
    ("gaze_x",): Hold(20, 4100, 2.9, 100, 4, 7, 1.9),
    # What the generator hardly shows costs more identity than it is worth: asked for in part.
    ("gaze_y",): Hold(32, 142, 36, 30, 4, 6, 2.0),
    ("squint",): Hold(456, 8700, 97, 100, 4, 7, 1.0),
    ("brow_down",): Hold(32_000, 17, 4.7, 10, 3, 5, 1.5),
    ("press",): Hold(4700, 68_000, 550, 100, 4, 7, 1.0),
    ("pucker",): Hold(460, 21_000, 0.32, 30, 0, 4, 0.35),
}


@dataclass(frozen=True, slots=True)
class Readings:
    """What is read off whitened w, linearly."""

    motion: Floats  # (15, 512) p in its ranges
    identity: Floats  # (128, 512) embedding
    surroundings: Floats  # (768, 512) squares sum to the mean square change, 1 = half of black to white


def regression(x: Floats, y: Floats, ridge: float) -> Floats:
    """(K, 512) ridge coefficients of y (N, K), centred, on x (N, 512), centred but not whitened."""
    gram = x.T @ x + ridge * np.eye(x.shape[1], dtype=np.float32)
    return np.asarray(np.linalg.solve(gram, x.T @ (y - y.mean(0))).T, np.float32)


def read_samples(samples: Samples, basis: Whitening, ridge: float) -> Readings:
    """The three regressions."""
    x = samples.w - basis.mean
    targets = (samples.parameters / RANGES, samples.embedding, _outside(samples))
    return Readings(*(basis.reading(regression(x, y, ridge)) for y in targets))


def _outside(samples: Samples) -> Floats:
    """(N, 768) the samples' pictures, small, without the place where the mean face lies."""
    size = samples.pictures.shape[1]
    cell = size // SURROUNDINGS_CELLS
    blocks = samples.pictures.reshape(-1, SURROUNDINGS_CELLS, cell, SURROUNDINGS_CELLS, cell, 3)
    small = blocks.mean((2, 4), dtype=np.float32) / 127.5 - 1  # (N, 16, 16, 3)
    mask = surroundings_mask([samples.landmarks.mean(0)], size)
    fine = len(mask) // SURROUNDINGS_CELLS
    shown = mask.reshape(SURROUNDINGS_CELLS, fine, SURROUNDINGS_CELLS, fine).mean((1, 3))
    return np.asarray(
        (small * shown[..., None]).reshape(len(small), -1) / np.sqrt(3 * shown.sum()), np.float32
    )


def shift_for(names: tuple[str, ...], readings: Readings, hold: Hold) -> Floats:
    """(ROWS, 512) whitened shift by which these numbers of p grow by one unit of scaled motion, together."""
    own = [INDEX[name] for name in names]
    others = readings.motion[[index for index in range(len(NAMES)) if index not in own]]
    held = np.eye(readings.motion.shape[1], dtype=np.float64)
    for weight, part in (
        (hold.others, others),
        (hold.identity, readings.identity),
        (hold.surroundings, readings.surroundings),
    ):
        held += weight * part.T.astype(np.float64) @ part
    read = readings.motion[own].mean(0)
    towards = np.linalg.solve(held, read)
    rows = np.zeros((ROWS, len(towards)), np.float32)
    reached = max(float(read @ towards), 1e-9)  # a motion that no sample shows is left alone
    rows[hold.first : hold.last + 1] = towards / reached * hold.gain / SCALED_LIMIT
    return rows


def starting_point(samples: Samples, basis: Whitening) -> Floats:
    """(15, ROWS, 512) whitened shift for each number of p, scaled: 6 asks for a whole range."""
    groups = dict(HOLDS)
    named = {name for group in groups for name in group}
    groups |= {(name,): Hold() for name in NAMES if name not in named}
    readings = {
        ridge: read_samples(samples, basis, ridge) for ridge in {hold.ridge for hold in groups.values()}
    }
    start = np.zeros((len(NAMES), ROWS, samples.w.shape[1]), np.float32)
    for group, hold in groups.items():
        rows = shift_for(group, readings[hold.ridge], hold)
        for name in group:
            start[INDEX[name]] = rows / len(group)  # asked for together, they make one whole motion
    return start


def natural_span(samples: Samples, basis: Whitening, start: Floats) -> Floats:
    """(K, 512) orthonormal whitened directions in which shifts are looked for: those of the starting point,
    what samples read of motion and of identity, where they vary most. Gradients beyond them mostly fool the
    judges, and drown the rest.
    """
    readings = read_samples(samples, basis, PLAIN_RIDGE)
    strongest = np.linalg.svd(readings.identity, full_matrices=False)[2][:SPAN_IDENTITY]
    widest = np.eye(SPAN_AXES, readings.identity.shape[1], dtype=np.float32)
    parts = [_carried(start), readings.motion, strongest, widest]
    lengths = [np.linalg.norm(part, axis=1, keepdims=True) for part in parts]
    together = np.concatenate([p / np.maximum(n, 1e-9) for p, n in zip(parts, lengths, strict=True)])
    return np.asarray(np.linalg.qr(together.T)[0].T, np.float32)


def _carried(start: Floats) -> Floats:
    """(15, 512) each number's one shift, from a row that has it."""
    strongest = np.linalg.norm(start, axis=2).argmax(1)
    return np.asarray(start[np.arange(len(start)), strongest], np.float32)


def plain_directions(samples: Samples, *, rows: int = 16) -> Directions:
    """The closed form for all numbers at once, nothing held beside them, one shift for all rows."""
    basis = whitening(samples.w)
    reads = read_samples(samples, basis, PLAIN_RIDGE).motion.astype(np.float64)
    gram = reads @ reads.T
    gram += 1e-3 * np.trace(gram) / len(gram) * np.eye(len(gram))
    shift = basis.widened((np.linalg.solve(gram, reads) / SCALED_LIMIT).astype(np.float32))  # (15, 512)
    network = Directions(DirectionsConfig(len(NAMES), rows, shift.shape[-1], bias=False))
    plain = np.repeat(shift[:, None], rows, axis=1).reshape(len(NAMES), -1)
    network.linear.weight.data = torch.from_numpy(plain.T.copy())
    return network

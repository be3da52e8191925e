# SPDX-License-Identifier: MIT
"""Choose how directions are held, motion by motion, by trying on a few faces. Knows no gradient.

    python -m methods.directions.train_holds --samples samples --tries 12 --motions jaw_open,brow_up \\
        --log holds.jsonl

Each try draws weights and rows, finds the shift, asks for the motion, asks again with the gain that was
missing, and writes down what was reached and what it cost. The best go into HOLDS of training/closed_form.py
by hand. The faces have seeds of their own, which neither samples nor evaluation use.
"""

import argparse
import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
from rich.progress import track

from engines.mediapipe_reader import StillReader
from engines.networks.directions import Directions
from face.direction_parameters import ANGLES, INDEX, NAMES, RANGES
from methods.directions.train import Whitened
from methods.directions.train_closed_form import (
    HOLDS,
    LIDS,
    Hold,
    Readings,
    Whitening,
    read_samples,
    shift_for,
    whitening,
)
from methods.directions.train_measured import Aim, Bench, Measured, measure
from training.generator import open_generator
from training.judges import open_embedding
from training.samples import load_samples

FIRST_SEED, PSI = 8_000_000, 0.7
RIDGES = (10.0, 30.0, 100.0)
WINDOWS = ((0, 4), (0, 5), (2, 4), (2, 5), (3, 4), (3, 5), (3, 6), (4, 6), (4, 7))
# Exponents of ten the weights are drawn between.
IDENTITY, SURROUNDINGS, OTHERS = (1, 5), (1, 5), (-0.5, 3)
LEAST_GAIN, MOST_GAIN = 0.4, 3.0
SHARE_ASKED = 0.5  # of a motion's range; angles are asked for both ways


@dataclass(frozen=True, slots=True)
class Outcome:
    """Of one hold on all faces: how much of the motion came, how evenly, and what it cost."""

    reached: float
    spread: float  # standard deviation over faces of what was reached
    dlib: float
    outside: float  # grey levels
    leak: float  # sum over the other numbers, in their ranges


def aims_of(names: tuple[str, ...]) -> list[Aim]:
    """What is asked of each face."""
    asked = float(RANGES[INDEX[names[0]]]) * SHARE_ASKED
    signs = (1.0, -1.0) if names[0] in ("yaw", "pitch", "gaze_x", "gaze_y") else (1.0,)
    relative = names[0] != "smile"  # half of all faces smile already: there, half a smile is asked for
    return [Aim("asked", names, sign * asked, relative=relative) for sign in signs]


def outcome(rows: Measured) -> Outcome:
    """NaN rows, pictures without a face, are left out."""
    found = np.isfinite(rows.dlib)
    asked = (rows.wanted - rows.own[:, ANGLES:])[found] / RANGES
    came = (rows.seen - rows.own)[found][:, ANGLES:] / RANGES
    own = np.abs(asked) > 1e-6
    each = (asked * came * own).sum(1) / (asked**2 * own).sum(1)
    return Outcome(
        reached=float((asked * came)[own].sum() / (asked**2)[own].sum()),
        spread=float(each.std()),
        dlib=float(rows.dlib[found].mean()),
        outside=float(np.nanmean(rows.outside[found])),
        leak=float(np.where(own, 0, np.abs(came)).sum(1).mean()),
    )


def single(names: tuple[str, ...], readings: Readings, hold: Hold, basis: Whitening) -> Directions:
    """A matrix that has only these numbers."""
    matrix = np.zeros((len(NAMES), 8, len(basis.mean)), np.float32)
    for name in names:
        matrix[INDEX[name]] = shift_for(names, readings, hold) / len(names)
    return Whitened(matrix, basis).directions()


def drawn(rng: np.random.Generator) -> Hold:
    """Any hold."""
    weights = [float(10 ** rng.uniform(low, high)) for low, high in (IDENTITY, SURROUNDINGS, OTHERS)]
    first, last = WINDOWS[rng.integers(len(WINDOWS))]
    return Hold(*weights, float(rng.choice(RIDGES)), int(first), int(last))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--samples", type=Path, required=True)
    parser.add_argument(
        "--motions", default="", help="names of face/direction_parameters.py; all unless given"
    )
    parser.add_argument("--tries", type=int, default=12)
    parser.add_argument("--faces", type=int, default=6)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--log", type=Path, required=True)
    options = parser.parse_args()
    torch.set_num_threads(1)
    samples = load_samples(options.samples)
    basis = whitening(samples.w)
    readings = {ridge: read_samples(samples, basis, ridge) for ridge in RIDGES}
    named = [name for name in options.motions.split(",") if name] or list(NAMES)
    groups = [names for names in {LIDS if name in LIDS else (name,): None for name in named}]
    rng = np.random.default_rng(options.seed)
    with StillReader() as tracker, options.log.open("a") as log:
        bench = Bench(open_generator(half=True), tracker, open_embedding(), None)
        seeds = range(FIRST_SEED, FIRST_SEED + options.faces)
        people = torch.cat([bench.generator.sample(1, seed=seed, psi=(PSI, PSI)) for seed in seeds]).numpy()
        for index in track(range(options.tries * len(groups)), description="tries"):
            names = groups[index % len(groups)]
            hold = HOLDS.get(names, Hold()) if index < len(groups) else drawn(rng)
            plain = replace(hold, gain=1.0)
            once = outcome(
                measure(bench, single(names, readings[hold.ridge], plain, basis), people, aims_of(names))
            )
            gain = float(np.clip(1 / max(once.reached, 0.05), LEAST_GAIN, MOST_GAIN))
            hold = replace(hold, gain=gain)
            again = outcome(
                measure(bench, single(names, readings[hold.ridge], hold, basis), people, aims_of(names))
            )
            log.write(json.dumps({"motion": names, "hold": asdict(hold), "outcome": asdict(again)}) + "\n")
            log.flush()


if __name__ == "__main__":
    main()

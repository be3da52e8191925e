# SPDX-License-Identifier: MIT
"""Choose how directions are held, motion by motion, by trying on a few faces.

    python -m methods.directions.train_holds --samples samples --tries 12 --motions jaw_open,brow_up \\
        --log holds.jsonl

Each try draws weights and rows, finds the shift, asks for the motion, asks again with the gain that was
missing, and writes down what was reached and what it cost. The best go into HOLDS of train_closed_form.py
by hand. The faces have seeds of their own, which neither samples nor evaluation use.
"""

import argparse
import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import torch
from rich.progress import track

from engines.networks.directions import Directions
from face.direction_parameters import INDEX, NAMES
from methods.directions.train import Whitened
from methods.directions.train_closed_form import (
    HOLDS,
    LIDS,
    Hold,
    Readings,
    read_samples,
    shift_for,
)
from methods.directions.train_measured import (
    FITTING_SEED,
    Outcome,
    aims_at,
    identities,
    measure,
    open_bench,
    outcome,
)
from training.samples import load_samples
from training.whitening import Whitening, whitening

RIDGES = (10.0, 30.0, 100.0)
WINDOWS = ((0, 4), (0, 5), (2, 4), (2, 5), (3, 4), (3, 5), (3, 6), (4, 6), (4, 7))
# Exponents of ten the weights are drawn between.
IDENTITY, SURROUNDINGS, OTHERS = (1, 5), (1, 5), (-0.5, 3)
LEAST_GAIN, MOST_GAIN = 0.4, 3.0


def single(names: tuple[str, ...], readings: Readings, hold: Hold, basis: Whitening) -> Directions:
    """A matrix that has only these numbers."""
    matrix = np.zeros((len(NAMES), 8, len(basis.mean)), np.float32)
    for name in names:
        matrix[INDEX[name]] = shift_for(names, readings, hold) / len(names)
    return Whitened(matrix, basis).directions()


def drawn(rng: np.random.Generator) -> Hold:
    """Any hold."""
    identity, surroundings, others = (
        float(10 ** rng.uniform(low, high)) for low, high in (IDENTITY, SURROUNDINGS, OTHERS)
    )
    first, last = WINDOWS[rng.integers(len(WINDOWS))]
    return Hold(identity, surroundings, others, float(rng.choice(RIDGES)), first, last)


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
    with open_bench() as bench, options.log.open("a") as log:
        people = identities(bench.generator, options.faces, first_seed=FITTING_SEED)

        def tried(names: tuple[str, ...], hold: Hold) -> Outcome:
            matrix = single(names, readings[hold.ridge], hold, basis)
            return outcome(measure(bench, matrix, people, aims_at(names)))

        for index in track(range(options.tries * len(groups)), description="tries"):
            names = groups[index % len(groups)]
            hold = HOLDS.get(names, Hold()) if index < len(groups) else drawn(rng)
            once = tried(names, replace(hold, gain=1.0))
            gain = float(np.clip(1 / max(once.reached, 0.05), LEAST_GAIN, MOST_GAIN))
            hold = replace(hold, gain=gain)
            again = tried(names, hold)
            log.write(json.dumps({"motion": names, "hold": asdict(hold), "outcome": asdict(again)}) + "\n")
            log.flush()


if __name__ == "__main__":
    main()

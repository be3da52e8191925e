# SPDX-License-Identifier: MIT
"""Scale a trained matrix so that faces go as far as is wanted of them.

    python -m methods.directions.train_gains run/directions.safetensors directions.safetensors

Training pays for every motion with identity and so stops a little short, by another share for each. Here the
main motions are asked for on a few faces (those of train_holds.py), and each is stretched to its share.
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from rich.progress import track
from safetensors import safe_open

from engines.networks.directions import Directions
from engines.networks.store import load_network, save_network
from face.direction_parameters import ANGLES, INDEX
from methods.directions.train_closed_form import LIDS
from methods.directions.train_measured import (
    FITTING_SEED,
    Aim,
    Bench,
    Measured,
    aims_at,
    identities,
    measure,
    open_bench,
    outcome,
)

# How much of what is asked for should come: a little less where the last part costs most identity.
SHARES: dict[tuple[str, ...], float] = {
    ("yaw",): 0.85,
    ("pitch",): 0.95,
    ("jaw_open",): 0.9,
    ("smile",): 0.95,
    LIDS: 0.9,
    ("gaze_x",): 0.95,
}
# Scores end at 0 and near 1, so a change is no measure of them: they are taken to these values, and the slope
# of what is seen over what was asked is what came.
VALUES: dict[tuple[str, ...], tuple[float, ...]] = {
    ("jaw_open",): (0.0, 0.15, 0.3, 0.4),
    ("smile",): (0.0, 0.35, 0.7, 1.0),
    LIDS: (0.05, 0.25, 0.45, 0.6),
}
LEAST, MOST = 0.7, 1.5


def came(rows: Measured, names: tuple[str, ...]) -> float:
    """Slope of seen over asked for where there are values, share of the change otherwise."""
    if names not in VALUES:
        return outcome(rows).reached
    found = np.isfinite(rows.dlib)
    columns = [INDEX[name] for name in names]
    asked = rows.wanted[found][:, columns].mean(1)
    seen = rows.seen[found][:, ANGLES:][:, columns].mean(1)
    return float(np.polyfit(asked, seen, 1)[0])


def stretched(directions: Directions, reached: dict[tuple[str, ...], float]) -> dict[str, float]:
    """Scale each motion's columns in place to its share of what it reached; the factors by name."""
    factors = {}
    for names, share in reached.items():
        factor = float(np.clip(SHARES[names] / max(share, 0.05), LEAST, MOST))
        for name in names:
            directions.linear.weight.data[:, INDEX[name]] *= factor
            factors[name] = round(factor, 3)
    return factors


def stretch(directions: Directions, bench: Bench, *, faces: int) -> None:
    """Measure each motion of SHARES on so many faces, scale the matrix in place, and print both."""
    people = identities(bench.generator, faces, first_seed=FITTING_SEED)
    reached: dict[tuple[str, ...], float] = {}
    for names in track(SHARES, description="motions"):
        values = VALUES.get(names)
        aims = [Aim("asked", names, value) for value in values] if values else aims_at(names)
        reached[names] = came(measure(bench, directions, people, aims), names)
    print("reached", {" ".join(names): round(share, 3) for names, share in reached.items()})
    print("stretched by", stretched(directions, reached))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("trained", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--faces", type=int, default=50)
    options = parser.parse_args()
    torch.set_num_threads(1)
    directions = load_network(options.trained, Directions)
    with safe_open(options.trained, framework="pt") as file:
        notes = {
            key: value
            for key, value in file.metadata().items()
            if key in ("method", "parameters", "training")
        }
    with open_bench() as bench:
        stretch(directions, bench, faces=options.faces)
    save_network(directions, options.out, notes=notes, half=True)


if __name__ == "__main__":
    main()

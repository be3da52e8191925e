# SPDX-License-Identifier: MIT
"""Scale a trained matrix so that faces go as far as is wanted of them. Knows no training.

    python -m training.set_gains run/directions.safetensors directions.safetensors

Training pays for every motion with identity and so stops a little short, by another share for each. Here the
main motions are asked for on a few faces (those of training/choose_holds.py), and each is stretched to its
share.
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from rich.progress import track
from safetensors import safe_open

from engines.networks.directions import Directions
from engines.networks.store import load_network, save_network
from face.direction_parameters import INDEX
from training.choose_holds import FIRST_SEED, PSI, Outcome, aims_of, outcome
from training.closed_form import LIDS
from training.generator import open_generator
from training.judges import StillTracker, open_embedding
from training.measured import Bench, measure

# How much of what is asked for should come. A head that turns, a mouth that opens cost most identity.
SHARES: dict[tuple[str, ...], float] = {
    ("yaw",): 0.85,
    ("pitch",): 0.95,
    ("jaw_open",): 0.9,
    ("smile",): 0.9,
    LIDS: 0.95,
    ("gaze_x",): 0.95,
}
LEAST, MOST = 0.7, 1.5


def stretched(directions: Directions, reached: dict[tuple[str, ...], float]) -> dict[str, float]:
    """Scale each motion's columns in place to its share of what it reached; the factors by name."""
    factors = {}
    for names, came in reached.items():
        factor = float(np.clip(SHARES[names] / max(came, 0.05), LEAST, MOST))
        for name in names:
            directions.linear.weight.data[:, INDEX[name]] *= factor
            factors[name] = round(factor, 3)
    return factors


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("trained", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--faces", type=int, default=14)
    options = parser.parse_args()
    torch.set_num_threads(1)
    directions = load_network(options.trained)
    assert isinstance(directions, Directions)
    with safe_open(options.trained, framework="pt") as file:
        notes = {
            key: value
            for key, value in file.metadata().items()
            if key in ("method", "parameters", "training")
        }
    found: dict[tuple[str, ...], Outcome] = {}
    with StillTracker() as tracker:
        bench = Bench(open_generator(half=True), tracker, open_embedding(), None)
        seeds = range(FIRST_SEED, FIRST_SEED + options.faces)
        people = torch.cat([bench.generator.sample(1, seed=seed, psi=(PSI, PSI)) for seed in seeds]).numpy()
        for names in track(SHARES, description="motions"):
            found[names] = outcome(measure(bench, directions, people, aims_of(names)))
    for names, result in found.items():
        print(f"{' '.join(names)}: reached {result.reached:.2f}, dlib {result.dlib:.3f}")
    factors = stretched(directions, {names: result.reached for names, result in found.items()})
    print("stretched by", factors)
    save_network(directions, options.out, notes=notes, half=True)


if __name__ == "__main__":
    main()

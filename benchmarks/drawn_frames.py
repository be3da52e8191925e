# SPDX-License-Identifier: MIT
"""Draws motions by the puppet of whichever checkout PYTHONPATH names, this one or an older one.

python benchmarks/drawn_frames.py PHOTO.png MOTIONS.npz OUT.npy [--longest 512] [--refine]
"""

import argparse
import json
from pathlib import Path

import numpy as np

from face.motion import Motion
from realtime.machine import this_machine

try:
    from methods.method import Opening
    from methods.registry import open_puppet
    from methods.subject import resolve

    def opened(photo: Path, longest: int):
        return open_puppet("mesh", resolve(photo), Opening(longest))
except ImportError:  # a checkout from before methods had a package
    from realtime.puppet import open_puppet as open_old

    def opened(photo: Path, longest: int):
        return open_old("mesh", photo, longest=longest)


FIELDS = ("rotation", "translation", "blendshapes", "landmarks", "gaze")  # arrays of a Motion
NUMBERS = ("captured_s", "scale", "confidence")


def save_motions(path: Path, motions: list[Motion]) -> None:
    """Every number of the motions as it is; the first one is the rest of all."""
    arrays = {name: np.stack([getattr(motion, name) for motion in motions]) for name in FIELDS}
    arrays |= {name: np.array([getattr(motion, name) for motion in motions]) for name in NUMBERS}
    np.savez(path, image_size=np.array(motions[0].image_size), **arrays)


def load_motions(path: Path) -> list[Motion]:
    with np.load(path) as stored:
        arrays = {name: stored[name] for name in stored.files}
    size = (int(arrays["image_size"][0]), int(arrays["image_size"][1]))
    motions: list[Motion] = []
    for index in range(len(arrays["scale"])):
        values = {name: arrays[name][index] for name in FIELDS}
        values |= {name: float(arrays[name][index]) for name in NUMBERS}
        motions.append(Motion(**values, image_size=size, neutral=motions[0] if motions else None))
    return motions


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("photo", type=Path)
    parser.add_argument("motions", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--longest", type=int, default=512)
    parser.add_argument("--refine", action="store_true")
    options = parser.parse_args()
    puppet = opened(options.photo, options.longest)
    motions = load_motions(options.motions)[1:]
    if options.refine:
        puppet = puppet.refined(motions)
    np.save(options.out, np.stack([puppet(motion) for motion in motions]))
    print(json.dumps({"commit": this_machine().commit}))


if __name__ == "__main__":
    main()

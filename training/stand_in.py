# SPDX-License-Identifier: MIT
"""How well the tracker's stand-in agrees with the tracker itself, on generated faces.

python -m training.stand_in --samples samples --count 200
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from rich.progress import track

from face.direction_parameters import NAMES, RANGES, parameters
from training.judges import open_stand_in, to_images
from training.samples import load_samples

BATCH = 4


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--samples", type=Path, required=True)
    parser.add_argument("--count", type=int, default=200)
    options = parser.parse_args()
    torch.set_num_threads(1)
    samples = load_samples(options.samples).first(options.count)
    stand_in = open_stand_in()
    landmarks, rotation, scores = [], [], []
    with torch.no_grad():
        for start in track(range(0, len(samples), BATCH), description="faces"):
            tracks = stand_in(to_images(samples.pictures[start : start + BATCH]))
            landmarks.append(tracks.landmarks)
            rotation.append(tracks.rotation)
            scores.append(tracks.scores)
    away = np.linalg.norm((torch.cat(landmarks).numpy() - samples.landmarks)[..., :2], axis=2)
    angles = np.abs(torch.cat(rotation).numpy() - samples.rotation).mean(0)
    p = parameters(torch.cat(rotation).numpy(), torch.cat(scores).numpy())
    own = samples.parameters
    print(f"{len(samples)} faces; landmarks {away.mean():.2f} px of 256 away, 95 % within ", end="")
    print(f"{np.percentile(away, 95):.2f}; yaw, pitch, roll {', '.join(f'{a:.2f}' for a in angles)} degrees")
    print("| number | mean error | spread of faces | correlation |\n| - | - | - | - |")
    for index, name in enumerate(NAMES):
        error = np.abs(p[:, index] - own[:, index]).mean()
        correlation = np.corrcoef(p[:, index], own[:, index])[0, 1]
        digits = 1 if RANGES[index] > 1 else 3
        print(f"| {name} | {error:.{digits}f} | {own[:, index].std():.{digits}f} | {correlation:.3f} |")


if __name__ == "__main__":
    main()

# SPDX-License-Identifier: MIT
"""Generated faces and what tracker and recogniser say of them, in resumable shards.

    facepuppet train samples --out samples --count 2000

A shard holds vectors w, pictures, landmarks, angles, scores and embeddings. Pictures in which the tracker
finds no face are left out. The same seed gives the same shard, whatever was made before.
"""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from rich.progress import track

from engines.mediapipe_reader import StillReader
from engines.networks.face_embedding import FaceEmbedding
from face.arrays import Floats
from face.direction_parameters import parameters
from face.errors import WrongUse
from training.generator import Generator, open_generator
from training.judges import open_embedding, to_images, to_pictures
from training.shards import load_shards, save_shard

SHARD = 100
LEAST_PSI, MOST_PSI = 0.7, 1.0  # truncation is drawn between these, face by face
BATCH = 4


@dataclass(frozen=True, slots=True)
class Samples:
    """N generated faces as they were measured."""

    w: Floats  # (N, 512)
    pictures: NDArray[np.uint8]  # (N, S, S, 3)
    landmarks: Floats  # (N, 478, 3) pixels
    rotation: Floats  # (N, 3) degrees
    scores: Floats  # (N, 52)
    embedding: Floats  # (N, 128)

    @property
    def parameters(self) -> Floats:
        """(N, 15) raw units."""
        return parameters(self.rotation, self.scores)

    def __len__(self) -> int:
        return len(self.w)

    def first(self, count: int) -> "Samples":
        """No more than that many of them."""
        return Samples(*(getattr(self, field.name)[:count] for field in fields(self)))


def make_samples(
    generator: Generator, embedding: FaceEmbedding, tracker: StillReader, *, seed: int, count: int = SHARD
) -> Samples:
    """`count` faces less those without a face."""
    w = generator.sample(count, seed=seed, psi=(LEAST_PSI, MOST_PSI))  # (N, 512)
    with torch.no_grad():
        pictures = np.concatenate([to_pictures(generator(part)) for part in w.split(BATCH)])
    seen = [tracker.one(picture) for picture in pictures]
    kept = [index for index, face in enumerate(seen) if face is not None]
    faces = [face for face in seen if face is not None]
    landmarks = np.array([face.landmarks for face in faces], np.float32).reshape(-1, 478, 3)
    with torch.no_grad():
        numbers = [
            embedding.of_faces(to_images(pictures[kept[start : start + BATCH]]), torch.from_numpy(part))
            for start in range(0, len(kept), BATCH)
            for part in [landmarks[start : start + BATCH]]
        ]
    return Samples(
        w=w.numpy()[kept],
        pictures=pictures[kept],
        landmarks=landmarks,
        rotation=np.array([face.rotation for face in faces], np.float32).reshape(-1, 3),
        scores=np.array([face.blendshapes for face in faces], np.float32).reshape(-1, 52),
        embedding=torch.cat(numbers).numpy() if numbers else np.zeros((0, 128), np.float32),
    )


def load_samples(folder: Path) -> Samples:
    """All shards of a folder in order."""
    paths = sorted(folder.glob("samples-*.npz"))
    if not paths:
        raise WrongUse(f"no samples-*.npz in {folder}; make some: facepuppet train samples --out {folder}")
    return load_shards(Samples, paths)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        "facepuppet train samples",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0, help="of the first shard; the next have the next")
    options = parser.parse_args(arguments)
    options.out.mkdir(parents=True, exist_ok=True)
    generator, embedding = open_generator(), open_embedding()
    with StillReader() as tracker:
        for index in track(range(-(-options.count // SHARD)), description="shards"):
            path = options.out / f"samples-{options.seed + index:05d}.npz"
            if not path.exists():
                save_shard(make_samples(generator, embedding, tracker, seed=options.seed + index), path)


if __name__ == "__main__":
    main()

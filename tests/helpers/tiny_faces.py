# SPDX-License-Identifier: MIT
"""A generator, a tracker and a recogniser small enough to train with in a test.

The generator paints one square whose place, size and colour are linear in w; the tracker reads them back.
"""

from typing import Self

import numpy as np
import torch
from torch import Tensor, nn

from engines.mediapipe_reader import Face
from engines.networks.tracker_stand_in import Tracks
from face.arrays import Image
from face.direction_parameters import INDEX, TABLE
from face.face_model import face_model
from training.judges import to_images, to_pictures
from training.samples import Samples

SIZE = 256
W_DIM = 512
MOTION = slice(0, 2)  # of w: what moves the square
IDENTITY = slice(2, 6)  # of w: its colours


class Generator:
    """Yaw is the brightness of the left half, the smile that of the right half, identity a strip below."""

    rows = 10
    half = False

    def __call__(self, w: Tensor, shift: Tensor | None = None) -> Tensor:
        if w.ndim == 2:
            w = w[:, None].expand(-1, self.rows, -1)
        if shift is not None:
            w = torch.cat([w[:, : shift.shape[1]] + shift, w[:, shift.shape[1] :]], 1)
        seen = w[:, 3]  # one row carries everything
        images = torch.zeros(len(w), 3, 8, 8)
        parts = [seen[:, 0, None, None], seen[:, 1, None, None]]
        left, right = (part.expand(-1, 6, 4) for part in parts)
        top = torch.cat([left, right], 2)  # (N, 6, 8)
        below = seen[:, IDENTITY].repeat_interleave(2, 1)[:, None].expand(-1, 2, -1)  # (N, 2, 8)
        images = torch.cat([top, below], 1)[:, None].expand(-1, 3, -1, -1)
        return nn.functional.interpolate(images, size=(SIZE, SIZE), mode="nearest")

    def sample(self, count: int, *, seed: int, psi: tuple[float, float]) -> Tensor:
        return torch.randn(count, W_DIM, generator=torch.Generator().manual_seed(seed)) * 0.2


class Tracker(nn.Module):
    """Reads yaw and smile off the picture; its landmarks are the mean face, turned by nothing."""

    def forward(self, images: Tensor, first_look: Tensor | None = None) -> Tracks:
        mean = torch.from_numpy(face_model().mean * 90) + torch.tensor([128.0, 110.0, 0.0])
        n = len(images)
        yaw = images[:, 0, :128, :128].mean((1, 2)) * 30
        smile = images[:, 0, :128, 128:].mean((1, 2))
        rotation = torch.stack([yaw, torch.zeros(n), torch.zeros(n)], 1)
        column = torch.from_numpy(np.flatnonzero(TABLE[INDEX["smile"], 3:]))
        scores = torch.zeros(n, 52).index_add(1, column, smile[:, None].expand(-1, len(column)))
        return Tracks(mean.expand(n, -1, -1), scores, rotation)


class StillReader:
    """That tracker on one uint8 picture; blind to black ones."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        return None

    def one(self, picture: Image) -> Face | None:
        if not picture.any():
            return None
        tracks = Tracker()(to_images(picture[None]))
        return Face(tracks.landmarks[0].numpy(), tracks.rotation[0].numpy(), tracks.scores[0].numpy())


class Embedding(nn.Module):
    """The colours of the strip below."""

    def of_faces(self, images: Tensor, landmarks: Tensor) -> Tensor:
        strip = images[:, 0, 200:, :].mean(1)
        return torch.nn.functional.adaptive_avg_pool1d(strip[:, None], 4)[:, 0]


def samples(count: int = 200, *, seed: int = 0) -> Samples:
    """Faces of that generator, their motion and identity mixed: a smile goes with one colour."""
    w = torch.randn(count, W_DIM, generator=torch.Generator().manual_seed(seed)) * 0.3
    w[:, IDENTITY.stop :] *= 0.05  # little of w shows
    w[:, 2] += w[:, 1]
    images = Generator()(w)
    tracks = Tracker()(images)
    return Samples(
        w=w.numpy(),
        pictures=to_pictures(nn.functional.avg_pool2d(images, 4)),
        landmarks=tracks.landmarks.numpy().copy(),
        rotation=tracks.rotation.numpy(),
        scores=tracks.scores.numpy(),
        embedding=Embedding().of_faces(images, tracks.landmarks).numpy(),
    )

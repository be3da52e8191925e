# SPDX-License-Identifier: MIT
"""Faces taken to targets by directions, and what judges say of each picture. Knows no table.

Motion is read by the real tracker, identity by dlib's recogniser and by a second one that training never saw.
"""

from collections.abc import Iterator
from dataclasses import dataclass, fields

import numpy as np
import torch
from numpy.typing import NDArray

from engines import mediapipe_reader
from engines.networks.directions import Directions
from engines.networks.face_embedding import FaceEmbedding
from evaluation.recognisers import SecondRecogniser
from face.arrays import Floats, Image
from face.direction_parameters import ANGLES, INDEX, NAMES, parameters, scaled
from methods.directions.train_losses import surroundings_mask
from training.generator import Generator
from training.judges import to_images, to_pictures


@dataclass(frozen=True, slots=True)
class Aim:
    """One picture to be made: what is changed, and to what or by how much."""

    label: str
    names: tuple[str, ...]  # of face/direction_parameters.py
    value: float
    relative: bool = False  # `value` is added to the face's own instead of taking its place


@dataclass(frozen=True, slots=True)
class Measured:
    """Pictures of N aims on many faces, undriven ones beside them; a picture without a face is NaN."""

    face: NDArray[np.int32]  # (N,) which identity
    label: NDArray[np.str_]  # (N,) of its aim
    wanted: Floats  # (N, 15) p that was asked for
    own: Floats  # (N, 18) yaw, pitch, roll and p of the undriven picture
    seen: Floats  # (N, 18) of the driven one
    dlib: Floats  # (N,) embedding distance to the undriven picture
    second: Floats  # (N,) cosine distance by the second recogniser
    outside: Floats  # (N,) mean change outside the face, grey levels

    def __len__(self) -> int:
        return len(self.face)


@dataclass(frozen=True, slots=True)
class Bench:
    """What pictures are made with and judged by."""

    generator: Generator
    tracker: mediapipe_reader.StillReader
    embedding: FaceEmbedding
    second: SecondRecogniser | None


@dataclass(frozen=True, slots=True)
class Face:
    """One picture with its judges' words."""

    picture: Image
    seen: mediapipe_reader.Face
    dlib: Floats  # (128,)
    second: Floats  # (512,) zeros without a second recogniser

    @property
    def numbers(self) -> Floats:
        """(18,) yaw, pitch, roll, then p."""
        return numbers_of(self.seen)


def numbers_of(seen: mediapipe_reader.Face) -> Floats:
    """(18,) yaw, pitch, roll, then p."""
    return np.concatenate([seen.rotation, parameters(seen.rotation, seen.blendshapes)])


def judge(bench: Bench, picture: Image) -> Face | None:
    """None when no face is found."""
    seen = bench.tracker.one(picture)
    if seen is None:
        return None
    with torch.no_grad():
        dlib = bench.embedding.of_faces(to_images(picture[None]), torch.from_numpy(seen.landmarks)[None])
    second = bench.second(picture, seen.landmarks) if bench.second else np.zeros(1, np.float32)
    return Face(picture, seen, dlib[0].numpy(), second)


def driven(
    bench: Bench, directions: Directions, w: Floats, face: Face, aims: list[Aim]
) -> Iterator[tuple[Floats, Image]]:
    """For each aim the p it wants (15,) and its picture."""
    own = face.numbers[ANGLES:]
    for aim in aims:
        wanted = own.copy()
        for name in aim.names:
            wanted[INDEX[name]] = aim.value + (own[INDEX[name]] if aim.relative else 0.0)
        with torch.no_grad():
            shift = directions(torch.from_numpy(scaled(wanted - own))[None])
            images = bench.generator(torch.from_numpy(w)[None], shift)
        yield wanted, to_pictures(images)[0]


def measure(
    bench: Bench, directions: Directions, identities: Floats, aims: list[Aim], *, first: int = 0
) -> Measured:
    """All aims on all identities (N, 512), which are counted from `first`."""
    rows = []
    for index, w in enumerate(identities):
        with torch.no_grad():
            picture = to_pictures(bench.generator(torch.from_numpy(w)[None]))[0]
        still = judge(bench, picture)
        if still is None:
            continue
        for aim, (wanted, moved) in zip(aims, driven(bench, directions, w, still, aims), strict=True):
            rows.append(_row(first + index, aim, wanted, still, moved, judge(bench, moved)))
    columns = zip(*rows, strict=True)
    return Measured(*(np.array(column) for column in columns))


def _row(
    index: int, aim: Aim, wanted: Floats, still: Face, picture: Image, face: Face | None
) -> tuple[object, ...]:
    nothing = np.full(ANGLES + len(NAMES), np.nan, np.float32)
    if face is None:
        return index, aim.label, wanted, still.numbers, nothing, np.nan, np.nan, np.nan
    shapes = [still.seen.landmarks, face.seen.landmarks]
    mask = np.kron(surroundings_mask(shapes, len(picture)), np.ones((len(picture) // 64,) * 2)) > 0
    change = np.abs(picture.astype(np.float32) - still.picture).mean(2)
    return (
        index,
        aim.label,
        wanted,
        still.numbers,
        face.numbers,
        np.linalg.norm(face.dlib - still.dlib),
        1 - float(face.second @ still.second),
        change[mask].mean() if mask.any() else np.nan,
    )


def join(parts: list[Measured]) -> Measured:
    """One after the other."""
    names = [field.name for field in fields(Measured)]
    return Measured(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))

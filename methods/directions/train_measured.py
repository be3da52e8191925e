# SPDX-License-Identifier: MIT
"""Faces taken to targets by directions, and what judges say of each picture.

Motion is read by the real tracker, identity by dlib's recogniser and by a second one that training never saw.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from engines import mediapipe_reader
from engines.mediapipe_reader import StillReader
from engines.networks.directions import Directions
from engines.networks.face_embedding import FaceEmbedding
from evaluation.recognisers import SecondRecogniser
from face.arrays import Floats, Image
from face.direction_parameters import ANGLES, INDEX, NAMES, RANGES, parameters, scaled
from methods.directions.train_losses import surroundings_mask
from training.generator import Generator, open_generator
from training.judges import open_embedding, to_images, to_pictures

FITTING_SEED = 8_000_000  # of faces that holds and gains are chosen on; samples and evaluation have others
PSI = 0.7
SHARE_ASKED = 0.5  # of a motion's range; angles are asked for both ways


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
    tracker: StillReader
    embedding: FaceEmbedding
    second: SecondRecogniser | None


@contextmanager
def open_bench(second: SecondRecogniser | None = None) -> Iterator[Bench]:
    """The shipped generator with the tracker and the recogniser of training."""
    with StillReader() as tracker:
        yield Bench(open_generator(half=True), tracker, open_embedding(), second)


def identities(generator: Generator, count: int, *, first_seed: int) -> Floats:
    """(count, 512) vectors w, each of a seed of its own."""
    seeds = range(first_seed, first_seed + count)
    drawn = [generator.sample(1, seed=seed, psi=(PSI, PSI)) for seed in seeds]
    return np.asarray(torch.cat(drawn).numpy(), np.float32)


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


@dataclass(frozen=True, slots=True)
class Outcome:
    """Of one motion on all faces: how much of it came, how evenly, and what it cost."""

    reached: float
    spread: float  # standard deviation over faces of what was reached
    dlib: float
    outside: float  # grey levels
    leak: float  # sum over the other numbers, in their ranges


def aims_at(names: tuple[str, ...]) -> list[Aim]:
    """What is asked of a face to see how far one motion comes."""
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

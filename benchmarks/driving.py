# SPDX-License-Identifier: MIT
"""A driving clip tracked once: motions, raw signals, extreme moments, identity floor. Knows no portrait."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from benchmarks.raw_track import RawTracker, clip_frames
from benchmarks.sheets import mouth_and_eyes
from engines.mediapipe_reader import Face
from evaluation.distances import track_of
from evaluation.follow import SIGNALS
from evaluation.recognisers import Recogniser, Spread, spread
from evaluation.shape_follow import followed
from evaluation.shapes import shapes_of
from face.arrays import Floats, Image
from face.calibration import neutral_of
from face.errors import BadVideo
from face.motion import LANDMARKS, Motion
from realtime.sources import VIDEO_SUFFIXES
from realtime.tracker.face_tracker import FaceTracker

EMBED_EVERY = 5  # frames; an embedding takes as long as all the rest


@dataclass(frozen=True, slots=True)
class Clip:
    """All that is kept of a driving clip; its pictures are not, except those of its extreme moments."""

    name: str
    seconds: Floats  # (N,) time of each frame from the clip's start
    motions: list[Motion]  # as the application's tracker gives them offline, one a frame
    signals: Floats  # (N, 6) raw, unsmoothed
    shapes: Floats  # (N, 4) lip gap, mouth width, lid gap, brow height, see evaluation/shape_follow.py
    neutral: int  # frame that was taken for the driver's rest
    moments: list[tuple[str, int]]  # what is extreme, and in which frame
    pictures: list[Image]  # of those frames
    floor: Spread  # same person: every fifth frame from the neutral one
    floor_apart: Spread  # same person: pairs of extreme moments, the farthest apart this clip has
    embedding: Floats  # (128,) of the neutral frame


def find_clips(folder: Path) -> list[Path]:
    """Every video file in a folder and below, in order of name."""
    found = sorted(path for path in folder.rglob("*") if path.suffix.lower() in VIDEO_SUFFIXES)
    if not found:
        raise BadVideo(f"{folder} holds no video file, expected clips of a face; name a folder that does")
    return found


def load_clip(path: Path, embedder: Recogniser, *, every: int = 1) -> Clip:
    """Track a clip of one face, smoothed and relative to its calmest instant as when a clip is rendered.

    Raises BadVideo when no face is in it.
    """
    raw = RawTracker()
    seconds = []
    motions = []
    with FaceTracker(raw) as tracker:
        for frame in clip_frames(path, every=every):
            seconds.append(frame.media_s or 0.0)
            motions.append(tracker(frame))
    if all(face is None for face in raw.seen):
        raise BadVideo(f"{path} shows no face, expected a clip of one; choose another file")
    rest = neutral_of(motions)
    neutral = next(i for i, motion in enumerate(motions) if motion.captured_s == rest.captured_s)
    signals = track_of(raw.seen).signals
    if not np.isfinite(signals[neutral]).all():
        raise BadVideo(f"{path} shows a face for moments only, expected one all along; choose another file")
    moments = _moments(signals, neutral)
    wanted = sorted({index for _, index in moments})
    pictures: dict[int, Image] = {}
    embeddings: dict[int, Floats] = {}
    for index, frame in enumerate(clip_frames(path, every=every)):
        face = raw.seen[index]
        if index in wanted:
            pictures[index] = frame.image
        if face is not None and (index in wanted or index % EMBED_EVERY == 0):
            embeddings[index] = embedder(frame.image, face.landmarks)
    regular = [vector for i, vector in embeddings.items() if i % EMBED_EVERY == 0 and i != neutral]
    extreme = np.array([embeddings[index] for index in wanted])
    first, second = np.triu_indices(len(extreme), 1)
    return Clip(
        name=path.stem,
        seconds=np.array(seconds, np.float32),
        motions=[replace(motion, neutral=rest) for motion in motions],
        signals=signals,
        shapes=shapes_seen(raw.seen),
        neutral=neutral,
        moments=moments,
        pictures=[pictures[index] for _, index in moments],
        floor=spread(np.array(regular, np.float32).reshape(-1, 128), embeddings[neutral]),
        floor_apart=spread(extreme[first], extreme[second]),
        embedding=embeddings[neutral],
    )


def driver_details(path: Path, clip: Clip, indices: Sequence[int], every: int) -> list[Image]:
    """Mouth and eyes of a clip's driver, enlarged, in the frames of these indices."""
    wanted = set(indices)
    pictures = {
        index: mouth_and_eyes(frame.image, clip.motions[index].landmarks)
        for index, frame in enumerate(clip_frames(path, every=every))
        if index in wanted
    }
    return [pictures[index] for index in indices]


def shapes_seen(faces: Sequence[Face | None]) -> Floats:
    """(N, 4) shapes of the faces of N pictures, NaN where there is none."""
    nobody = np.full((LANDMARKS, 3), np.nan, np.float32)
    return followed(shapes_of(np.array([nobody if face is None else face.landmarks for face in faces])))


def _moments(signals: Floats, neutral: int) -> list[tuple[str, int]]:
    """Frames where a signal is farthest from the driver's rest."""
    away = signals - signals[neutral]
    yaw, pitch, roll, jaw, blink, smile = (away[:, k] for k in range(len(SIGNALS)))
    return [
        ("neutral", neutral),
        ("yaw max", int(np.nanargmax(yaw))),
        ("yaw min", int(np.nanargmin(yaw))),
        ("pitch max", int(np.nanargmax(pitch))),
        ("pitch min", int(np.nanargmin(pitch))),
        ("roll", int(np.nanargmax(np.abs(roll)))),
        ("jaw max", int(np.nanargmax(jaw))),
        ("smile max", int(np.nanargmax(smile))),
        ("blink max", int(np.nanargmax(blink))),
    ]

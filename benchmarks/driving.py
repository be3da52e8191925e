# SPDX-License-Identifier: MIT
"""A driving clip tracked once: motions, raw signals, extreme moments, identity floor. Knows no portrait."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.identity import Embedder, Spread, spread
from benchmarks.tracking import SIGNALS, Observation, RawTracker, clip_fps, clip_frames, signals_of
from face.errors import BadVideo
from face.face_model import face_model
from face.motion import BLENDSHAPE_INDEX, Motion
from face.pose import euler_angles
from realtime.frame import Image

Floats = NDArray[np.float32]

CLIPS = (".mp4", ".mpg", ".avi", ".mov", ".webm", ".mkv")
EMBED_EVERY = 5  # frames; an embedding takes as long as all the rest
CALM = ("jawOpen", "mouthSmileLeft", "mouthSmileRight", "mouthPucker", "mouthFunnel")


@dataclass(frozen=True, slots=True)
class Clip:
    """All that is kept of a driving clip; its pictures are not, except those of its extreme moments."""

    name: str
    fps: float
    motions: list[Motion]  # as the application's tracker gives them, one a frame
    signals: Floats  # (N, 6) raw, unsmoothed
    faces: float  # share of its frames in which a face was found
    neutral: int  # frame that was taken for the driver's rest
    moments: list[tuple[str, int]]  # what is extreme, and in which frame
    pictures: list[Image]  # of those frames
    floor: Spread  # same person: every fifth frame from the neutral one
    floor_apart: Spread  # same person: pairs of extreme moments, the farthest apart this clip has
    embedding: Floats  # (128,) of the neutral frame


def find_clips(folder: Path) -> list[Path]:
    """Every video file in a folder and below, in order of name."""
    found = sorted(path for path in folder.rglob("*") if path.suffix.lower() in CLIPS)
    if not found:
        raise BadVideo(f"{folder} holds no video file ({' '.join(CLIPS)}); name a folder that does")
    return found


def load_clip(path: Path, embedder: Embedder, *, every: int = 1) -> Clip:
    """Track a clip of one face. Raises BadVideo when no face is in it."""
    fps = clip_fps(path) / every
    with RawTracker(fps) as tracker:
        observations = [tracker(frame) for frame in clip_frames(path, every=every)]
    if all(seen is None for seen in observations):
        raise BadVideo(f"{path} shows no face, expected a clip of one; choose another file")
    motions, neutral = _motions(path, observations, every, fps)
    signals = signals_of(observations)
    moments = _moments(signals, neutral)
    wanted = sorted({index for _, index in moments})
    pictures: dict[int, Image] = {}
    embeddings: dict[int, Floats] = {}
    for index, frame in enumerate(clip_frames(path, every=every)):
        seen = observations[index]
        if index in wanted:
            pictures[index] = frame
        if seen is not None and (index in wanted or index % EMBED_EVERY == 0):
            embeddings[index] = embedder(frame, seen.landmarks)
    regular = np.array(
        [e for index, e in embeddings.items() if index % EMBED_EVERY == 0 and index != neutral]
    )
    extreme = np.array([embeddings[index] for index in wanted])
    first, second = np.triu_indices(len(extreme), 1)
    return Clip(
        name=path.stem,
        fps=fps,
        motions=motions,
        signals=signals,
        faces=float(np.mean([seen is not None for seen in observations])),
        neutral=neutral,
        moments=moments,
        pictures=[pictures[index] for _, index in moments],
        floor=spread(regular, embeddings[neutral]),
        floor_apart=spread(extreme[first], extreme[second]),
        embedding=embeddings[neutral],
    )


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


def _motions(
    path: Path, observations: Sequence[Observation | None], every: int, fps: float
) -> tuple[list[Motion], int]:
    """Motions straight from the raw track, relative to its calmest frame."""
    model = face_model()
    seen = [index for index, observation in enumerate(observations) if observation is not None]
    height, width = next(clip_frames(path, every=every)).shape[:2]
    bare: dict[int, Motion] = {}
    for index in seen:
        observation = observations[index]
        assert observation is not None
        _, rotation, scale, translation = model.unpose(observation.landmarks)
        bare[index] = Motion(
            captured_s=index / fps,
            rotation=euler_angles(rotation),
            translation=np.asarray(translation[:2] / width - (0.5, 0.5 * height / width), np.float32),
            scale=scale / width,
            blendshapes=observation.blendshapes,
            landmarks=observation.landmarks,
            gaze=np.zeros(2, np.float32),
            confidence=1.0,
            image_size=(width, height),
        )
    angles = np.array([bare[index].rotation for index in seen])
    calm = [BLENDSHAPE_INDEX[name] for name in CALM]
    scores = np.array([bare[index].blendshapes for index in seen])
    blink = scores[:, [BLENDSHAPE_INDEX["eyeBlinkLeft"], BLENDSHAPE_INDEX["eyeBlinkRight"]]].mean(1)
    unrest = scores[:, calm].sum(1) + 2 * np.maximum(blink - np.percentile(blink, 30), 0)
    unrest += 0.03 * np.abs(angles - np.median(angles, axis=0)).sum(1)
    neutral = seen[int(unrest.argmin())]
    rest = bare[neutral]
    motions = []
    last = rest
    for index in range(len(observations)):
        last = bare.get(index, last)
        motions.append(_relative(last, rest, index / fps))
    return motions, neutral


def _relative(motion: Motion, rest: Motion, captured_s: float) -> Motion:
    return Motion(
        captured_s, motion.rotation, motion.translation, motion.scale, motion.blendshapes, motion.landmarks,
        motion.gaze, motion.confidence, motion.image_size, rest,
    )  # fmt: skip

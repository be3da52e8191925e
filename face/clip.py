# SPDX-License-Identifier: MIT
"""A driver's motion on disk: a few hundred bytes a frame in one .npz. Knows no video.

Landmarks are kept as their pose and 64 amounts of the face model's principal motions around the clip's own
mean, which leaves them within .04 outer eye distances; everything else is kept to well below what a tracker
can tell.
"""

import io
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from face.errors import BadMotion
from face.face_model import FaceModel, face_model
from face.files import replace_file
from face.motion import BLENDSHAPES, LANDMARKS, Motion

FORMAT = 1
# rotation, translation, scale, gaze (8 numbers of Motion), then the pose fit's scale and translation
ROW = 12
FIELDS = {
    "format": (),
    "captured_s": ("N",),
    "frame": ("N", ROW),
    "turns": ("N", 3, 3),
    "amounts": ("N", 64),
    "scores": ("N", len(BLENDSHAPES)),
    "confidence": ("N",),
    "image_size": ("N", 2),
    "mean_shape": (LANDMARKS, 3),
    "has_neutral": (),
}


def save_clip(path: Path, motions: Sequence[Motion]) -> None:
    """Write motions to `path` (.npz), whole or not at all. The last motion's neutral is kept for all of them.

    Raises ValueError for no motions, BadMotion when the file cannot be written.
    """
    if not motions:
        raise ValueError("there are no motions to save")
    neutral = motions[-1].neutral
    rows = [*motions, neutral] if neutral is not None else list(motions)
    model = face_model()
    fits = [model.unpose(motion.landmarks) for motion in rows]
    shapes = np.stack([shape for shape, *_ in fits])
    mean_shape = shapes.mean(0)
    modes = model.modes.reshape(len(model.modes), -1)
    arrays = {
        "format": np.int32(FORMAT),
        "captured_s": np.array([motion.captured_s for motion in rows]),
        "frame": np.array(
            [
                [*m.rotation, *m.translation, m.scale, *m.gaze, scale, *shift]
                for m, (_, _, scale, shift) in zip(rows, fits, strict=True)
            ],
            np.float32,
        ),
        "turns": np.stack([rotation for _, rotation, _, _ in fits]).astype(np.float32),
        "amounts": ((shapes - mean_shape).reshape(len(rows), -1) @ modes.T).astype(np.float16),
        "scores": np.round(np.stack([motion.blendshapes for motion in rows]) * 255).astype(np.uint8),
        "confidence": np.round(np.array([motion.confidence for motion in rows]) * 255).astype(np.uint8),
        "image_size": np.array([motion.image_size for motion in rows], np.int32),
        "mean_shape": mean_shape.astype(np.float32),
        "has_neutral": np.bool_(neutral is not None),
    }
    archive = io.BytesIO()
    np.savez_compressed(archive, allow_pickle=False, **arrays)
    try:
        replace_file(path, archive.getvalue())
    except OSError as error:
        raise BadMotion(
            f"{path} cannot be written ({error.strerror}), expected a writable folder; choose another"
        ) from error


def load_clip(path: Path) -> list[Motion]:
    """Motions of a clip written by `save_clip`. Raises BadMotion for anything else; runs nothing from the
    file.
    """
    arrays = _read(path)
    model = face_model()
    motions = [_motion(arrays, row, model) for row in range(len(arrays["captured_s"]))]
    if not arrays["has_neutral"]:
        return motions
    return [replace(motion, neutral=motions[-1]) for motion in motions[:-1]]


def _motion(arrays: dict[str, NDArray[np.generic]], row: int, model: FaceModel) -> Motion:
    frame = np.asarray(arrays["frame"][row], np.float32)
    amounts = np.asarray(arrays["amounts"][row], np.float32)
    shape = np.asarray(arrays["mean_shape"], np.float32) + np.tensordot(amounts, model.modes, 1)
    turn = np.asarray(arrays["turns"][row], np.float32)
    width, height = (int(side) for side in np.asarray(arrays["image_size"][row]))
    return Motion(
        captured_s=float(np.asarray(arrays["captured_s"])[row]),
        rotation=frame[0:3],
        translation=frame[3:5],
        scale=float(frame[5]),
        blendshapes=np.asarray(arrays["scores"][row], np.float32) / np.float32(255),
        landmarks=(frame[8] * shape @ turn.T + frame[9:12]).astype(np.float32),
        gaze=frame[6:8],
        confidence=float(np.asarray(arrays["confidence"])[row]) / 255,
        image_size=(width, height),
    )


def _read(path: Path) -> dict[str, NDArray[np.generic]]:
    """The file's arrays, every one checked for name, shape and finite numbers."""
    cure = "record it again with: facepuppet render --motion FILE.npz"
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
            found = set(stored.files)
            if found != set(FIELDS):
                odd = sorted(found ^ set(FIELDS))
                raise BadMotion(
                    f"{path.name} is no motion clip (unexpected or missing: {', '.join(odd)[:80]}); {cure}"
                )
            arrays = {name: stored[name] for name in FIELDS}
    except FileNotFoundError:
        raise BadMotion(f"{path} is not there, expected a motion clip (.npz); check the path") from None
    except BadMotion:
        raise
    except Exception as error:  # what a damaged archive raises is an open list, down to tokenize's errors
        raise BadMotion(
            f"{path.name} cannot be read as a motion clip ({type(error).__name__}); {cure}"
        ) from None
    count = arrays["captured_s"].shape[0] if arrays["captured_s"].ndim == 1 else -1
    for name, wanted in FIELDS.items():
        shape = tuple(count if side == "N" else side for side in wanted)
        if arrays[name].shape != shape:
            raise BadMotion(f"{path.name}: {name} is {arrays[name].shape}, expected {shape}; {cure}")
        if arrays[name].dtype.kind not in "fiub" or not np.isfinite(arrays[name]).all():
            raise BadMotion(f"{path.name}: {name} holds what are no finite numbers; {cure}")
    if int(arrays["format"]) != FORMAT:
        raise BadMotion(f"{path.name} has format {int(arrays['format'])}, expected {FORMAT}; {cure}")
    if count < 1 + int(bool(arrays["has_neutral"])):
        raise BadMotion(f"{path.name} holds no motion, expected at least one frame; {cure}")
    return arrays

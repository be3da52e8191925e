# SPDX-License-Identifier: MIT
"""Faces and people in pictures, by MediaPipe, which only this file imports.

MediaPipe reads a picture's bytes as they lie, so that it takes a view with other strides for another picture,
without an error; and a mask that it returns is a view of memory that it frees. Here pictures are handed over
contiguous, and masks are copied. Models are handed over as bytes: MediaPipe's own file access fails on
Windows paths beyond ASCII.

Rotation. The landmarker gives a 4x4 matrix from its canonical face to the camera, x right, y up, z towards
the viewer; turned by diag(1, -1, -1) on both sides it is in the frame of face/pose.py, where the angles have
the signs of Motion. Checked on stills: the nose moves to the picture's right for + yaw and up for + pitch,
the subject's left eye sinks for + roll. (The labels of the still faces the project was developed with have
the same yaw, and pitch and roll of the opposite sign.) The matrix assumes a camera with 63 degrees from top
to bottom: on a picture cut out of a larger one its angles come out up to a fifth too small, but always with
the same share.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, TypeVar

import mediapipe as mp
import numpy as np
from mediapipe.tasks.python import vision
from mediapipe.tasks.python.core.base_options import BaseOptions

from engines.package_models import landmarker_model, segmenter_model
from face.arrays import Floats, Image
from face.errors import ModelUnavailable
from face.motion import BLENDSHAPES, LANDMARKS
from face.pose import rotation_of

# A second and third face may be in view. The price of being ready for them is 1 ms a frame as long as there
# is one face (8.4 to 9.3 ms at 512x512, one core); the gain beside choice is that MediaPipe smooths nothing,
# which it does for one.
MAX_FACES = 3

Task = TypeVar("Task")


@dataclass(frozen=True, slots=True)
class Face:
    """One face of one picture as it was found, unsmoothed; fields as those of Motion."""

    landmarks: Floats  # (478, 3) pixels, z in the unit of x
    rotation: Floats  # (3,) yaw, pitch, roll in degrees
    blendshapes: Floats  # (52,) scores in [0, 1], order BLENDSHAPES


class StillReader:
    """Faces of single pictures, each read for itself. One thread at a time; ModelUnavailable on entering."""

    def __init__(self, max_faces: int = 1) -> None:
        self._max_faces = _positive(max_faces)
        self._task: vision.FaceLandmarker | None = None

    def __enter__(self) -> Self:
        self._task = _open_landmarker(vision.RunningMode.IMAGE, self._max_faces)
        return self

    def __exit__(self, *exc_info: object) -> None:
        if self._task is not None:
            self._task.close()
            self._task = None

    def __call__(self, image: Image) -> list[Face]:
        """Every face found in (H, W, 3) uint8 RGB of any strides, `max_faces` at most."""
        task = _entered(self._task)
        return _faces(task.detect(_picture(image)), image)

    def one(self, image: Image) -> Face | None:
        """The first face found; None without one."""
        return next(iter(self(image)), None)


class VideoReader:
    """Faces of successive pictures of one source. One thread at a time; ModelUnavailable on entering.

    The landmarker looks where the faces of the last picture were. Of one face (`max_faces` = 1) it smooths
    the landmarks over time, of several it does not.
    """

    def __init__(self, max_faces: int = MAX_FACES) -> None:
        self._max_faces = _positive(max_faces)
        self._task: vision.FaceLandmarker | None = None

    def __enter__(self) -> Self:
        self._task = _open_landmarker(vision.RunningMode.VIDEO, self._max_faces)
        return self

    def __exit__(self, *exc_info: object) -> None:
        if self._task is not None:
            self._task.close()
            self._task = None

    def __call__(self, image: Image, stamp_ms: int) -> list[Face]:
        """As StillReader; `stamp_ms` must rise from call to call."""
        task = _entered(self._task)
        return _faces(task.detect_for_video(_picture(image), stamp_ms), image)


class Segmenter:
    """The person in single pictures. One thread at a time; ModelUnavailable on entering."""

    def __init__(self) -> None:
        self._task: vision.ImageSegmenter | None = None

    def __enter__(self) -> Self:
        path = segmenter_model()
        options = vision.ImageSegmenterOptions(base_options=_content(path), output_confidence_masks=True)
        self._task = _opened(vision.ImageSegmenter.create_from_options, options, path)
        return self

    def __exit__(self, *exc_info: object) -> None:
        if self._task is not None:
            self._task.close()
            self._task = None

    def __call__(self, image: Image) -> Floats:
        """(H, W) in [0, 1], 1 = person, of (H, W, 3) uint8 RGB of any strides; the caller's own."""
        task = _entered(self._task)
        result = task.segment(_picture(image))  # must outlive the copy of its mask
        mask: Floats = np.array(result.confidence_masks[0].numpy_view(), np.float32)
        return mask.reshape(image.shape[:2])


def _open_landmarker(mode: vision.RunningMode, max_faces: int) -> vision.FaceLandmarker:
    path = landmarker_model()
    options = vision.FaceLandmarkerOptions(
        base_options=_content(path),
        running_mode=mode,
        num_faces=max_faces,
        output_face_blendshapes=True,
        output_facial_transformation_matrixes=True,
    )
    return _opened(vision.FaceLandmarker.create_from_options, options, path)


def _content(path: Path) -> BaseOptions:
    return BaseOptions(model_asset_buffer=path.read_bytes())


def _opened(create: Callable[[Any], Task], options: object, path: Path) -> Task:
    try:
        return create(options)
    except (RuntimeError, ValueError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ModelUnavailable(
            f"{path.name} cannot be opened ({reason}), expected a model of MediaPipe; reinstall its package"
        ) from error


def _entered(task: Task | None) -> Task:
    if task is None:
        raise ValueError("the reader is not open; use it in a with statement")
    return task


def _positive(max_faces: int) -> int:
    if max_faces < 1:
        raise ValueError(f"max_faces is {max_faces}, expected 1 or more")
    return max_faces


def _picture(image: Image) -> mp.Image:
    if not isinstance(image, np.ndarray):
        raise TypeError(f"image is a {type(image).__name__}, expected an array (H, W, 3) uint8")
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or not image.size:
        raise TypeError(f"image is {image.shape} {image.dtype}, expected (H, W, 3) uint8")
    return mp.Image(image_format=mp.ImageFormat.SRGB, data=np.ascontiguousarray(image))


def _faces(result: vision.FaceLandmarkerResult, image: Image) -> list[Face]:
    height, width = image.shape[:2]
    found = zip(
        result.face_landmarks, result.face_blendshapes, result.facial_transformation_matrixes, strict=True
    )
    return [
        Face(_pixels(points, width, height), rotation_of(matrix), _scores(categories))
        for points, categories, matrix in found
    ]


def _pixels(points: list[Any], width: int, height: int) -> Floats:
    """(478, 3)"""
    landmarks = np.array([(point.x, point.y, point.z) for point in points], np.float32)
    assert landmarks.shape == (LANDMARKS, 3)
    landmarks *= np.array((width, height, width), np.float32)
    return landmarks


def _scores(categories: list[Any]) -> Floats:
    """(52,)"""
    scores = np.array([category.score for category in categories], np.float32)
    assert scores.shape == (len(BLENDSHAPES),)
    return scores

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

import math
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, TypeVar

import cv2
import mediapipe as mp
import numpy as np
from mediapipe.tasks.python import vision
from mediapipe.tasks.python.core.base_options import BaseOptions

from engines.face_task import detector_from_task
from engines.package_models import landmarker_model, segmenter_model
from face.arrays import Floats, Image
from face.errors import ModelUnavailable
from face.motion import BLENDSHAPES, LANDMARKS
from face.pose import rotation_of

# Asked for one face, the landmarker smooths it by a One-Euro filter that has no setting but the clock: told
# that seconds pass from picture to picture, it leaves a third of the noise and lags a tenth of a frame.
PICTURE_MS = 3333
# A face to be followed is first shown this large, of the picture's longer side, then smaller by steps.
SHOWN_LARGE = 0.2
ZOOM_STEP = 1.15
ZOOMED_PX = 640  # longer side of what it is shown in

Task = TypeVar("Task")


@dataclass(frozen=True, slots=True)
class Place:
    """Where a face is in a picture, in pixels."""

    centre: Floats  # (2,) x, y
    size: float  # from hairline to chin

    def overlaps(self, other: "Place") -> bool:
        return float(np.hypot(*(other.centre - self.centre))) < 0.5 * max(self.size, other.size)


@dataclass(frozen=True, slots=True)
class Face:
    """One face of one picture as it was found, unsmoothed; fields as those of Motion."""

    landmarks: Floats  # (478, 3) pixels, z in the unit of x
    rotation: Floats  # (3,) yaw, pitch, roll in degrees
    blendshapes: Floats  # (52,) scores in [0, 1], order BLENDSHAPES

    @property
    def place(self) -> Place:
        low, high = self.landmarks[:, :2].min(0), self.landmarks[:, :2].max(0)
        return Place((low + high) / 2, max(float((high - low).max()), 1.0))


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
    """The one face of successive pictures of one source. One thread at a time; ModelUnavailable on entering.

    It looks where the face was in the last picture, in all of the picture when it was in none. (Asked for
    several faces, the landmarker searches every picture anew while there is one: more noise, misses, cost.)
    """

    def __init__(self) -> None:
        self._task: vision.FaceLandmarker | None = None
        self._clock_ms = 0

    def __enter__(self) -> Self:
        self._task = _open_landmarker(vision.RunningMode.VIDEO, 1)
        return self

    def __exit__(self, *exc_info: object) -> None:
        if self._task is not None:
            self._task.close()
            self._task = None

    def __call__(self, image: Image) -> Face | None:
        """The face in (H, W, 3) uint8 RGB of any strides."""
        task = _entered(self._task)
        self._clock_ms += PICTURE_MS
        faces = _faces(task.detect_for_video(_picture(image), self._clock_ms), image)
        return faces[0] if faces else None

    def take(self, image: Image, place: Place) -> Face | None:
        """Follow the face at this place of the last picture from now on, however small it is: shown large at
        first, then smaller and smaller, so that it is followed to where it is. None where there is no face.
        """
        self(np.zeros((1, 1, 3), np.uint8))  # forgets the face that was followed
        height, width = image.shape[:2]
        zoom = max(1.0, SHOWN_LARGE * max(width, height) / place.size)
        steps = math.ceil(math.log(zoom) / math.log(ZOOM_STEP))
        for step in range(steps, 0, -1):
            if self(_zoomed(image, place, zoom ** (step / steps))) is None:
                return None
        face = self(image)
        if face is None or not place.overlaps(face.place):
            return None
        return face


def _zoomed(image: Image, place: Place, zoom: float) -> Image:
    """The picture, smaller, with what is at the place that much larger and still there."""
    height, width = image.shape[:2]
    left, top = (round(float(at) * (1 - 1 / zoom)) for at in place.centre)
    part = image[top : top + round(height / zoom), left : left + round(width / zoom)]
    shrink = min(1.0, ZOOMED_PX / max(width, height))
    size = (round(width * shrink), round(height * shrink))
    return np.asarray(cv2.resize(part, size, interpolation=cv2.INTER_LINEAR), np.uint8)


class FaceFinder:
    """Where faces are in single pictures, at a fraction of the cost of reading them. As StillReader.

    A face is found from about 8 % of the picture's longer side between its outer eye corners.
    """

    def __init__(self) -> None:
        self._task: vision.FaceDetector | None = None

    def __enter__(self) -> Self:
        path = landmarker_model()
        try:
            model = BaseOptions(model_asset_buffer=detector_from_task(path))
        except (OSError, KeyError, zipfile.BadZipFile) as error:
            raise ModelUnavailable(
                f"{path.name} cannot be opened (no face detector in it), expected a model of MediaPipe; "
                "reinstall its package"
            ) from error
        self._task = _opened(
            vision.FaceDetector.create_from_options, vision.FaceDetectorOptions(base_options=model), path
        )
        return self

    def __exit__(self, *exc_info: object) -> None:
        if self._task is not None:
            self._task.close()
            self._task = None

    def __call__(self, image: Image) -> list[Place]:
        """Every face found in (H, W, 3) uint8 RGB of any strides."""
        found = _entered(self._task).detect(_picture(image)).detections
        boxes = [detection.bounding_box for detection in found]
        return [
            Place(np.array((b.origin_x + b.width / 2, b.origin_y + b.height / 2), np.float32), float(b.width))
            for b in boxes
        ]


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

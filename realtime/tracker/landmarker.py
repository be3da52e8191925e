# SPDX-License-Identifier: MIT
"""Faces in a picture, by MediaPipe's face landmarker. Knows not which of them is meant.

Rotation. The landmarker gives a 4x4 matrix from its canonical face to the camera, x right, y up, z towards
the viewer; turned by diag(1, -1, -1) on both sides it is in the frame of face/pose.py, where the angles have
the signs of Motion. Checked on stills: the nose moves to the picture's right for + yaw and up for + pitch,
the subject's left eye sinks for + roll. (The labels of the still faces the project was developed with have
the same yaw, and pitch and roll of the opposite sign.) The matrix assumes a camera with 63 degrees from top
to bottom: on a picture cut out of a larger one its angles come out up to a fifth too small, but always with
the same share.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, Self

import mediapipe as mp
import numpy as np
from mediapipe.tasks.python import vision
from mediapipe.tasks.python.core.base_options import BaseOptions

from engines.package_models import LANDMARKER, check_model, landmarker_model
from face.arrays import Floats, Image
from face.errors import ModelUnavailable
from face.motion import BLENDSHAPES, LANDMARKS
from face.pose import rotation_of

# A second and third face may be in view. The price of being ready for them is 1 ms a frame as long as there
# is one face (8.4 to 9.3 ms at 512x512, one core); the gain beside choice is that MediaPipe smooths nothing,
# which it does for one.
MAX_FACES = 3


@dataclass(frozen=True, slots=True)
class Face:
    """One face of one picture as it was found, unsmoothed; fields as those of Motion."""

    landmarks: Floats  # (478, 3) pixels
    rotation: Floats  # (3,) yaw, pitch, roll in degrees
    blendshapes: Floats  # (52,)


class Detector(Protocol):
    """Faces of successive pictures of one source; times in ms rise from call to call."""

    def __call__(self, image: Image, stamp_ms: int) -> list[Face]: ...
    def __enter__(self) -> Self: ...
    def __exit__(self, *exc_info: object) -> None: ...


class FaceLandmarker:
    """The Detector on MediaPipe's landmarker in video mode. One thread at a time.

    `model`: another file than the package's; it must have `sha256`, which is the package's unless given.
    Raises ModelUnavailable on entering.
    """

    def __init__(
        self, model: Path | None = None, *, sha256: str | None = None, max_faces: int = MAX_FACES
    ) -> None:
        if max_faces < 1:
            raise ValueError(f"max_faces is {max_faces}, expected 1 or more")
        self._model = model
        self._sha256 = sha256 or LANDMARKER[2]
        self._max_faces = max_faces
        self._landmarker: vision.FaceLandmarker | None = None

    def __enter__(self) -> Self:
        path = landmarker_model() if self._model is None else check_model(self._model, self._sha256)
        # The content is handed over, not the path: MediaPipe's own file access fails on Windows paths beyond
        # ASCII.
        options = vision.FaceLandmarkerOptions(
            base_options=BaseOptions(model_asset_buffer=path.read_bytes()),
            running_mode=vision.RunningMode.VIDEO,
            num_faces=self._max_faces,
            output_face_blendshapes=True,
            output_facial_transformation_matrixes=True,
        )
        try:
            self._landmarker = vision.FaceLandmarker.create_from_options(options)
        except (RuntimeError, ValueError) as error:
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise ModelUnavailable(
                f"{path.name} cannot be opened ({reason}), expected a face landmarker; leave the path out"
            ) from error
        return self

    def __exit__(self, *exc_info: object) -> None:
        if self._landmarker is not None:
            self._landmarker.close()
            self._landmarker = None

    def __call__(self, image: Image, stamp_ms: int) -> list[Face]:
        """Every face found in `image` (H, W, 3) uint8 RGB; `stamp_ms` must rise from call to call."""
        if self._landmarker is None:
            raise ValueError("the landmarker is not open; use it in a with statement")
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
            raise TypeError(f"image is {image.shape} {image.dtype}, expected (H, W, 3) uint8")
        # MediaPipe takes the bytes as they lie: padded rows, which decoders make, would shear the picture.
        picture = mp.Image(image_format=mp.ImageFormat.SRGB, data=np.ascontiguousarray(image))
        result = self._landmarker.detect_for_video(picture, stamp_ms)
        height, width = image.shape[:2]
        found = zip(
            result.face_landmarks, result.face_blendshapes, result.facial_transformation_matrixes, strict=True
        )
        return [
            Face(_pixels(points, width, height), rotation_of(matrix), _scores(categories))
            for points, categories, matrix in found
        ]


def _pixels(points: list[Any], width: int, height: int) -> Floats:
    """(478, 3); z is in the unit of x."""
    landmarks = np.array([(point.x, point.y, point.z) for point in points], np.float32)
    assert landmarks.shape == (LANDMARKS, 3)
    landmarks *= np.array((width, height, width), np.float32)
    return landmarks


def _scores(categories: list[Any]) -> Floats:
    """(52,) in the order of BLENDSHAPES."""
    scores = np.array([category.score for category in categories], np.float32)
    assert scores.shape == (len(BLENDSHAPES),)
    return scores

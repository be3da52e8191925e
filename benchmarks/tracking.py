# SPDX-License-Identifier: MIT
"""Raw tracks of pictures and clips: what a fresh, unsmoothed Face Landmarker sees. Knows no puppet.

The application's own tracker smooths and calibrates; a measurement must not.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import cv2
import mediapipe as mp
import numpy as np
from mediapipe.tasks.python import vision
from mediapipe.tasks.python.core.base_options import BaseOptions
from numpy.typing import NDArray

from face.errors import BadVideo
from face.motion import BLENDSHAPE_INDEX
from face.pose import euler_angles
from realtime.frame import Image
from realtime.models import landmarker_model

Floats = NDArray[np.float32]

SIGNALS = ("yaw", "pitch", "roll", "jawOpen", "blink", "smile")
SCORES = tuple(  # the blendshapes whose mean is a signal, after the angles
    tuple(BLENDSHAPE_INDEX[name] for name in names)
    for names in (
        ("jawOpen",),
        ("eyeBlinkLeft", "eyeBlinkRight"),
        ("mouthSmileLeft", "mouthSmileRight"),
    )
)
ANGLES = 3  # the first so many are degrees, the others scores in [0, 1]
UPRIGHT = np.diag([1.0, -1.0, -1.0])  # the landmarker's frame (y up, z to the camera) to that of face.pose


@dataclass(frozen=True, slots=True)
class Observation:
    """One face as tracked."""

    landmarks: Floats  # (478, 3) pixels, z in the same unit
    blendshapes: Floats  # (52,)
    rotation: Floats  # (3,) yaw, pitch, roll in degrees from the 4x4 matrix, signs as Motion.rotation

    @property
    def signals(self) -> Floats:
        """(6,) in the order of SIGNALS."""
        jaw, blink, smile = (float(self.blendshapes[list(columns)].mean()) for columns in SCORES)
        return np.array([*self.rotation, jaw, blink, smile], np.float32)


class RawTracker:
    """A Face Landmarker in VIDEO mode with nothing behind it; one a clip, as it remembers the last face."""

    def __init__(self, fps: float) -> None:
        self._landmarker = vision.FaceLandmarker.create_from_options(_options(vision.RunningMode.VIDEO))
        self._frame_ms = 1000 / fps
        self._count = 0

    def __call__(self, image: Image) -> Observation | None:
        found = self._landmarker.detect_for_video(_wrap(image), round(self._count * self._frame_ms))
        self._count += 1
        return _observation(found, image)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._landmarker.close()


def track_still(image: Image) -> Observation | None:
    """The face in one picture on its own."""
    with vision.FaceLandmarker.create_from_options(_options(vision.RunningMode.IMAGE)) as landmarker:
        return _observation(landmarker.detect(_wrap(image)), image)


def signals_of(observations: Sequence[Observation | None]) -> Floats:
    """(N, 6) in the order of SIGNALS, NaN where no face was found."""
    lost = np.full(len(SIGNALS), np.nan, np.float32)
    return np.array([lost if seen is None else seen.signals for seen in observations], np.float32)


def clip_fps(path: Path) -> float:
    """Nominal frame rate of a clip."""
    capture = _open(path)
    fps = float(capture.get(cv2.CAP_PROP_FPS))
    capture.release()
    return fps if fps > 0 else 25.0


def clip_frames(path: Path, *, every: int = 1) -> Iterator[Image]:
    """Every so many-th frame of a clip from its first on; raises BadVideo when it holds none."""
    capture = _open(path)
    index = 0
    try:
        while capture.grab():
            if index % every == 0:
                ok, bgr = capture.retrieve()
                if not ok:
                    break
                yield np.ascontiguousarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB))
            index += 1
    finally:
        capture.release()
    if index == 0:
        raise BadVideo(f"{path} holds no frame, expected a clip of a face; choose another file")


def _open(path: Path) -> cv2.VideoCapture:
    capture = cv2.VideoCapture(str(path))
    if not capture.isOpened():
        raise BadVideo(f"{path} cannot be read, expected a video file; choose another file")
    return capture


def _options(mode: vision.RunningMode) -> vision.FaceLandmarkerOptions:
    return vision.FaceLandmarkerOptions(
        base_options=BaseOptions(model_asset_path=str(landmarker_model())),
        running_mode=mode,
        num_faces=1,
        output_face_blendshapes=True,
        output_facial_transformation_matrixes=True,
    )


def _wrap(image: Image) -> mp.Image:
    return mp.Image(image_format=mp.ImageFormat.SRGB, data=np.ascontiguousarray(image))


def _observation(found: vision.FaceLandmarkerResult, image: Image) -> Observation | None:
    if not found.face_landmarks:
        return None
    height, width = image.shape[:2]
    landmarks = np.array([(p.x * width, p.y * height, p.z * width) for p in found.face_landmarks[0]])
    matrix = np.array(found.facial_transformation_matrixes[0])[:3, :3]
    rotation = matrix / np.linalg.norm(matrix, axis=0)
    return Observation(
        landmarks=landmarks.astype(np.float32),
        blendshapes=np.array([c.score for c in found.face_blendshapes[0]], np.float32),
        rotation=euler_angles(UPRIGHT @ rotation @ UPRIGHT),
    )

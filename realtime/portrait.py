# SPDX-License-Identifier: MIT
"""A photo made ready to be moved: its one face found and checked, its person cut out. Knows no driver and no puppet."""

from dataclasses import dataclass
from pathlib import Path
from typing import Self

import cv2
import mediapipe as mp
import numpy as np
from mediapipe.tasks.python import vision
from mediapipe.tasks.python.core.base_options import BaseOptions
from numpy.typing import NDArray

from face.errors import BadPortrait
from face.face_model import face_model
from face.matte import refine_matte
from face.photo import read_photo
from face.pose import euler_angles
from realtime.frame import Image
from realtime.models import landmarker_model, segmenter_model

SMALLEST_FACE_PX = 64  # width of the face in the photo; below it there is nothing to show
LARGEST_YAW = 32.0  # degrees a portrait may look aside before half of its face is a guess


@dataclass(frozen=True, slots=True)
class Portrait:
    """One usable portrait; arrays are in its pixels."""

    image: Image
    landmarks: NDArray[np.float32]  # (478, 3)
    blendshapes: NDArray[np.float32]  # (52,)
    alpha: NDArray[np.float32]  # (H, W) 1 = person


def open_portrait(photo: Path | str | Image, *, longest: int = 1024) -> Portrait:
    """Read, check and cut out a portrait, scaled down so that neither side exceeds `longest` pixels.

    Raises BadImage or WrongUse (unreadable), BadPortrait (no face, several, a profile, a face too small).
    """
    name = "the picture" if isinstance(photo, np.ndarray) else Path(photo).name
    image = photo if isinstance(photo, np.ndarray) else read_photo(Path(photo))
    landmarks, blendshapes = _one_face(image, name)
    face_px = float(np.ptp(landmarks[:, 0]))
    if face_px < SMALLEST_FACE_PX:
        raise BadPortrait(
            f"{name}: the face is {face_px:.0f} px wide, expected at least {SMALLEST_FACE_PX}; "
            "use a larger or closer photo"
        )
    _, rotation, _, _ = face_model().unpose(landmarks)
    yaw = float(euler_angles(rotation)[0])
    if abs(yaw) > LARGEST_YAW:
        raise BadPortrait(
            f"{name}: the face looks {abs(yaw):.0f} degrees aside, expected at most {LARGEST_YAW:.0f}; "
            "use a photo that faces the camera"
        )
    shrink = min(1.0, longest / max(image.shape[:2]))
    if shrink < 1:
        size = (round(image.shape[1] * shrink), round(image.shape[0] * shrink))
        image = np.ascontiguousarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA))
        landmarks = (landmarks * shrink).astype(np.float32)
    return Portrait(image, landmarks, blendshapes, _cut_out(image))


class FaceReader:
    """Reads the (52,) scores of the one face in still pictures; None where it finds no face."""

    def __init__(self) -> None:
        options = vision.FaceLandmarkerOptions(
            base_options=BaseOptions(model_asset_path=str(landmarker_model())), output_face_blendshapes=True
        )
        self._landmarker = vision.FaceLandmarker.create_from_options(options)

    def __call__(self, image: Image) -> NDArray[np.float32] | None:
        found = self._landmarker.detect(mp.Image(image_format=mp.ImageFormat.SRGB, data=image))
        if not found.face_blendshapes:
            return None
        return np.array([c.score for c in found.face_blendshapes[0]], np.float32)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._landmarker.close()


def _one_face(image: Image, name: str) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    options = vision.FaceLandmarkerOptions(
        base_options=BaseOptions(model_asset_path=str(landmarker_model())),
        num_faces=4,
        output_face_blendshapes=True,
    )
    height, width = image.shape[:2]
    with vision.FaceLandmarker.create_from_options(options) as landmarker:
        found = landmarker.detect(
            mp.Image(image_format=mp.ImageFormat.SRGB, data=np.ascontiguousarray(image))
        )
    faces = [
        np.array([(p.x * width, p.y * height, p.z * width) for p in face], np.float32)
        for face in found.face_landmarks
    ]
    if not faces:
        raise BadPortrait(
            f"{name}: no face found in {width}x{height} px, expected one facing the camera; "
            "use a photo with a clear, well lit face"
        )
    widths = np.array([np.ptp(face[:, 0]) for face in faces])
    largest = int(widths.argmax())
    others = int((widths > 0.4 * widths[largest]).sum()) - 1
    if others:
        raise BadPortrait(f"{name}: {others + 1} faces found, expected one; crop the photo to one person")
    return faces[largest], np.array([c.score for c in found.face_blendshapes[largest]], np.float32)


def _cut_out(image: Image) -> NDArray[np.float32]:
    """(H, W) matte of the person."""
    options = vision.ImageSegmenterOptions(
        base_options=BaseOptions(model_asset_path=str(segmenter_model())), output_confidence_masks=True
    )
    with vision.ImageSegmenter.create_from_options(options) as segmenter:
        masks = segmenter.segment(
            mp.Image(image_format=mp.ImageFormat.SRGB, data=np.ascontiguousarray(image))
        )
        coarse = masks.confidence_masks[0].numpy_view().reshape(image.shape[:2]).astype(np.float32)
    return refine_matte(image, coarse, radius=max(2, round(0.012 * max(image.shape[:2]))))

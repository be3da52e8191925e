# SPDX-License-Identifier: MIT
"""A photo made ready to be moved: its one face found and checked, its person cut out. Knows no driver and no
puppet.
"""

from dataclasses import dataclass
from typing import Self

import cv2
import mediapipe as mp
import numpy as np
from mediapipe.tasks.python import vision
from mediapipe.tasks.python.core.base_options import BaseOptions
from numpy.typing import NDArray

from engines.package_models import landmarker_model, segmenter_model
from face.arrays import Image
from face.errors import BadPortrait
from face.face_model import face_model
from face.matte import refine_matte
from face.pose import euler_angles, rotation_of

SMALLEST_FACE_PX = 64  # width of the face in the photo; below it there is nothing to show
CLIP_FACES = 3  # for one face MediaPipe smooths over time, for several it does not
FRAME_MS = 33
LARGEST_YAW = 42.0  # degrees a portrait may look aside before half of its face is a guess


@dataclass(frozen=True, slots=True)
class Portrait:
    """One usable portrait; arrays are in its pixels."""

    image: Image
    landmarks: NDArray[np.float32]  # (478, 3)
    blendshapes: NDArray[np.float32]  # (52,)
    alpha: NDArray[np.float32]  # (H, W) 1 = person


def open_portrait(image: Image, name: str = "the picture", *, longest: int = 1024) -> Portrait:
    """Check and cut out a portrait, scaled down so that neither side exceeds `longest` pixels.

    `name` is how errors call it. Raises BadPortrait (no face, several, a profile, a face too small).
    """
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
    image, landmarks = _resized(image, landmarks, longest)
    return Portrait(image, landmarks, blendshapes, _cut_out(image))


def shrunk(portrait: Portrait, longest: int) -> Portrait:
    """The portrait with neither side longer than `longest` pixels; itself where it is small enough."""
    image, landmarks = _resized(portrait.image, portrait.landmarks, longest)
    if image is portrait.image:
        return portrait
    alpha = cv2.resize(portrait.alpha, (image.shape[1], image.shape[0]), interpolation=cv2.INTER_AREA)
    return Portrait(image, landmarks, portrait.blendshapes, np.asarray(alpha, np.float32))


def _resized(image: Image, landmarks: NDArray[np.float32], longest: int) -> tuple[Image, NDArray[np.float32]]:
    shrink = min(1.0, longest / max(image.shape[:2]))
    if shrink == 1:
        return image, landmarks
    size = (round(image.shape[1] * shrink), round(image.shape[0] * shrink))
    smaller = np.ascontiguousarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA))
    return smaller, (landmarks * shrink).astype(np.float32)


class ClipReader:
    """Reads a clip's pictures one after the other as a tracker does, which remembers where the face was: the
    (52,) scores, and yaw, pitch, roll (3,) in degrees, of the widest face; None where it finds none.
    """

    def __init__(self) -> None:
        options = vision.FaceLandmarkerOptions(
            base_options=BaseOptions(model_asset_path=str(landmarker_model())),
            running_mode=vision.RunningMode.VIDEO,
            num_faces=CLIP_FACES,
            output_face_blendshapes=True,
            output_facial_transformation_matrixes=True,
        )
        self._landmarker = vision.FaceLandmarker.create_from_options(options)
        self._stamp_ms = 0

    def __call__(self, image: Image) -> tuple[NDArray[np.float32], NDArray[np.float32]] | None:
        picture = mp.Image(image_format=mp.ImageFormat.SRGB, data=image)
        found = self._landmarker.detect_for_video(picture, self._stamp_ms)
        self._stamp_ms += FRAME_MS
        if not found.face_landmarks:
            return None
        widths = [np.ptp([point.x for point in face]) for face in found.face_landmarks]
        widest = int(np.argmax(widths))
        scores = np.array([c.score for c in found.face_blendshapes[widest]], np.float32)
        return scores, rotation_of(np.asarray(found.facial_transformation_matrixes[widest]))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._landmarker.close()


class FaceReader:
    """Reads the (52,) scores of the one face in still pictures; None where it finds no face."""

    def __init__(self) -> None:
        options = vision.FaceLandmarkerOptions(
            base_options=BaseOptions(model_asset_path=str(landmarker_model())),
            output_face_blendshapes=True,
            output_facial_transformation_matrixes=True,
        )
        self._landmarker = vision.FaceLandmarker.create_from_options(options)

    def __call__(self, image: Image) -> NDArray[np.float32] | None:
        both = self.with_rotation(image)
        return None if both is None else both[0]

    def with_rotation(self, image: Image) -> tuple[NDArray[np.float32], NDArray[np.float32]] | None:
        """The scores, and yaw, pitch, roll (3,) in degrees."""
        found = self._landmarker.detect(mp.Image(image_format=mp.ImageFormat.SRGB, data=image))
        if not found.face_blendshapes:
            return None
        scores = np.array([c.score for c in found.face_blendshapes[0]], np.float32)
        return scores, rotation_of(np.asarray(found.facial_transformation_matrixes[0]))

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
    faces: list[tuple[NDArray[np.float32], NDArray[np.float32]]] = []
    with vision.FaceLandmarker.create_from_options(options) as landmarker:
        for windows in _searches(width, height):
            for left, top, right, bottom in windows:
                for face in _faces_in(landmarker, image, left, top, right, bottom):
                    _keep_if_new(faces, face)
            if faces:
                break
    if not faces:
        raise BadPortrait(
            f"{name}: no face found in {width}x{height} px, expected one facing the camera; "
            "use a photo with a clear, well lit face"
        )
    widths = np.array([np.ptp(landmarks[:, 0]) for landmarks, _ in faces])
    largest = int(widths.argmax())
    others = int((widths > 0.4 * widths[largest]).sum()) - 1
    if others:
        raise BadPortrait(f"{name}: {others + 1} faces found, expected one; crop the photo to one person")
    return faces[largest]


def _searches(width: int, height: int) -> list[list[tuple[int, int, int, int]]]:
    """Windows (left, top, right, bottom) to look in, one list after the other until a face turns up: the
    detector wants a face that is neither small in the picture nor cut by its border.
    """
    halves, thirds = (
        [
            (round(x * width), round(y * height), round((x + share) * width), round((y + share) * height))
            for y in steps
            for x in steps
        ]
        for share, steps in ((0.5, (0.0, 0.25, 0.5)), (0.3, (0.0, 0.175, 0.35, 0.525, 0.7)))
    )
    margin = max(width, height) // 3
    return [
        [(0, 0, width, height)],
        [(-margin, -margin, width + margin, height + margin)],
        halves,
        thirds,
    ]


def _faces_in(
    landmarker: vision.FaceLandmarker, image: Image, left: int, top: int, right: int, bottom: int
) -> list[tuple[NDArray[np.float32], NDArray[np.float32]]]:
    """Landmarks (478, 3) in pixels of the whole picture, and scores (52,), of the faces in one window."""
    height, width = image.shape[:2]
    window = image[max(top, 0) : min(bottom, height), max(left, 0) : min(right, width)]
    window = cv2.copyMakeBorder(
        window,
        max(-top, 0),
        max(bottom - height, 0),
        max(-left, 0),
        max(right - width, 0),
        cv2.BORDER_REPLICATE,
    )
    found = landmarker.detect(mp.Image(image_format=mp.ImageFormat.SRGB, data=np.ascontiguousarray(window)))
    size = np.array([right - left, bottom - top, right - left], np.float32)
    return [
        (
            np.array([(p.x, p.y, p.z) for p in face], np.float32) * size
            + np.array([left, top, 0], np.float32),
            np.array([c.score for c in scores], np.float32),
        )
        for face, scores in zip(found.face_landmarks, found.face_blendshapes, strict=True)
    ]


def _keep_if_new(
    faces: list[tuple[NDArray[np.float32], NDArray[np.float32]]],
    face: tuple[NDArray[np.float32], NDArray[np.float32]],
) -> None:
    """Add a face unless a window beside has shown it already."""
    centre, reach = face[0][:, :2].mean(0), 0.5 * np.ptp(face[0][:, 0])
    if all(np.linalg.norm(known[:, :2].mean(0) - centre) > reach for known, _ in faces):
        faces.append(face)


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

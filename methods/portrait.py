# SPDX-License-Identifier: MIT
"""A photo made ready to be moved: its one face found and checked, its person cut out. Knows no driver and no
puppet.
"""

from dataclasses import dataclass, replace
from typing import Self

import cv2
import numpy as np

from engines.mediapipe_reader import Face, Segmenter, StillReader, VideoReader
from face.arrays import Floats, Image
from face.errors import BadPortrait
from face.face_model import face_model
from face.matte import refine_matte
from face.pose import euler_angles

SMALLEST_FACE_PX = 64  # width of the face in the photo; below it there is nothing to show
SEARCHED_FACES = 4  # at most, in one window of a photo
LARGEST_YAW = 42.0  # degrees a portrait may look aside before half of its face is a guess


@dataclass(frozen=True, slots=True)
class Portrait:
    """One usable portrait; arrays are in its pixels."""

    image: Image
    landmarks: Floats  # (478, 3)
    blendshapes: Floats  # (52,)
    alpha: Floats  # (H, W) 1 = person


def open_portrait(image: Image, name: str = "the picture", *, longest: int = 1024) -> Portrait:
    """Check and cut out a portrait, scaled down so that neither side exceeds `longest` pixels.

    `name` is how errors call it. Raises BadPortrait (no face, several, a profile, a face too small).
    """
    face = _one_face(image, name)
    face_px = _width(face)
    if face_px < SMALLEST_FACE_PX:
        raise BadPortrait(
            f"{name}: the face is {face_px:.0f} px wide, expected at least {SMALLEST_FACE_PX}; "
            "use a larger or closer photo"
        )
    _, rotation, _, _ = face_model().unpose(face.landmarks)
    yaw = float(euler_angles(rotation)[0])
    if abs(yaw) > LARGEST_YAW:
        raise BadPortrait(
            f"{name}: the face looks {abs(yaw):.0f} degrees aside, expected at most {LARGEST_YAW:.0f}; "
            "use a photo that faces the camera"
        )
    image, landmarks = _resized(image, face.landmarks, longest)
    return Portrait(image, landmarks, face.blendshapes, _cut_out(image))


def shrunk(portrait: Portrait, longest: int) -> Portrait:
    """The portrait with neither side longer than `longest` pixels; itself where it is small enough."""
    image, landmarks = _resized(portrait.image, portrait.landmarks, longest)
    if image is portrait.image:
        return portrait
    alpha = cv2.resize(portrait.alpha, (image.shape[1], image.shape[0]), interpolation=cv2.INTER_AREA)
    return Portrait(image, landmarks, portrait.blendshapes, np.asarray(alpha, np.float32))


def _resized(image: Image, landmarks: Floats, longest: int) -> tuple[Image, Floats]:
    shrink = min(1.0, longest / max(image.shape[:2]))
    if shrink == 1:
        return image, landmarks
    size = (round(image.shape[1] * shrink), round(image.shape[0] * shrink))
    smaller = np.ascontiguousarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA))
    return smaller, (landmarks * shrink).astype(np.float32)


class ClipReader:
    """Reads a clip's pictures one after the other as a tracker does, which remembers where the face was: the
    (52,) scores, and yaw, pitch, roll (3,) in degrees, of the face; None where it finds none.
    """

    def __init__(self) -> None:
        self._reader = VideoReader()

    def __call__(self, image: Image) -> tuple[Floats, Floats] | None:
        face = self._reader(image)
        return None if face is None else (face.blendshapes, face.rotation)

    def __enter__(self) -> Self:
        self._reader.__enter__()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._reader.__exit__(*exc_info)


def _one_face(image: Image, name: str) -> Face:
    height, width = image.shape[:2]
    faces: list[Face] = []
    with StillReader(SEARCHED_FACES) as reader:
        for windows in _searches(width, height):
            for left, top, right, bottom in windows:
                for face in _faces_in(reader, image, left, top, right, bottom):
                    _keep_if_new(faces, face)
            if faces:
                break
    if not faces:
        raise BadPortrait(
            f"{name}: no face found in {width}x{height} px, expected one facing the camera; "
            "use a photo with a clear, well lit face"
        )
    largest = max(faces, key=_width)
    others = sum(_width(face) > 0.4 * _width(largest) for face in faces) - 1
    if others:
        raise BadPortrait(f"{name}: {others + 1} faces found, expected one; crop the photo to one person")
    return largest


def _width(face: Face) -> float:
    return float(np.ptp(face.landmarks[:, 0]))


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


def _faces_in(reader: StillReader, image: Image, left: int, top: int, right: int, bottom: int) -> list[Face]:
    """Faces in one window, their landmarks in pixels of the whole picture."""
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
    corner = np.array([left, top, 0], np.float32)
    return [replace(face, landmarks=face.landmarks + corner) for face in reader(window)]


def _keep_if_new(faces: list[Face], face: Face) -> None:
    """Add a face unless a window beside has shown it already."""
    centre, reach = face.landmarks[:, :2].mean(0), 0.5 * _width(face)
    if all(np.linalg.norm(known.landmarks[:, :2].mean(0) - centre) > reach for known in faces):
        faces.append(face)


def _cut_out(image: Image) -> Floats:
    """(H, W) matte of the person."""
    with Segmenter() as segmenter:
        coarse = segmenter(image)
    return refine_matte(image, coarse, radius=max(2, round(0.012 * max(image.shape[:2]))))

# SPDX-License-Identifier: MIT
"""A photo made ready to be moved: its one face checked, cut to what is shown, its person cut out. Knows no
driver and no puppet.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from engines.mediapipe_reader import Segmenter
from face.arrays import Floats, Image
from face.errors import BadPortrait
from face.face_model import face_model
from face.matte import refine_matte
from face.pose import euler_angles
from methods.face_search import Window, find_face, width_of

SMALLEST_FACE_PX = 64  # width of the face in the photo; below it there is nothing to show
SMALLEST_SHOWN_PX = 160  # where reducing a photo makes the face smaller, it is cut to head and shoulders:
SHOWN_WIDTHS, ABOVE = 3.2, 0.45  # the square's side in widths of the face; how far down in it the face lies
LARGEST_YAW = 42.0  # degrees a portrait may look aside before half of its face is a guess


@dataclass(frozen=True, slots=True)
class Portrait:
    """One usable portrait; arrays are in its pixels."""

    image: Image
    landmarks: Floats  # (478, 3)
    blendshapes: Floats  # (52,)
    alpha: Floats  # (H, W) 1 = person


def open_portrait(
    image: Image, name: str = "the picture", *, longest: int = 1024, whole: bool = False
) -> Portrait:
    """Check and cut out a portrait, turned upright and scaled down so that neither side exceeds `longest`
    pixels; where the face would become too small in it, cut to head and shoulders first, unless `whole`.

    `name` is how errors call it. Raises BadPortrait (no face, several, a negative, a profile, a face too
    small).
    """
    image, face = find_face(image, name)
    face_px = width_of(face)
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
    landmarks = face.landmarks
    if not whole and (window := head_and_shoulders(landmarks, (image.shape[1], image.shape[0]), longest)):
        left, top, right, bottom = window
        image = np.ascontiguousarray(image[top:bottom, left:right])
        landmarks = landmarks - np.array((left, top, 0), np.float32)
    image, landmarks = _resized(image, landmarks, longest)
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


def head_and_shoulders(landmarks: Floats, size: tuple[int, int], longest: int) -> Window | None:
    """What is shown of a photo whose face would fall below SMALLEST_SHOWN_PX where the photo's longer side is
    reduced to `longest`: left, top, right, bottom; None where the whole photo is shown.

    `landmarks` are (478, 3) in pixels of the photo, `size` its width and height.
    """
    face = float(np.ptp(landmarks[:, 0]))
    if max(size) <= longest or face * longest / max(size) >= SMALLEST_SHOWN_PX:
        return None
    side = min(round(SHOWN_WIDTHS * face), max(size))
    middle = (landmarks[:, :2].max(0) + landmarks[:, :2].min(0)) / 2
    corner = middle - side * np.array((0.5, ABOVE))
    left, top = (
        max(0, min(round(at), whole - side)) for at, whole in zip(corner.tolist(), size, strict=True)
    )
    return left, top, min(left + side, size[0]), min(top + side, size[1])


def _cut_out(image: Image) -> Floats:
    """(H, W) matte of the person."""
    with Segmenter() as segmenter:
        coarse = segmenter(image)
    return refine_matte(image, coarse, radius=max(2, round(0.012 * max(image.shape[:2]))))

# SPDX-License-Identifier: MIT
"""The one face of a photo, wherever it stands and however the photo lies. Knows no matte and no puppet.

The tracker reads an upside-down face as an upright one, with lids and mouth on its forehead, and as surely as
a real one. What tells them apart: a real face is read the same way in a picture turned by 90 degrees, the
mistake is not. Of 120 shared pictures, in each of four turns, the vote of the four readings named the right
way up for all; the plain reading mistook 50 upside-down ones and found no face in the other 70.
"""

from collections.abc import Sequence
from dataclasses import replace

import cv2
import numpy as np

from engines.mediapipe_reader import Face, StillReader
from face.arrays import Floats, Image
from face.errors import BadPortrait
from face.face_model import face_model
from face.pose import euler_angles

SEARCHED_FACES = 4  # at most, in one window of a photo
SMALLEST_WINDOW_PX = 192  # shorter side of the smallest windows; a face in less is too small anyway
TURN_FROM = 50.0  # degrees of roll from which the photo is turned, not the head
AROUND = 1.6  # in widths of the face: half the square in which it is read in four turns
# Landmarks of what is dark in every face, and of the skin around it.
BROWS = (70, 63, 105, 66, 107, 300, 293, 334, 296, 336, 46, 53, 52, 65, 55, 276, 283, 282, 295, 285)
PUPILS, NOSTRILS, BETWEEN_LIPS = (468, 473), (79, 309, 98, 327, 97, 326, 2), (13, 14, 78, 308)
CHEEKS = (50, 101, 36, 205, 280, 330, 266, 425, 117, 118, 346, 347)
NOSE, LIPS = (49, 279, 131, 360, 198, 420, 4, 5), (37, 267, 0, 84, 314, 17)
LARGEST_WARMTH = 20.0  # grey levels of red over blue that count: coloured light must not outvote the rest

Window = tuple[int, int, int, int]  # left, top, right, bottom; may reach beyond the photo


def find_face(image: Image, name: str) -> tuple[Image, Face]:
    """The photo turned upright, itself where it is, and its one face.

    `image` is (H, W, 3) uint8 RGB; `name` is how errors call it. Raises BadPortrait (no face, several, a
    negative).
    """
    with StillReader(SEARCHED_FACES) as reader:
        upright, faces = image, _search(reader, image, finest=True)
        for turn in () if faces else range(1, 4):
            upright = _turned(image, turn)
            if faces := _search(reader, upright, finest=False):
                break
        if faces and (turn := _turns_to_upright(reader, upright, max(faces, key=width_of))):
            upright = _turned(upright, turn)
            faces = _search(reader, upright, finest=True)
    if not faces:
        raise BadPortrait(
            f"{name}: no face found in {image.shape[1]}x{image.shape[0]} px, expected one facing the camera; "
            "use a photo with a clear, well lit face"
        )
    face = _only(faces, name)
    if _shades(upright, face.landmarks) < 0:
        raise BadPortrait(
            f"{name}: brows, pupils and mouth are lighter than the skin around them, as in a negative; "
            "use the photo itself"
        )
    return upright, face


def _turned(image: Image, turn: int) -> Image:
    """By quarter turns counterclockwise."""
    return np.ascontiguousarray(np.rot90(image, turn))


def width_of(face: Face) -> float:
    """Pixels from ear to ear."""
    return float(np.ptp(face.landmarks[:, 0]))


def _only(faces: Sequence[Face], name: str) -> Face:
    largest = max(faces, key=width_of)
    alike = sum(width_of(face) > 0.4 * width_of(largest) for face in faces)
    if alike > 1:
        raise BadPortrait(f"{name}: {alike} faces found, expected one; crop the photo to one person")
    return largest


def _search(reader: StillReader, image: Image, *, finest: bool) -> list[Face]:
    height, width = image.shape[:2]
    faces: list[Face] = []
    for windows in _searches(width, height, finest=finest):
        for window in windows:
            for face in reader(_cut(image, window)):
                corner = np.array([*window[:2], 0], np.float32)
                _keep_if_new(faces, replace(face, landmarks=face.landmarks + corner))
        if faces:
            break
    return faces


def _searches(width: int, height: int, *, finest: bool) -> list[list[Window]]:
    """Windows to look in, one list after the other until a face turns up: the detector wants a face that is
    neither small in the picture nor cut by its border.
    """
    margin = max(width, height) // 3
    windows = [
        [(0, 0, width, height)],
        [(-margin, -margin, width + margin, height + margin)],
        _grid(width, height, 0.5, 3),
        _grid(width, height, 0.3, 5),
    ]
    if finest and 0.15 * min(width, height) >= SMALLEST_WINDOW_PX:
        windows.append(_grid(width, height, 0.15, 11))
    return windows


def _grid(width: int, height: int, share: float, steps: int) -> list[Window]:
    """Windows of a share of the picture, `steps` a row and a column, over all of it."""
    starts = np.linspace(0, 1 - share, steps)
    return [
        (round(x * width), round(y * height), round((x + share) * width), round((y + share) * height))
        for y in starts
        for x in starts
    ]


def _cut(image: Image, window: Window) -> Image:
    """A window of the picture; beyond the border its last pixels go on."""
    left, top, right, bottom = window
    height, width = image.shape[:2]
    inside = image[max(top, 0) : min(bottom, height), max(left, 0) : min(right, width)]
    border = (max(-top, 0), max(bottom - height, 0), max(-left, 0), max(right - width, 0))
    return np.asarray(cv2.copyMakeBorder(inside, *border, cv2.BORDER_REPLICATE), np.uint8)


def _keep_if_new(faces: list[Face], face: Face) -> None:
    """Add a face unless a window beside has shown it already."""
    centre, reach = face.landmarks[:, :2].mean(0), 0.5 * width_of(face)
    if all(np.linalg.norm(known.landmarks[:, :2].mean(0) - centre) > reach for known in faces):
        faces.append(face)


def _turns_to_upright(reader: StillReader, image: Image, face: Face) -> int:
    """Counterclockwise quarter turns that set the face upright: what most of its readings in four turns say,
    each counted the more the nearer it is to a face in shape and shades.
    """
    middle = (face.landmarks[:, :2].max(0) + face.landmarks[:, :2].min(0)) / 2
    half = AROUND * float(np.ptp(face.landmarks[:, :2], axis=0).max())
    left, top = (round(v) for v in (middle - half).tolist())
    side = round(2 * half)
    square = _cut(image, (left, top, left + side, top + side))
    rolls, weights = [], []
    for turn in range(4):
        turned = _turned(square, turn)
        for read in reader(turned):
            off = np.abs(read.landmarks[:, :2].mean(0) - side / 2).max()
            if off > 0.5 * half:  # another face
                continue
            roll, misfit = _roll_and_misfit(read.landmarks)
            rolls.append(roll + 90 * turn)
            weights.append(max(_shades(turned, read.landmarks), 1.0) / max(misfit, 1e-3))
    if not rolls:
        return 0
    apart = np.abs((np.subtract.outer(rolls, rolls) + 180) % 360 - 180)  # (N, N) degrees
    agree = apart < 45
    of_most = agree[int((agree @ np.array(weights)).argmax())]
    roll = (rolls[int((weights * of_most).argmax())] + 180) % 360 - 180
    return round(roll / 90) % 4 if abs(roll) > TURN_FROM else 0


def _roll_and_misfit(landmarks: Floats) -> tuple[float, float]:
    """Roll in degrees, and how far the rigid landmarks lie from the face model's, in outer-eye distances."""
    model = face_model()
    shape, rotation, _, _ = model.unpose(landmarks)
    away = np.sum((shape - model.mean) ** 2, axis=1)
    return float(euler_angles(rotation)[2]), float(np.sqrt(np.average(away, weights=model.rigid_weights)))


def _shades(image: Image, landmarks: Floats) -> float:
    """Grey levels by which brows, pupils, nostrils and the line between the lips are darker than the skin
    beside them, and half of those by which it is redder than blue: below 0 in a negative.
    """
    reach = float(np.hypot(*(landmarks[33, :2] - landmarks[263, :2])))
    colours = image.astype(np.float32)

    def mean(points: Sequence[int], share: float = 0.02) -> Floats:
        side = max(1, int(share * reach))
        spots = []
        for x, y in np.round(landmarks[list(points), :2]).astype(int):
            spot = colours[max(y - side, 0) : max(y + side + 1, 0), max(x - side, 0) : max(x + side + 1, 0)]
            if spot.size:
                spots.append(spot.mean((0, 1)))
        return np.asarray(np.mean(spots, axis=0) if spots else np.full(3, np.nan), np.float32)  # (3,)

    cheeks = mean(CHEEKS)
    pairs = (
        (cheeks, mean(BROWS)),
        (cheeks, mean(PUPILS, 0.03)),
        (mean(NOSE), mean(NOSTRILS, 0.01)),
        (mean(LIPS), mean(BETWEEN_LIPS, 0.01)),
    )
    grey = np.array((0.299, 0.587, 0.114), np.float32)
    darker = float(np.nanmean([(skin - dark) @ grey for skin, dark in pairs]))
    warmth = float(np.clip(cheeks[0] - cheeks[2], -LARGEST_WARMTH, LARGEST_WARMTH))
    return darker + warmth / 2

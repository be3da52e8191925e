# SPDX-License-Identifier: MIT
"""Faces by numbers: scripted detectors, and frames that carry only their time."""

from collections.abc import Sequence
from typing import Self

import cv2
import numpy as np

from engines.mediapipe_reader import Face, Place
from face.frame import Frame
from face.motion import BLENDSHAPE_INDEX
from face.motion_vector import CENTRE, LOG_SCALE, ROTATION, SCORES, SHAPE, TURN, landmarks_of, resting_vector

SIZE = (640, 480)
SMALLEST_SHARE = 0.13  # of its window that a face must fill to be found


def a_face(
    *,
    yaw: float = 0.0,
    x: float = 0.0,
    y: float = 0.0,
    scale: float = 0.14,
    jaw: float = 0.0,
    blink: float = 0.0,
    smile: float = 0.0,
    long_nose: float = 0.0,
) -> Face:
    """The mean face, posed; x, y in picture widths from the middle. The mouth opens in the landmarks too."""
    vector = resting_vector(scale)
    vector[TURN] = vector[ROTATION] = (yaw, 0, 0)
    vector[CENTRE] += (x, y, 0)
    shape = vector[SHAPE].reshape(-1, 3)
    shape[[14, 17, 152], 1] += 0.4 * jaw
    shape[1, 2] -= long_nose
    vector[LOG_SCALE] = np.log(scale)
    scores = np.zeros(52, np.float32)
    for name, value in (("jawOpen", jaw), ("eyeBlinkLeft", blink), ("eyeBlinkRight", blink)):
        scores[BLENDSHAPE_INDEX[name]] = value
    for name in ("mouthSmileLeft", "mouthSmileRight"):
        scores[BLENDSHAPE_INDEX[name]] = smile
    vector[SCORES] = scores
    return Face(landmarks_of(vector, SIZE), vector[ROTATION].copy(), scores)


class ScriptedDetector:
    """Sees what the script says, frame by frame; the last entry stays. Follows one face as the reader does,
    and finds those that are not too small in their window.
    """

    def __init__(self, script: Sequence[Sequence[Face]]) -> None:
        self._script = [list(faces) for faces in script]
        self._frame = -1
        self._held: Place | None = None
        self.open = False

    def __enter__(self) -> Self:
        self.open = True
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.open = False

    @property
    def faces(self) -> list[Face]:
        return self._script[min(self._frame, len(self._script) - 1)]

    def __call__(self, image: np.ndarray) -> Face | None:
        assert self.open and image.flags["C_CONTIGUOUS"]
        self._frame += 1
        large = self._large((0, 0, *SIZE))
        return self._hold(self._held or max(large, key=lambda place: place.size, default=None))

    def find(self, image: np.ndarray, window: tuple[int, int, int, int]) -> list[Place]:
        return self._large(window)

    def take(self, image: np.ndarray, place: Place) -> Face | None:
        return self._hold(place)

    def _hold(self, place: Place | None) -> Face | None:
        near = [face for face in self.faces if place is not None and place.overlaps(face.place)]
        face = min(near, key=lambda face: np.hypot(*(face.place.centre - place.centre)), default=None)
        self._held = None if face is None else face.place
        return face

    def _large(self, window: tuple[int, int, int, int]) -> list[Place]:
        left, top, right, bottom = window
        places = [face.place for face in self.faces]
        return [
            place
            for place in places
            if (place.centre > (left, top)).all()
            and (place.centre < (right, bottom)).all()
            and place.size > SMALLEST_SHARE * max(right - left, bottom - top)
        ]


def blank(index: int, at_s: float, *, media_s: float | None = None) -> Frame:
    return Frame(np.zeros((SIZE[1], SIZE[0], 3), np.uint8), at_s, index, media_s)


def largest_step(motions: Sequence[object]) -> float:
    """Farthest any landmark goes from one motion to the next, pixels."""
    points = np.array([motion.landmarks[:, :2] for motion in motions])  # type: ignore[attr-defined]
    return float(np.linalg.norm(np.diff(points, axis=0), axis=-1).max())


def on_canvas(pictures: Sequence[tuple[np.ndarray, int, tuple[int, int]]]) -> np.ndarray:
    """(480, 640, 3) grey with square pictures of that side at (left, top)."""
    canvas = np.full((480, 640, 3), 100, np.uint8)
    for picture, side, (left, top) in pictures:
        canvas[top : top + side, left : left + side] = cv2.resize(
            picture, (side, side), interpolation=cv2.INTER_AREA
        )
    return canvas

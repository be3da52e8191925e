# SPDX-License-Identifier: MIT
"""Faces by numbers: scripted detectors, and frames that carry only their time."""

from collections.abc import Sequence
from typing import Self

import cv2
import numpy as np

from engines.mediapipe_reader import Face
from face.frame import Frame
from face.motion import BLENDSHAPE_INDEX
from face.motion_vector import CENTRE, LOG_SCALE, ROTATION, SCORES, SHAPE, TURN, landmarks_of, resting_vector

SIZE = (640, 480)


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
    """Finds what the script says, frame by frame; the last entry stays."""

    def __init__(self, script: Sequence[Sequence[Face]]) -> None:
        self._script = [list(faces) for faces in script]
        self.stamps: list[int] = []
        self.open = False

    def __enter__(self) -> Self:
        self.open = True
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.open = False

    def __call__(self, image: np.ndarray, stamp_ms: int) -> list[Face]:
        assert self.open and image.flags["C_CONTIGUOUS"]
        self.stamps.append(stamp_ms)
        return self._script[min(len(self.stamps), len(self._script)) - 1]


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

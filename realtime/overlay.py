# SPDX-License-Identifier: MIT
"""What a preview shows on top of the picture: figures, landmarks, a message. Knows no session and no sink."""

from collections.abc import Sequence

import cv2
import numpy as np

from face.motion import Motion
from realtime.frame import Image

INK, SHADOW = (255, 255, 255), (0, 0, 0)
DOT = (80, 255, 120)
FONT = cv2.FONT_HERSHEY_SIMPLEX


def draw_lines(image: Image, lines: Sequence[str], *, at_bottom: bool = False) -> None:
    """Text in a corner of the picture, written into it; lines too long for the picture are cut."""
    height, width = image.shape[:2]
    scale = max(height, 240) / 1000
    step = round(34 * scale)
    fits = max(8, int(width / (19 * scale)))
    top = height - step * len(lines) if at_bottom else round(0.8 * step)
    for number, line in enumerate(lines):
        text = _plain(line if len(line) <= fits else line[: fits - 3] + "...")
        at = (round(0.3 * step), top + number * step)
        cv2.putText(image, text, at, FONT, scale, SHADOW, max(2, round(4 * scale)), cv2.LINE_AA)
        cv2.putText(image, text, at, FONT, scale, INK, max(1, round(1.5 * scale)), cv2.LINE_AA)


def draw_landmarks(image: Image, motion: Motion) -> None:
    """The driver's tracked points on a dark inset at the top right: points, never the driver's picture."""
    height, width = image.shape[:2]
    tracked_width, tracked_height = motion.image_size
    inset_width = max(48, width // 3)
    inset_height = max(36, round(inset_width * tracked_height / tracked_width))
    inset = image[:inset_height, width - inset_width :]
    inset //= 4
    if motion.confidence <= 0:
        return
    scale = np.array((inset.shape[1] / tracked_width, inset.shape[0] / tracked_height))
    points = np.rint(motion.landmarks[:, :2] * scale).astype(np.intp)
    inside = ((points >= 0) & (points < (inset.shape[1], inset.shape[0]))).all(1)
    inset[points[inside, 1], points[inside, 0]] = DOT


def _plain(line: str) -> str:
    """The font has no glyphs beyond ASCII."""
    return line.encode("ascii", "replace").decode("ascii")

# SPDX-License-Identifier: MIT
"""What a preview shows on top of the picture: figures, landmarks, a message. Knows no session and no sink."""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage
from PIL import ImageDraw, ImageFont

from face.arrays import Image
from face.motion import Motion

DOT = (80, 255, 120)
TEXT_HEIGHT = 1 / 26  # of the picture's shorter side
SMALLEST_PX = 11


def draw_lines(image: Image, lines: Sequence[str], *, at_bottom: bool = False) -> None:
    """White text with a dark rim in a corner of the picture, written into it; long lines are cut."""
    height, width = image.shape[:2]
    if not lines:
        return
    ink, rim = _lettering(tuple(lines), max(SMALLEST_PX, round(TEXT_HEIGHT * min(height, width))), width)
    rows = min(ink.shape[0], height)
    part = image[height - rows :, : ink.shape[1]] if at_bottom else image[:rows, : ink.shape[1]]
    shaded = (part * (256 - rim[:rows]) + 255 * ink[:rows]) >> 8  # the rim darkens, the ink is white
    part[:] = shaded


@lru_cache(maxsize=16)
def _lettering(
    lines: tuple[str, ...], size: int, width: int
) -> tuple[NDArray[np.uint16], NDArray[np.uint16]]:
    """Coverage of the letters and of letters with rim, (h, width, 1), 0 to 256; figures change rarely."""
    font = ImageFont.load_default(size)
    step = round(1.35 * size)
    layers = []
    for stroke in (0, max(1, size // 9)):
        layer = PillowImage.new("L", (width, step * len(lines) + size // 3))
        draw = ImageDraw.Draw(layer)
        for number, line in enumerate(lines):
            at = (size / 3, size / 6 + number * step)
            draw.text(at, _cut(line, font, width - size), 255, font, stroke_width=stroke)
        covered = np.asarray(layer, np.uint16)[..., None]
        layers.append(covered + (covered >> 7))
    ink, rim = layers
    used = int(np.flatnonzero(rim.any(axis=(0, 2))).max(initial=0)) + 1
    return ink[:, :used].copy(), np.maximum(ink, rim)[:, :used]  # their sum below stays within 16 bits


def _cut(line: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: int) -> str:
    if font.getlength(line) <= width:
        return line
    while line and font.getlength(line + "...") > width:
        line = line[:-1]
    return line + "..."


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

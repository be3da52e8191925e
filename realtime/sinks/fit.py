# SPDX-License-Identifier: MIT
"""Fits a picture of any size into one size: bars around it or its edges cut off. Knows no sink."""

from collections.abc import Callable

import cv2
import numpy as np

from face.arrays import Image
from face.errors import WrongUse

Size = tuple[int, int]  # width, height in pixels
Box = tuple[int, int, int, int]  # x, y, width, height in pixels


def letterbox(picture: Size, target: Size) -> Box:
    """Where in the target the whole picture goes, centred, shape kept."""
    scale = min(target[0] / picture[0], target[1] / picture[1])
    width, height = (
        max(1, min(round(side * scale), limit)) for side, limit in zip(picture, target, strict=True)
    )
    return (target[0] - width) // 2, (target[1] - height) // 2, width, height


def crop(picture: Size, target: Size) -> Box:
    """Which part of the picture fills the whole target, centred, shape kept."""
    scale = max(target[0] / picture[0], target[1] / picture[1])
    width, height = (
        max(1, min(round(side / scale), limit)) for side, limit in zip(target, picture, strict=True)
    )
    return (picture[0] - width) // 2, (picture[1] - height) // 2, width, height


class Fitter:
    """Image of any size to image of `size`.

    A picture that has the size already comes back as it is. Any other comes back in one of two buffers by
    turns: it is valid until the call after the next.
    """

    def __init__(self, size: Size, fit: str = "letterbox", *, bars: tuple[int, int, int] = (0, 0, 0)) -> None:
        if fit not in FITS:
            raise WrongUse(f"fit is {fit!r}, expected one of {', '.join(FITS)}")
        if min(size) < 1:
            raise WrongUse(f"size is {size[0]}x{size[1]}, expected at least 1x1")
        self.size = size
        self._plan: Callable[[Size], tuple[Box, Box]] = getattr(self, f"_{fit}")
        self._bars = bars
        self._made_for: Size = (0, 0)
        self._from: Box = (0, 0, 0, 0)
        self._into: Box = (0, 0, 0, 0)
        self._buffers: list[Image] = []

    def __call__(self, image: Image) -> Image:
        height, width = image.shape[:2]
        if (width, height) == self.size:
            return image
        if (width, height) != self._made_for:
            self._prepare((width, height))
        self._buffers.reverse()
        whole = self._buffers[0]
        x, y, w, h = self._from
        part = image[y : y + h, x : x + w]
        x, y, w, h = self._into
        quality = cv2.INTER_AREA if w < part.shape[1] else cv2.INTER_LINEAR
        cv2.resize(part, (w, h), dst=whole[y : y + h, x : x + w], interpolation=quality)
        return whole

    def _prepare(self, picture: Size) -> None:
        self._from, self._into = self._plan(picture)
        self._buffers = [np.empty((self.size[1], self.size[0], 3), np.uint8) for _ in range(2)]
        for buffer in self._buffers:
            buffer[:] = self._bars
        self._made_for = picture

    def _letterbox(self, picture: Size) -> tuple[Box, Box]:
        return (0, 0, *picture), letterbox(picture, self.size)

    def _crop(self, picture: Size) -> tuple[Box, Box]:
        return crop(picture, self.size), (0, 0, *self.size)


FITS = ("letterbox", "crop")

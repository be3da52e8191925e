# SPDX-License-Identifier: MIT
"""The place a puppet stands in, exchanged while frames flow, and the framing of its picture."""

import threading
import time
from dataclasses import dataclass

import cv2
import numpy as np

from face.arrays import Image
from face.frame import Frame
from face.motion import Motion
from methods.method import Puppet

FADE_S = 0.35
ZOOM_STEP = 1.1
ZOOM_RANGE = (1.0, 4.0)


class PuppetSlot:
    """A Puppet that can be exchanged from any thread; the picture fades from the old one to the new one.

    The old puppet is not asked again: its last picture is what fades, so a change costs no second rendering.
    """

    def __init__(self, puppet: Puppet, *, fade_s: float = FADE_S) -> None:
        self._lock = threading.Lock()
        self._puppet = puppet
        self._next: Puppet | None = None
        self._fade_s = fade_s
        self._last: Image | None = None
        self._still: Image | None = None  # what fades out
        self._since_s = 0.0

    @property
    def size(self) -> tuple[int, int]:
        return self._puppet.size

    def swap(self, puppet: Puppet) -> None:
        """Show this one from the next frame on."""
        with self._lock:
            self._next = puppet

    def __call__(self, motion: Motion, frame: Frame | None = None) -> Image:
        with self._lock:
            if self._next is not None:
                self._puppet, self._next = self._next, None
                self._still, self._since_s = self._last, time.perf_counter()
        image = self._puppet(motion, frame)
        if self._still is not None:
            image = self._faded(image)
        self._last = image
        return image

    def _faded(self, image: Image) -> Image:
        part = (time.perf_counter() - self._since_s) / self._fade_s if self._fade_s > 0 else 1.0
        still = self._still
        if part >= 1.0 or still is None:
            self._still = None
            return image
        height, width = image.shape[:2]
        if still.shape != image.shape:
            still = self._still = np.asarray(cv2.resize(still, (width, height)), np.uint8)
        return np.asarray(cv2.addWeighted(image, part, still, 1.0 - part, 0.0), np.uint8)


@dataclass(frozen=True, slots=True)
class Framing:
    """Which part of a picture is shown."""

    zoom: float = 1.0  # 1 shows all
    x: float = 0.0  # centre of the part, in picture sides from the middle, right and down positive
    y: float = 0.0
    flip: bool = False  # left and right exchanged

    def zoomed(self, factor: float) -> "Framing":
        """The same place, nearer or farther, within ZOOM_RANGE."""
        low, high = ZOOM_RANGE
        return Framing(min(max(self.zoom * factor, low), high), self.x, self.y, self.flip).moved(0, 0)

    def moved(self, right: float, down: float) -> "Framing":
        """Shifted by parts of the picture's sides, never past its border."""
        room = (1 - 1 / self.zoom) / 2
        x, y = (min(max(value, -room), room) for value in (self.x + right, self.y + down))
        return Framing(self.zoom, x, y, self.flip)

    def __call__(self, image: Image) -> Image:
        """(H, W, 3) of the same size; the picture itself when there is nothing to do."""
        height, width = image.shape[:2]
        if self.zoom > 1.0:
            wide, high = max(1, round(width / self.zoom)), max(1, round(height / self.zoom))
            left = round((0.5 + self.x) * width - wide / 2)
            top = round((0.5 + self.y) * height - high / 2)
            left, top = min(max(left, 0), width - wide), min(max(top, 0), height - high)
            part = image[top : top + high, left : left + wide]
            image = np.asarray(cv2.resize(part, (width, height), interpolation=cv2.INTER_LINEAR), np.uint8)
        if self.flip:
            image = np.ascontiguousarray(image[:, ::-1])
        return image

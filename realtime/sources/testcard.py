# SPDX-License-Identifier: MIT
"""A drawn, moving test card; its frame number can be read back from the picture. Knows no camera, no face."""

from collections.abc import Iterator
from typing import Self

import numpy as np

from face.arrays import Image
from face.frame import Frame
from realtime.sources.pacing import Ticks

BARS = (
    (235, 235, 235),
    (220, 220, 20),
    (20, 210, 220),
    (20, 200, 40),
    (210, 30, 200),
    (210, 30, 30),
    (30, 40, 210),
)
SMALLEST = (64, 48)  # width, height; below, the cells of the code are too small to be read after compression
COUNTER_BITS = 16
CELLS = COUNTER_BITS + 5  # white, black, the bits, their parity and its inverse, black: not the same mirrored
LEAST_CONTRAST = 60  # grey levels between the two cells that are always white and black
SWEEP_S = 4.0  # one journey of the white bar from edge to edge


class TestCard:
    """A Source of test cards; ends after `frames`, or never."""

    __test__ = False  # the name is not meant for pytest

    def __init__(
        self,
        size: tuple[int, int] = (640, 480),
        fps: float = 30.0,
        *,
        live: bool = True,
        frames: int | None = None,
    ) -> None:
        if size[0] < SMALLEST[0] or size[1] < SMALLEST[1]:
            raise ValueError(f"size is {size}, expected at least {SMALLEST}")
        self.live = live
        self.fps = fps
        self._frames = frames
        self._ticks = Ticks(fps, live=live)
        self._background = _bars(size)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._ticks.close()

    def __iter__(self) -> Iterator[Frame]:
        while not self._ticks.closed:
            number = self._ticks.upcoming()
            if self._frames is not None and number >= self._frames:
                return
            image = draw(self._background, number, self.fps)
            captured_s = self._ticks.wait_for(number)
            if captured_s is None:
                return
            yield Frame(image, captured_s, number, self._ticks.media_s(number))


def draw(background: Image, number: int, fps: float) -> Image:
    """A copy of `background` (H, W, 3) with the things that move at frame `number`."""
    image = background.copy()
    height, width = image.shape[:2]
    phase = (number / fps / SWEEP_S) % 1.0
    bar = max(2, width // 80)
    left = int(phase * (width - bar))
    image[: int(height * 0.75), left : left + bar] = 255
    radius = height // 8  # a disc that circles once a sweep
    centre_y = height * 0.4 + height * 0.2 * np.sin(2 * np.pi * phase)
    centre_x = width * 0.5 + height * 0.3 * np.cos(2 * np.pi * phase)
    top, near = int(centre_y) - radius, max(0, int(centre_x) - radius)
    ys, xs = np.ogrid[top : top + 2 * radius, near : min(width, near + 2 * radius)]
    disc = (ys - centre_y) ** 2 + (xs - centre_x) ** 2 < radius**2
    image[top : top + 2 * radius, near : near + disc.shape[1]][disc] = (90, 90, 90)
    _write_code(image, number)
    return image


def read_counter(image: Image) -> int | None:
    """The frame number modulo 65536 drawn into a test card of any size; None where no whole code is seen."""
    height, width = image.shape[:2]
    top = int(height * 0.91)
    bottom = max(top + 1, int(height * 0.97))
    edges = np.linspace(0, width, CELLS + 1)
    cells = []
    for left, right in zip(edges[:-1], edges[1:], strict=True):
        quarter = (right - left) / 4
        cells.append(float(image[top:bottom, int(left + quarter) : int(right - quarter) + 1].mean()))
    white, black = cells[0], cells[1]
    if white - black < LEAST_CONTRAST:
        return None
    bits = [value > (white + black) / 2 for value in cells]
    number = sum(1 << place for place, bit in enumerate(reversed(bits[2 : 2 + COUNTER_BITS])) if bit)
    parity = number.bit_count() % 2 == 1
    return number if bits[-3] == parity and bits[-2] != parity and not bits[-1] else None


def _write_code(image: Image, number: int) -> None:
    """Draws the number into the lowest eighth, one cell a bit, highest first."""
    height, width = image.shape[:2]
    value = number % (1 << COUNTER_BITS)
    parity = value.bit_count() % 2 == 1
    bits = [bool(value >> place & 1) for place in reversed(range(COUNTER_BITS))]
    cells = [True, False, *bits, parity, not parity, False]
    edges = np.linspace(0, width, CELLS + 1).astype(int)
    for bit, left, right in zip(cells, edges[:-1], edges[1:], strict=True):
        image[int(height * 0.875) :, left:right] = 255 if bit else 0


def _bars(size: tuple[int, int]) -> Image:
    """(H, W, 3): colour bars over a grey ramp; the strip below is left for the code."""
    width, height = size
    image = np.zeros((height, width, 3), dtype=np.uint8)
    edges = np.linspace(0, width, len(BARS) + 1).astype(int)
    for colour, left, right in zip(BARS, edges[:-1], edges[1:], strict=True):
        image[:, left:right] = colour
    image[int(height * 0.75) : int(height * 0.875)] = np.linspace(0, 255, width).astype(np.uint8)[:, None]
    return image

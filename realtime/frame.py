# SPDX-License-Identifier: MIT
"""What travels along the line and who handles it. Knows no implementation of any of them."""

from collections.abc import Iterator
from typing import Protocol, Self

from face.arrays import Image
from face.frame import Frame
from face.motion import Motion


class EndOfLine(Exception):
    """Raised by a source, step or sink that ends the line on purpose (window closed): no error."""


class Source(Protocol):
    """Iterates frames until the device or file ends; closes what it opened on exit.

    `live` sources never block longer than `timeout_s` for a frame and drop what nobody fetched in time.
    """

    @property
    def live(self) -> bool: ...
    @property
    def fps(self) -> float: ...  # nominal for files, measured over the last second for cameras
    def __iter__(self) -> Iterator[Frame]: ...
    def __enter__(self) -> Self: ...
    def __exit__(self, *exc_info: object) -> None: ...


class Tracker(Protocol):
    """Image to motion; never None: without a face it eases to neutral and idles with confidence 0."""

    def __call__(self, frame: Frame) -> Motion: ...
    def __enter__(self) -> Self: ...
    def __exit__(self, *exc_info: object) -> None: ...


class Puppet(Protocol):
    """Motion to image, opened with one portrait."""

    @property
    def size(self) -> tuple[int, int]: ...  # width, height of every image it returns
    def __call__(self, motion: Motion) -> Image: ...


def close_puppet(puppet: Puppet) -> None:
    """Give back what a puppet holds open (engines, a segmenter); many hold nothing."""
    close = getattr(puppet, "close", None)
    if close is not None:
        close()


class Sink(Protocol):
    """Takes frames of any size, fits them to its own. Raises SinkUnavailable when it cannot go on."""

    def __call__(self, frame: Frame) -> None: ...
    def __enter__(self) -> Self: ...
    def __exit__(self, *exc_info: object) -> None: ...

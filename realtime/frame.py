# SPDX-License-Identifier: MIT
"""The two ends of a line, and the way it ends. Knows no implementation of either."""

from collections.abc import Iterator
from typing import Protocol, Self

from face.frame import Frame


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


class Sink(Protocol):
    """Takes frames of any size, fits them to its own. Raises SinkUnavailable when it cannot go on."""

    def __call__(self, frame: Frame) -> None: ...
    def __enter__(self) -> Self: ...
    def __exit__(self, *exc_info: object) -> None: ...

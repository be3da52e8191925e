# SPDX-License-Identifier: MIT
"""The sink that keeps nothing but the last frame: for benchmarks and dry runs. Knows no device."""

from typing import Self

from face.frame import Frame


class NullSink:
    """Counts what it is given."""

    def __init__(self) -> None:
        self.delivered = 0
        self.last: Frame | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.last = None

    def __call__(self, frame: Frame) -> None:
        self.delivered += 1
        self.last = frame

# SPDX-License-Identifier: MIT
"""One picture of a driver and the instant it was captured: what enters the line."""

from dataclasses import dataclass

from face.arrays import Image


@dataclass(frozen=True, slots=True)
class Frame:
    """A step that changes the picture keeps the instant."""

    image: Image
    captured_s: float  # time.perf_counter() when the driver handed it over; video files: see `media_s`
    index: int  # counts up from 0 at the source, gaps where the source itself dropped
    media_s: float | None = None  # presentation time in the file, seconds from its start; None if live
    shown_s: float | None = None  # how long the file shows it; None where it says nothing, and live

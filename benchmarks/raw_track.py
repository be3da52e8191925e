# SPDX-License-Identifier: MIT
"""Raw tracks: what the tracker's own detector sees in the pictures of a clip, unsmoothed."""

from collections.abc import Iterator
from pathlib import Path
from typing import Self

import numpy as np

from engines.mediapipe_reader import Face, VideoReader
from face.arrays import Image
from face.frame import Frame
from realtime.sources.video import Video


class RawTracker:
    """A Detector that keeps the largest face of each picture it was given; one a clip, as it remembers faces.

    It can be handed to a FaceTracker, or be called by itself with the pictures of a clip.
    """

    def __init__(self) -> None:
        self._reader = VideoReader()
        self.seen: list[Face | None] = []

    def __call__(self, image: Image, stamp_ms: int) -> list[Face]:
        faces = self._reader(image, stamp_ms)
        self.seen.append(max(faces, key=lambda face: float(np.ptp(face.landmarks[:, 0])), default=None))
        return faces

    def __enter__(self) -> Self:
        self._reader.__enter__()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._reader.__exit__(*exc_info)


def track_still(image: Image) -> Face | None:
    """The largest face in one picture on its own."""
    with RawTracker() as tracker:
        tracker(image, 0)
    return tracker.seen[0]


def clip_frames(path: Path, *, every: int = 1) -> Iterator[Frame]:
    """Every so many-th frame of a clip from its first on, as the application reads it; raises BadVideo."""
    with Video(path, live=False) as video:
        for frame in video:
            if frame.index % every == 0:
                yield frame

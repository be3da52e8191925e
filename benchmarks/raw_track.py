# SPDX-License-Identifier: MIT
"""Raw tracks: what the tracker's own detector sees in the pictures of a clip, unsmoothed."""

from collections.abc import Iterator
from pathlib import Path
from typing import Self

from engines.mediapipe_reader import Face, Place
from face.arrays import Image
from face.frame import Frame
from realtime.sources.video import Video
from realtime.tracker.follow import FaceDetector, Window


class RawTracker:
    """A Detector that keeps the face of each picture it was given; one a clip, as it remembers the face.

    It can be handed to a FaceTracker, or be called by itself with the pictures of a clip.
    """

    def __init__(self) -> None:
        self._detector = FaceDetector()
        self.seen: list[Face | None] = []

    def __call__(self, image: Image) -> Face | None:
        self.seen.append(self._detector(image))
        return self.seen[-1]

    def find(self, image: Image, window: Window) -> list[Place]:
        return self._detector.find(image, window)

    def take(self, image: Image, place: Place) -> Face | None:
        self.seen[-1] = self._detector.take(image, place)
        return self.seen[-1]

    def __enter__(self) -> Self:
        self._detector.__enter__()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._detector.__exit__(*exc_info)


def track_still(image: Image) -> Face | None:
    """The face in one picture on its own."""
    with RawTracker() as tracker:
        tracker(image)
    return tracker.seen[0]


def clip_frames(path: Path, *, every: int = 1) -> Iterator[Frame]:
    """Every so many-th frame of a clip from its first on, as the application reads it; raises BadVideo."""
    with Video(path, live=False) as video:
        for frame in video:
            if frame.index % every == 0:
                yield frame

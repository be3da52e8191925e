# SPDX-License-Identifier: MIT
"""Which of several faces drives: the nearest, and not another one each frame. Knows no pictures."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engines.mediapipe_reader import Face

CLEARLY_NEARER = 1.35  # times as large as the followed face must another one be
FOR_GOOD_S = 0.5  # and for this long, before it takes over
GONE_S = 0.3  # the followed face must be missing this long before another one takes over
REACH = 0.75  # of its own size that a face may move from one frame to the next
GROWTH = 1.6  # times that a face may grow or shrink from one frame to the next


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a face is, in pixels."""

    centre: NDArray[np.float32]  # (2,)
    size: float

    def might_become(self, other: "_Place") -> bool:
        near = float(np.hypot(*(other.centre - self.centre))) < REACH * max(self.size, other.size)
        return near and 1 / GROWTH < other.size / self.size < GROWTH


class Follower:
    """Picks the driver's face out of the faces of each frame."""

    def __init__(self) -> None:
        self._followed: _Place | None = None
        self._missing_s = 0.0
        self._nearer_s = 0.0
        self._in_view = 0  # faces in the frame before
        self._deserted = False  # nobody was in view since the followed face went missing
        self.changed = False  # the last pick is another person than the one before

    def __call__(self, faces: list[Face], dt_s: float) -> Face | None:
        """The driver's face, `dt_s` seconds after the last call; None while it is not in view."""
        self.changed = False
        places = [_place(face) for face in faces]
        own = self._own(places)
        self._in_view = len(faces)
        if own is None:
            self._nearer_s = 0.0
            self._missing_s += dt_s
            self._deserted |= not faces
            if not faces or (self._followed is not None and self._missing_s < GONE_S):
                return None
            own = _largest(places)
            self.changed = self._followed is not None and not self._deserted
        elif self._overtaken(places, own, dt_s):
            own = _largest(places)
            self.changed = True
        self._followed, self._missing_s, self._deserted = places[own], 0.0, False
        return faces[own]

    def _own(self, places: list[_Place]) -> int | None:
        """The face that was followed in the frame before."""
        if self._followed is None:
            return None
        if len(places) == 1 and self._in_view == 1 and self._missing_s == 0:
            return 0  # alone before and after: the same, however far it moved
        last = self._followed
        same = [i for i, place in enumerate(places) if last.might_become(place)]
        return min(same, key=lambda i: float(np.hypot(*(places[i].centre - last.centre))), default=None)

    def _overtaken(self, places: list[_Place], own: int, dt_s: float) -> bool:
        """Another face has been clearly nearer for long enough."""
        nearer = places[_largest(places)].size > CLEARLY_NEARER * places[own].size
        self._nearer_s = self._nearer_s + dt_s if nearer else 0.0
        if self._nearer_s < FOR_GOOD_S:
            return False
        self._nearer_s = 0.0
        return True


def _place(face: Face) -> _Place:
    low, high = face.landmarks[:, :2].min(0), face.landmarks[:, :2].max(0)
    return _Place((low + high) / 2, max(float((high - low).max()), 1.0))


def _largest(places: list[_Place]) -> int:
    return max(range(len(places)), key=lambda i: places[i].size)

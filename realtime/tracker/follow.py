# SPDX-License-Identifier: MIT
"""Which face drives, the nearest and not another one each frame, and where it is looked for."""

from itertools import count
from typing import Protocol, Self

import numpy as np

from engines.mediapipe_reader import Face, FaceFinder, Place, VideoReader
from face.arrays import Image

CLEARLY_NEARER = 1.35  # times as large as the followed face must another one be
FOR_GOOD_S = 0.5  # and for this long, before it takes over
GONE_S = 0.3  # the followed face must be missing this long before another one takes over
REACH = 0.75  # of its own size that a face may move while it is missing
GROWTH = 1.6  # times that a face may grow or shrink meanwhile
LOOK_S = 0.25  # between two looks for others, while a face is followed
WINDOWS = (1.0, 0.6)  # sides of the windows in which a face is searched, in shorter sides of the picture
WINDOW_STEP = 0.6  # from window to window, in their sides: what one cuts in two, the next shows whole
WINDOWS_A_FRAME = 2
PHANTOM_S = 5.0  # after a nearer face that turned out to be none, others are not looked for
VAIN_S = 0.3  # after a place that showed no face, none is tried for this long
NEAR_BY_S = 3.0  # for this long a lost face is looked for in each frame where it was,
LAST_PLACE = 3.0  # in a window of this side, in its sizes
# Beyond these a reader did not find a face but broke.
FARTHEST = 10.0  # a landmark from the picture's corner, in picture sides
TURNED, SCORED = 360.0, 2.0  # degrees; a score of 1 is the most
THINNEST_PX = 0.5  # standard deviation of the landmarks across a face: in full profile half of that along it

Window = tuple[int, int, int, int]  # left, top, right, bottom in pixels


class Detector(Protocol):
    """The face in successive pictures of one source."""

    def __call__(self, image: Image) -> Face | None:
        """The face that was in the last picture; any large one when there was none."""
        ...

    def find(self, image: Image, window: Window) -> list[Place]:
        """Faces in a part of the picture, in its pixels."""
        ...

    def take(self, image: Image, place: Place) -> Face | None:
        """The face at this place of the last picture, followed from now on."""
        ...

    def __enter__(self) -> Self: ...
    def __exit__(self, *exc_info: object) -> None: ...


class FaceDetector:
    """The Detector of live and offline lines. One thread at a time; ModelUnavailable on entering."""

    def __init__(self) -> None:
        self._reader, self._finder = VideoReader(), FaceFinder()

    def __call__(self, image: Image) -> Face | None:
        return self._reader(image)

    def find(self, image: Image, window: Window) -> list[Place]:
        left, top, right, bottom = window
        corner = np.array((left, top), np.float32)
        found = self._finder(image[top:bottom, left:right])
        return [Place(place.centre + corner, place.size) for place in found]

    def take(self, image: Image, place: Place) -> Face | None:
        return self._reader.take(image, place)

    def __enter__(self) -> Self:
        self._reader.__enter__()
        self._finder.__enter__()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._reader.__exit__(*exc_info)
        self._finder.__exit__(*exc_info)


class Follower:
    """The driver's face in successive pictures. The detector is the caller's to open and close."""

    def __init__(self, detector: Detector) -> None:
        self._detector = detector
        self._followed: Place | None = None
        self._missing_s = 0.0
        self._unlooked_s = 0.0  # since the last look for others
        self._nearer_s: float | None = None  # since another face was seen nearer
        self._alone = True  # nobody else was in view at the last look
        self._deserted = False  # nobody was in view since the followed face went missing
        self._searched = count()
        self._vain_s = VAIN_S  # since a face that was found could not be read
        self.changed = False  # the last pick is another person than the one before

    def __call__(self, image: Image, dt_s: float) -> Face | None:
        """The driver's face, `dt_s` seconds after the last call; None while it is not in view."""
        self.changed = False
        face = _sound(self._detector(image), image)
        if self._followed is None or self._missing_s > 0 or face is None:
            face = self._sought(image, face, dt_s)
        else:
            face = self._overtaken(image, face, dt_s)
        if face is None:
            return None
        self._followed, self._missing_s, self._deserted = face.place, 0.0, False
        self._searched = count()
        return face

    def _overtaken(self, image: Image, face: Face, dt_s: float) -> Face:
        """The followed face, or another one that has been clearly nearer for long enough."""
        self._unlooked_s += dt_s
        if self._unlooked_s < LOOK_S:
            return face
        others = _others(face, self._detector.find(image, _whole(image)))
        self._alone = not others
        nearest = _largest(others)
        if nearest is None or nearest.size <= CLEARLY_NEARER * face.place.size:
            self._nearer_s = None
        else:
            self._nearer_s = 0.0 if self._nearer_s is None else self._nearer_s + self._unlooked_s
        self._unlooked_s = 0.0
        if nearest is None or self._nearer_s is None or self._nearer_s < FOR_GOOD_S:
            return face
        self._nearer_s = None
        taken = self._taken(image, nearest, changed=True)
        if taken is None:  # no face after all: back to the driver's, and no second try for a while
            self._unlooked_s = -PHANTOM_S
            taken = self._taken(image, face.place, changed=False)
        return taken or face

    def _sought(self, image: Image, face: Face | None, dt_s: float) -> Face | None:
        """The driver's face after it was lost, or at first; `face` is what the detector fell upon."""
        self._missing_s += dt_s
        self._vain_s += dt_s
        self._nearer_s = None
        places = self._places(image, face)
        self._deserted |= not places
        last = self._followed
        gone = last is None or self._missing_s >= GONE_S
        near = [place for place in places if last is not None and _might_become(last, place)]
        if near and last is not None:
            place = min(near, key=lambda near: float(np.hypot(*(near.centre - last.centre))))
        elif places and (gone or (self._alone and len(places) == 1)):  # alone: the same, however far it moved
            place = max(places, key=lambda place: place.size)
        else:
            return None
        changed = not near and last is not None and not self._deserted and not self._alone
        self._alone = len(places) == 1
        if face is not None and face.place.overlaps(place):
            self.changed = changed
            return face
        return self._taken(image, place, changed=changed) if self._vain_s >= VAIN_S else None

    def _places(self, image: Image, face: Face | None) -> list[Place]:
        """Where faces are: in the whole picture if one was found there, else in the next few windows."""
        if face is not None:
            return [face.place, *_others(face, self._detector.find(image, _whole(image)))]
        last = self._followed
        if last is not None and self._missing_s < NEAR_BY_S:
            side = round(LAST_PLACE * last.size)
            if found := self._detector.find(image, _window(image, last.centre[0], last.centre[1], side)):
                return found
        windows = _windows(image)
        for _ in range(WINDOWS_A_FRAME):
            if found := self._detector.find(image, windows[next(self._searched) % len(windows)]):
                return found
        return []

    def _taken(self, image: Image, place: Place, *, changed: bool) -> Face | None:
        face = _sound(self._detector.take(image, place), image)
        self.changed = changed and face is not None
        self._vain_s = VAIN_S if face is not None else 0.0
        return face


def _windows(image: Image) -> list[Window]:
    """Where a face may be that is too small for a search in the whole picture."""
    height, width = image.shape[:2]
    windows = []
    for share in WINDOWS:
        side = round(share * min(width, height))
        step = max(round(WINDOW_STEP * side), 1)
        across, down = (1 - (side - length) // step for length in (width, height))
        for y in np.linspace(side / 2, height - side / 2, down):
            for x in np.linspace(side / 2, width - side / 2, across):
                windows.append(_window(image, x, y, side))
    return windows


def _window(image: Image, x: float, y: float, side: int) -> Window:
    """The square around a point, as far as it is in the picture."""
    height, width = image.shape[:2]
    wide, high = min(max(side, 1), width), min(max(side, 1), height)
    left = min(max(round(x - wide / 2), 0), width - wide)
    top = min(max(round(y - high / 2), 0), height - high)
    return left, top, left + wide, top + high


def _whole(image: Image) -> Window:
    return 0, 0, image.shape[1], image.shape[0]


def _might_become(last: Place, place: Place) -> bool:
    near = float(np.hypot(*(place.centre - last.centre))) < REACH * max(last.size, place.size)
    return near and 1 / GROWTH < place.size / last.size < GROWTH


def _others(face: Face, places: list[Place]) -> list[Place]:
    return [place for place in places if not face.place.overlaps(place)]


def _largest(places: list[Place]) -> Place | None:
    return max(places, key=lambda place: place.size, default=None)


def is_face(face: Face, side_px: int) -> bool:
    """False for one that is not finite or has no area: it would stay in the filters for good."""
    parts = ((face.landmarks, FARTHEST * side_px), (face.rotation, TURNED), (face.blendshapes, SCORED))
    if not all(np.abs(part).max() <= most for part, most in parts):  # nan is not <= anything
        return False
    points = face.landmarks[:, :2] - face.landmarks[:, :2].mean(0, dtype=np.float64)
    thinnest, _ = np.linalg.eigvalsh(points.T @ points / len(points))  # variances, rising
    return bool(thinnest >= THINNEST_PX**2)


def _sound(face: Face | None, image: Image) -> Face | None:
    return face if face is not None and is_face(face, max(image.shape[:2])) else None

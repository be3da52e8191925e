# SPDX-License-Identifier: MIT
"""A live session over small stand-ins, faulty by their data: no camera, no network, no photo."""

import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Self

import numpy as np
from waiting import HANG_S, STUCK_S, wait_until

from face.arrays import Image
from face.errors import BadPortrait
from face.frame import Frame
from face.motion import BLENDSHAPES, LANDMARKS, Motion
from methods.method import OnFrame, Rest
from realtime.live.session import Session

SIZE = (32, 24)
DRIVER = 200  # grey of the driver's picture
COLOURS: Mapping[str, int] = {"one": 10, "two": 90, "three": 170}  # grey of each portrait's picture


def a_motion(*, yaw: float = 0.0, confidence: float = 1.0) -> Motion:
    return Motion(
        captured_s=0.0,
        rotation=np.array((yaw, 0, 0), np.float32),
        translation=np.zeros(2, np.float32),
        scale=0.2,
        blendshapes=np.zeros(len(BLENDSHAPES), np.float32),
        landmarks=np.full((LANDMARKS, 3), 12, np.float32),
        gaze=np.zeros(2, np.float32),
        confidence=confidence,
        image_size=SIZE,
    )


class Beat:
    """A live Source of even grey pictures at a steady rate; `frames` None: until closed."""

    live = True

    def __init__(self, fps: float = 200.0, frames: int | None = None) -> None:
        self.fps = fps
        self._frames = frames
        self._closed = threading.Event()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._closed.set()

    def __iter__(self) -> Iterator[Frame]:
        index = 0
        while index != self._frames and not self._closed.wait(1 / self.fps):
            yield Frame(np.full((SIZE[1], SIZE[0], 3), DRIVER, np.uint8), time.perf_counter(), index)
            index += 1


@dataclass
class Settings:
    """A LiveTracker that turns the head further with each frame and writes down what it was told."""

    yaws: tuple[float, ...] = (0.0,)
    confidence: float = 1.0
    told: list[tuple[object, ...]] = field(default_factory=list)
    calibrated_at: list[float] = field(default_factory=list)
    fails_at: int | None = None
    gain: float = 1.0  # that is in the motions it returns
    lines: list[str] = field(default_factory=list)  # its news
    _frame: int = 0
    _yaw: float = 0.0

    def __call__(self, frame: Frame) -> Motion:
        if frame.index == self.fails_at:
            raise ZeroDivisionError("a bug in the tracker")
        self._yaw = self.yaws[self._frame % len(self.yaws)]
        self._frame += 1
        return replace(a_motion(yaw=self._yaw, confidence=self.confidence), captured_s=frame.captured_s)

    def tracked(self) -> Motion | None:
        motion = a_motion(yaw=self._yaw / self.gain, confidence=self.confidence)
        return motion if self.confidence else None

    def news(self) -> str:
        return self.lines.pop(0) if self.lines else ""

    def calibrate(self, instant: Motion | None = None) -> None:
        self.calibrated_at.append(self._yaw if instant is None else float(instant.rotation[0]))

    def set_gain(self, region: str, value: float) -> None:
        self.told.append(("gain", region, value))

    def set_smoothing(self, value: float) -> None:
        self.told.append(("smoothing", value))

    def set_mirror(self, on: bool) -> None:
        self.told.append(("mirror", on))


FRONTAL = Rest(np.zeros(3, np.float32), np.zeros(len(BLENDSHAPES), np.float32))


class Card:
    """A Puppet whose every picture has the portrait's grey."""

    reads_frame = False

    def __init__(self, grey: int, rest: Rest = FRONTAL) -> None:
        self.size = SIZE
        self.rest = rest
        self.closed = False
        self.portrait = self._image = np.full((SIZE[1], SIZE[0], 3), grey, np.uint8)

    def __call__(self, motion: Motion, frame: Frame | None = None) -> Image:
        return self._image.copy()

    def refined(self, motions: Sequence[Motion], *, on_frame: OnFrame | None = None) -> "Card":
        return self

    def close(self) -> None:
        self.closed = True


class Opener:
    """Opens a Card for each known portrait; `broken` is what is a bug, enrolling is stuck without `free`."""

    def __init__(self, *, broken: frozenset[str] = frozenset()) -> None:
        self.free = threading.Event()
        self.free.set()
        self.broken = broken
        self.opened: list[tuple[str, str]] = []

    def __call__(self, method: str, path: Path) -> Card:
        self.free.wait(STUCK_S)
        self.opened.append((method, path.stem))
        if path.stem in self.broken:
            raise RuntimeError("a bug in enrolment")
        if path.stem not in COLOURS:
            raise BadPortrait(f"{path.name}: no face found, expected one; use another photo")
        return Card(COLOURS[path.stem])


@dataclass
class Screen:
    """A Sink that keeps the last picture and every grey."""

    greys: list[int] = field(default_factory=list)
    last: Frame | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        return None

    def __call__(self, frame: Frame) -> None:
        self.last = frame
        self.greys.append(int(frame.image[SIZE[1] // 2, SIZE[0] // 2, 0]))


def no_badge(image: Image) -> Image:
    marked = image.copy()
    marked[0, 0] = (255, 0, 0)
    return marked


class Stage:
    """A session running in a thread of its own; an error of the line is raised on exit."""

    def __init__(
        self,
        *,
        portraits: tuple[str, ...] = ("one", "two", "three"),
        opener: Opener | None = None,
        tracker: Settings | None = None,
        source: Beat | None = None,
        modes: Mapping[str, bool] | None = None,
        folder: Path | None = None,
    ) -> None:
        self.tracker = tracker or Settings()
        self.opener = opener or Opener()
        self.meeting, self.window = Screen(), Screen()
        self.source = source or Beat()
        paths = (folder,) if folder else tuple(Path(f"{name}.png") for name in portraits)
        self.session = Session(
            self.source,
            self.tracker,
            sinks=(self.meeting,),
            previews=(self.window,),
            open_puppet=self.opener,
            portraits=paths,
            method="mesh",
            methods=("mesh", "other"),
            badge=no_badge,
            modes=modes,
        )
        self.error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        self.wait(lambda: bool(self.meeting.greys) or not self._thread.is_alive())
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.opener.free.set()
        self.session.quit()
        self.source.__exit__()
        self._thread.join(HANG_S)
        assert not self._thread.is_alive()
        if self.error is not None and exc_info[0] is None:
            raise self.error

    def _run(self) -> None:
        try:
            self.session.run()
        except BaseException as error:
            self.error = error

    @property
    def running(self) -> bool:
        return self._thread.is_alive()

    def wait(self, until: object) -> None:
        """Until the callable is true."""
        assert callable(until) and wait_until(until), "it did not happen"

    def wait_grey(self, grey: int) -> None:
        self.wait(lambda: self.meeting.greys[-1] == grey)

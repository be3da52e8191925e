# SPDX-License-Identifier: MIT
"""A camera as a source: the newest picture only, back by itself after it was unplugged. Knows no drivers."""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple, Self

import cv2
import numpy as np
from numpy.typing import NDArray

from face.arrays import Image
from face.errors import PuppetError
from face.frame import Frame
from realtime.sources.opencv_device import DRIVER_ERRORS, Device, is_picture, open_device, shown

LOST_AFTER_S = 0.5  # without a picture for this long, the device is opened again
BETWEEN_FAILURES_S = 0.01
LEAVE_WITHIN_S = 0.8
BLANK_GREY = 96

logger = logging.getLogger(__name__)


Opener = Callable[[int | str, tuple[int, int], float], Device]  # address, size, fps; raises CameraUnavailable


class Grabbed(NamedTuple):
    picture: NDArray[np.uint8]  # BGR, as the device gave it
    captured_s: float
    number: int


class Camera:
    """A live Source of one camera: an index, a /dev path, a name or a URL.

    A thread grabs without pause, so that nothing ages in the driver, and leaves the newest picture in a place
    for one. Once no picture came for `timeout_s`, even grey ones (no face in them) are handed out at `fps`
    until the camera is back: the line goes on, and no old picture is repeated. `connected` tells them apart.
    """

    live = True

    def __init__(
        self,
        address: int | str,
        *,
        size: tuple[int, int] = (640, 480),
        fps: float = 30.0,
        timeout_s: float = LOST_AFTER_S,
        retry_s: float = 1.0,
        opener: Opener = open_device,
    ) -> None:
        if not (fps > 0 and timeout_s > 0 and retry_s > 0 and min(size) > 0):
            raise ValueError(f"fps {fps}, timeout_s {timeout_s}, retry_s {retry_s}, size {size}: all above 0")
        self.fps = fps  # asked for until a second has been measured; 0 while the camera is away
        self.connected = True
        self._name = shown(address)
        self._period_s = 1.0 / fps
        self._timeout_s = timeout_s
        self._retry_s = retry_s
        self._size = size  # of the newest picture; asked for until there is one
        self._open = partial(opener, address, size, fps)
        self._state = threading.Condition()  # guards the four below
        self._latest: Grabbed | None = None
        self._count = 0
        self._error: Exception | None = None
        self._closing = threading.Event()
        self._recent: deque[float] = deque(maxlen=1000)  # capture times of the last second
        # First opened here: its error is the caller's, and macOS asks for permission in the main thread only.
        self._thread = threading.Thread(target=self._run, args=(self._open(),), name="camera", daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._closing.set()
        with self._state:
            self._state.notify_all()
        self._thread.join(LEAVE_WITHIN_S)
        if self._thread.is_alive():
            logger.warning("camera %s: its driver does not answer and is left behind", self._name)

    def __iter__(self) -> Iterator[Frame]:
        blank_s = time.perf_counter() + self._timeout_s
        while True:
            grabbed = self._take(blank_s)
            if self._error is not None:
                raise self._error
            if self._closing.is_set():
                return
            if grabbed is None:
                blank_s = max(blank_s + self._period_s, time.perf_counter())
                yield self._blank()
            else:
                blank_s = time.perf_counter() + self._timeout_s
                yield Frame(as_rgb(grabbed.picture), grabbed.captured_s, grabbed.number)

    def _take(self, until_s: float) -> Grabbed | None:
        """The newest picture that nobody took, None when none came until then, or at the end."""
        with self._state:
            self._state.wait_for(
                lambda: self._latest is not None or self._error is not None or self._closing.is_set(),
                max(0.0, until_s - time.perf_counter()),
            )
            grabbed, self._latest = self._latest, None
            return grabbed

    def _blank(self) -> Frame:
        with self._state:
            index, self._count = self._count, self._count + 1
        width, height = self._size
        return Frame(np.full((height, width, 3), BLANK_GREY, np.uint8), time.perf_counter(), index)

    def _run(self, first: Device) -> None:
        """The grab thread: owns the device from the first picture to the last."""
        device: Device | None = first
        try:
            while device is not None:
                try:
                    self._grab_until_lost(device)
                finally:
                    self._release(device)
                device = self._opened_again()
        except Exception as error:  # handed to the thread that iterates
            with self._state:
                self._error = error
                self._state.notify_all()

    def _grab_until_lost(self, device: Device) -> None:
        last_s = time.perf_counter()
        while not self._closing.is_set():
            if self._grab(device):
                last_s = time.perf_counter()
            elif time.perf_counter() - last_s > LOST_AFTER_S:
                return
            else:
                self._closing.wait(BETWEEN_FAILURES_S)

    def _grab(self, device: Device) -> bool:
        try:
            if not device.grab():
                return False
            captured_s = time.perf_counter()
            whole, picture = device.retrieve()
        except DRIVER_ERRORS as error:
            logger.debug("camera %s: %s", self._name, error)
            return False
        if not whole or not is_picture(picture):
            return False
        self._size = (picture.shape[1], picture.shape[0])
        self._measure(captured_s)
        with self._state:
            self._latest = Grabbed(picture, captured_s, self._count)
            self._count += 1
            self._state.notify_all()
        return True

    def _release(self, device: Device) -> None:
        try:
            device.release()
        except DRIVER_ERRORS as error:
            logger.debug("camera %s: %s", self._name, error)

    def _measure(self, captured_s: float) -> None:
        """Frames a second over the last second."""
        recent = self._recent
        recent.append(captured_s)
        while captured_s - recent[0] > 1.0:
            recent.popleft()
        if len(recent) > 1:
            self.fps = (len(recent) - 1) / (captured_s - recent[0])

    def _opened_again(self) -> Device | None:
        """Tries until the camera is back; None when closed meanwhile."""
        if self._closing.is_set():
            return None
        self.connected, self.fps = False, 0.0
        self._recent.clear()
        logger.warning("camera %s gives no pictures; opening it again every %g s", self._name, self._retry_s)
        said = ""
        while not self._closing.wait(self._retry_s):
            try:
                device = self._open()
            except PuppetError as error:
                logger.debug("%s", error)
                continue
            except Exception as error:  # a camera on its way back may raise anything; it may still come
                line = f"camera {self._name}: {type(error).__name__}: {error}"
                if line != said:
                    logger.warning("%s", line)
                said = line
                continue
            logger.warning("camera %s is back", self._name)
            self.connected = True
            return device
        return None


def as_rgb(picture: NDArray[np.uint8]) -> Image:
    """(H, W, 3) RGB of a device's BGR or grey picture."""
    code = cv2.COLOR_GRAY2RGB if picture.ndim == 2 else cv2.COLOR_BGR2RGB
    rgb: Image = cv2.cvtColor(picture, code)
    return rgb

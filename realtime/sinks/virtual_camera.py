# SPDX-License-Identifier: MIT
"""Frames into a virtual camera that Zoom, Meet, Teams or OBS can choose. Knows no window and no file.

A meeting program that finds a camera black or gone does not look again: a card is shown from the start, and
the last picture is sent on at the camera's rate while no new one comes.
"""

import platform
import threading
import time
from typing import Any, Self

import numpy as np
from PIL import Image as PillowImage
from PIL import ImageDraw, ImageFont

from face.arrays import Image
from face.errors import SinkUnavailable, WrongUse
from face.frame import Frame
from realtime.sinks.fit import Fitter, Size

PATIENCE = 1.5  # frame times without a new picture until the last one is sent again

CURES = {
    "Linux": "make one with: sudo modprobe v4l2loopback devices=1 video_nr=10 "
    'card_label="facepuppet" exclusive_caps=1 (package v4l2loopback-dkms)',
    "Windows": "install OBS Studio 26 or newer, it brings the OBS Virtual Camera; stop it in OBS",
    "Darwin": "install OBS Studio 30 or newer, press Start and then Stop Virtual Camera in it once, allow "
    "its camera extension in the system settings, and quit OBS",
}


class VirtualCamera:
    """Sends each frame the moment it is ready; stays alive on its own between `__enter__` and `__exit__`."""

    def __init__(
        self,
        *,
        size: Size = (1280, 720),
        fps: float = 30.0,
        fit: str = "letterbox",
        device: str | None = None,
        backend: str | None = None,
        card: Image | None = None,
    ) -> None:
        """`card`: shown until the first frame (the portrait, say); `device`, `backend`: see pyvirtualcam."""
        if size[0] % 2 or size[1] % 2:
            raise WrongUse(
                f"a virtual camera of {size[0]}x{size[1]} is odd, expected even sides such as 1280x720"
            )
        if not 0 < fps <= 240:
            raise WrongUse(
                f"a virtual camera at {fps} fps was asked for, expected more than 0 and at most 240"
            )
        self._size = size
        self._fps = fps
        self._wanted = device
        self._backend = backend
        self._fitter = Fitter(size, fit)
        self._card = starting_card(size) if card is None else card
        self._camera: Any = None
        self._last: Image = np.empty(0, np.uint8)
        self._due_s = 0.0  # when the last picture is sent again
        self._sending = threading.Lock()  # the line and the thread that keeps it alive send one at a time
        self._closing = threading.Event()
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._stay_alive, name="virtual camera", daemon=True)
        self.repeated = 0  # pictures sent again because no new one came

    @property
    def device(self) -> str:
        """What the camera is called in the programs that use it; once open."""
        return str(self._camera.device)

    def __enter__(self) -> Self:
        self._camera = self._open()
        self._send(self._fitter(self._card).copy())
        self._thread.start()
        return self

    def __call__(self, frame: Frame) -> None:
        self._send(self._fitter(frame.image))

    def __exit__(self, *exc_info: object) -> None:
        self._closing.set()
        if self._thread.is_alive():
            self._thread.join()
        self._camera.close()

    def _open(self) -> Any:
        try:
            import pyvirtualcam
        except ImportError as error:
            raise SinkUnavailable(
                f"the package pyvirtualcam cannot be loaded ({error}); run: pip install pyvirtualcam"
            ) from error
        if self._backend is not None and self._backend not in pyvirtualcam.camera.BACKENDS:
            there = ", ".join(pyvirtualcam.camera.BACKENDS)
            raise WrongUse(f"there is no virtual camera backend {self._backend!r}, this system has {there}")
        width, height = self._size
        try:
            return pyvirtualcam.Camera(
                width,
                height,
                self._fps,
                fmt=pyvirtualcam.PixelFormat.RGB,
                device=self._wanted,
                backend=self._backend,
            )
        except RuntimeError as error:
            found = "; ".join(str(error).split("\n")) or "no backend for this system"
            which = f"virtual camera {self._wanted}" if self._wanted else "virtual camera"
            cure = CURES.get(platform.system(), "Linux, Windows and macOS have one")
            raise SinkUnavailable(
                f"no {which} of {width}x{height} can be opened ({found}); {cure}"
            ) from error

    def _send(self, image: Image) -> None:
        with self._sending:
            if self._error is None:
                self._last = image
                self._hand_over(PATIENCE)
        if self._error is not None:
            raise SinkUnavailable(
                f"the virtual camera {self.device} takes no more pictures ({self._error}); "
                f"was it removed? start again once it is back"
            ) from self._error

    def _hand_over(self, patience: float) -> None:
        """Send `_last`; the lock is held. An error is kept: the next frame from the line raises it."""
        try:
            self._camera.send(self._last)
        except (RuntimeError, OSError) as error:
            self._error = error
        self._due_s = time.perf_counter() + patience / self._fps

    def _stay_alive(self) -> None:
        while not self._closing.wait(max(self._due_s - time.perf_counter(), 0.0)):
            with self._sending:
                if self._error is not None:
                    return
                if time.perf_counter() >= self._due_s:
                    self._hand_over(1.0)
                    self.repeated += 1


def starting_card(size: Size) -> Image:
    """What the camera shows until the first frame: a calm card with the program's name; (h, w, 3) RGB."""
    width, height = size
    fade = np.linspace(0.0, 1.0, height, dtype=np.float32)[:, None, None]
    rows = (1 - fade) * np.array([52, 60, 82], np.float32) + fade * np.array([24, 27, 38], np.float32)
    canvas = PillowImage.fromarray(np.repeat(rows, width, axis=1).astype(np.uint8))
    draw = ImageDraw.Draw(canvas)
    middle, unit = (width / 2, height / 2), min(width, height)
    draw.text(middle, "facepuppet", (236, 238, 245), ImageFont.load_default(max(unit / 8, 6)), anchor="mb")
    below = (middle[0], middle[1] + unit / 24)
    draw.text(below, "starting", (160, 168, 190), ImageFont.load_default(max(unit / 18, 6)), anchor="mt")
    return np.ascontiguousarray(canvas)

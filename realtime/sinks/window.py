# SPDX-License-Identifier: MIT
"""Frames into a window on the desktop, keys out of it. Knows nothing of what the keys mean."""

import os
import socket
import sys
from collections.abc import Callable
from typing import Self

import cv2
import numpy as np

from face.arrays import Image
from face.errors import SinkUnavailable
from face.frame import Frame
from realtime.frame import EndOfLine
from realtime.sinks.fit import Fitter, Size

ESCAPE = "esc"
_NAMES = {27: ESCAPE, 13: "enter", 9: "tab", 8: "backspace", 32: "space"}
_CONNECT_WITHIN_S = 1.0


class Window:
    """Shows each frame; must be used from the main thread (macOS insists).

    `on_key` gets each key by its character, letters in lower case (OpenCV's Qt window hides Shift),
    or by a name such as "enter" and "space". Escape or closing the window ends the line (EndOfLine). `pump()`
    keeps the window answering while no frame comes.
    """

    def __init__(
        self,
        title: str = "facepuppet",
        *,
        size: Size | None = None,
        fit: str = "letterbox",
        on_key: Callable[[str], None] | None = None,
    ) -> None:
        """`size` None: each picture as large as it is; the window can be resized by hand either way."""
        self._title = title
        self._size = size
        self._fitter = Fitter(size, fit) if size else None
        self._on_key = on_key
        self._bgr: Image = np.empty((0, 0, 3), np.uint8)
        self._open = False
        self._gone = False

    def __enter__(self) -> Self:
        _require_display()
        _quiet_fonts()
        flags = cv2.WINDOW_NORMAL | cv2.WINDOW_KEEPRATIO | cv2.WINDOW_GUI_NORMAL
        try:
            cv2.namedWindow(self._title, flags)
        except cv2.error as error:
            raise SinkUnavailable(
                "this OpenCV was built without windows (opencv-python-headless?); "
                "run: pip uninstall opencv-python-headless, then pip install --force-reinstall opencv-python"
            ) from error
        if self._size:
            cv2.resizeWindow(self._title, *self._size)
        self._open = True
        return self

    def __call__(self, frame: Frame) -> None:
        if self._gone:
            raise EndOfLine  # to show a picture would open a new window
        image = self._fitter(frame.image) if self._fitter else frame.image
        if self._bgr.shape != image.shape:
            if not self._size:
                cv2.resizeWindow(self._title, image.shape[1], image.shape[0])
            self._bgr = np.empty_like(image)
        cv2.cvtColor(image, cv2.COLOR_RGB2BGR, dst=self._bgr)
        cv2.imshow(self._title, self._bgr)
        self.pump()

    def pump(self) -> None:
        """Let the window answer the desktop, and deliver the keys pressed since."""
        while (code := cv2.waitKeyEx(1)) != -1:
            key = key_name(code)
            if key == ESCAPE:
                self._gone = True
                raise EndOfLine
            if key and self._on_key:
                self._on_key(key)
        if not self._visible():
            self._gone = True
            raise EndOfLine

    def __exit__(self, *exc_info: object) -> None:
        if not self._open:
            return
        self._open = False
        if self._visible():
            cv2.destroyWindow(self._title)
            cv2.waitKey(1)  # the window goes when the desktop's events are handled

    def _visible(self) -> bool:
        """Whether the window is still there; Qt raises once its last window was closed."""
        try:
            return bool(cv2.getWindowProperty(self._title, cv2.WND_PROP_VISIBLE) >= 1)
        except cv2.error:
            return False


def key_name(code: int) -> str:
    """A code of waitKeyEx as character or name; empty for what is neither (Shift alone, arrows)."""
    if not 0 < code < 0x7F:
        return ""
    return _NAMES.get(code, chr(code).lower() if chr(code).isprintable() else "")


def _quiet_fonts() -> None:
    """Name a folder of fonts that exists: the wheel names one it does not bring, and Qt complains each time.

    The window shows no text, so it needs none.
    """
    if not os.path.isdir(os.environ.get("QT_QPA_FONTDIR", os.curdir)):
        os.environ["QT_QPA_FONTDIR"] = os.path.dirname(cv2.__file__)


def _require_display() -> None:
    """Qt ends the whole process when it finds no X server, so one is looked for first. Linux only."""
    if not sys.platform.startswith("linux"):
        return
    display = os.environ.get("DISPLAY", "")
    cure = "run it on a desktop, or use another sink: --sink web, vcam or file"
    if not display:
        raise SinkUnavailable(f"a window needs a screen, and DISPLAY is not set; {cure}")
    host, _, number = display.rpartition(":")
    screen = number.partition(".")[0]
    if not screen.isdigit():
        raise SinkUnavailable(
            f"a window needs a screen, and DISPLAY is {display!r}, expected such as ':0'; {cure}"
        )
    for family, address in _addresses(host, int(screen)):
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.settimeout(_CONNECT_WITHIN_S)
            if probe.connect_ex(address) == 0:
                return
    raise SinkUnavailable(f"a window needs a screen, and no X server answers at DISPLAY={display}; {cure}")


def _addresses(host: str, screen: int) -> list[tuple[int, str | tuple[str, int]]]:
    """Where an X server of that name listens: two local sockets, or a TCP port."""
    if host in ("", "unix"):
        path = f"/tmp/.X11-unix/X{screen}"
        return [(socket.AF_UNIX, path), (socket.AF_UNIX, "\0" + path)]
    return [(socket.AF_INET, (host, 6000 + screen))]

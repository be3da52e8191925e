# SPDX-License-Identifier: MIT
"""Opens cameras through OpenCV, lists them, says why one does not open. Knows no threads and no frames."""

import logging
import os
import re
import sys
import time
from collections.abc import Callable
from typing import Any, Protocol

import cv2
import numpy as np

from face.errors import CameraUnavailable, WrongUse
from realtime.sources.devices import (
    CameraInfo,
    called,
    described,
    holders,
    is_own_output,
    linux_cameras,
    takes_pictures,
)

VGA_PIXELS = 640 * 480  # USB 2 carries this size as YUYV at 30 fps; above it MJPG is asked for
FIRST_PICTURE_S = 3.0  # a camera that is slower to give its first one is taken or broken
BETWEEN_TRIES_S = 0.01
NETWORK_TIMEOUT_MS = 5000
DRIVER_TIMEOUT_S = 2  # how long a V4L2 grab may hang before it fails
DRIVER_ERRORS = (cv2.error, OSError, RuntimeError)  # what a camera raises that is half there
PROBED = 6  # indices that are tried where the system does not list its cameras

logger = logging.getLogger(__name__)


class Device(Protocol):
    """The part of cv2.VideoCapture used once it is open; pictures are (H, W, 3) uint8 BGR, or grey."""

    def grab(self) -> bool: ...
    def retrieve(self) -> tuple[bool, Any]: ...
    def release(self) -> None: ...


def is_picture(found: Any) -> bool:
    """True for (H, W, 3 or 4) or (H, W) uint8: drivers also hand out raw and 16-bit data."""
    if not isinstance(found, np.ndarray) or found.dtype != np.uint8 or not found.size:
        return False
    return found.ndim == 2 or (found.ndim == 3 and found.shape[2] in (3, 4))


def shown(address: int | str) -> str:
    """An address as it may stand in a log: without the password of a URL."""
    return re.sub(r"//[^/@]*@", "//...@", str(address))


def list_cameras(*, own: bool = False) -> list[CameraInfo]:
    """The cameras of this machine; virtual cameras of our own only when `own`.

    Where the system does not list them (Windows, macOS) the first few are opened and closed again.
    """
    if sys.platform == "linux":
        return linux_cameras(own=own)
    found = []
    for index in range(PROBED):
        capture = cv2.VideoCapture(index, _backend(index))
        if capture.isOpened():
            found.append(CameraInfo(index, f"camera {index}"))
        capture.release()
    return found


def open_device(
    address: int | str,
    size: tuple[int, int],
    fps: float,
    *,
    capture: Callable[..., cv2.VideoCapture] = cv2.VideoCapture,
) -> Device:
    """An open camera that has given its first picture; CameraUnavailable says why not."""
    _quieten_opencv()
    where = _located(address)
    backend = _backend(where)
    timeouts = (cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, cv2.CAP_PROP_READ_TIMEOUT_MSEC)
    limits = [value for timeout in timeouts for value in (timeout, NETWORK_TIMEOUT_MS)]
    device, opened = None, False
    try:
        device = capture(where, backend, limits if backend == cv2.CAP_FFMPEG else [])
        opened = device.isOpened()
        if opened:
            if backend != cv2.CAP_FFMPEG:
                _ask_for(device, backend, size, fps)
            got = _size_of_first(device)
            if got is not None:
                if got != size:
                    logger.info("camera %s gives %d x %d, asked: %d x %d", shown(address), *got, *size)
                return device
    except DRIVER_ERRORS as error:
        logger.debug("camera %s: %s", shown(address), error)
    if device is not None:
        device.release()
    raise CameraUnavailable(_why_not(address, where, opened))


def _size_of_first(device: cv2.VideoCapture) -> tuple[int, int] | None:
    """Width and height of the first picture; None when none came in time."""
    deadline_s = time.perf_counter() + FIRST_PICTURE_S
    while time.perf_counter() < deadline_s:
        whole, picture = device.read()
        if whole and is_picture(picture):
            return picture.shape[1], picture.shape[0]
        time.sleep(BETWEEN_TRIES_S)
    return None


def _ask_for(device: cv2.VideoCapture, backend: int, size: tuple[int, int], fps: float) -> None:
    """Format before size before rate: each is offered within the one before. A refusal is no error."""
    if size[0] * size[1] > VGA_PIXELS:
        device.set(cv2.CAP_PROP_FOURCC, cv2.VideoWriter.fourcc(*"MJPG"))
    elif backend == cv2.CAP_V4L2:
        device.set(cv2.CAP_PROP_FOURCC, cv2.VideoWriter.fourcc(*"YUYV"))
    device.set(cv2.CAP_PROP_FRAME_WIDTH, size[0])
    device.set(cv2.CAP_PROP_FRAME_HEIGHT, size[1])
    device.set(cv2.CAP_PROP_FPS, fps)
    device.set(cv2.CAP_PROP_BUFFERSIZE, 1)


def _located(address: int | str) -> int | str:
    """What OpenCV opens: an index, a /dev path or a URL; names are looked up anew each time."""
    if isinstance(address, str) and "://" in address:
        return address
    name = shown(address)
    if isinstance(address, str) and not address.startswith("/dev/"):
        camera = _called(address)
        address = camera.path or camera.index
    if isinstance(address, int):
        if sys.platform != "linux":
            return address
        address = f"/dev/video{address}"
    _check_node(address, name)
    return address


def _called(name: str) -> CameraInfo:
    """The one camera of that name; our own outputs count only where nothing else is called so."""
    everything = called(name, list_cameras(own=True))
    matches = [camera for camera in everything if not is_own_output(camera.name)] or everything
    if not matches:
        here = described(list_cameras())
        raise CameraUnavailable(f"no camera is called {name!r}; {here}; plug it in or name another")
    if len(matches) > 1:
        here = described(matches)
        raise WrongUse(f"{len(matches)} cameras are called {name!r}, expected one; {here}; give the number")
    return matches[0]


def _check_node(path: str, name: str) -> None:
    if not os.path.exists(path):
        here = described(list_cameras())
        raise CameraUnavailable(f"camera {name} is not there; {here}; plug it in or name another")
    try:
        os.close(os.open(path, os.O_RDWR | os.O_NONBLOCK))
    except PermissionError as error:
        raise CameraUnavailable(
            f"camera {name} may not be opened by this user; join the group that owns {path} "
            "(usually video) and log in again"
        ) from error
    except OSError as error:  # busy, or half unplugged: what opens it says more
        logger.debug("%s", error)
    if not takes_pictures(path):
        raise CameraUnavailable(
            f"{name} gives no pictures (a camera's second node, or a virtual camera nobody writes to); "
            f"{described(list_cameras())}; name one of these"
        )


def _why_not(address: int | str, where: int | str, opened: bool) -> str:
    """One line about a camera that is there and does not work."""
    name = shown(address)
    if isinstance(where, str) and "://" in where:
        return f"no picture came from {name} within {NETWORK_TIMEOUT_MS // 1000} s; check address and network"
    others = holders(os.path.realpath(where)) if isinstance(where, str) else []
    found = "opens but gives no picture" if opened else "cannot be opened"
    cause = f"it is held by {', '.join(others[:3])}" if others else "probably another program has it"
    here = described(list_cameras()) if sys.platform == "linux" else "`facepuppet devices` lists all"
    return f"camera {name} {found}: {cause}; close that program or name another camera; {here}"


def _backend(where: int | str) -> int:
    """The system's own capture interface; FFmpeg for what comes over the network."""
    if isinstance(where, str) and "://" in where:
        return int(cv2.CAP_FFMPEG)
    systems = {"linux": cv2.CAP_V4L2, "win32": cv2.CAP_MSMF, "darwin": cv2.CAP_AVFOUNDATION}
    return int(systems.get(sys.platform, cv2.CAP_ANY))


def _quieten_opencv() -> None:
    """Its lines about a camera would stand beside ours; read when the first one is opened."""
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_ERROR)
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    os.environ.setdefault("OPENCV_VIDEOIO_V4L_SELECT_TIMEOUT", str(DRIVER_TIMEOUT_S))
    os.environ.setdefault("OPENCV_VIDEOIO_MSMF_ENABLE_HW_TRANSFORMS", "0")  # with them opening takes long

# SPDX-License-Identifier: MIT
"""Where frames come from: camera, video file, image folder, test card. Knows no tracker."""

import os
from pathlib import Path

from face.errors import WrongUse
from face.photo import SUFFIXES
from realtime.frame import Source
from realtime.sources.camera import Camera
from realtime.sources.devices import CameraInfo
from realtime.sources.images import Images
from realtime.sources.opencv_device import list_cameras
from realtime.sources.testcard import SMALLEST, TestCard
from realtime.sources.video import Video

__all__ = ["SOURCES", "Camera", "CameraInfo", "Images", "TestCard", "Video", "list_cameras", "open_source"]

SOURCES: dict[str, type[Source]] = {"camera": Camera, "video": Video, "images": Images, "testcard": TestCard}

VIDEO_SUFFIXES = frozenset(".mp4 .mov .m4v .mkv .webm .avi .gif .mpg .mpeg .ts .wmv .flv .3gp".split())
OFFLINE_CARD_S = 10.0  # a test card that nobody watches live has to end


def open_source(
    spec: str,
    *,
    fps: float = 30.0,
    size: tuple[int, int] = (640, 480),
    live: bool = True,
    loop: bool = False,
) -> Source:
    """The source a user means: "0", "/dev/video0", a camera's name, a URL, a file, a folder or "testcard".

    A file or folder wins over a camera of that name ("./0" is a file called 0). `fps` is asked of a camera
    and is the rate of pictures and test cards, a video keeps its own times; `size` (width, height) is asked
    of a camera and is the test card's, files keep theirs. `loop` plays a file or folder over and over, live.
    """
    spec = spec.strip()
    _check(spec, fps, size, live, loop)
    if spec == "testcard":
        return TestCard(size, fps, live=live, frames=None if live else round(OFFLINE_CARD_S * fps))
    path = Path(spec)
    if not _is_address(spec):
        if _exists(path):
            if os.path.isdir(path) or path.suffix.lower() in SUFFIXES - VIDEO_SUFFIXES:
                return Images(path, fps=fps, live=live, loop=loop)
            return Video(path, live=live, loop=loop)
        if len(path.parts) > 1 or path.suffix.lower() in SUFFIXES | VIDEO_SUFFIXES:
            raise WrongUse(f"{spec} does not exist, expected a video, a picture or a folder; check the path")
    if not live:
        raise WrongUse(f"{spec} is a camera, expected a file or a folder that ends; record it first")
    return Camera(int(spec) if spec.isdecimal() else spec, size=size, fps=fps)


def _check(spec: str, fps: float, size: tuple[int, int], live: bool, loop: bool) -> None:
    if not spec:
        raise WrongUse("the source has no name, expected a camera, a file, a folder or testcard; name one")
    if not 0 < fps <= 1000:
        raise WrongUse(f"{fps:g} frames a second were asked for, expected 1 to 1000, usually 30")
    if size[0] < SMALLEST[0] or size[1] < SMALLEST[1]:
        raise WrongUse(
            f"size {size[0]}x{size[1]} was asked for, expected at least {SMALLEST[0]}x{SMALLEST[1]}"
        )
    if loop and not live:
        raise WrongUse("a loop was asked for offline, where it never ends; play it live or leave loop away")


def _is_address(spec: str) -> bool:
    """True for what can only be a camera."""
    return spec.isdecimal() or "://" in spec or spec.startswith("/dev/")


def _exists(path: Path) -> bool:
    """True also for what this user may not see: whoever opens it says so."""
    try:
        path.stat()
    except PermissionError:
        return True
    except (OSError, ValueError):  # a name that cannot be one
        return False
    return True

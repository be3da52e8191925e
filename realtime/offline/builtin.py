# SPDX-License-Identifier: MIT
"""What comes along so that the main job needs no camera: a portrait, and a driver clip made from it.

The driver is our own mesh puppet playing a script: real frames go through capture, tracker, puppet and sink.
"""

import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Self

import cv2
import numpy as np

from face.arrays import Image
from face.errors import ModelUnavailable
from face.frame import Frame
from face.photo import read_photo
from face.scripted import PERIOD_S, scripted_clip
from methods.method import Opening
from methods.portrait import open_portrait
from methods.registry import open_puppet
from methods.subject import Photo
from realtime.pipeline import Step, play
from realtime.sinks.file import FileSink

CAMERA_SIZE = (640, 480)
DRAWN_BY = "mesh"  # the method that needs nothing
PORTRAIT_SIZE = (512, 512)
# Left, top, right, bottom in the photo's 512 x 512 pixels: head and shoulders, as a webcam shows them.
CAMERA_CROP = (27, 0, 427, 300)
PORTRAIT_CROP = (72, 0, 382, 310)


def portrait_path() -> Path:
    """The photo that comes with scikit-image: Eileen Collins, NASA, public domain."""
    spec = find_spec("skimage")
    if spec is None or not spec.submodule_search_locations:
        raise ModelUnavailable(
            "scikit-image brings the built-in portrait and is missing; run: pip install scikit-image"
        )
    return Path(spec.submodule_search_locations[0]) / "data" / "astronaut.png"


def driver_portrait() -> Image:
    """The photo as a webcam would have taken it."""
    return _part(CAMERA_CROP, CAMERA_SIZE)


def second_portrait() -> Image:
    """The same photo closer and seen in a mirror: a picture the driver clip was not made from."""
    return np.ascontiguousarray(_part(PORTRAIT_CROP, PORTRAIT_SIZE)[:, ::-1])


def _part(box: tuple[int, int, int, int], size: tuple[int, int]) -> Image:
    left, top, right, bottom = box
    part = read_photo(portrait_path())[top:bottom, left:right]
    return np.asarray(cv2.resize(part, size, interpolation=cv2.INTER_CUBIC), np.uint8)


def write_driver(
    path: Path,
    *,
    seconds: float = PERIOD_S,
    fps: float = 30.0,
    on_frame: Callable[[int], None] | None = None,
) -> int:
    """Render the scripted driver into an mp4 the size of a webcam picture; returns its number of frames.

    `on_frame` is told how many are done.
    """
    photo = driver_portrait()
    landmarks = open_portrait(photo).landmarks
    motions = tuple(scripted_clip(landmarks, CAMERA_SIZE, fps=fps, seconds=seconds))
    puppet = open_puppet(DRAWN_BY, Photo("the driver", photo), Opening(longest=max(CAMERA_SIZE)))

    def draw(frame: Frame) -> Image:
        return puppet(motions[frame.index], frame)

    def count(frame: Frame) -> None:
        if on_frame is not None:
            on_frame(frame.index + 1)

    with _Ticks(len(motions), fps) as ticks, FileSink(path, fps=fps, live=False) as sink:
        play(ticks, Step("driver", draw), sink=sink, on_delivered=count)
    return len(motions)


class _Ticks:
    """A Source of empty pictures, one for each scripted motion."""

    live = False

    def __init__(self, count: int, fps: float) -> None:
        self.fps = fps
        self._count = count
        self._empty = np.zeros((1, 1, 3), np.uint8)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._count = 0

    def __iter__(self) -> Iterator[Frame]:
        for index in range(self._count):
            yield Frame(self._empty, time.perf_counter(), index, index / self.fps)

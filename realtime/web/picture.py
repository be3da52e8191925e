# SPDX-License-Identifier: MIT
"""WebSink: the newest frame as one JPEG, however many browsers look on. Knows no network.

Nothing queues here: a frame that nobody fetched in time is gone when the next one comes.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

import cv2

from face.frame import Frame

JPEG_QUALITY = 85

# An XMP packet with the IPTC digital source type: a saved picture says by itself that a machine made it.
_XMP = (
    b"http://ns.adobe.com/xap/1.0/\x00"
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    b'<rdf:Description rdf:about="" xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/" '
    b'Iptc4xmpExt:DigitalSourceType="http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"/>'
    b"</rdf:RDF></x:xmpmeta>"
)
_MARK = b"\xff\xe1" + (len(_XMP) + 2).to_bytes(2, "big") + _XMP  # one APP1 segment


@dataclass(frozen=True, slots=True)
class Picture:
    """One encoded frame."""

    sequence: int  # counts encoded frames from 1; a gap seen by a client is a frame it skipped
    captured_s: float  # time.perf_counter() of the driver's frame behind it
    encoded_s: float  # time.perf_counter() when the JPEG was ready
    size: tuple[int, int]  # width, height
    jpeg: bytes


class WebSink:
    """A Sink for browsers. Call it from one thread; watch it from any.

    Encodes only while somebody watches, in the caller's thread, once a frame. `mark` writes the
    machine-readable note that the picture is synthetic into each JPEG.
    """

    def __init__(self, *, quality: int = JPEG_QUALITY, mark: bool = True) -> None:
        if not 1 <= quality <= 100:
            raise ValueError(f"quality is {quality}, expected 1 to 100")
        self._options = [cv2.IMWRITE_JPEG_QUALITY, quality]
        self._mark = mark
        self._lock = threading.Lock()
        self._latest: Picture | None = None
        self._watchers: dict[int, Callable[[], None]] = {}
        self._next_watcher = 0
        self._sequence = 0
        self._closed = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def __call__(self, frame: Frame) -> None:
        """Publish one frame: RGB, any size."""
        with self._lock:
            watched = bool(self._watchers) and not self._closed
        if not watched:
            return
        jpeg = self._encode(frame)
        height, width = frame.image.shape[:2]
        with self._lock:
            self._sequence += 1
            self._latest = Picture(
                self._sequence, frame.captured_s, time.perf_counter(), (width, height), jpeg
            )
            watchers = list(self._watchers.values())
        for wake in watchers:
            wake()

    def close(self) -> None:
        """Take no more frames. Watchers keep the last picture."""
        with self._lock:
            self._closed = True

    def latest(self) -> Picture | None:
        """The newest picture; None until a frame was published while somebody watched."""
        with self._lock:
            return self._latest

    @property
    def watchers(self) -> int:
        """How many look on now."""
        with self._lock:
            return len(self._watchers)

    def watch(self, wake: Callable[[], None]) -> Callable[[], None]:
        """Have `wake` called, from the publishing thread, after each new picture; returns what ends it.

        `wake` must neither block nor raise.
        """
        with self._lock:
            key = self._next_watcher
            self._next_watcher += 1
            self._watchers[key] = wake

        def unwatch() -> None:
            with self._lock:
                self._watchers.pop(key, None)
                if not self._watchers:
                    self._latest = None  # nobody shall begin with a picture from long ago

        return unwatch

    def _encode(self, frame: Frame) -> bytes:
        bgr = cv2.cvtColor(frame.image, cv2.COLOR_RGB2BGR)
        done, buffer = cv2.imencode(".jpg", bgr, self._options)
        if not done:
            raise ValueError(f"a frame of shape {frame.image.shape} cannot be written as JPEG")
        jpeg: bytes = buffer.tobytes()
        return jpeg[:2] + _MARK + jpeg[2:] if self._mark else jpeg

# SPDX-License-Identifier: MIT
"""BrowserSource: frames that a page sends from its own camera. Knows no network and no tracker.

Time of capture is the arrival of the last byte here: the browser's clock is not ours, so the way from lens to
socket is not in it. The page measures the whole round trip by itself and shows it.
"""

import io
import threading
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

import cv2
import numpy as np
from PIL import Image as PillowImage

from face.arrays import Image
from face.frame import Frame

LARGEST_BLOB = 2_000_000  # bytes; a 1280x720 JPEG of a webcam has about 150,000
LARGEST_SIDE = 2560  # pixels
SMALLEST_SIDE = 16
FORMATS = ("JPEG", "WEBP")
LONGEST_PAUSE_S = 3.0  # between two pictures of a page on a slow computer; after it nobody sends


class BadBlob(ValueError):
    """A message from the page that is no picture we take; its text is one line for the page."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """One blob that was taken in."""

    blob: bytes
    captured_s: float  # time.perf_counter() of its arrival
    index: int  # counts what the source took in, so a blob that was never fetched leaves a gap


def check_blob(blob: bytes) -> tuple[int, int]:
    """Width and height from the header alone; BadBlob says what is wrong. Nothing is decoded."""
    if len(blob) > LARGEST_BLOB:
        raise BadBlob(
            f"picture of {len(blob)} bytes, expected at most {LARGEST_BLOB}; lower the camera's size"
        )
    try:
        with PillowImage.open(io.BytesIO(blob), formats=FORMATS) as header:
            width, height = header.size
    except (OSError, ValueError, SyntaxError, PillowImage.DecompressionBombError) as error:
        raise BadBlob(f"{len(blob)} bytes that are no JPEG or WebP picture") from error
    if max(width, height) > LARGEST_SIDE or min(width, height) < SMALLEST_SIDE:
        raise BadBlob(
            f"picture of {width}x{height}, expected sides of {SMALLEST_SIDE} to {LARGEST_SIDE}; "
            f"choose another camera size"
        )
    if not _is_whole(blob):
        raise BadBlob(f"a picture that breaks off after {len(blob)} bytes")
    return width, height


def _is_whole(blob: bytes) -> bool:
    """Decoders paint the missing part grey and call it done, so the end is looked for here."""
    if blob[:2] == b"\xff\xd8":
        return blob.rstrip(b"\x00")[-2:] == b"\xff\xd9"
    return len(blob) >= int.from_bytes(blob[4:8], "little") + 8  # RIFF: the length stands in the header


def _decode(blob: bytes) -> Image:
    """(H, W, 3) uint8 RGB of a checked blob; BadBlob when it does not decode."""
    bgr = cv2.imdecode(np.frombuffer(blob, np.uint8), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    if bgr is None:
        raise BadBlob(f"{len(blob)} bytes that begin like a picture and do not decode")
    rgb: Image = cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB)
    return rgb


class BrowserSource:
    """A live Source fed by `offer`, from any thread; iterate it from one.

    One-place mailbox: a newer picture takes the place of one nobody fetched, and one older than a pause is
    not handed out. While no page sends, it hands out an even grey picture at `idle_fps`, in which no face is
    found: the line lives on and the portrait idles. A pause is `pause_s`, or twice what a slow page takes
    from picture to picture.
    """

    live = True

    def __init__(
        self, *, pause_s: float = 0.5, idle_fps: float = 15.0, size: tuple[int, int] = (640, 480)
    ) -> None:
        if pause_s <= 0 or idle_fps <= 0:
            raise ValueError(f"pause_s is {pause_s} and idle_fps {idle_fps}, expected both above 0")
        self._pause_s = self._shortest_pause_s = pause_s
        self._idle_s = 1.0 / idle_fps
        self._blank = np.full((size[1], size[0], 3), 96, np.uint8)
        self._wakeup = threading.Condition()
        self._mailbox: Arrival | None = None
        self._closed = False
        self._index = 0
        self._last_s = -1e9  # arrival of the newest blob
        self._arrivals: deque[float] = deque(maxlen=240)
        self._refused = 0
        self._dropped = 0
        self._refusal = ""

    def __enter__(self) -> Self:
        with self._wakeup:
            self._closed = False
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def close(self) -> None:
        """End the iteration, from any thread, at once."""
        with self._wakeup:
            self._closed = True
            self._mailbox = None
            self._wakeup.notify_all()

    def offer(self, blob: bytes) -> Arrival:
        """Take one JPEG or WebP blob; BadBlob when its header is none. Never waits for the line."""
        try:
            check_blob(blob)
        except BadBlob as error:
            self._refuse(error)
            raise
        with self._wakeup:
            self._dropped += self._mailbox is not None
            arrival = Arrival(blob, time.perf_counter(), self._index)
            self._index += 1
            self._mailbox = arrival
            slow_s = 2 * (arrival.captured_s - self._last_s)
            self._pause_s = max(self._shortest_pause_s, slow_s if slow_s <= LONGEST_PAUSE_S else 0.0)
            self._last_s = arrival.captured_s
            self._arrivals.append(arrival.captured_s)
            self._wakeup.notify()
        return arrival

    def __iter__(self) -> Iterator[Frame]:
        next_blank_s = time.perf_counter()
        while True:
            arrival = self._wait(next_blank_s)
            if self._closed:
                return
            if arrival is None:
                next_blank_s = time.perf_counter() + self._idle_s
                yield self._blank_frame()
                continue
            next_blank_s = arrival.captured_s + self._pause_s
            try:
                image = _decode(arrival.blob)
            except BadBlob as error:
                self._refuse(error)
                continue
            yield Frame(image, arrival.captured_s, arrival.index)

    @property
    def fps(self) -> float:
        """Pictures that arrived in the last second; 0 while no page sends."""
        with self._wakeup:
            now = time.perf_counter()
            return float(sum(now - instant <= 1.0 for instant in self._arrivals))

    @property
    def sending(self) -> bool:
        """True while a page's pictures arrive."""
        with self._wakeup:
            return time.perf_counter() - self._last_s < self._pause_s

    @property
    def refused(self) -> int:
        """Blobs turned away since the start."""
        with self._wakeup:
            return self._refused

    @property
    def dropped(self) -> int:
        """Blobs that a newer one replaced before the line fetched them."""
        with self._wakeup:
            return self._dropped

    @property
    def refusal(self) -> str:
        """Why the last refused blob was refused, one line; empty when none was."""
        with self._wakeup:
            return self._refusal

    def _wait(self, until_s: float) -> Arrival | None:
        """The newest blob, or None at `until_s` or when closed."""
        with self._wakeup:
            while self._mailbox is None and not self._closed:
                left_s = until_s - time.perf_counter()
                if left_s <= 0 or not self._wakeup.wait(left_s):
                    break
            arrival, self._mailbox = self._mailbox, None
            if arrival is not None and time.perf_counter() - arrival.captured_s > self._pause_s:
                self._dropped += 1  # it lay here while another source was chosen
                return None
            return arrival

    def _refuse(self, error: BadBlob) -> None:
        with self._wakeup:
            self._refused += 1
            self._refusal = str(error)

    def _blank_frame(self) -> Frame:
        with self._wakeup:
            frame = Frame(self._blank, time.perf_counter(), self._index)
            self._index += 1
            return frame

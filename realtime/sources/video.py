# SPDX-License-Identifier: MIT
"""A video file as a source: paced like a camera, or every frame as it is fetched. Knows no devices."""

import logging
import math
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, Self

import av
import numpy as np
from av.sidedata.sidedata import Type

from face.arrays import Image
from face.errors import BadVideo, WrongUse
from face.frame import Frame
from realtime.media import moving_pictures, open_media
from realtime.sources.pacing import Pace

EXPECTED = "expected a video (MP4, MOV, MKV, WebM, AVI or GIF)"
USUAL_FPS = 30.0  # where a file states none
TICKS_FPS = 1000  # from here on a file states the ticks of its clock
CATCH_UP_S = (
    0.25  # longest time spent on skipping; then the clock slips, so that a slow machine shows something
)
TEXT_AS_VIDEO = "tty"  # FFmpeg types text files onto a screen of its own and calls that a video
MISSING_S = 0.5  # a clip that ends this much before its stated end may have been cut off

logger = logging.getLogger(__name__)


class Decoded(NamedTuple):
    picture: av.VideoFrame
    number: int  # counts up from 0, on through loops
    media_s: float  # seconds from the clip's first frame, on through loops
    shown_s: float


class Video:
    """A Source of one file's frames, turned and mirrored as its marks say, with square pixels; one pass.

    Live it keeps the file's own times (also where its frame rate varies), counts as captured what is due, and
    leaves out what nobody fetched; `loop` starts again at the end. Offline every frame comes, with `media_s`.
    A file that was cut off is played as far as it goes, with a warning. Raises BadVideo at once where no
    frame can be had, WrongUse where there is no such file.
    """

    def __init__(self, path: str | Path, *, live: bool = True, loop: bool = False) -> None:
        if loop and not live:
            raise ValueError("loop is for live sources: an offline clip would never end")
        self.live = live
        self._loop = loop
        self._clip = _Clip(Path(path))
        self.fps = self._clip.fps
        self._pace = Pace()
        self._decoding = threading.Lock()  # held while the file is in use, so that nobody closes it meanwhile
        self._frames = self._numbered()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._pace.close()
        with self._decoding:
            self._clip.close()

    def __iter__(self) -> Iterator[Frame]:
        return self._paced() if self.live else self._every()

    def _every(self) -> Iterator[Frame]:
        while (decoded := self._next()) is not None:
            yield Frame(
                upright(decoded.picture, self._clip.pixel_aspect),
                time.perf_counter(),
                decoded.number,
                decoded.media_s,
                decoded.shown_s,
            )

    def _paced(self) -> Iterator[Frame]:
        current = self._next()
        while current is not None:
            due_s = self._pace.due_s(current.media_s)
            following = self._next()
            give_up_s = time.perf_counter() + CATCH_UP_S
            while following is not None and self._pace.due_s(following.media_s) <= time.perf_counter():
                current, following = following, self._next()
                due_s = self._pace.due_s(current.media_s)
                now_s = time.perf_counter()
                if now_s > give_up_s:
                    self._pace.slip(now_s - due_s)
                    due_s = now_s
            image = upright(current.picture, self._clip.pixel_aspect)
            if not self._pace.wait_until(due_s):
                return
            yield Frame(image, due_s, current.number)
            current = following

    def _next(self) -> Decoded | None:
        with self._decoding:
            return None if self._pace.closed else next(self._frames, None)

    def _numbered(self) -> Iterator[Decoded]:
        number, offset_s = 0, 0.0
        while True:
            end_s = 0.0
            for picture, media_s, shown_s in self._clip.pictures():
                yield Decoded(picture, number, offset_s + media_s, shown_s)
                number += 1
                end_s = media_s + shown_s
            # Some formats count their length from 0, others from their first frame: the kinder reading holds.
            self._report_what_is_missing(end_s + max(0.0, self._clip.start_s))
            if not self._loop:
                return
            offset_s += end_s
            self._clip.reopen()

    def _report_what_is_missing(self, end_s: float) -> None:
        clip = self._clip
        if clip.damaged:
            logger.warning("%s: damaged pieces that were left out: %d", clip.path, clip.damaged)
        stated_s = clip.duration_s
        if stated_s is None or stated_s - end_s < max(MISSING_S, 2 / self.fps):
            return
        logger.warning(
            "%s: its pictures end after %.1f s, the file says %.1f s; what is there is used; "
            "if it was cut off, copy it again",
            clip.path,
            end_s,
            stated_s,
        )


class _Clip:
    """An open file, read from start to end once per opening; its first frame is read when it is opened."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.damaged = 0  # packets that did not decode
        self._open()

    def reopen(self) -> None:
        """Back to the start; by opening again, since not every format can seek."""
        self.close()
        self._open()

    def close(self) -> None:
        self._container.close()

    def pictures(self) -> Iterator[tuple[av.VideoFrame, float, float]]:
        """Each frame, its seconds from the first, and how long it is shown; times never run backwards."""
        last_s = -1.0 / self.fps
        for picture in self._decoded:
            if picture.time is None:
                media_s = last_s + 1.0 / self.fps
            else:
                media_s = max(picture.time - self.start_s, last_s, 0.0)
            last_s = media_s
            shown_s = float((picture.duration or 0) * (picture.time_base or 0))
            yield picture, media_s, shown_s if shown_s > 0 else 1.0 / self.fps

    def _open(self) -> None:
        self._container = _open_container(self.path)
        try:
            stream = self._video_stream()
            rates = (stream.average_rate, stream.guessed_rate)
            self.fps = next((float(rate) for rate in rates if rate and rate < TICKS_FPS), USUAL_FPS)
            self.pixel_aspect = float(stream.sample_aspect_ratio or 1)  # width of a pixel over its height
            self.duration_s = self._stated_duration_s(stream)
            self._decoded = self._decode(stream)
            first = next(self._decoded, None)
            if first is None:
                raise BadVideo(f"{self.path} holds no frame that can be shown, {EXPECTED}; record it again")
        except BaseException:
            self._container.close()
            raise
        self.start_s = float(first.time or 0.0)  # as the file counts
        rest = self._decoded
        self._decoded = (picture for part in ((first,), rest) for picture in part)

    def _video_stream(self) -> av.VideoStream:
        if self._container.format.name == TEXT_AS_VIDEO:
            raise BadVideo(f"{self.path} is no video but a text, {EXPECTED}; name another")
        stream = moving_pictures(self._container)
        if stream is not None:
            return stream
        kinds = ", ".join(sorted({stream.type for stream in self._container.streams})) or "nothing"
        raise BadVideo(f"{self.path} holds no moving pictures (found: {kinds}), {EXPECTED}; name another")

    def _stated_duration_s(self, stream: av.VideoStream) -> float | None:
        """What the file says; the whole file's length counts for its only stream."""
        if stream.duration is not None and stream.time_base is not None:
            return float(stream.duration * stream.time_base)
        if self._container.duration is not None and len(self._container.streams) == 1:
            return float(self._container.duration / av.time_base)
        return None

    def _decode(self, stream: av.VideoStream) -> Iterator[av.VideoFrame]:
        packets = self._container.demux(stream)
        while True:
            try:
                packet = next(packets, None)
            except av.FFmpegError as error:
                logger.warning("%s cannot be read on: %s", self.path, error.strerror)
                return
            if packet is None:
                return
            try:
                yield from packet.decode()
            except av.FFmpegError:
                self.damaged += 1


def upright(picture: av.VideoFrame, pixel_aspect: float) -> Image:
    """(H, W, 3) RGB of a decoded frame: square pixels, turned and mirrored by its display matrix."""
    width = max(1, round(picture.width * pixel_aspect))
    image: Image = picture.to_ndarray(format="rgb24", width=width, height=picture.height)
    a, b, c, d = _display_matrix(picture)
    if abs(a) + abs(d) < abs(b) + abs(c):  # of angles between quarter turns the nearer one counts
        image, a, d = image.transpose(1, 0, 2), c, b
    return np.ascontiguousarray(image[:: -1 if d < 0 else 1, :: -1 if a < 0 else 1])


def _display_matrix(picture: av.VideoFrame) -> tuple[float, float, float, float]:
    """a, b, c, d of x' = a x + c y, y' = b x + d y, which bring the stored picture upright; y points down."""
    try:
        marks = picture.side_data.get(Type.DISPLAYMATRIX)
    except ValueError:  # of a frame with marks that PyAV has no name for (EXIF), it still tells the angle
        turn = math.radians(picture.rotation)  # counter-clockwise
        return math.cos(turn), -math.sin(turn), math.sin(turn), math.cos(turn)
    if marks is None:
        return 1, 0, 0, 1
    rows = np.frombuffer(marks, np.int32).reshape(3, 3)
    return float(rows[0, 0]), float(rows[0, 1]), float(rows[1, 0]), float(rows[1, 1])


def _open_container(path: Path) -> av.container.InputContainer:
    try:
        if path.is_dir():
            raise BadVideo(f"{path} is a folder, {EXPECTED}; name a file in it")
        if path.exists() and not path.is_file():
            raise BadVideo(f"{path} is a device or a pipe, {EXPECTED}; name a file")
        return open_media(path)
    except FileNotFoundError as error:
        raise WrongUse(f"{path} does not exist, {EXPECTED}; check the path") from error
    except PermissionError as error:
        raise BadVideo(f"{path} may not be read by this user, {EXPECTED}; change its permissions") from error
    except (av.FFmpegError, OSError) as error:
        raise BadVideo(f"{path} is no video or was cut off, {EXPECTED}; copy or record it again") from error

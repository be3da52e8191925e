# SPDX-License-Identifier: MIT
"""Frames into an H.264 file, live or offline. Knows no device."""

import logging
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any, Self

import av
import numpy as np
from av.video.reformatter import ColorRange, Colorspace

from face.arrays import Image
from face.errors import PuppetError, SinkUnavailable, WrongUse
from face.frame import Frame
from realtime.badge import synthetic_metadata
from realtime.sinks.audio import add_sound
from realtime.sinks.fit import Fitter, Size
from realtime.sinks.mp4 import MUXER_OPTIONS, SUFFIXES, Mp4File, reason

log = logging.getLogger(__name__)

TICKS = 90_000  # a second; the clock of every picture in the file
_BT709 = 1  # in H.264's tables of colour primaries, transfer and matrix alike
# Live, the encoder shares the processor with the line: fast, and no look-ahead (a crash would lose it).
LIVE = {"preset": "ultrafast", "tune": "zerolatency", "crf": "20", "threads": "1"}
OFFLINE = {"preset": "veryfast", "crf": "17", "bf": "0"}  # without B pictures the first one lies at zero


class FileSink:
    """Writes an mp4 (or m4v, mov) that carries the mark of synthetic media.

    Live, pictures lie on their time of capture, and the file has its name from the start: it plays up to the
    last second whatever happens, disk full and lost power included. Offline, they lie on `media_s` (or index
    over fps); the file is written beside its name and gets it only when complete: no failed render stays.
    """

    def __init__(
        self,
        path: Path,
        *,
        fps: float = 30.0,
        live: bool = True,
        size: Size | None = None,
        fit: str = "letterbox",
        audio_from: Path | None = None,
        mark: bool = True,
    ) -> None:
        """`size` None: the first picture's; later pictures are fitted to it. `audio_from`: offline only."""
        if path.suffix.lower() not in SUFFIXES:
            raise WrongUse(f"the output is {str(path)!r}, expected a name that ends in {', '.join(SUFFIXES)}")
        if not 0 < fps <= 1000:
            raise WrongUse(f"fps is {fps}, expected more than 0 and at most 1000")
        if live and audio_from is not None:
            raise ValueError("sound is carried over offline only: live there is no file to take it from")
        self.path = path
        self._writing = path if live else path.with_name(f".{path.stem}.unfinished{path.suffix}")
        self._live = live
        self._fps = fps
        self._size = size
        self._fit = fit
        self._audio_from = audio_from
        self._metadata = synthetic_metadata() if mark else {}
        self._instant: Callable[[Frame], float] = self._captured if live else self._scheduled
        self._file: Mp4File | None = None
        self._encoder: _Encoder | None = None
        self._fitter: Fitter | None = None
        self._origin_s = 0.0

    @property
    def frames(self) -> int:
        """Pictures handed to the encoder so far."""
        return self._encoder.frames if self._encoder else 0

    def __enter__(self) -> Self:
        try:
            self._check_place()
            self._file = Mp4File(self._writing)
        except OSError as error:
            raise SinkUnavailable(
                f"{self.path} cannot be written ({reason(error)}); choose another place"
            ) from error
        return self

    def __call__(self, frame: Frame) -> None:
        if self._file is None:
            raise ValueError("the file sink is not open: use it in a with statement, and not after it failed")
        try:
            if self._encoder is None or self._fitter is None:
                self._start(frame)
            assert self._encoder is not None and self._fitter is not None
            at_s = self._instant(frame) - self._origin_s
            self._encoder.write(self._fitter(frame.image), at_s, frame.shown_s)
        except (OSError, av.FFmpegError) as error:
            raise self._give_up(error) from error

    def __exit__(self, *exc_info: object) -> None:
        failed = bool(exc_info) and exc_info[0] is not None
        if self._file is None:
            return
        if not self._live and failed:
            self._abandon()
            log.info("%s was not finished; nothing is left of it", self.path)
            return
        try:
            self._finish()
        except (OSError, av.FFmpegError) as error:
            failure = self._give_up(error)
            if not failed:
                raise failure from error
            log.error("%s", failure)  # the error on its way through is the one to raise
        except BaseException:  # interrupted while the end was written
            if not self._live:
                self._abandon()
            raise

    def _check_place(self) -> None:
        if self.path.is_dir():
            raise SinkUnavailable(
                f"{self.path} is a folder, expected a file; name one, as {self.path / 'out.mp4'}"
            )
        if not self.path.parent.is_dir():
            raise SinkUnavailable(
                f"there is no folder {self.path.parent} for {self.path.name}; make it first"
            )

    def _start(self, frame: Frame) -> None:
        """Open the encoder: the first picture brings the size and the zero of time."""
        assert self._file is not None
        height, width = frame.image.shape[:2]
        size = self._size or (width, height)
        self._fitter = Fitter(size, self._fit)
        self._origin_s = self._instant(frame)
        options = LIVE if self._live else OFFLINE
        self._encoder = _Encoder(self._file, size, self._fps, options, self._metadata)

    def _finish(self) -> None:
        assert self._file is not None
        if self._encoder is None:
            log.warning("not one frame came, %s was not written", self.path)
            self._file.finish()
            if not self._live:
                self._writing.unlink(missing_ok=True)
            self._file = None
            return
        self._encoder.finish()
        self._file.finish()
        if self._audio_from is not None:
            muxer = SUFFIXES[self.path.suffix.lower()]
            add_sound(
                self._writing, self._audio_from, muxer=muxer, from_s=self._origin_s, metadata=self._metadata
            )
        if not self._live:
            self._writing.replace(self.path)
        self._file = None

    def _give_up(self, error: Exception) -> PuppetError:
        """Close what can be closed after a failed write; the error to raise."""
        assert self._file is not None
        cause = self._file.error or error
        why = reason(cause) if isinstance(cause, OSError) else str(cause)
        if not self._live:
            self._abandon()
            return SinkUnavailable(
                f"{self.path} could not be finished: {why}; nothing is left of it; choose another place"
            )
        if self._encoder:
            self._encoder.abandon()
        frames, seconds = self._file.salvage()
        self._file = None
        if not frames:
            return SinkUnavailable(
                f"{self.path} could not be recorded: {why} before its first second; free space"
            )
        return SinkUnavailable(
            f"recording to {self.path} ended: {why}; the first {seconds:.1f} s ({frames} frames) are kept "
            f"and play; free space before recording again"
        )

    def _abandon(self) -> None:
        assert self._file is not None
        if self._encoder:
            self._encoder.abandon()
        self._file.discard()
        self._file = None

    @staticmethod
    def _captured(frame: Frame) -> float:
        return frame.captured_s

    def _scheduled(self, frame: Frame) -> float:
        return frame.index / self._fps if frame.media_s is None else frame.media_s


class _Encoder:
    """One H.264 stream in one container: yuv420p, BT.709, a key picture a second, times strictly rising."""

    def __init__(
        self, file: Mp4File, size: Size, fps: float, options: dict[str, str], metadata: dict[str, str]
    ) -> None:
        width, height = size
        even = (width + width % 2, height + height % 2)
        self.container: Any = av.open(
            file, "w", format=SUFFIXES[file.path.suffix.lower()], container_options=MUXER_OPTIONS
        )
        self.container.metadata.update(metadata)
        rate = Fraction(fps).limit_denominator(1001)
        self._stream = self.container.add_stream("libx264", rate=rate, options=options)
        context = self._stream.codec_context
        context.width, context.height, context.pix_fmt = *even, "yuv420p"
        context.time_base = Fraction(1, TICKS)
        context.gop_size = max(1, round(fps))
        context.color_range, context.colorspace = ColorRange.MPEG, Colorspace.ITU709
        context.color_primaries = context.color_trc = _BT709
        self._padded: Image | None = None if even == size else np.empty((even[1], even[0], 3), np.uint8)
        self._last = -1
        self._fps = fps
        self._shown = 0  # ticks of the last picture
        self.frames = 0

    def write(self, image: Image, at_s: float, shown_s: float | None) -> None:
        """`shown_s` counts for the last picture; the others stand until the next."""
        self._last = max(round(at_s * TICKS), self._last + 1)
        picture = av.VideoFrame.from_ndarray(self._even(image), format="rgb24")
        picture = picture.reformat(
            format="yuv420p", dst_colorspace=Colorspace.ITU709, dst_color_range=ColorRange.MPEG
        )
        picture.pts, picture.time_base = self._last, Fraction(1, TICKS)
        self._shown = max(1, round((shown_s or 1 / self._fps) * TICKS))
        self.container.mux(self._stream.encode(picture))
        self.frames += 1

    def finish(self) -> None:
        packets = self._stream.encode(None)
        if packets:  # offline; live each picture is written at once, and the last one has the usual length
            packets[-1].duration = self._shown
        self.container.mux(packets)
        self.container.close()

    def abandon(self) -> None:
        """Let the container go after a failure: its last words are not written."""
        try:
            self.container.close()
        except (OSError, av.FFmpegError) as error:
            log.debug("the container was left unfinished: %s", error)

    def _even(self, image: Image) -> Image:
        """The picture with even sides, as 4:2:0 wants them: the last row and column are repeated."""
        if self._padded is None:
            return image
        height, width = image.shape[:2]
        self._padded[:height, :width] = image
        self._padded[height:, :width] = image[-1:]
        self._padded[:, width:] = self._padded[:, width - 1 : width]
        return self._padded

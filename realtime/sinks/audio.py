# SPDX-License-Identifier: MIT
"""The sound of a driving file, carried over into the file that is written. Knows nothing of pictures."""

import logging
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av

from face.errors import BadVideo

log = logging.getLogger(__name__)

COPIED = ("aac", "mp3", "ac3", "eac3", "alac")  # what plays in an mp4 everywhere; all else is encoded as AAC
AAC_BITS_A_SECOND = 160_000
AAC_FRAME = 1024  # samples the encoder takes at a time


class AudioTrack:
    """Feeds the first audio stream of `path` into a container, as far as the picture has come.

    `has_sound` is False for a silent film; then nothing is written.
    """

    def __init__(self, path: Path) -> None:
        try:
            self._input = av.open(str(path))
        except (OSError, av.FFmpegError) as error:
            raise BadVideo(f"no sound from {path}: {error.strerror}; give a video or audio file") from error
        self._stream = next(iter(self._input.streams.audio), None)
        self.has_sound = self._stream is not None
        self._origin_s = self._start_s()
        self._packets: Iterator[Any] = iter(())
        self._waiting: Any = None  # the next packet, too late to be written yet
        if not self.has_sound:
            log.info("%s has no sound; the output has none either", path)

    def _start_s(self) -> float:
        """The instant of the first picture on the file's own clock; of the first sound if it has none."""
        streams = [*self._input.streams.video, *self._input.streams.audio]
        if not streams or streams[0].start_time is None:
            return 0.0
        return float(streams[0].start_time * streams[0].time_base)

    def attach(self, container: Any, *, from_s: float) -> None:
        """Add the stream to an output container, before its first packet; sound before `from_s` is left out.

        `from_s` counts from the file's first picture.
        """
        if self._stream is None:
            return
        name = self._stream.codec_context.name
        make = self._copied if name.removesuffix("float") in COPIED else self._encoded
        self._packets = make(container, self._origin_s + from_s)
        self._waiting = next(self._packets, None)

    def advance(self, container: Any, until_s: float) -> None:
        """Write the sound that belongs before `until_s` seconds of the output."""
        while self._waiting is not None and self._waiting.dts * self._waiting.time_base < until_s:
            container.mux(self._waiting)
            self._waiting = next(self._packets, None)

    def close(self) -> None:
        self._packets = iter(())
        self._input.close()

    def _copied(self, container: Any, from_s: float) -> Iterator[Any]:
        """Packets as they are, on the output's clock."""
        output = container.add_stream_from_template(self._stream)

        def packets() -> Iterator[Any]:
            for packet in self._input.demux(self._stream):
                if packet.dts is None or packet.pts is None:
                    continue
                shift = round(from_s / packet.time_base)
                if packet.pts < shift:
                    continue
                packet.pts -= shift
                packet.dts -= shift
                packet.stream = output
                yield packet

        return packets()

    def _encoded(self, container: Any, from_s: float) -> Iterator[Any]:
        """Decoded, resampled and encoded as AAC, on the output's clock."""
        assert self._stream is not None
        rate = self._stream.codec_context.sample_rate
        output = container.add_stream("aac", rate=rate, layout="stereo", bit_rate=AAC_BITS_A_SECOND)
        resampler = av.AudioResampler(format="fltp", layout="stereo", rate=rate, frame_size=AAC_FRAME)
        written = 0  # samples; the sound runs on without gaps from its first sample on
        lead = 0

        def encoded(decoded: Any) -> Iterator[Any]:
            nonlocal written
            for frame in resampler.resample(decoded):
                frame.pts, frame.time_base = lead + written, Fraction(1, rate)
                written += frame.samples
                yield from output.encode(frame)

        def packets() -> Iterator[Any]:
            nonlocal lead
            for decoded in self._input.decode(self._stream):
                if decoded.time is not None and decoded.time < from_s:
                    continue
                if not written and decoded.time is not None:
                    lead = round((decoded.time - from_s) * rate)
                yield from encoded(decoded)
            yield from encoded(None)
            yield from output.encode(None)

        return packets()

# SPDX-License-Identifier: MIT
"""The sound of a driving file, put beside pictures that are finished: they stay whatever happens to it."""

import heapq
import logging
import os
from collections.abc import Callable, Iterable, Iterator
from fractions import Fraction
from itertools import takewhile
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.container import InputContainer, OutputContainer

from face.arrays import Floats
from realtime.media import create_media, moving_pictures, open_media

log = logging.getLogger(__name__)

COPIED = ("aac", "mp3", "ac3", "eac3", "alac")  # what plays in an mp4 everywhere; all else is encoded as AAC
AAC_BITS_A_SECOND = 160_000
AAC_FRAME = 1024  # samples the encoder takes at a time
USUAL_RATE = 48_000  # samples a second, for sound of a rate that AAC does not know
IN_STEP_S = 0.015  # sound this near its instant follows the last: files round their times

# Adds a stream to the output; gives the packets of the input's sound from an instant of the input's clock on.
Way = Callable[[OutputContainer, InputContainer, float], Iterator[Any]]


class _NoSound(Exception):
    """There is none to be had."""


def add_sound(film: Path, source: Path, *, muxer: str, from_s: float, metadata: dict[str, str]) -> None:
    """Give a file of pictures the sound of the file they were made from, cut to their length.

    `from_s`: when the film begins, in seconds from the first picture of `source`. What cannot be copied is
    encoded; what cannot be encoded either is left out with a warning, and the film stays as it is.
    """
    voiced = film.with_name(f".sound.{os.getpid()}{film.suffix}")
    failure: Exception | None = None
    for way in (_copied, _encoded):
        try:
            _join(film, source, voiced, way, muxer=muxer, from_s=from_s, metadata=metadata)
            voiced.replace(film)
            return
        except _NoSound:
            log.info("%s has no sound; the output has none either", source)
            return
        except Exception as error:  # whatever is wrong with the sound, the pictures are not lost for it
            log.debug("the sound of %s, %s: %s", source, way.__name__, error)
            failure = error
        finally:
            voiced.unlink(missing_ok=True)
    log.warning("%s: its sound was left out (%s); the pictures are whole, add it afterwards", source, failure)


def _join(
    film: Path, source: Path, voiced: Path, way: Way, *, muxer: str, from_s: float, metadata: dict[str, str]
) -> None:
    origin_s = _first_picture_s(source)
    with open_media(film) as pictures, open_media(source) as heard, create_media(voiced, muxer) as out:
        out.metadata.update(metadata)
        filmed = pictures.streams.video[0]
        assert filmed.duration is not None and filmed.time_base is not None
        end_s = filmed.duration * filmed.time_base
        picture = out.add_stream_from_template(filmed)
        sound = takewhile(lambda packet: _at_s(packet) < end_s, way(out, heard, origin_s + from_s))
        for packet in heapq.merge(_packets(pictures, filmed, picture), sound, key=_at_s):
            out.mux(packet)


def _first_picture_s(source: Path) -> float:
    """The instant of the first picture on the file's own clock; of the first sound where there is none."""
    try:
        with open_media(source) as container:
            if not container.streams.audio:
                raise _NoSound
            pictures = moving_pictures(container)
            if pictures is not None:
                return float(next(_decoded(container, pictures)).time or 0.0)
            sound = container.streams.audio[0]
            return float((sound.start_time or 0) * (sound.time_base or 0))
    except (OSError, av.FFmpegError, StopIteration) as error:  # pictures, a folder of them
        raise _NoSound from error


def _copied(out: OutputContainer, heard: InputContainer, from_s: float) -> Iterator[Any]:
    """Packets as they are, on the output's clock; ValueError where they would not play."""
    stream = heard.streams.audio[0]
    if stream.codec_context.name.removesuffix("float") not in COPIED:
        raise ValueError(f"{stream.codec_context.name} does not play in every mp4")
    track = out.add_stream_from_template(stream)
    return _packets(heard, stream, track, from_s)


def _packets(container: InputContainer, stream: Any, track: Any, from_s: float = 0.0) -> Iterator[Any]:
    for packet in _read(container, stream):
        if packet.dts is None or packet.pts is None:
            continue
        shift = round(from_s / packet.time_base)
        if packet.pts < shift:
            continue
        packet.pts -= shift
        packet.dts -= shift
        packet.stream = track
        yield packet


def _encoded(out: OutputContainer, heard: InputContainer, from_s: float) -> Iterator[Any]:
    """Decoded, resampled and encoded as AAC; every sound at its instant."""
    stream = heard.streams.audio[0]
    if stream.codec_context is None:
        raise ValueError("no decoder here knows it")
    known = av.Codec("aac", "w").audio_rates or ()
    rate = stream.rate if stream.rate in known else USUAL_RATE
    track: Any = out.add_stream("aac", rate=rate, layout="stereo", bit_rate=AAC_BITS_A_SECOND)
    cutter = av.AudioResampler(format="fltp", layout="stereo", rate=rate, frame_size=AAC_FRAME)

    def packets() -> Iterator[Any]:
        written = 0
        for samples in in_step(_resampled(_decoded(heard, stream), rate), from_s, rate):
            frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples), format="fltp", layout="stereo")
            frame.sample_rate, frame.pts, frame.time_base = rate, written, Fraction(1, rate)
            written += frame.samples
            for piece in cutter.resample(frame):
                yield from track.encode(piece)
        for piece in cutter.resample(None):
            yield from track.encode(piece)
        yield from track.encode(None)

    return packets()


def in_step(pieces: Iterable[tuple[float | None, Floats]], from_s: float, rate: int) -> Iterator[Floats]:
    """(2, n) samples that follow each other from `from_s` on; pieces come with their instants, or None.

    A pause in the input (a lost packet, a late start) becomes silence; what comes too early is cut off.
    """
    at = 0  # samples given so far
    for instant_s, samples in pieces:
        late = 0 if instant_s is None else round((instant_s - from_s) * rate) - at
        if at and abs(late) <= IN_STEP_S * rate:
            late = 0
        while late > 0:
            silence = np.zeros((2, min(late, rate)), np.float32)
            yield silence
            at += silence.shape[1]
            late -= silence.shape[1]
        samples = samples[:, -late:]
        if samples.size:
            yield samples
            at += samples.shape[1]


def _resampled(frames: Iterable[Any], rate: int) -> Iterator[tuple[float | None, Floats]]:
    """Stereo floats of any sound, whose form may change on the way; with their instants in seconds."""
    resampler, form = None, None
    for frame in frames:
        here = (frame.format.name, frame.layout.name, frame.sample_rate)
        if resampler is None or here != form:
            resampler, form = av.AudioResampler(format="fltp", layout="stereo", rate=rate), here
        for piece in resampler.resample(frame):
            yield piece.time, piece.to_ndarray()


def _decoded(container: InputContainer, stream: Any) -> Iterator[Any]:
    """What a stream holds; damaged packets are passed over."""
    for packet in _read(container, stream):
        try:
            yield from packet.decode()
        except av.FFmpegError as error:
            log.debug("a damaged packet was passed over: %s", error)


def _read(container: InputContainer, stream: Any) -> Iterator[Any]:
    """The packets of a stream, up to where the file breaks off."""
    packets = container.demux(stream)
    while True:
        try:
            packet = next(packets, None)
        except av.FFmpegError as error:
            log.debug("%s cannot be read on: %s", container.name, error)
            return
        if packet is None:
            return
        yield packet


def _at_s(packet: Any) -> Fraction:
    return Fraction(packet.dts * packet.time_base)

# SPDX-License-Identifier: MIT
"""Media files through FFmpeg: the one place where a path is handed to it."""

from pathlib import Path

import av
from av.container import InputContainer, OutputContainer
from av.stream import Disposition


def open_media(path: Path) -> InputContainer:
    """A file to read from; raises OSError and av.FFmpegError."""
    container: InputContainer = av.open(_plain(path))
    return container


def create_media(path: Path, muxer: str) -> OutputContainer:
    """A file to write to, overwritten if it is there; raises OSError and av.FFmpegError."""
    container: OutputContainer = av.open(_plain(path), "w", format=muxer)
    return container


def moving_pictures(container: InputContainer) -> av.VideoStream | None:
    """The first stream of pictures that is not the cover of a music file."""
    streams = container.streams.video
    return next((each for each in streams if not each.disposition & Disposition.attached_pic), None)


def _plain(path: Path) -> str:
    """Absolute: FFmpeg takes a relative `12:30.mp4` for an address of the protocol "12"."""
    return str(path.absolute())

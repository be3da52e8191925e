# SPDX-License-Identifier: MIT
"""An mp4 file on a disk that may fill up or lose power: plays to its last whole second. Knows no codec.

The file is written in fragments of about a second, each complete in itself, and turned into a plain mp4 when
it is finished (the muxer's `hybrid_fragmented`): an unfinished one plays to its last fragment, a finished one
everywhere.
"""

import errno
import logging
import os
import struct
from pathlib import Path

import av

from realtime.media import open_media

log = logging.getLogger(__name__)

# Each fragment reaches the disk at once; none of it waits in the muxer's buffer.
MUXER_OPTIONS = {"movflags": "hybrid_fragmented+frag_keyframe+default_base_moof", "flush_packets": "1"}
SUFFIXES = {".mp4": "mp4", ".m4v": "mp4", ".mov": "mov"}  # and the muxer for each


class Mp4File:
    """The bytes of the file, as PyAV writes them: after a failure nothing is written any more.

    What was there is overwritten only with the first byte that is written; a file without one is removed.
    """

    def __init__(self, path: Path) -> None:
        """Raises OSError when the path cannot be written."""
        self.path = path
        self.error: OSError | None = None
        self._was_there = path.exists()
        self._touched = False
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o666)
        self._raw = os.fdopen(descriptor, "wb", buffering=0)

    def write(self, data: bytes) -> int:
        if self.error is not None:
            raise self.error
        try:
            if not self._touched:
                self._touched = True
                if self.path.is_file():
                    self._raw.truncate(0)
            rest = memoryview(data)
            while rest:
                rest = rest[self._raw.write(rest) :]
        except OSError as error:
            self.error = error
            raise
        return len(data)

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._raw.seek(offset, whence)

    def tell(self) -> int:
        return self._raw.tell()

    def finish(self) -> None:
        """Close; a file nothing was written to is removed unless it was there before."""
        self._raw.close()
        if not self._touched and not self._was_there:
            self.path.unlink(missing_ok=True)

    def salvage(self) -> tuple[int, float]:
        """Close and cut back to the last whole fragment; frames and seconds kept. With none it is removed."""
        self._raw.close()
        kept = (0, 0.0)
        if self.path.is_file():
            if self.error is not None:  # else the failure was another's, and the file could be finished
                os.truncate(self.path, whole_fragments(self.path))
            kept = _measure(self.path)
        if not kept[0]:
            self.path.unlink(missing_ok=True)
        return kept

    def discard(self) -> None:
        """Close and remove."""
        self._raw.close()
        self.path.unlink(missing_ok=True)


def whole_fragments(path: Path) -> int:
    """Where the last complete fragment of an unfinished mp4 ends, in bytes; 0 without one.

    The first is moov + mdat (the muxer describes it in the head of the file), the others are moof + mdat.
    """
    size = path.stat().st_size
    end = at = 0
    before = b""
    with open(path, "rb") as file:
        while at + 16 <= size:
            file.seek(at)
            length, kind, long = struct.unpack(">I4sQ", file.read(16))
            length = long if length == 1 else length
            if length < 8 or at + length > size:
                break
            at += length
            if kind == b"mdat" and before in (b"moov", b"moof"):
                end = at
            before = kind
    return end


def reason(error: OSError) -> str:
    """Why the system refused to write, in a user's words."""
    if error.errno in (errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)):
        return "the disk is full"
    if error.errno == errno.EFBIG:
        return "the file may not grow any further"
    return (error.strerror or str(error)).lower()


def _measure(path: Path) -> tuple[int, float]:
    """Video frames and seconds that can be read from a file; none from what is no video yet."""
    try:
        with open_media(path) as container:
            frames, end = 0, 0
            for packet in container.demux(video=0):
                if packet.pts is not None:
                    frames, end = frames + 1, max(end, packet.pts + (packet.duration or 0))
            return frames, float(end * (container.streams.video[0].time_base or 0))
    except (av.FFmpegError, OSError, IndexError) as error:
        log.debug("nothing can be read from %s: %s", path, error)
        return 0, 0.0

# SPDX-License-Identifier: MIT
"""Keeps the start-up chatter of native libraries off standard error, so that one line of ours is one line."""

import os
import re
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

# What MediaPipe and TensorFlow Lite say at every start; they take no other word for silence.
CHATTER = re.compile(
    rb"WARNING: (All log messages|Logging before InitGoogle|Logging to stderr)|[IW]\d{4} .*\.cc:\d+\]|"
    rb"I?NFO: (\[\w+\.cc:\d+\]|.*(delegate|TensorFlow))"
)
LEAVE_WITHIN_S = 1.0


@contextmanager
def quiet_natives() -> Iterator[None]:
    """Within it, what native code writes to file descriptor 2 is passed on line by line without CHATTER.

    Python's own sys.stderr goes past the sieve, and everything does when the process has no such descriptor.
    """
    try:
        original = os.dup(2)
    except OSError:  # started without standard error
        yield
        return
    reading, writing = os.pipe()
    sieve = threading.Thread(target=_sieve, args=(reading, original), name="stderr", daemon=True)
    before = sys.stderr
    own = _writes_to_2(before)
    if own:
        sys.stderr = os.fdopen(
            os.dup(original), "w", buffering=1, encoding=before.encoding, errors=before.errors
        )
    os.dup2(writing, 2)
    os.close(writing)
    sieve.start()
    try:
        yield
    finally:
        if own:
            with suppress(OSError):  # the terminal was closed
                sys.stderr.close()
            sys.stderr = before
        os.dup2(original, 2)  # closes the pipe's last writing end, unless a child still holds it
        sieve.join(LEAVE_WITHIN_S)
        if not sieve.is_alive():
            os.close(original)


def _writes_to_2(stream: object) -> bool:
    try:
        return stream is not None and stream.fileno() == 2  # type: ignore[attr-defined]
    except (AttributeError, OSError, ValueError):  # a test's or an IDE's stand-in
        return False


def _sieve(reading: int, writing: int) -> None:
    with os.fdopen(reading, "rb") as lines:
        for line in lines:
            if not CHATTER.match(line):
                os.write(writing, line)

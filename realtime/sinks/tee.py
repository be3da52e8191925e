# SPDX-License-Identifier: MIT
"""A recording beside any sink, which it must never slow down or end. Knows no kind of sink."""

import logging
import queue
import threading
from collections.abc import Callable
from typing import Self

from face.errors import PuppetError
from face.frame import Frame
from realtime.frame import Sink

log = logging.getLogger(__name__)

FINISH_WITHIN_S = (
    2.0  # for what lies in the queue and the end of the file; on a sound disk it takes milliseconds
)


class TeeSink:
    """Hands each frame to `live`, and to `recording` in a thread of its own.

    When the recording falls behind by more than `depth` frames, frames are dropped there and counted. When it
    fails, that is logged and given to `on_error` once (in its thread); `live` goes on. Opens and closes both.
    """

    def __init__(
        self,
        live: Sink,
        recording: Sink,
        *,
        depth: int = 30,
        on_error: Callable[[Exception], None] | None = None,
    ) -> None:
        self.dropped = 0
        self.recorded = 0
        self.error: Exception | None = None
        self.pump: Callable[[], None] | None = getattr(live, "pump", None)
        self._live = live
        self._recording = recording
        self._on_error = on_error
        self._queue: queue.Queue[Frame | None] = queue.Queue(depth)
        self._leaving: tuple[object, ...] = ()
        self._thread = threading.Thread(target=self._record, name="recording", daemon=True)

    def __enter__(self) -> Self:
        self._live.__enter__()
        try:
            self._recording.__enter__()
        except BaseException as error:
            self._live.__exit__(type(error), error, error.__traceback__)
            raise
        self._thread.start()
        return self

    def __call__(self, frame: Frame) -> None:
        self._live(frame)
        if self.error is not None:
            return
        try:
            self._queue.put_nowait(frame)
        except queue.Full:
            self.dropped += 1

    def __exit__(self, *exc_info: object) -> None:
        self._leaving = exc_info
        try:
            self._live.__exit__(*exc_info)
        finally:
            try:
                self._queue.put(None, timeout=FINISH_WITHIN_S)
            except queue.Full:
                log.debug("the recording's queue is still full")
            self._thread.join(FINISH_WITHIN_S)
            if self._thread.is_alive():
                log.warning("the recording could not be finished within %.0f s", FINISH_WITHIN_S)
            elif self.dropped:
                log.warning("the recording fell behind: %d frames are missing in it", self.dropped)

    def _record(self) -> None:
        try:
            try:
                while (frame := self._queue.get()) is not None:
                    self._recording(frame)
                    self.recorded += 1
            except BaseException as error:
                self._recording.__exit__(type(error), error, error.__traceback__)
                raise
            self._recording.__exit__(*self._leaving)
        except Exception as error:
            self.error = error
            self._empty()
            log.error("%s", error, exc_info=None if isinstance(error, PuppetError) else error)
            if self._on_error is not None:
                self._on_error(error)

    def _empty(self) -> None:
        """Let go of the frames nobody will write."""
        while True:
            try:
                self._queue.get_nowait()
            except queue.Empty:
                return

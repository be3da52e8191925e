# SPDX-License-Identifier: MIT
"""Keeps a source that could go faster to a camera's pace. Knows no pictures."""

import threading
import time

COARSE_S = 0.02  # the coarsest an event's timeout is kept (Windows: 15.6 ms); the rest is slept


class Pace:
    """Deadlines on time.perf_counter(), counted from the first time it is asked for one.

    One thread waits; `close` may come from any thread and ends a wait within COARSE_S.
    """

    def __init__(self) -> None:
        self._start_s: float | None = None
        self._closed = threading.Event()

    @property
    def closed(self) -> bool:
        return self._closed.is_set()

    def close(self) -> None:
        self._closed.set()

    def due_s(self, media_s: float) -> float:
        """The instant, by time.perf_counter(), at which media time `media_s` is to be shown."""
        if self._start_s is None:
            self._start_s = time.perf_counter() - media_s
        return self._start_s + media_s

    def elapsed_s(self) -> float:
        """Media time that is due now; 0 when nothing was asked for yet."""
        return 0.0 if self._start_s is None else time.perf_counter() - self._start_s

    def slip(self, seconds: float) -> None:
        """Moves every later deadline: for a machine that slept, or that cannot keep the pace."""
        if self._start_s is not None:
            self._start_s += seconds

    def wait_until(self, due_s: float) -> bool:
        """Sleeps until then; False when closed meanwhile."""
        remaining_s = due_s - time.perf_counter()
        if remaining_s > COARSE_S and self._closed.wait(remaining_s - COARSE_S):
            return False
        remaining_s = due_s - time.perf_counter()
        if remaining_s > 0:
            time.sleep(remaining_s)
        return not self._closed.is_set()


class Ticks:
    """Numbers 0, 1, 2, ... at `fps`; live, the numbers nobody fetched in time are left out."""

    def __init__(self, fps: float, *, live: bool) -> None:
        if not fps > 0:
            raise ValueError(f"fps is {fps}, expected more than 0")
        self._fps = fps
        self._live = live
        self._pace = Pace()
        self._next = 0

    @property
    def closed(self) -> bool:
        return self._pace.closed

    def close(self) -> None:
        self._pace.close()

    def upcoming(self) -> int:
        """The number to prepare: the one after the last, or the one that is due by now if that is later."""
        if self._live:
            self._next = max(self._next, int(self._pace.elapsed_s() * self._fps))
        return self._next

    def wait_for(self, number: int) -> float | None:
        """Waits until `number` is due; the instant it counts as captured, None when closed meanwhile."""
        self._next = number + 1
        if not self._live:
            return None if self._pace.closed else time.perf_counter()
        due_s = self._pace.due_s(number / self._fps)
        return due_s if self._pace.wait_until(due_s) else None

    def media_s(self, number: int) -> float | None:
        """Seconds from the start, None for a live source."""
        return None if self._live else number / self._fps

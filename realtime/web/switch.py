# SPDX-License-Identifier: MIT
"""SourceSwitch: several sources behind one, exchanged while frames flow. Knows none of them by kind."""

import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Self

from face.errors import PuppetError, WrongUse
from face.frame import Frame
from realtime.frame import Source

logger = logging.getLogger(__name__)

RETRY_S = 0.5  # a source that ends at once is not opened again faster than this


class SourceSwitch:
    """A live Source that hands on the frames of the chosen one; opens and closes them itself.

    `openers` give a source by name; the first is the one to fall back to when another cannot be opened, fails
    or ends, so it should be one that never does (BrowserSource). Iterate from one thread, choose from any.
    """

    live = True

    def __init__(self, openers: Mapping[str, Callable[[], Source]], *, chosen: str | None = None) -> None:
        if not openers:
            raise ValueError("no source was given, expected at least one")
        self._openers = dict(openers)
        self._first = next(iter(self._openers))
        self._lock = threading.Lock()
        self._wanted = self._first
        self._current: Source | None = None
        self._closed = False
        self._message = ""
        self._messages = 0
        self._index = 0
        if chosen is not None:
            self.choose(chosen)

    def __enter__(self) -> Self:
        self._closed = False
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def close(self) -> None:
        """End the iteration, from any thread."""
        with self._lock:
            self._closed = True
            current = self._current
        if current is not None:
            current.__exit__(None, None, None)

    @property
    def names(self) -> tuple[str, ...]:
        """What `choose` takes, in the order given."""
        return tuple(self._openers)

    @property
    def chosen(self) -> str:
        """Where frames come from now, or will within a moment."""
        with self._lock:
            return self._wanted

    @property
    def message(self) -> tuple[int, str]:
        """How many things were said so far, and the last: why a source was left."""
        with self._lock:
            return self._messages, self._message

    @property
    def fps(self) -> float:
        with self._lock:
            return 0.0 if self._current is None else self._current.fps

    def choose(self, name: str) -> None:
        """Take frames from this source from now on; WrongUse for a stranger."""
        if name not in self._openers:
            raise WrongUse(f"source {name!r} is not known, expected one of: {', '.join(self._openers)}")
        with self._lock:
            self._wanted = name

    def __iter__(self) -> Iterator[Frame]:
        while not self._closed:
            name, opened_s = self.chosen, time.perf_counter()
            try:
                yield from self._frames_of(name)
            except Exception as error:  # a driver's or decoder's own too: the page lives on
                if name == self._first:
                    raise
                ours = isinstance(error, PuppetError)
                self._leave(name, str(error) if ours else f"{name} failed: {type(error).__name__}: {error}")
                continue
            if self._closed or self.chosen != name:
                continue
            if name == self._first:
                return
            self._leave(name, f"{name} ended after {time.perf_counter() - opened_s:.1f} s; choose it again")
            time.sleep(max(0.0, RETRY_S - (time.perf_counter() - opened_s)))

    def _frames_of(self, name: str) -> Iterator[Frame]:
        """Frames of one source, numbered on, until another is wanted; gaps in its numbering stay."""
        offset: int | None = None
        with self._openers[name]() as source:
            with self._lock:
                self._current = source
            try:
                for frame in source:
                    if self._closed or self.chosen != name:
                        return
                    if offset is None:
                        offset = self._index - frame.index
                    self._index = frame.index + offset + 1
                    yield Frame(frame.image, frame.captured_s, frame.index + offset, frame.media_s)
            finally:
                with self._lock:
                    self._current = None

    def _leave(self, name: str, why: str) -> None:
        logger.warning("source %s left: %s", name, why)
        with self._lock:
            self._message = why
            self._messages += 1
            if self._wanted == name:
                self._wanted = self._first

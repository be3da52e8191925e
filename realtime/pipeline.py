# SPDX-License-Identifier: MIT
"""The straight line from source through steps to sink, one thread a step. Knows no implementation of them.

Live, a place for one frame lies before each stage and the newest frame wins: a slow stage drops, it never
queues, so latency cannot creep. Offline (`every_frame`) the same line waits instead of dropping.

    Pipeline(camera, tracker, puppet, badge, sink=window).run()

A step is a plain callable: it takes what the step before it returned (the first one takes the Frame). What it
was captured from and when travels beside it, in an Item; a step that needs that too says so:

    Step("compare", lambda item: beside(item.frame.image, item.value), wants_item=True)
"""

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, TypeVar

import numpy as np

from face.frame import Frame
from realtime.frame import EndOfLine, Sink, Source
from realtime.stats import Deliveries, Durations, LineStats, StageStats

log = logging.getLogger(__name__)

LEAVE_WITHIN_S = 0.4  # a stage that is still busy after this is left behind: it runs in a daemon thread
PUMP_EVERY_S = 0.02  # a sink with `pump()` (a window) is given the word this often while no frame comes
WAKE_EVERY_S = 0.1  # the caller's thread wakes this often: on Windows Ctrl-C does not interrupt a lock

Kind = TypeVar("Kind")


@dataclass(frozen=True, slots=True)
class Item:
    """One frame under way: the driver's picture as it was captured, and what the steps so far made of it."""

    frame: Frame
    passed: tuple[object, ...] = ()  # what each step returned, in order

    @property
    def value(self) -> object:
        """What the last step returned; the frame itself before the first."""
        return self.passed[-1] if self.passed else self.frame

    def latest(self, kind: type[Kind]) -> Kind | None:
        """The newest value of that type any step returned (a Motion, behind the puppet), or None."""
        return next((value for value in reversed(self.passed) if isinstance(value, kind)), None)


@dataclass(frozen=True, slots=True)
class Step:
    """A step under a name of one's own choice; `wants_item`: it takes the Item instead of the last value."""

    name: str
    call: Callable[[Any], object]
    wants_item: bool = False


class _Ended(Exception):
    """The mailbox gives and takes nothing any more."""


class Mailbox:
    """A place for one item. One thread puts, one takes; neither computes while it holds the lock."""

    def __init__(self, *, every_frame: bool) -> None:
        self._changed = threading.Condition()
        self._every_frame = every_frame
        self._item: Item | None = None
        self._finished = False
        self._stopped = False
        self.dropped = 0

    def put(self, item: Item) -> None:
        """Leave an item: over the last one if nobody took it, or once that was taken (`every_frame`)."""
        with self._changed:
            while self._every_frame and self._item is not None and not self._stopped:
                self._changed.wait()
            if self._stopped:
                raise _Ended
            self.dropped += self._item is not None
            self._item = item
            self._changed.notify_all()

    def take(self, timeout_s: float | None = None) -> Item | None:
        """The item, None when none came in time; raises _Ended when none will come."""
        with self._changed:
            if self._item is None and not (self._finished or self._stopped):
                self._changed.wait(timeout_s)
            if self._stopped or (self._finished and self._item is None):
                raise _Ended
            item, self._item = self._item, None
            self._changed.notify_all()
            return item

    @property
    def stopped(self) -> bool:
        return self._stopped

    def finish(self) -> None:
        """Nothing will be put any more; the last item can still be taken."""
        with self._changed:
            self._finished = True
            self._changed.notify_all()

    def stop(self) -> None:
        """Nobody takes any more; what lies here is let go."""
        with self._changed:
            self._stopped = True
            self._item = None
            self._changed.notify_all()


class _Stage:
    """What the line keeps about one stage."""

    def __init__(self, name: str, inbox: Mailbox | None) -> None:
        self.name = name
        self.inbox = inbox
        self.work = Durations()
        self.lost = 0  # source only: gaps in its numbering

    def stats(self, now_s: float) -> StageStats:
        dropped = self.lost if self.inbox is None else self.inbox.dropped
        return StageStats(self.name, self.work.count, dropped, self.work.recent(now_s), self.work.total())


class Pipeline:
    """Moves frames from a source through steps into a sink until the source ends, one fails or `stop()`.

    The source and each step run in a thread of their own, the sink in the thread that calls `run` (a window
    insists on the main one). The caller opens and closes source, steps and sink; the line only uses them.
    `on_delivered` is called in the caller's thread after the sink had the frame; it may raise EndOfLine.
    """

    def __init__(
        self,
        source: Source,
        *steps: Callable[[Any], object] | Step,
        sink: Sink,
        every_frame: bool = False,
        on_delivered: Callable[[Frame], None] | None = None,
    ) -> None:
        self._source = source
        self._steps = [step if isinstance(step, Step) else Step(_name(step), step) for step in steps]
        self._sink = sink
        self._on_delivered = on_delivered
        self._boxes = [Mailbox(every_frame=every_frame) for _ in range(len(steps) + 1)]
        names = [*(step.name for step in self._steps), "sink"]
        self._stages = [_Stage("source", None), *map(_Stage, names, self._boxes)]
        self._deliveries = Deliveries()
        self._failed = threading.Lock()
        self._error: Exception | None = None
        self._started_s: float | None = None
        self._ended_s: float | None = None

    def run(self) -> None:
        """Until the source ends; raises what a stage raised first, and Ctrl-C once it has cleaned up.

        What a stage raises whose results nobody takes any more, as after `stop`, is only logged.
        """
        if self._started_s is not None:
            raise ValueError("this line has already run; build a new Pipeline")
        self._started_s = time.perf_counter()
        bodies = [self._feed, *(partial(self._work, number) for number in range(len(self._steps)))]
        threads = [
            threading.Thread(target=self._guarded, args=(number, body), name=stage.name, daemon=True)
            for number, (stage, body) in enumerate(zip(self._stages, bodies, strict=False))
        ]
        for thread in threads:
            thread.start()
        try:
            self._guarded(len(bodies), self._deliver)
        finally:
            self.stop()
            self._ended_s = time.perf_counter()
            self._leave(threads)
        if self._error is not None:
            raise self._error

    def stop(self) -> None:
        """End the line without an error; from any thread, also from within a step, at any time."""
        for box in self._boxes:
            box.stop()

    def stats(self) -> LineStats:
        """What happened so far; from any thread, also after the run."""
        now_s = time.perf_counter() if self._ended_s is None else self._ended_s
        return self._deliveries.stats(
            started_s=now_s if self._started_s is None else self._started_s,
            now_s=now_s,
            stages=tuple(stage.stats(now_s) for stage in self._stages),
        )

    @staticmethod
    def _leave(threads: list[threading.Thread]) -> None:
        """Wait for the threads, but not for ever."""
        deadline_s = time.perf_counter() + LEAVE_WITHIN_S
        for thread in threads:
            thread.join(max(deadline_s - time.perf_counter(), 0.0))
            if thread.is_alive():
                log.warning(
                    "%s was still busy %.1f s after the end: left behind", thread.name, LEAVE_WITHIN_S
                )

    def _guarded(self, number: int, body: Callable[[], None]) -> None:
        """Run a stage; however it ends, the one before it is told to stop and the one behind it to finish."""
        try:
            body()
        except (_Ended, EndOfLine):
            log.debug("%s ended", self._stages[number].name)
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt) and number == len(self._boxes):
                raise  # the caller's thread, where signals arrive
            self._fail(number, error)
        finally:
            if number > 0:
                self._boxes[number - 1].stop()
            if number < len(self._boxes):
                self._boxes[number].finish()

    def _fail(self, number: int, error: BaseException) -> None:
        """Keep the error for `run` to raise, if it is the first and somebody still takes the stage's work."""
        name = self._stages[number].name
        if not isinstance(error, Exception):  # sys.exit() in somebody's library must not look like an end
            error = RuntimeError(f"{name} raised {error!r}").with_traceback(error.__traceback__)
        with self._failed:
            if self._boxes[min(number, len(self._boxes) - 1)].stopped:
                log.warning("%s failed after the end of the line: %s: %s", name, type(error).__name__, error)
            else:
                error.add_note(f"in the line's stage {name!r}")
                self._error = error
                self.stop()

    def _feed(self) -> None:
        stage, outbox = self._stages[0], self._boxes[0]
        expected: int | None = None
        for frame in self._source:
            now_s = time.perf_counter()
            stage.work.add(now_s - frame.captured_s, now_s)
            stage.lost += max(frame.index - expected, 0) if expected is not None else 0
            expected = frame.index + 1
            outbox.put(Item(frame))

    def _work(self, number: int) -> None:
        step, stage = self._steps[number], self._stages[number + 1]
        call, wants_item = step.call, step.wants_item
        inbox, outbox = self._boxes[number], self._boxes[number + 1]
        while True:
            item = inbox.take()
            if item is None:
                continue
            started_s = time.perf_counter()
            value = call(item if wants_item else item.value)
            now_s = time.perf_counter()
            stage.work.add(now_s - started_s, now_s)
            outbox.put(Item(item.frame, (*item.passed, value)))
            del item, value  # a stage that waits holds no picture

    def _deliver(self) -> None:
        stage, inbox = self._stages[-1], self._boxes[-1]
        pump: Callable[[], None] | None = getattr(self._sink, "pump", None)
        patience_s = WAKE_EVERY_S if pump is None else PUMP_EVERY_S
        while True:
            item = inbox.take(patience_s)
            if item is None:
                if pump is not None:
                    pump()
                continue
            frame = _outgoing(item)
            started_s = time.perf_counter()
            self._sink(frame)
            now_s = time.perf_counter()
            stage.work.add(now_s - started_s, now_s)
            self._deliveries.add(frame.captured_s, now_s)
            if self._on_delivered is not None:
                self._on_delivered(frame)
            del item, frame


def play(
    source: Source,
    *steps: Callable[[Any], object] | Step,
    sink: Sink,
    on_delivered: Callable[[Frame], None] | None = None,
) -> LineStats:
    """Render offline: every frame of the source, in order, each step once a frame; returns what it took.

    The stages overlap in time (the next frame is tracked while this one is drawn); the result does not depend
    on it.
    """
    line = Pipeline(source, *steps, sink=sink, every_frame=True, on_delivered=on_delivered)
    line.run()
    return line.stats()


def _name(part: object) -> str:
    """A part's own `name`, its function's name, or its class's in lower case."""
    own = getattr(part, "name", None) or getattr(part, "__name__", None)
    return own if isinstance(own, str) else type(part).__name__.lower()


def _outgoing(item: Item) -> Frame:
    """The frame the sink gets: the last picture, with the instant and number of the driver's."""
    value, frame = item.value, item.frame
    if isinstance(value, Frame):
        value = value.image
    if not isinstance(value, np.ndarray):
        raise TypeError(f"the last step handed the sink a {type(value).__name__}, expected an image")
    return replace(frame, image=value)

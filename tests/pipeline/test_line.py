# SPDX-License-Identifier: MIT
"""The line keeps its promises: newest frame live, every frame offline, first error raised, never stuck."""

import itertools
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np
import pytest
from waiting import STUCK_S, no_hang, wait_until

from face.arrays import Image
from face.errors import CameraUnavailable, SinkUnavailable
from face.frame import Frame
from realtime.frame import EndOfLine
from realtime.pipeline import Item, Pipeline, Step, play


def picture(level: int, side: int = 8) -> Image:
    return np.full((side, side, 3), level % 256, np.uint8)


@dataclass
class Clip:
    """Frames at a rate (0: as fast as they are taken); faults are data."""

    frames: int | None = None
    interval_s: float = 0.0
    dies_at: int | None = None
    silent_after: int | None = None
    missing: tuple[int, ...] = ()
    side: int = 8
    live: bool = True
    fps: float = 30.0
    yielded: int = 0  # frames that were asked for so far: all but the last were handed on

    def __iter__(self) -> Iterator[Frame]:
        for index in itertools.count() if self.frames is None else range(self.frames):
            if index in self.missing:
                continue
            if index == self.dies_at:
                raise CameraUnavailable("the camera was unplugged")
            if index == self.silent_after:
                time.sleep(STUCK_S)
            if self.interval_s:
                time.sleep(self.interval_s)
            self.yielded = index + 1
            yield Frame(picture(index, self.side), time.perf_counter(), index, media_s=index / 30)

    def __enter__(self) -> "Clip":
        return self

    def __exit__(self, *exc_info: object) -> None:
        return None


@dataclass
class Notebook:
    """A sink that writes down what it got, and may fail or take its time."""

    fails_at: int | None = None
    takes_s: float = 0.0
    frames: list[Frame] = field(default_factory=list)
    keep: bool = True
    threads: set[int] = field(default_factory=set)

    def __call__(self, frame: Frame) -> None:
        if frame.index == self.fails_at:
            raise SinkUnavailable("the virtual camera is gone")
        time.sleep(self.takes_s)
        self.threads.add(threading.get_ident())
        if self.keep:
            self.frames.append(frame)

    def __enter__(self) -> "Notebook":
        return self

    def __exit__(self, *exc_info: object) -> None:
        return None

    @property
    def indices(self) -> list[int]:
        return [frame.index for frame in self.frames]


class Brighter:
    """A step on pictures."""

    def __call__(self, frame: Frame) -> Image:
        return frame.image + np.uint8(1)


def failing(frame: Frame) -> Image:
    if frame.index == 3:
        raise ZeroDivisionError("a step broke")
    return frame.image


@dataclass
class Slow:
    takes_s: float
    seen: list[int] = field(default_factory=list)

    def __call__(self, frame: Frame) -> Frame:
        self.seen.append(frame.index)
        time.sleep(self.takes_s)
        return frame


def test_offline_delivers_every_frame_in_order_through_every_step() -> None:
    sink = Notebook()
    stats = play(Clip(frames=200), Brighter(), lambda image: image * 2, sink=sink)
    assert sink.indices == list(range(200))
    assert [int(frame.image[0, 0, 0]) for frame in sink.frames] == [(i + 1) * 2 % 256 for i in range(200)]
    assert (stats.captured, stats.delivered, stats.dropped) == (200, 200, 0)


def test_offline_never_drops_for_a_slow_stage_anywhere() -> None:
    sink = Notebook(takes_s=0.002)
    play(Clip(frames=40), Slow(0.001), Slow(0.003), sink=sink)
    assert sink.indices == list(range(40))


def test_capture_time_and_media_time_travel_with_the_frame() -> None:
    sink = Notebook()
    play(Clip(frames=5), Brighter(), sink=sink)
    assert [frame.media_s for frame in sink.frames] == [index / 30 for index in range(5)]
    captured = [frame.captured_s for frame in sink.frames]
    assert captured == sorted(captured) and captured[0] > 0


def test_a_line_without_steps_passes_the_frame_through() -> None:
    sink = Notebook()
    play(Clip(frames=3), sink=sink)
    assert [int(frame.image[0, 0, 0]) for frame in sink.frames] == [0, 1, 2]


def test_a_step_can_ask_for_the_drivers_picture_and_for_what_earlier_steps_made() -> None:
    def beside(item: Item) -> Image:
        assert item.latest(float) == item.frame.index / 2
        assert item.latest(str) is None
        assert isinstance(item.value, np.ndarray)
        return np.hstack([item.frame.image, item.value])

    sink = Notebook()
    play(
        Clip(frames=4),
        lambda frame: frame.index / 2,
        lambda half: picture(int(half * 2) + 100),
        Step("compare", beside, wants_item=True),
        sink=sink,
    )
    assert [frame.image.shape for frame in sink.frames] == [(8, 16, 3)] * 4
    assert [(int(f.image[0, 0, 0]), int(f.image[0, -1, 0])) for f in sink.frames] == [
        (index, index + 100) for index in range(4)
    ]


def test_a_slow_step_drops_and_never_queues() -> None:
    clip, sink = Clip(frames=100, interval_s=0.002), Notebook()
    seen, newest = [], [0]  # at the end of each turn, the newest frame that had surely been handed on

    def slow(frame: Frame) -> Frame:
        assert frame.index >= newest[-1], "the newest there was, none that waited for its turn"
        seen.append(frame.index)
        assert wait_until(lambda: clip.yielded >= min(frame.index + 10, 100)), "the source was held up"
        newest.append(clip.yielded - 2)
        return frame

    line = Pipeline(clip, slow, sink=sink)
    line.run()
    stats = line.stats()
    assert stats.stages[1].done == len(seen) <= 12, "one in ten, and the last"
    assert stats.stages[1].dropped == 100 - len(seen) and stats.dropped == 100 - stats.delivered
    assert stats.stages[0].done == 100
    assert sink.indices == sorted(sink.indices) and set(sink.indices) <= set(seen)


@pytest.mark.parametrize("every_frame", [False, True])
@pytest.mark.parametrize("takes_s", [0.0, 0.05])
def test_the_last_frame_arrives_when_the_source_ends(every_frame: bool, takes_s: float) -> None:
    sink = Notebook()
    Pipeline(Clip(frames=7), Slow(takes_s), Slow(takes_s), sink=sink, every_frame=every_frame).run()
    assert sink.indices[-1] == 6


def test_an_empty_source_ends_the_line() -> None:
    sink = Notebook()
    stats = play(Clip(frames=0), Brighter(), sink=sink)
    assert sink.frames == [] and stats.delivered == 0 and stats.fps == 0


FAULTS = {
    "source": (Clip(dies_at=3, interval_s=0.01), (Brighter(),), Notebook(), CameraUnavailable, "source"),
    "step": (Clip(interval_s=0.01), (failing,), Notebook(), ZeroDivisionError, "failing"),
    "sink": (Clip(interval_s=0.01), (Brighter(),), Notebook(fails_at=3), SinkUnavailable, "sink"),
    "step behind a slow one": (Clip(), (Slow(0.02), failing), Notebook(), ZeroDivisionError, "failing"),
    "sink before a silent source": (Clip(silent_after=4), (), Notebook(fails_at=3), SinkUnavailable, "sink"),
    "not a picture": (Clip(), (lambda frame: "text",), Notebook(), TypeError, "sink"),
}


@pytest.mark.parametrize("every_frame", [False, True])
@pytest.mark.parametrize("fault", FAULTS)
def test_the_first_error_of_any_stage_ends_the_line_and_is_raised(fault: str, every_frame: bool) -> None:
    source, steps, sink, error, stage = FAULTS[fault]
    if not every_frame and fault == "step behind a slow one":
        steps = (Slow(0.0), failing)
        source = Clip(interval_s=0.01)
    with no_hang(), pytest.raises(error) as caught:
        Pipeline(source, *steps, sink=sink, every_frame=every_frame).run()
    assert caught.value.__notes__[-1] == f"in the line's stage {stage!r}"


def test_no_thread_is_left_after_a_failed_run() -> None:
    before = threading.active_count()
    with pytest.raises(ZeroDivisionError):
        Pipeline(Clip(interval_s=0.001), Brighter(), lambda image: 1 / 0, sink=Notebook()).run()
    assert threading.active_count() == before


@pytest.mark.parametrize(
    "source, steps",
    [
        (Clip(silent_after=2), ()),
        (Clip(interval_s=0.01), (Slow(STUCK_S),)),
        (Clip(), (Slow(STUCK_S), Slow(STUCK_S))),
    ],
    ids=["silent source", "stuck step", "two stuck steps"],
)
def test_stop_leaves_whatever_is_stuck(
    source: Clip, steps: tuple[Slow, ...], caplog: pytest.LogCaptureFixture
) -> None:
    line = Pipeline(source, *steps, sink=Notebook())
    threading.Timer(0.1, line.stop).start()
    with no_hang():
        line.run()
    assert "was still busy" in caplog.text  # the stage that did not end is named


def test_a_stage_may_end_the_line_on_purpose_without_an_error() -> None:
    def until_the_tenth(frame: Frame) -> None:
        if frame.index >= 10:
            raise EndOfLine

    sink = Notebook()
    Pipeline(Clip(interval_s=0.001), sink=sink, on_delivered=until_the_tenth).run()
    assert sink.indices[-1] >= 10

    def only_five(frame: Frame) -> Frame:
        if frame.index == 5:
            raise EndOfLine
        return frame

    sink = Notebook()
    play(Clip(), only_five, sink=sink)
    assert sink.indices == [0, 1, 2, 3, 4]


def raising(error: BaseException) -> Callable[[Frame], Image]:
    def step(frame: Frame) -> Image:
        if frame.index >= 3:  # live, any single one may be overtaken
            raise error
        return frame.image

    return step


class Leaving(Notebook):
    """A sink whose library ends the program."""

    def __call__(self, frame: Frame) -> None:
        raise SystemExit(0)


class LeavingClip(Clip):
    def __iter__(self) -> Iterator[Frame]:
        yield from itertools.islice(super().__iter__(), 2)
        raise SystemExit(0)


@pytest.mark.parametrize("every_frame", [False, True])
@pytest.mark.parametrize(
    ("source", "steps", "sink", "said"),
    [
        (Clip(interval_s=0.001), (raising(SystemExit(0)),), Notebook(), "step raised SystemExit"),
        (Clip(interval_s=0.001), (raising(GeneratorExit()),), Notebook(), "step raised GeneratorExit"),
        (
            Clip(interval_s=0.001),
            (raising(KeyboardInterrupt()),),
            Notebook(),
            "step raised KeyboardInterrupt",
        ),
        (LeavingClip(), (Brighter(),), Notebook(), "source raised SystemExit"),
        (Clip(interval_s=0.001), (Brighter(),), Leaving(), "sink raised SystemExit"),
    ],
    ids=["step exits", "step ends a generator", "step interrupts", "source exits", "sink exits"],
)
def test_a_stage_that_would_end_the_program_fails_the_line(
    source: Clip, steps: tuple, sink: Notebook, said: str, every_frame: bool
) -> None:
    with pytest.raises(RuntimeError, match=said):
        Pipeline(source, *steps, sink=sink, every_frame=every_frame).run()


class Stumbling:
    """Fails at a frame from the fourth on, a moment after the line was quit."""

    def __init__(self) -> None:
        self.inside, self.quit = threading.Event(), threading.Event()

    def __call__(self, frame: Frame) -> Image:
        if frame.index >= 3:
            self.inside.set()
            assert self.quit.wait(5)
            time.sleep(0.05)
            raise OSError(19, "No such device")
        return frame.image

    def frames(self) -> Iterator[Frame]:
        for frame in Clip(interval_s=0.01).__iter__():
            self(frame)
            yield frame


@pytest.mark.parametrize(
    ("stage", "way"),
    [("source", "stop"), ("source", "end"), ("step", "stop"), ("step", "end"), ("sink", "stop")],
)
def test_an_error_after_quitting_leaves_the_quit_a_success_and_is_said(
    stage: str, way: str, caplog: pytest.LogCaptureFixture
) -> None:
    stumbling, sink = Stumbling(), Notebook()

    def ended(frame: Frame) -> None:
        if way == "end":
            assert stumbling.inside.wait(5)
            stumbling.quit.set()
            raise EndOfLine

    class Window(Notebook):
        def __call__(self, frame: Frame) -> None:
            stumbling(frame)

    line = Pipeline(
        stumbling.frames() if stage == "source" else Clip(interval_s=0.01),  # type: ignore[arg-type]
        Step("mover", stumbling if stage == "step" else Brighter()),
        sink=Window() if stage == "sink" else sink,
        on_delivered=ended,
    )

    def quit_it() -> None:
        assert stumbling.inside.wait(5)
        line.stop()
        stumbling.quit.set()

    if way == "stop":
        threading.Thread(target=quit_it).start()
    line.run()
    assert "after the end of the line: OSError: [Errno 19] No such device" in caplog.text


def test_the_end_of_a_file_does_not_hide_an_error_in_its_last_frames() -> None:
    def late(frame: Frame) -> Image:
        if frame.index == 3:
            time.sleep(0.1)  # the source has ended
            raise ZeroDivisionError("a step broke")
        return frame.image

    with pytest.raises(ZeroDivisionError):
        play(Clip(frames=4), late, sink=Notebook())


def test_capture_to_sink_ends_when_the_sink_has_taken_the_frame() -> None:
    line = Pipeline(Clip(frames=5, interval_s=0.03), sink=Notebook(takes_s=0.02))
    line.run()
    stats = line.stats()
    assert stats.latency_total.p50_ms > 19 and stats.latency_recent.p50_ms > 19
    assert stats.stages[-1].total.p50_ms > 19


def test_after_the_run_the_figures_stand() -> None:
    line = Pipeline(Clip(frames=20, interval_s=0.005), Slow(0.0), sink=Notebook())
    line.run()
    first = line.stats()
    time.sleep(0.05)
    assert line.stats() == first


def test_waiting_for_a_stuck_stage_is_no_gap_of_the_picture() -> None:
    stuck = threading.Event()

    def stick(frame: Frame) -> Image:
        if frame.index >= 10:
            stuck.set()
            time.sleep(20)
        return frame.image

    line = Pipeline(Clip(interval_s=0.01), stick, sink=Notebook())
    threading.Thread(target=lambda: (stuck.wait(5), line.stop())).start()
    line.run()
    assert line.stats().longest_gap_ms < 1000 * 0.3


def test_stop_before_run_is_kept() -> None:
    line = Pipeline(Clip(), sink=Notebook())
    line.stop()
    line.run()
    assert line.stats().delivered == 0


def test_a_line_runs_once() -> None:
    line = Pipeline(Clip(frames=1), sink=Notebook())
    line.run()
    with pytest.raises(ValueError, match="already run"):
        line.run()


def test_the_sink_runs_in_the_callers_thread() -> None:
    sink = Notebook()
    play(Clip(frames=5), Brighter(), sink=sink)
    assert sink.threads == {threading.get_ident()}


def test_a_sink_that_must_be_pumped_is_pumped_while_the_source_is_silent() -> None:
    class Pumped(Notebook):
        pumped = 0

        def pump(self) -> None:
            self.pumped += 1
            if self.pumped == 10:
                raise EndOfLine

    sink = Pumped()
    with no_hang():
        Pipeline(Clip(silent_after=0), sink=sink).run()
    assert sink.pumped == 10


def test_stages_carry_their_names_and_gaps_in_the_source_count_as_dropped() -> None:
    line = Pipeline(
        Clip(frames=10, missing=(4, 5)), Brighter(), Step("badge", lambda image: image), sink=Notebook()
    )
    line.run()
    stats = line.stats()
    assert [stage.name for stage in stats.stages] == ["source", "brighter", "badge", "sink"]
    assert stats.stages[0].dropped == 2 and stats.captured == 10


def test_memory_stays_flat_over_a_thousand_frames() -> None:
    sink = Notebook(keep=False)
    marks: list[int] = []

    def note(frame: Frame) -> None:
        if frame.index in (300, 1490):
            marks.append(tracemalloc.get_traced_memory()[0])

    tracemalloc.start()
    try:
        play(Clip(frames=1500, side=32), Brighter(), lambda image: image.copy(), sink=sink, on_delivered=note)
    finally:
        tracemalloc.stop()
    assert marks[1] - marks[0] < 60_000  # 1190 frames of 3 kB went by


def test_a_frame_wakes_the_stage_behind_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("realtime.pipeline.WAKE_EVERY_S", STUCK_S)  # nobody looks in between
    sink = Notebook()

    class OneByOne(Clip):
        def __iter__(self) -> Iterator[Frame]:
            for frame in super().__iter__():
                yield frame
                assert wait_until(lambda index=frame.index: sink.indices[-1:] == [index]), "it lies somewhere"

    Pipeline(OneByOne(frames=5), *[lambda frame: frame] * 3, sink=sink).run()

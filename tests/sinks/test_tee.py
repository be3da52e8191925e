# SPDX-License-Identifier: MIT
"""A recording beside a sink is complete on a good day and harmless on a bad one."""

import logging
import threading
import time
from dataclasses import dataclass, field

import numpy as np
import pytest
from waiting import STUCK_S, no_hang, wait_until

from face.errors import SinkUnavailable
from face.frame import Frame
from realtime.sinks.file import FileSink
from realtime.sinks.null import NullSink
from realtime.sinks.tee import TeeSink


@dataclass
class Recorder:
    """Writes down indices; stuck until `released`, failing or refusing by its data."""

    released: threading.Event | None = None
    fails_at: int | None = None
    refuses: bool = False
    fails_at_the_end: bool = False
    indices: list[int] = field(default_factory=list)
    closed_with: list[object] = field(default_factory=list)
    threads: set[str] = field(default_factory=set)

    def __enter__(self) -> "Recorder":
        if self.refuses:
            raise SinkUnavailable("out.mp4 cannot be written")
        return self

    def __call__(self, frame: Frame) -> None:
        self.threads.add(threading.current_thread().name)
        if frame.index == self.fails_at:
            raise SinkUnavailable("the disk is full")
        if self.released is not None:
            self.released.wait(STUCK_S)
            self.released.set()  # stuck once is enough
        self.indices.append(frame.index)

    def __exit__(self, *exc_info: object) -> None:
        self.closed_with.append(exc_info[0])
        if self.fails_at_the_end and exc_info[0] is None:
            raise SinkUnavailable("the disk is full at last")


def frame(number: int) -> Frame:
    return Frame(np.full((16, 16, 3), number % 256, np.uint8), number / 30, number)


def test_both_get_every_frame_and_both_are_closed() -> None:
    live, recording = Recorder(), Recorder()
    with TeeSink(live, recording) as tee:
        for number in range(30):
            tee(frame(number))
            time.sleep(0.001)
    assert live.indices == recording.indices == list(range(30))
    assert live.closed_with == recording.closed_with == [None]
    assert (tee.recorded, tee.dropped, tee.error) == (30, 0, None)
    assert recording.threads == {"recording"} and live.threads == {"MainThread"}


def test_a_slow_recording_drops_and_never_delays_the_live_sink(caplog: pytest.LogCaptureFixture) -> None:
    released = threading.Event()
    live, recording = Recorder(), Recorder(released)
    with TeeSink(live, recording, depth=4) as tee:
        with no_hang():
            for number in range(40):
                tee(frame(number))
        assert live.indices == list(range(40)) and recording.indices == []
        released.set()
    assert 35 <= tee.dropped <= 36, "four wait, and one may be under way"
    assert tee.recorded + tee.dropped == 40
    assert recording.indices == sorted(recording.indices)
    assert f"{tee.dropped} frames are missing" in caplog.text


def test_a_recording_that_fails_is_reported_once_and_the_live_sink_goes_on(
    caplog: pytest.LogCaptureFixture,
) -> None:
    live, recording, told = Recorder(), Recorder(fails_at=3), []
    with TeeSink(live, recording, on_error=told.append) as tee:
        for number in range(20):
            tee(frame(number))
            assert number < 3 or wait_until(lambda: told)
    assert live.indices == list(range(20)) and recording.indices == [0, 1, 2]
    assert [str(error) for error in told] == ["the disk is full"] and tee.error is told[0]
    assert [record.message for record in caplog.records if record.levelno >= logging.ERROR] == [
        "the disk is full"
    ]
    assert recording.closed_with == [SinkUnavailable]


def test_a_recording_that_fails_at_its_end_is_reported_too() -> None:
    told: list[Exception] = []
    with TeeSink(Recorder(), Recorder(fails_at_the_end=True), on_error=told.append) as tee:
        tee(frame(0))
    assert [str(error) for error in told] == ["the disk is full at last"]


def test_a_recording_that_cannot_be_opened_is_raised_and_the_live_sink_is_closed() -> None:
    live = Recorder()
    with pytest.raises(SinkUnavailable, match="cannot be written"):
        TeeSink(live, Recorder(refuses=True)).__enter__()
    assert live.closed_with == [SinkUnavailable]


def test_an_error_of_the_live_sink_is_raised_and_the_recording_is_finished() -> None:
    recording = Recorder()
    with (
        pytest.raises(SinkUnavailable, match="the disk is full"),
        TeeSink(Recorder(fails_at=2), recording) as tee,
    ):
        for number in range(5):
            tee(frame(number))
    assert recording.indices == [0, 1] and recording.closed_with == [SinkUnavailable]


def test_a_recording_that_hangs_is_left_behind(monkeypatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr("realtime.sinks.tee.FINISH_WITHIN_S", 0.1)
    released = threading.Event()
    with no_hang(), TeeSink(NullSink(), Recorder(released), depth=1) as tee:
        for number in range(5):
            tee(frame(number))
    released.set()
    assert "could not be finished" in caplog.text


def test_the_window_below_is_still_pumped() -> None:
    class Pumped(NullSink):
        pumped = 0

        def pump(self) -> None:
            self.pumped += 1

    sink = Pumped()
    tee = TeeSink(sink, NullSink())
    assert tee.pump is not None
    tee.pump()
    assert sink.pumped == 1 and TeeSink(NullSink(), NullSink()).pump is None


def test_a_real_file_beside_a_sink_is_complete(tmp_path) -> None:
    import av

    path = tmp_path / "out.mp4"
    with TeeSink(NullSink(), FileSink(path)) as tee:
        for number in range(20):
            tee(frame(number))
            time.sleep(0.003)
    with av.open(str(path)) as container:
        assert len(list(container.decode(video=0))) == tee.recorded == 20 - tee.dropped

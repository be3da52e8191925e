# SPDX-License-Identifier: MIT
"""Latency is what a viewer sees: from capture until the sink has handed the picture on."""

import time
from collections.abc import Iterator

import numpy as np

from face.frame import Frame
from realtime.pipeline import play

SENDS_S = 0.04
STEPS_S = 0.02


class Source:
    """One frame: a second one would wait for the first, and that alone would make it late."""

    live, fps = False, 30.0

    def __iter__(self) -> Iterator[Frame]:
        yield Frame(np.zeros((8, 8, 3), np.uint8), time.perf_counter(), 0)

    def __enter__(self) -> "Source":
        return self

    def __exit__(self, *exc_info: object) -> None:
        return None


class SlowSink:
    """As a camera driver that takes its time."""

    name = "slow"

    def __call__(self, frame: Frame) -> None:
        time.sleep(SENDS_S)

    def __enter__(self) -> "SlowSink":
        return self

    def __exit__(self, *exc_info: object) -> None:
        return None


def test_the_time_the_sink_takes_is_part_of_the_latency() -> None:
    def slow(frame: Frame) -> np.ndarray:
        time.sleep(STEPS_S)
        return frame.image

    stats = play(Source(), slow, sink=SlowSink())
    assert stats.latency_total.count == stats.latency_recent.count == 1
    assert stats.latency_recent.max_ms >= 1000 * (SENDS_S + STEPS_S)
    assert stats.latency_total.max_ms >= 1000 * (SENDS_S + STEPS_S)
    assert stats.stages[-1].total.max_ms >= 1000 * SENDS_S

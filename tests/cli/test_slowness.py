# SPDX-License-Identifier: MIT
"""A computer that is too slow is said as what it is, with what to lower; what keeps up is not accused."""

import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from cli_stage import Card, Opener, Stage

from face.arrays import Image
from face.frame import Frame
from face.motion import Motion
from realtime.live.figures import status_line
from realtime.live.slowness import FEWEST_FPS, slowness
from realtime.stats import LineStats, Percentiles, StageStats

TOO_LONG_MS = 1000 / FEWEST_FPS


def stage(name: str, p50_ms: float, count: int) -> StageStats:
    times = Percentiles(count, p50_ms, p50_ms, p50_ms, p50_ms, p50_ms)
    return StageStats(name, count, 0, times, times)


def line(count: int = 30, **p50_ms: float) -> LineStats:
    stages = tuple(stage(name, ms, count) for name, ms in p50_ms.items())
    nothing = Percentiles()
    return LineStats(1.0, 30, 30, 0, 8.0, 8.0, 0.0, 0.0, 0.0, nothing, nothing, stages)


def said(stats: LineStats, method: str = "mesh", size: tuple[int, int] = (512, 400)) -> str:
    return slowness(stats, method=method, size=size)


def test_a_line_that_keeps_up_is_not_accused() -> None:
    assert said(line(source=3, tracker=30, puppet=90, sink=1)) == ""


def test_an_old_picture_of_a_source_is_no_slowness_of_this_computer() -> None:
    assert said(line(source=900, tracker=30, puppet=30, sink=1)) == ""


@pytest.mark.parametrize(
    ("slow", "method", "cure"),
    [
        ("tracker", "mesh", "start with --portrait-size 256"),
        ("tracker", "directions", "close other programs"),
        ("puppet", "mesh", "start with --portrait-size 256"),
        ("puppet", "directions", "choose the method mesh"),
        ("sink", "mesh", "start with a smaller --size"),
    ],
)
def test_the_slowest_stage_is_named_with_what_to_lower(slow: str, method: str, cure: str) -> None:
    times = {"source": 5.0, "tracker": 110.0, "puppet": 110.0, "sink": 110.0} | {slow: 240.0}
    found = said(line(**times), method)
    assert f"{slow} takes 240 ms" in found and cure in found and "\n" not in found
    assert found.startswith("this computer is too slow")


def test_a_small_portrait_is_not_asked_to_be_smaller() -> None:
    assert "--portrait-size" not in said(line(source=1, puppet=200), size=(192, 150))


@pytest.mark.parametrize(("frames", "accused"), [(0, False), (1, False), (2, False), (3, True)])
def test_the_first_slow_frames_say_nothing(frames: int, accused: bool) -> None:
    assert bool(said(line(frames, source=1, puppet=900))) == accused


def test_a_stage_too_slow_for_three_frames_within_the_window_is_found_by_all_its_frames() -> None:
    slow = stage("puppet", 6000.0, 5)
    lately = StageStats("puppet", 5, 0, stage("puppet", 6000.0, 1).recent, slow.total)
    assert "puppet takes 6000 ms" in said(replace(line(source=1), stages=(stage("source", 1, 5), lately)))


class SlowCard(Card):
    def __call__(self, motion: Motion, frame: Frame | None = None) -> Image:
        time.sleep(1.3 * TOO_LONG_MS / 1000)
        return super().__call__(motion, frame)


class SlowOpener(Opener):
    def __call__(self, method: str, path: Path) -> Card:
        return SlowCard(10)


def test_a_slow_session_says_so_in_window_terminal_and_state_and_never_in_a_meeting() -> None:
    with Stage(opener=SlowOpener()) as slow:
        slow.wait(lambda: slow.session.state().slow)
        state = slow.session.state()
        assert "puppet takes" in state.slow and state.slow in status_line(state)
        slow.wait(lambda: slow.window.last is not None and len(np.unique(slow.window.last.image)) > 1)
        assert slow.meeting.last is not None and len(np.unique(slow.meeting.last.image)) == 1
    with Stage() as quick:
        quick.wait(lambda: quick.session.state().delivered > 20)
        assert quick.session.state().slow == ""

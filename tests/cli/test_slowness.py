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
from realtime.stats import WINDOW_S, LineStats, Percentiles, StageStats

FRAME_S = 1.5 / FEWEST_FPS


def stage(name: str, mean_ms: float, count: int) -> StageStats:
    times = Percentiles(count, mean_ms, mean_ms, mean_ms, mean_ms, mean_ms)
    return StageStats(name, count, 0, times, times)


def line(fps: float = 5.0, given_fps: float = 30.0, elapsed_s: float = 100.0, **mean_ms: float) -> LineStats:
    """A line that shows `fps` of `given_fps` frames; its stages with the time that a frame takes in each."""
    counted_s = min(elapsed_s, WINDOW_S)
    times = {"tracker": 30.0, "puppet": 30.0, "sink": 1.0} | mean_ms
    stages = [stage(name, ms, round(fps * counted_s)) for name, ms in times.items()]
    source = stage("source", 900.0, round(given_fps * counted_s))
    delivered, nothing = round(fps * elapsed_s), Percentiles()
    return LineStats(elapsed_s, 0, delivered, 0, fps, fps, 0.0, 0.0, 0.0, nothing, nothing, (source, *stages))


def said(stats: LineStats, method: str = "mesh", size: tuple[int, int] = (512, 400)) -> str:
    return slowness(stats, method=method, size=size)


@pytest.mark.parametrize(("fps", "given_fps"), [(30, 30), (15, 30), (10, 60)])
def test_a_line_that_keeps_up_is_not_accused(fps: float, given_fps: float) -> None:
    assert said(line(fps, given_fps)) == ""


def test_a_slow_camera_is_no_slow_computer() -> None:
    assert said(line(5, 5)) == ""


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
    times = {"tracker": 110.0, "puppet": 110.0, "sink": 110.0} | {slow: 240.0}
    found = said(line(4.2, **times), method)
    assert found.startswith("this computer is too slow: 4.2 of 30 frames a second")
    assert f"{slow} takes 240 ms" in found and cure in found and "\n" not in found


def test_a_small_portrait_is_not_asked_to_be_smaller() -> None:
    assert said(line(), size=(192, 150)).endswith("close other programs")


@pytest.mark.parametrize(("seconds", "accused"), [(0.0, False), (0.4, False), (0.6, True)])
def test_the_first_frames_say_nothing(seconds: float, accused: bool) -> None:
    assert bool(said(line(5, elapsed_s=seconds))) == accused


def test_a_stage_that_finished_nothing_lately_is_told_by_its_past() -> None:
    stats = line(0.1, puppet=9000.0)
    puppet = replace(stats.stages[2], recent=Percentiles())
    stuck = replace(stats, stages=(*stats.stages[:2], puppet, stats.stages[3]))
    assert "puppet takes 9000 ms" in said(stuck)


class SlowCard(Card):
    def __call__(self, motion: Motion, frame: Frame | None = None) -> Image:
        time.sleep(FRAME_S)
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

# SPDX-License-Identifier: MIT
"""The figures are right against examples counted by hand, and need no memory that grows."""

import sys

import pytest

from realtime.stats import Deliveries, Durations, Percentiles, StageStats

WITHIN_ONE_PERCENT = 0.0101


def test_recent_percentiles_are_exact() -> None:
    durations = Durations()
    for ms in range(1, 101):  # 1 ms ... 100 ms
        durations.add(ms / 1000, now_s=50.0)
    recent = durations.recent(now_s=51.0)
    assert recent.count == 100
    assert recent.mean_ms == pytest.approx(50.5)
    assert recent.p50_ms == pytest.approx(50.5)
    assert recent.p95_ms == pytest.approx(95.05)  # linear between the 95th and the 96th value
    assert recent.p99_ms == pytest.approx(99.01)
    assert recent.max_ms == pytest.approx(100.0)


def test_total_percentiles_are_within_one_percent() -> None:
    durations = Durations()
    for ms in range(1, 101):
        durations.add(ms / 1000, now_s=50.0)
    total = durations.total()
    assert (total.count, total.mean_ms, total.max_ms) == (100, pytest.approx(50.5), pytest.approx(100.0))
    assert total.p50_ms == pytest.approx(50, rel=WITHIN_ONE_PERCENT)
    assert total.p95_ms == pytest.approx(95, rel=WITHIN_ONE_PERCENT)
    assert total.p99_ms == pytest.approx(99, rel=WITHIN_ONE_PERCENT)


def test_recent_forgets_what_is_older_than_the_window_and_total_does_not() -> None:
    durations = Durations(window_s=10)
    durations.add(1.0, now_s=100.0)
    durations.add(0.002, now_s=108.0)
    durations.add(0.004, now_s=111.0)
    recent = durations.recent(now_s=112.0)
    assert (recent.count, recent.mean_ms, recent.max_ms) == (2, pytest.approx(3.0), pytest.approx(4.0))
    assert durations.total().max_ms == pytest.approx(1000.0)


def test_the_ring_keeps_the_newest_when_more_come_than_it_holds() -> None:
    durations = Durations(capacity=4)
    for ms in (100, 100, 1, 2, 3, 4):
        durations.add(ms / 1000, now_s=1.0)
    assert durations.recent(1.0).max_ms == pytest.approx(4.0)
    assert durations.total().count == 6


def test_nothing_measured_is_all_zero() -> None:
    assert Durations().recent(0.0) == Durations().total() == Percentiles()


@pytest.mark.parametrize("duration_s", [-1.0, 0.0, 1e-9, 1e9])
def test_strange_durations_are_counted_and_break_nothing(duration_s: float) -> None:
    durations = Durations()
    durations.add(duration_s, now_s=1.0)
    assert durations.total().count == 1
    assert durations.recent(1.0).max_ms == pytest.approx(max(duration_s, 0.0) * 1000)


def test_the_line_is_described_by_an_example_counted_by_hand() -> None:
    deliveries = Deliveries()
    for captured_s, delivered_s in ((9.98, 10.00), (10.08, 10.10), (10.16, 10.20), (10.36, 10.40)):
        deliveries.add(captured_s, delivered_s)
    nothing = Percentiles()
    stages = (StageStats("source", 5, 1, nothing, nothing), StageStats("sink", 4, 1, nothing, nothing))
    stats = deliveries.stats(started_s=9.0, now_s=10.9, stages=stages)
    assert (stats.captured, stats.delivered, stats.dropped) == (6, 4, 2)
    assert stats.drop_rate == pytest.approx(2 / 6)
    assert stats.elapsed_s == pytest.approx(1.9)
    assert [stats.fps, stats.mean_fps] == pytest.approx([3 / 0.9] * 2)  # three more within 0.9 s
    assert stats.jitter_ms == pytest.approx(47.140452)  # sqrt((33.3^2 + 33.3^2 + 66.7^2) / 3)
    assert stats.longest_gap_ms == pytest.approx(500), "it is the one under way"
    assert stats.silent_s == pytest.approx(0.5)
    assert stats.latency_recent.p50_ms == pytest.approx(30.0)  # 20, 20, 40, 40
    assert stats.latency_recent.max_ms == pytest.approx(40.0)


ONE_STAGE = (StageStats("source", 3, 0, Percentiles(), Percentiles()),)


def steady(fps: int, seconds: float) -> Deliveries:
    """Deliveries from 0 s on."""
    deliveries = Deliveries()
    for number in range(round(fps * seconds) + 1):
        deliveries.add(number / fps, number / fps)
    return deliveries


@pytest.mark.parametrize(
    ("standing_s", "fps"), [(0.0, 30.0), (1.0, 27.0), (7.6, 7.2), (9.9, 0.3), (12.0, 0.0), (3600.0, 0.0)]
)
def test_a_picture_that_stands_is_counted_into_rate_and_gap(standing_s: float, fps: float) -> None:
    now_s = 20.0 + standing_s
    stats = steady(30, 20.0).stats(started_s=0.0, now_s=now_s, stages=ONE_STAGE)
    assert stats.fps == pytest.approx(fps, abs=0.2)  # of the 300 frames a window takes
    assert stats.mean_fps == pytest.approx(600 / now_s)
    assert stats.longest_gap_ms == pytest.approx(max(1000 * standing_s, 1000 / 30))
    assert stats.silent_s == pytest.approx(standing_s)


def test_the_rate_after_a_long_stand_counts_what_came_since() -> None:
    deliveries = steady(30, 5.0)
    for number in range(31):
        deliveries.add(40 + number / 30, 40 + number / 30)
    stats = deliveries.stats(started_s=0.0, now_s=41.0, stages=ONE_STAGE)
    assert stats.fps == pytest.approx(3.1) and stats.longest_gap_ms == pytest.approx(35_000)


def test_a_rate_beyond_what_the_ring_holds_is_right_too() -> None:
    stats = steady(1000, 20.0).stats(started_s=0.0, now_s=20.0, stages=ONE_STAGE)
    assert stats.fps == pytest.approx(1000, rel=0.01)


def test_a_delivery_while_the_figures_are_counted_is_no_silence_below_zero() -> None:
    stats = steady(30, 1.0).stats(started_s=0.0, now_s=0.99, stages=ONE_STAGE)
    assert stats.silent_s == 0.0 and stats.fps > 0


def test_nothing_delivered_yet_is_a_silence_and_no_gap() -> None:
    stats = Deliveries().stats(started_s=10.0, now_s=13.0, stages=ONE_STAGE)
    assert (stats.fps, stats.mean_fps, stats.longest_gap_ms) == (0, 0, 0) and stats.silent_s == 3.0


def test_durations_take_no_more_memory_after_thousands_than_after_one() -> None:
    durations = Durations()
    durations.add(0.001, 0.0)
    before = sum(sys.getsizeof(value) for value in vars(durations).values())
    for number in range(20_000):
        durations.add(number * 1e-5, number * 0.01)
    assert sum(sys.getsizeof(value) for value in vars(durations).values()) <= before + 64

# SPDX-License-Identifier: MIT
"""Times as percentiles and rates, in fixed memory. Knows no thread and no frame."""

import math
import threading
from dataclasses import dataclass

import numpy as np

WINDOW_S = 10.0  # what `recent` means
CAPACITY = 2048  # samples behind `recent`: 10 s at 200 frames a second; at higher rates the window is shorter

# The total is a histogram with geometric bins, each 2 % wider than the one before: percentiles within 1 %.
_LOWEST_MS, _HIGHEST_MS, _RATIO = 1e-3, 1e6, 1.02
_LOG_RATIO = math.log(_RATIO)
_BINS = math.ceil(math.log(_HIGHEST_MS / _LOWEST_MS) / _LOG_RATIO) + 1


@dataclass(frozen=True, slots=True)
class Percentiles:
    """How a time was spread; all zero while `count` is zero. Milliseconds."""

    count: int = 0
    mean_ms: float = 0.0
    p50_ms: float = 0.0
    p95_ms: float = 0.0
    p99_ms: float = 0.0
    max_ms: float = 0.0


@dataclass(frozen=True, slots=True)
class StageStats:
    """One stage of the line, as `Pipeline.stats` saw it."""

    name: str
    done: int  # frames it finished
    dropped: int  # overtaken by a newer frame before it took them; source: gaps in its own numbering
    recent: Percentiles  # its work a frame over the last WINDOW_S; source: age of a frame when handed over
    total: Percentiles  # the same since the start, within 1 %


@dataclass(frozen=True, slots=True)
class LineStats:
    """The whole line. `captured` = `delivered` + `dropped` + what is still under way."""

    elapsed_s: float  # since the start of the run, until its end
    captured: int  # frames the device made, those included that the source itself lost
    delivered: int
    dropped: int
    fps: float  # delivered a second over the last WINDOW_S, until now
    mean_fps: float  # delivered a second since the first delivery, until now
    jitter_ms: float  # standard deviation of the recent intervals between two deliveries
    longest_gap_ms: float  # longest interval between two deliveries, or since the last: the worst stall
    silent_s: float  # since the last delivery; how long the picture has been standing still
    latency_recent: Percentiles  # capture to delivered
    latency_total: Percentiles
    stages: tuple[StageStats, ...]  # source, steps, sink

    @property
    def drop_rate(self) -> float:
        """Share of the captured frames that were dropped, 0 to 1."""
        return self.dropped / self.captured if self.captured else 0.0


class Durations:
    """Collects durations: exact percentiles of the last seconds, percentiles within 1 % since the start.

    One thread adds, any thread reads.
    """

    def __init__(self, window_s: float = WINDOW_S, capacity: int = CAPACITY) -> None:
        self._window_s = window_s
        self._ended_s = np.full(capacity, -math.inf)
        self._ms = np.zeros(capacity)
        self._bins = [0] * _BINS
        self._count = 0
        self._sum_ms = 0.0
        self._max_ms = 0.0
        self._lock = threading.Lock()

    @property
    def count(self) -> int:
        return self._count

    @property
    def max_ms(self) -> float:
        return self._max_ms

    def add(self, duration_s: float, now_s: float) -> None:
        """Count one duration that ended at `now_s` (time.perf_counter()); a negative one counts as zero."""
        ms = max(duration_s, 0.0) * 1000.0
        place = int(math.log(ms / _LOWEST_MS) / _LOG_RATIO) if ms > _LOWEST_MS else 0
        with self._lock:
            at = self._count % len(self._ms)
            self._ended_s[at] = now_s
            self._ms[at] = ms
            self._bins[min(place, _BINS - 1)] += 1
            self._count += 1
            self._sum_ms += ms
            self._max_ms = max(self._max_ms, ms)

    def recent_ms(self, now_s: float) -> "np.ndarray[tuple[int], np.dtype[np.float64]]":
        """(N,) durations that ended within the window before `now_s`, in no order."""
        with self._lock:
            ended_s, ms = self._ended_s.copy(), self._ms.copy()
        return ms[ended_s > now_s - self._window_s]

    def recent(self, now_s: float) -> Percentiles:
        ms = self.recent_ms(now_s)
        if not ms.size:
            return Percentiles()
        p50, p95, p99 = np.percentile(ms, (50, 95, 99))
        return Percentiles(ms.size, float(ms.mean()), float(p50), float(p95), float(p99), float(ms.max()))

    def total(self) -> Percentiles:
        with self._lock:
            count, bins, sum_ms, max_ms = self._count, np.array(self._bins), self._sum_ms, self._max_ms
        if not count:
            return Percentiles()
        below = np.cumsum(bins)
        p50, p95, p99 = (self._at(below, math.ceil(share * count), max_ms) for share in (0.50, 0.95, 0.99))
        return Percentiles(count, sum_ms / count, p50, p95, p99, max_ms)

    @staticmethod
    def _at(below: "np.ndarray[tuple[int], np.dtype[np.int64]]", rank: int, max_ms: float) -> float:
        """The rank-th smallest duration (1 = smallest): the geometric middle of its bin."""
        place = int(np.searchsorted(below, rank))
        return min(_LOWEST_MS * math.exp((place + 0.5) * _LOG_RATIO), max_ms)


class Deliveries:
    """Collects the instants at which frames left the line. One thread adds, any thread reads."""

    def __init__(self, window_s: float = WINDOW_S, capacity: int = CAPACITY) -> None:
        self.latency = Durations(window_s, capacity)
        self._intervals = Durations(window_s, capacity)
        self._window_s = window_s
        self._first_s = self._last_s = math.nan

    def add(self, captured_s: float, now_s: float) -> None:
        """Count one frame captured and delivered at these instants (time.perf_counter())."""
        self.latency.add(now_s - captured_s, now_s)
        if math.isnan(self._first_s):
            self._first_s = now_s
        else:
            self._intervals.add(now_s - self._last_s, now_s)
        self._last_s = now_s

    def stats(self, *, started_s: float, now_s: float, stages: tuple[StageStats, ...]) -> LineStats:
        """The line's figures; `stages` runs from the source to the sink."""
        recent_ms, first_s, last_s = self._intervals.recent_ms(now_s), self._first_s, self._last_s
        never = math.isnan(last_s)
        silent_s = max(now_s - (started_s if never else last_s), 0.0)  # one may be delivered while we count
        standing_s = 0.0 if never else silent_s  # the interval under way
        counted_s = min(self._window_s, float(recent_ms.sum()) / 1000 + standing_s)
        spent_s = 0.0 if never else last_s - first_s + standing_s
        return LineStats(
            elapsed_s=now_s - started_s,
            captured=stages[0].done + stages[0].dropped,
            delivered=self.latency.count,
            dropped=sum(stage.dropped for stage in stages),
            fps=recent_ms.size / counted_s if counted_s > 0 else 0.0,
            mean_fps=self._intervals.count / spent_s if spent_s > 0 else 0.0,
            jitter_ms=float(recent_ms.std()) if recent_ms.size else 0.0,
            longest_gap_ms=max(self._intervals.max_ms, 1000 * standing_s),
            silent_s=silent_s,
            latency_recent=self.latency.recent(now_s),
            latency_total=self.latency.total(),
            stages=stages,
        )

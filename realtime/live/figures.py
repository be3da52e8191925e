# SPDX-License-Identifier: MIT
"""What a line did: as one status line, as rows of a table, as values for JSON. Prints nothing itself."""

import math
from dataclasses import asdict

from realtime.control import SessionState
from realtime.stats import LineStats, Percentiles

STAGE_COLUMNS = ("stage", "frames", "dropped", "p50 ms", "p95 ms", "p99 ms", "max ms")


def status_line(state: SessionState) -> str:
    """One honest line about a running session."""
    if math.isnan(state.latency_p50_ms):
        rates = "waiting for the first frame"
    else:
        taken = state.delivered + state.dropped
        share = 100 * state.dropped / taken if taken else 0.0
        rates = (
            f"{state.fps:4.1f} fps  p50 {state.latency_p50_ms:.0f} p95 {state.latency_p95_ms:.0f} ms  "
            f"{state.dropped} dropped ({share:.1f} %)  face {'yes' if state.face_found else 'NO'}"
        )
    portrait = state.portraits[state.portrait].name if state.portrait >= 0 else "no portrait"
    busy = f"  enrolling {state.enrolling}" if state.enrolling else ""
    said = "".join(f"  | {line}" for line in (state.message, state.slow) if line)
    return f"{rates}  {state.method} on {portrait}{busy}{said}"


def stage_rows(stats: LineStats) -> list[tuple[str, ...]]:
    """Rows under STAGE_COLUMNS: each stage, then capture to sink."""
    rows = [
        (stage.name, str(stage.done), str(stage.dropped), *_milliseconds(stage.total))
        for stage in stats.stages
    ]
    rows.append(
        ("capture to sink", str(stats.delivered), str(stats.dropped), *_milliseconds(stats.latency_total))
    )
    return rows


def summary(stats: LineStats) -> str:
    """The line's outcome in one sentence."""
    if not stats.delivered:
        return f"no frame was delivered in {stats.elapsed_s:.1f} s"
    return (
        f"{stats.delivered} frames in {stats.elapsed_s:.1f} s, {stats.mean_fps:.2f} fps, "
        f"{stats.dropped} dropped ({100 * stats.drop_rate:.2f} %), "
        f"longest gap {stats.longest_gap_ms:.0f} ms, jitter {stats.jitter_ms:.1f} ms"
    )


def line_values(stats: LineStats) -> dict[str, object]:
    """The same for a JSON line; milliseconds and frames a second, rounded to what was measured."""
    return {
        "elapsed_s": round(stats.elapsed_s, 3),
        "captured": stats.captured,
        "delivered": stats.delivered,
        "dropped": stats.dropped,
        "drop_rate": round(stats.drop_rate, 5),
        "fps": round(stats.mean_fps, 3),
        "longest_gap_ms": round(stats.longest_gap_ms, 2),
        "latency": _rounded(stats.latency_total),
        "stages": {
            stage.name: {"done": stage.done, "dropped": stage.dropped, **_rounded(stage.total)}
            for stage in stats.stages
        },
    }


def _milliseconds(times: Percentiles) -> tuple[str, ...]:
    return tuple(f"{ms:.2f}" for ms in (times.p50_ms, times.p95_ms, times.p99_ms, times.max_ms))


def _rounded(times: Percentiles) -> dict[str, float]:
    return {name: round(value, 3) for name, value in asdict(times).items()}

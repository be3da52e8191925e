# SPDX-License-Identifier: MIT
"""Says that a computer is too slow, and what to lower, from the line's own figures."""

from realtime.stats import LineStats

FEWEST_FPS = 10.0  # below it a face jumps from picture to picture, and the tracker loses it
FEWEST_FRAMES = 3  # one slow frame, as the first is, says nothing
SMALLEST = 192  # longer side from which on a smaller portrait is no cure


def slowness(stats: LineStats, *, method: str, size: tuple[int, int]) -> str:
    """One line about the slowest stage, "" where it keeps up; `method` and `size` are the puppet's."""
    took_ms, slowest = 0.0, ""
    for stage in stats.stages[1:]:  # the source's figure is an age, not work
        times = stage.recent if stage.recent.count >= FEWEST_FRAMES else stage.total
        if times.count >= FEWEST_FRAMES and times.p50_ms > took_ms:
            took_ms, slowest = times.p50_ms, stage.name
    if took_ms < 1000 / FEWEST_FPS:
        return ""
    cures = ["close other programs"]
    if slowest == "sink":
        cures.append("start with a smaller --size")
    elif slowest == "puppet" and method != "mesh":
        cures.append("choose the method mesh")
    elif method == "mesh" and max(size) > SMALLEST:
        cures.append(f"start with --portrait-size {max(size) // 2}")
    return (
        f"this computer is too slow: {slowest} takes {took_ms:.0f} ms a frame, expected at most "
        f"{1000 / FEWEST_FPS:.0f}; {', or '.join(cures)}"
    )

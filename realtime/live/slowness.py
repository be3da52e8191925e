# SPDX-License-Identifier: MIT
"""Says that a computer is too slow, and what to lower, from the line's own figures."""

from realtime.stats import WINDOW_S, LineStats

FEWEST_FPS = 10.0  # below it a face jumps from picture to picture, and the tracker loses it
FEWEST_FRAMES = 3  # the first ones are slow everywhere
SOURCE_GIVES = 1.3  # times as many as are shown: otherwise it is the source that is slow
SMALLEST = 192  # longer side from which on a smaller portrait is no cure


def slowness(stats: LineStats, *, method: str, size: tuple[int, int]) -> str:
    """One line with the slowest stage, "" where the line keeps up; `method` and `size` are the puppet's."""
    counted_s = max(min(WINDOW_S, stats.elapsed_s), 1e-6)
    given_fps = stats.stages[0].recent.count / counted_s
    few = stats.delivered < FEWEST_FRAMES
    if few or stats.fps >= FEWEST_FPS or given_fps < SOURCE_GIVES * stats.fps:
        return ""
    # The source's figure is an age, not work. A stage that finished nothing lately is told by its past.
    work = [
        ((each.recent if each.recent.count else each.total).mean_ms, each.name) for each in stats.stages[1:]
    ]
    took_ms, slowest = max(work)
    cures = ["close other programs"]
    if slowest == "sink":
        cures.append("start with a smaller --size")
    elif slowest == "puppet" and method != "mesh":
        cures.append("choose the method mesh")
    elif method == "mesh" and max(size) > SMALLEST:
        cures.append(f"start with --portrait-size {max(size) // 2}")
    return (
        f"this computer is too slow: {stats.fps:.1f} of {given_fps:.0f} frames a second, "
        f"{slowest} takes {took_ms:.0f} ms a frame; {', or '.join(cures)}"
    )

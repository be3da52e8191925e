# SPDX-License-Identifier: MIT
"""The commands that work through a clip: demo, render, bench. Knows no frame."""

import os
import shlex
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from face.errors import SinkUnavailable, WrongUse
from realtime.commands import options as opt
from realtime.console import FrameProgress, StatusLine, last_line, log_to_stderr, note, show_table

if TYPE_CHECKING:
    from realtime.offline.bench import Bench
    from realtime.offline.render import Tracked

MOTION = ".npz"


def demo(
    out: opt.DemoOut = Path("demo.mp4"), seconds: opt.DemoSeconds = 10.0,
    method: opt.MethodName = "mesh", engine: opt.Engine = "auto", model: opt.Model = None,
    seed: opt.Seed = 21, psi: opt.Psi = 0.7, frame: opt.FrameShown = "photo",
    config: opt.Config = None, json_line: opt.JsonLine = False, log_level: opt.Logging = "warning",
) -> int:  # fmt: skip
    """Show the main job with what comes along: no camera, no screen, no photo needed.

    A scripted driver talks, turns, nods, blinks, smiles and looks around; the film of it is tracked and moves
    a portrait. The file shows driver, portrait and result side by side. With --method directions the portrait
    is a face that was never anyone's: choose it by --seed.
    """
    from methods.directions.puppet import Learned, open_directions
    from realtime.frame import close_puppet
    from realtime.live.opening import check_method
    from realtime.offline.demo import demonstrate
    from realtime.offline.render import check_out

    log_to_stderr(log_level)
    check_method(method, engine, model)
    check_out(out)
    puppet = None
    if method != "mesh":
        drawn = open_directions(f"seed:{seed}:{psi:g}", longest=512, learned=Learned(model, engine, frame))
        puppet = drawn, drawn.portrait
    with ExitStack() as stack:
        progress = stack.enter_context(FrameProgress())
        if puppet is not None:
            stack.callback(close_puppet, puppet[0])
        made = demonstrate(out, seconds=seconds, puppet=puppet, on_progress=progress)
    note(
        f"{made.out}: {made.frames} frames, driver, portrait and result side by side, "
        f"drawn at {made.stats.mean_fps:.0f} frames a second"
    )
    if json_line:
        values = {"out": str(made.out), "frames": made.frames, "faceless": made.faceless}
        last_line({**values, "drawn_fps": round(made.stats.mean_fps, 2)})
    return 0


def render(
    portrait: opt.RenderPortrait, driving: opt.RenderDriving, out: opt.RenderOut,
    compare: opt.Compare = False, audio: opt.Audio = True, badge: opt.Badge = False,
    motion: opt.MotionFile = None, mirror: opt.Mirror = False, absolute: opt.Absolute = False,
    pose_gain: opt.PoseGain = 1.0, expression_gain: opt.ExpressionGain = 1.0, eyes_gain: opt.EyesGain = 1.0,
    smoothing: opt.Smoothing = 1.0, refine: opt.Refine = True,
    method: opt.MethodName = "mesh", engine: opt.Engine = "auto", model: opt.Model = None,
    portrait_size: opt.PortraitSize = 512, frame: opt.FrameShown = "photo",
    config: opt.Config = None, json_line: opt.JsonLine = False, log_level: opt.Logging = "warning",
) -> int:  # fmt: skip
    """Move a portrait by a video, offline: every frame, the same result each time.

    The whole video is tracked first, so its own most neutral moment is the rest that movement is measured
    against. An interrupted or failed render leaves no file behind.
    """
    from methods.directions.puppet import Learned
    from methods.mesh.puppet import open_puppet, portrait_of
    from realtime.frame import close_puppet
    from realtime.live.opening import check_method
    from realtime.offline.render import check_places, refined, track_clip
    from realtime.offline.render import render as draw

    log_to_stderr(log_level)
    check_method(method, engine, model)
    check_places(portrait, driving, out)
    tracked = _kept_motion(motion)
    learned = Learned(model, engine, frame)
    puppet = open_puppet(method, portrait, longest=portrait_size, learned=learned)
    picture = portrait_of(puppet, portrait)
    looks = {"compare": compare, "mirror": mirror, "audio": audio, "badge": badge}
    with ExitStack() as stack:
        stack.callback(close_puppet, puppet)
        progress = stack.enter_context(FrameProgress())
        if tracked is None:
            gains = {"pose": pose_gain, "expression": expression_gain, "eyes": eyes_gain}
            tracked = track_clip(
                driving,
                mirror=mirror,
                smoothing=smoothing,
                relative=not absolute,
                gains=gains,
                on_progress=progress,
            )
            _keep_motion(motion, tracked)
        if refine:
            puppet = refined(puppet, tracked, on_progress=progress)
        made = draw(puppet, picture, driving, out, tracked, **looks, on_progress=progress)
    lost = f", {made.faceless} of them without a face" if made.faceless else ""
    note(f"{made.out}: {made.frames} frames{lost}, drawn at {made.stats.mean_fps:.0f} frames a second")
    if json_line:
        last_line({"out": str(made.out), "frames": made.frames, "faceless": made.faceless})
    return 0


def _kept_motion(path: Path | None) -> "Tracked | None":
    """The motion an earlier render kept there; None when it is still to be tracked."""
    from face.clip import load_clip
    from realtime.offline.render import tracked_clip_of

    if path is None:
        return None
    if path.suffix != MOTION:
        raise WrongUse(f"--motion is {str(path)!r}, expected a name that ends in {MOTION}; rename it")
    return tracked_clip_of(load_clip(path)) if path.exists() else None


def _keep_motion(path: Path | None, tracked: "Tracked") -> None:
    from face.clip import save_clip

    if path is not None:
        save_clip(path, tracked.motions)


def bench(
    clip: opt.BenchClip = None, seconds: opt.BenchSeconds = 20.0, warmup: opt.Warmup = 5.0,
    report: opt.Report = None, portrait: opt.BenchPortrait = None, size: opt.BenchSize = "512x512",
    method: opt.MethodName = "mesh", engine: opt.Engine = "auto", model: opt.Model = None,
    portrait_size: opt.PortraitSize = 512, frame: opt.FrameShown = "photo",
    config: opt.Config = None, json_line: opt.JsonLine = False, log_level: opt.Logging = "warning",
) -> int:  # fmt: skip
    """Measure the line on this machine: a clip played as a 640x480 camera into a sink that keeps nothing.

    Percentiles a stage, capture to sink, frames delivered and dropped, memory; against what was promised for
    two cores without a GPU. Exit status 0 means measured, whatever the figures.
    """
    from methods.directions.puppet import Learned
    from realtime.live.opening import check_method, portrait_paths
    from realtime.offline.bench import Sample, bench_values, run_bench

    log_to_stderr(log_level)
    check_method(method, engine, model)
    sink_size = opt.parse_size(size)
    _check_input(clip)
    if portrait is not None:
        portrait_paths([str(portrait)])
    _check_report(report)
    latest = "warming up"

    def told(sample: Sample) -> None:
        nonlocal latest
        latest = (
            f"{sample.at_s:.0f} of {seconds:.0f} s  {sample.fps:.1f} fps  p50 {sample.p50_ms:.0f} "
            f"p95 {sample.p95_ms:.0f} ms  {sample.memory_mib:.0f} MiB"
        )

    with StatusLine(lambda: latest):
        measured = run_bench(
            clip, seconds=seconds, warmup_s=warmup, portrait=portrait, method=method,
            learned=Learned(model, engine, frame), portrait_size=portrait_size, sink_size=sink_size,
            on_sample=told,
        )  # fmt: skip
    _show_bench(measured)
    if report is not None:
        _write_report(report, measured)
    if json_line:
        last_line(bench_values(measured))
    return 0


def _show_bench(measured: "Bench") -> None:
    from realtime.live.figures import STAGE_COLUMNS, stage_rows, summary

    show_table(STAGE_COLUMNS, stage_rows(measured.line))
    note(summary(measured.line))
    rows = [
        (
            goal.name,
            f"{goal.found:.2f} {goal.unit}",
            f"{'at most' if goal.at_most else 'at least'} {goal.limit:g}",
            "met" if goal.met else "MISSED",
        )
        for goal in measured.goals
    ]
    show_table(("goal", "measured", "promised", ""), rows)
    machine = measured.machine
    note(f"{machine.cpu}, {machine.cores} cores, commit {machine.commit or 'unknown'}")


def _write_report(path: Path, measured: "Bench") -> None:
    from realtime.offline.bench import bench_page

    command = shlex.join(["facepuppet", *sys.argv[1:]])
    try:
        path.write_text(bench_page(measured, command), encoding="utf-8")
    except OSError as error:
        raise SinkUnavailable(f"{path} cannot be written ({error.strerror}); choose another place") from error
    note(f"report: {path}")


def _check_input(path: Path | None) -> None:
    if path is not None and not path.exists():
        raise WrongUse(f"{path} does not exist, expected a file; check the path")


def _check_report(path: Path | None) -> None:
    if path is not None and (path.is_dir() or not os.access(path.parent, os.W_OK)):
        raise SinkUnavailable(
            f"{path} cannot be written, expected a file in a folder of yours; choose another"
        )

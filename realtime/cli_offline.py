# SPDX-License-Identifier: MIT
"""The commands that work through a clip: demo, render, bench, export. Knows no frame."""

import os
import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from face.errors import SinkUnavailable, WrongUse
from realtime import options as opt
from realtime.console import FrameProgress, StatusLine, last_line, log_to_stderr, note, show_table

MOTION = ".npz"


def demo(
    out: Annotated[
        Path,
        typer.Option("--out", "-o", metavar="FILE.mp4", rich_help_panel=opt.OUTPUT, help="Where it goes."),
    ] = Path("demo.mp4"),
    seconds: Annotated[
        float,
        typer.Option("--seconds", metavar="S", min=0.5, max=60, rich_help_panel=opt.RUN, help="How long."),
    ] = 10.0,
    config: opt.Config = None,
    json_line: opt.JsonLine = False,
    log_level: opt.Logging = "warning",
) -> int:
    """Show the main job with what comes along: no camera, no screen, no photo needed.

    A scripted driver talks, turns, nods, blinks, smiles and looks around; the film of it is tracked and moves
    a portrait. The file shows driver, portrait and result side by side.
    """
    from realtime.demo import demonstrate

    log_to_stderr(log_level)
    with FrameProgress() as progress:
        made = demonstrate(out, seconds=seconds, on_progress=progress)
    note(f"{made.out}: {made.frames} frames, driver, portrait and result side by side")
    if json_line:
        last_line({"out": str(made.out), "frames": made.frames, "faceless": made.faceless})
    return 0


def render(
    portrait: Annotated[Path, typer.Argument(metavar="PORTRAIT", help="Photo of one face.")],
    driving: Annotated[Path, typer.Argument(metavar="DRIVING", help="Video of the one who moves it.")],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="The mp4 that is written.")],
    compare: Annotated[
        bool,
        typer.Option(
            "--compare", rich_help_panel=opt.OUTPUT, help="Driver, portrait and result side by side."
        ),
    ] = False,
    audio: Annotated[
        bool,
        typer.Option(
            "--audio/--no-audio", rich_help_panel=opt.OUTPUT, help="Keep the driving video's sound."
        ),
    ] = True,
    badge: opt.Badge = False,
    motion: Annotated[
        Path | None,
        typer.Option(
            "--motion",
            metavar="FILE.npz",
            rich_help_panel=opt.MOVEMENT,
            help="The driving video's motion: used when the file is there, written there when it is not.",
        ),
    ] = None,
    mirror: opt.Mirror = False,
    absolute: opt.Absolute = False,
    pose_gain: opt.PoseGain = 1.0,
    expression_gain: opt.ExpressionGain = 1.0,
    eyes_gain: opt.EyesGain = 1.0,
    smoothing: opt.Smoothing = 1.0,
    method: opt.MethodName = "mesh",
    engine: opt.Engine = "auto",
    model: opt.Model = None,
    portrait_size: opt.PortraitSize = 512,
    config: opt.Config = None,
    json_line: opt.JsonLine = False,
    log_level: opt.Logging = "warning",
) -> int:
    """Move a portrait by a video, offline: every frame, the same result each time.

    The whole video is tracked first, so its own most neutral moment is the rest that movement is measured
    against. An interrupted or failed render leaves no file behind.
    """
    from face.clip import load_clip, save_clip
    from face.photo import read_photo
    from realtime.live import check_method
    from realtime.puppet import open_puppet
    from realtime.render import check_places, track_clip, tracked_clip_of
    from realtime.render import render as draw

    log_to_stderr(log_level)
    check_method(method, engine, model)
    check_places(portrait, driving, out)
    if motion is not None and motion.suffix != MOTION:
        raise WrongUse(f"--motion is {str(motion)!r}, expected a name that ends in {MOTION}")
    puppet = open_puppet(method, portrait, longest=portrait_size)
    with FrameProgress() as progress:
        if motion is not None and motion.exists():
            tracked = tracked_clip_of(load_clip(motion))
        else:
            tracked = track_clip(
                driving,
                mirror=mirror,
                smoothing=smoothing,
                relative=not absolute,
                gains={"pose": pose_gain, "expression": expression_gain, "eyes": eyes_gain},
                on_progress=progress,
            )
            if motion is not None:
                save_clip(motion, tracked.motions)
        made = draw(
            puppet,
            read_photo(portrait),
            driving,
            out,
            tracked,
            compare=compare,
            mirror=mirror,
            audio=audio,
            badge=badge,
            on_progress=progress,
        )
    lost = f", {made.faceless} of them without a face" if made.faceless else ""
    note(f"{made.out}: {made.frames} frames{lost}, drawn at {made.stats.mean_fps:.0f} frames a second")
    if json_line:
        last_line({"out": str(made.out), "frames": made.frames, "faceless": made.faceless})
    return 0


def bench(
    clip: Annotated[
        Path | None,
        typer.Argument(
            metavar="CLIP", show_default=False, help="Video to play; without: the built-in driver."
        ),
    ] = None,
    seconds: Annotated[
        float,
        typer.Option(
            "--seconds",
            metavar="S",
            min=1,
            rich_help_panel=opt.RUN,
            help="Measured time; 600 shows if memory is flat.",
        ),
    ] = 20.0,
    warmup: Annotated[
        float, typer.Option("--warmup", metavar="S", min=0, rich_help_panel=opt.RUN, help="Time before it.")
    ] = 5.0,
    report: Annotated[
        Path | None,
        typer.Option(
            "--report", metavar="FILE.html", rich_help_panel=opt.OUTPUT, help="Write a page with plots."
        ),
    ] = None,
    portrait: Annotated[
        Path | None,
        typer.Option(
            "--portrait",
            metavar="PHOTO",
            rich_help_panel=opt.PORTRAIT,
            help="Photo to move; without: the built-in one.",
        ),
    ] = None,
    method: opt.MethodName = "mesh",
    engine: opt.Engine = "auto",
    model: opt.Model = None,
    portrait_size: opt.PortraitSize = 512,
    size: Annotated[
        str, typer.Option("--size", metavar="WxH", rich_help_panel=opt.OUTPUT, help="Pixels of the sink.")
    ] = "512x512",
    config: opt.Config = None,
    json_line: opt.JsonLine = False,
    log_level: opt.Logging = "warning",
) -> int:
    """Measure the line on this machine: a clip played as a 640x480 camera into a sink that keeps nothing.

    Percentiles a stage, capture to sink, frames delivered and dropped, memory; against what was promised for
    two cores without a GPU. Exit status 0 means measured, whatever the figures.
    """
    from realtime.bench import Sample, bench_page, bench_values, run_bench
    from realtime.figures import STAGE_COLUMNS, stage_rows, summary
    from realtime.live import check_method

    log_to_stderr(log_level)
    check_method(method, engine, model)
    sink_size = opt.parse_size(size)
    _check_input(clip)
    _check_input(portrait)
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
            clip,
            seconds=seconds,
            warmup_s=warmup,
            portrait=portrait,
            method=method,
            portrait_size=portrait_size,
            sink_size=sink_size,
            on_sample=told,
        )
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
    if report is not None:
        command = shlex.join(["facepuppet", *sys.argv[1:]])
        try:
            report.write_text(bench_page(measured, command), encoding="utf-8")
        except OSError as error:
            raise SinkUnavailable(
                f"{report} cannot be written ({error.strerror}); choose another place"
            ) from error
        note(f"report: {report}")
    if json_line:
        last_line(bench_values(measured))
    return 0


def _check_input(path: Path | None) -> None:
    if path is not None and not path.exists():
        raise WrongUse(f"{path} does not exist, expected a file; check the path")


def _check_report(path: Path | None) -> None:
    if path is not None and (path.is_dir() or not os.access(path.parent, os.W_OK)):
        raise SinkUnavailable(
            f"{path} cannot be written, expected a file in a folder of yours; choose another place"
        )

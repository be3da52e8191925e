# SPDX-License-Identifier: MIT
"""facepuppet bench: how fast the line is on this machine."""

import os
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from face.errors import SinkUnavailable, WrongUse
from realtime.commands import options as opt
from realtime.console import StatusLine, last_line, log_to_stderr, note, show_table, tell

if TYPE_CHECKING:
    from realtime.offline.bench import Bench


def bench(
    clip: opt.BenchClip = None, seconds: opt.BenchSeconds = 20.0, warmup: opt.Warmup = 5.0,
    report: opt.Report = None, portrait: opt.BenchPortrait = None, size: opt.BenchSize = "512x512",
    method: opt.MethodName = "mesh", engine: opt.Engine = "auto", model: opt.Model = None,
    portrait_size: opt.PortraitSize = 512, frame: opt.FrameShown = "photo",
    whole_photo: opt.WholePhoto = False,
    config: opt.Config = None, json_line: opt.JsonLine = False, log_level: opt.Logging = "warning",
) -> int:  # fmt: skip
    """Measure the line on this machine: a clip played as a 640x480 camera into a sink that keeps nothing.

    Percentiles a stage, capture to sink, frames delivered and dropped, memory; against what was promised for
    two cores without a GPU. Exit status 0 means measured, whatever the figures.
    """
    from methods.method import Opening
    from methods.registry import check_method
    from methods.subject import check_named
    from realtime.offline.bench import Sample, bench_values, run_bench

    log_to_stderr(log_level)
    check_method(method, engine=engine, model=model)
    sink_size = opt.parse_size(size)
    _check_input(clip)
    if portrait is not None:
        check_named(portrait, "a portrait photo")
    _check_report(report)
    latest = "warming up"

    def told(sample: Sample) -> None:
        nonlocal latest
        latest = (
            f"{sample.at_s:.0f} of {seconds:.0f} s  {sample.fps:.1f} fps  p50 {sample.p50_ms:.0f} "
            f"p95 {sample.p95_ms:.0f} ms  {sample.memory_mib:.0f} MiB"
        )

    opening = Opening(portrait_size, model, engine, frame, whole_photo, tell=tell)
    with StatusLine(lambda: latest):
        measured = run_bench(
            clip, seconds=seconds, warmup_s=warmup, portrait=portrait, method=method,
            opening=opening, sink_size=sink_size, on_sample=told,
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

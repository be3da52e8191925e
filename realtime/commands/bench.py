# SPDX-License-Identifier: MIT
"""facepuppet bench: how fast the line is on this machine."""

import os
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from face.errors import SinkUnavailable, WrongUse
from realtime.console import StatusLine, last_line, note, show_table, tell
from realtime.options import PATH, THIS_RUN, Run, Size, Subject, argument, flag

if TYPE_CHECKING:
    from realtime.offline.bench import Bench


@dataclass(frozen=True, slots=True)
class BenchOptions:
    clip: Path | None = argument(None, "Video to play; without: the built-in driver.", "CLIP")
    portrait: Subject = Subject()
    photo: Path | None = flag(
        None, "Photo to move; without: the built-in one.", kind=PATH, name="portrait", metavar="PHOTO",
        group="Portrait",
    )  # fmt: skip
    size: Size = flag((512, 512), "Pixels of the sink.", group="Output")
    report: Path | None = flag(
        None, "Write a page with plots.", kind=PATH, metavar="FILE.html", group="Output"
    )
    seconds: float = flag(
        20.0, "Measured time; 600 shows whether memory is flat.", metavar="S", low=1, group=THIS_RUN
    )
    warmup: float = flag(5.0, "Time before it.", metavar="S", low=0, group=THIS_RUN)
    this_run: Run = Run()


def bench(options: BenchOptions) -> int:
    """Measure the line on this machine: a clip played as a 640x480 camera into a sink that keeps nothing.

    Percentiles a stage, capture to sink, frames delivered and dropped, memory; against what was promised for
    two cores without a GPU. Exit status 0 means measured, whatever the figures.
    """
    from methods.subject import check_named
    from realtime.offline.bench import Sample, bench_values, run_bench

    opening = options.portrait.opening(tell)
    seconds, report = options.seconds, options.report
    _check_input(options.clip)
    if options.photo is not None:
        check_named(options.photo, "a portrait photo")
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
            options.clip, seconds=seconds, warmup_s=options.warmup, portrait=options.photo,
            method=options.portrait.method, opening=opening, sink_size=options.size, on_sample=told,
        )  # fmt: skip
    _show_bench(measured)
    if report is not None:
        _write_report(report, measured)
    if options.this_run.json:
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

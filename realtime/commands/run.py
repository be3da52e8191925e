# SPDX-License-Identifier: MIT
"""The commands that run live: run and web. Knows no device; what they need is opened in live.py."""

from contextlib import AbstractContextManager, ExitStack
from typing import TYPE_CHECKING, Any

from realtime.commands import options as opt
from realtime.console import StatusLine, StepProgress, last_line, log_to_stderr, note, show_table, tell

if TYPE_CHECKING:
    from realtime.live.opening import Live


def run(
    portraits: opt.Portraits = None,
    camera: opt.Camera = "0", camera_size: opt.CameraSize = "640x480", camera_fps: opt.CameraFps = 30.0,
    loop: opt.Loop = False,
    mirror: opt.Mirror = False, absolute: opt.Absolute = False, recalibrate: opt.Recalibrate = False,
    pose_gain: opt.PoseGain = 1.0, expression_gain: opt.ExpressionGain = 1.0, eyes_gain: opt.EyesGain = 1.0,
    smoothing: opt.Smoothing = 1.0,
    method: opt.MethodName = "mesh", engine: opt.Engine = "auto", model: opt.Model = None,
    portrait_size: opt.PortraitSize = 512, frame: opt.FrameShown = "photo",
    whole_photo: opt.WholePhoto = False,
    sinks: opt.Sinks = ["window"],  # noqa: B006 (typer copies it)
    record: opt.Record = None, size: opt.Size = None, fps: opt.Fps = 30.0, fit: opt.FitOption = "letterbox",
    badge: opt.Badge = False,
    host: opt.Host = "127.0.0.1", port: opt.Port = 7860, allow_remote: opt.AllowRemote = False,
    seconds: opt.Seconds = 0.0, statistics: opt.Statistics = False, landmarks: opt.Landmarks = False,
    config: opt.Config = None, json_line: opt.JsonLine = False, log_level: opt.Logging = "warning",
) -> int:  # fmt: skip
    """Move a portrait live: camera in; virtual camera, window, page or file out.

    Keys in the window and in this terminal: 1-9 portrait, A/D previous and next, X calibrate, F find the best
    reference, 0 pass-through, W/S zoom, U/H/J/K move, Shift-Z reset, R mirror, T flip, +/- gain, [ ] smooth,
    B badge, I statistics, O landmarks, L reload portraits, Esc quit. Ctrl-C ends a run with status 0.
    """
    from methods.method import Opening
    from methods.registry import check_method
    from realtime.live.opening import Driver, Output, Page, open_live

    log_to_stderr(log_level)
    check_method(method, engine=engine, model=model)
    pixels = None if size is None else opt.parse_size(size)
    steps = StepProgress()
    opening = open_live(
        Driver(camera, opt.parse_size(camera_size, "--camera-size"), camera_fps, loop),
        Output(tuple(sinks), record, pixels, fps, fit),
        Page(host, port, allow_remote),
        portraits=portraits or [],
        method=method,
        puppets=Opening(portrait_size, model, engine, frame, whole_photo, tell=tell, on_step=steps),
        gains={"pose": pose_gain, "expression": expression_gain, "eyes": eyes_gain},
        smoothing=smoothing,
        absolute=absolute,
        recalibrate=recalibrate,
        modes={"mirror": mirror, "badge": badge, "statistics": statistics, "landmarks": landmarks},
        seconds=seconds,
    )
    return _perform(opening, steps, json_line)


def web(
    portraits: opt.Portraits = None,
    camera: opt.Camera = "browser", camera_size: opt.CameraSize = "640x480", camera_fps: opt.CameraFps = 30.0,
    loop: opt.Loop = False,
    mirror: opt.Mirror = True, absolute: opt.Absolute = False, recalibrate: opt.Recalibrate = False,
    pose_gain: opt.PoseGain = 1.0, expression_gain: opt.ExpressionGain = 1.0, eyes_gain: opt.EyesGain = 1.0,
    smoothing: opt.Smoothing = 1.0,
    method: opt.MethodName = "mesh", engine: opt.Engine = "auto", model: opt.Model = None,
    portrait_size: opt.PortraitSize = 512, frame: opt.FrameShown = "photo",
    whole_photo: opt.WholePhoto = False,
    sinks: opt.Sinks = [],  # noqa: B006 (typer copies it)
    record: opt.Record = None, size: opt.Size = None, fps: opt.Fps = 30.0, fit: opt.FitOption = "letterbox",
    badge: opt.Badge = True,
    host: opt.Host = "127.0.0.1", port: opt.Port = 7860, allow_remote: opt.AllowRemote = False,
    seconds: opt.Seconds = 0.0,
    config: opt.Config = None, json_line: opt.JsonLine = False, log_level: opt.Logging = "warning",
) -> int:  # fmt: skip
    """Serve the control page: live picture, portraits, settings; the browser's own camera may drive.

    Open the address that is printed; it carries the key. Other sinks may be fed beside the page.
    """
    settings: dict[str, Any] = locals() | {"sinks": [*(name for name in sinks if name != "web"), "web"]}
    return run(**settings)  # a page is a run with one more sink and other defaults


def _perform(opening: "AbstractContextManager[Live]", steps: StepProgress, json_line: bool) -> int:
    """Run a session to its end, and say what it did; Ctrl-C is a way to end it."""
    from realtime.live.figures import STAGE_COLUMNS, line_values, stage_rows, status_line, summary
    from realtime.live.keys import press
    from realtime.live.terminal import TerminalKeys

    live: Live | None = None
    try:
        with ExitStack() as stack:
            with steps:  # a bar while the first portrait is opened; later ones are told on the status line
                live = stack.enter_context(opening)
            session = live.session
            if live.page:
                note(f"Control page: {live.page}")
                note(f"Bare picture, for a browser source in OBS: {live.picture}")
            with (
                TerminalKeys(lambda key: press(session, key)),
                StatusLine(lambda: status_line(session.state())),
            ):
                session.run()
    except KeyboardInterrupt:
        note("interrupted")
    finally:
        if live is not None:
            stats = live.session.stats()
            if stats.delivered:
                show_table(STAGE_COLUMNS, stage_rows(stats))
            note(summary(stats))
    if json_line:
        last_line(line_values(live.session.stats()) if live is not None else {"delivered": 0})
    return 0

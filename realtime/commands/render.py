# SPDX-License-Identifier: MIT
"""facepuppet render: a portrait moved by a video, offline."""

from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from face.errors import WrongUse
from realtime.commands import options as opt
from realtime.console import FrameProgress, StepProgress, last_line, log_to_stderr, note, tell

if TYPE_CHECKING:
    from realtime.offline.render import Tracked

MOTION = ".npz"


def render(
    portrait: opt.RenderPortrait, driving: opt.RenderDriving, out: opt.RenderOut,
    compare: opt.Compare = False, audio: opt.Audio = True, badge: opt.Badge = False,
    motion: opt.MotionFile = None, mirror: opt.Mirror = False, absolute: opt.Absolute = False,
    pose_gain: opt.PoseGain = 1.0, expression_gain: opt.ExpressionGain = 1.0, eyes_gain: opt.EyesGain = 1.0,
    smoothing: opt.Smoothing = 1.0, refine: opt.Refine = True,
    method: opt.MethodName = "mesh", engine: opt.Engine = "auto", model: opt.Model = None,
    portrait_size: opt.PortraitSize = 512, frame: opt.FrameShown = "photo",
    whole_photo: opt.WholePhoto = False,
    config: opt.Config = None, json_line: opt.JsonLine = False, log_level: opt.Logging = "warning",
) -> int:  # fmt: skip
    """Move a portrait by a video, offline: every frame, the same result each time.

    The whole video is tracked first, so its own most neutral moment is the rest that movement is measured
    against. An interrupted or failed render leaves no file behind.
    """
    from methods.method import Opening
    from methods.registry import check_method
    from methods.subject import resolve
    from realtime.offline.render import check_places, refined, track_clip
    from realtime.offline.render import render as draw

    log_to_stderr(log_level)
    chosen = check_method(method, engine=engine, model=model)
    check_places(portrait, driving, out)
    tracked = _kept_motion(motion)
    with StepProgress() as steps:
        opening = Opening(portrait_size, model, engine, frame, whole_photo, tell=tell, on_step=steps)
        puppet = chosen.open(resolve(portrait), opening)
    looks = {"compare": compare, "mirror": mirror, "audio": audio, "badge": badge}
    with closing(puppet), FrameProgress() as progress:
        if tracked is not None and puppet.reads_frame:
            raise WrongUse(
                f"{motion} does not tell where the face is in the driver's picture, which this model reads; "
                "leave --motion out"
            )
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
        made = draw(puppet, driving, out, tracked, **looks, on_progress=progress)
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

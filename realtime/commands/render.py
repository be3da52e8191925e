# SPDX-License-Identifier: MIT
"""facepuppet render: a portrait moved by a video, offline."""

from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from face.errors import WrongUse
from realtime.console import ProgressBars, last_line, note, tell
from realtime.options import BADGE, PATH, REQUIRED, Movement, Run, Subject, argument, flag

if TYPE_CHECKING:
    from realtime.offline.render import Tracked

MOTION = ".npz"


@dataclass(frozen=True, slots=True)
class RenderOptions:
    subject: Path = argument(REQUIRED, "Photo of one face, an identity folder, or seed:N.", "PORTRAIT")
    driving: Path = argument(REQUIRED, "Video of the one who moves it.", "DRIVING")
    out: Path = argument(REQUIRED, "The mp4 that is written.", "OUT")
    compare: bool = flag(False, "Driver, portrait and result side by side.", group="Output")
    audio: bool = flag(True, "Keep the driving video's sound.", group="Output")
    badge: bool = flag(False, BADGE, group="Output")
    movement: Movement = Movement()
    refine: bool = flag(
        True,
        "Draw, read and correct every frame twice before the last drawing, so that mouth and smile follow "
        "the driver more closely; takes about three times as long.",
        group="Movement",
    )
    motion: Path | None = flag(
        None,
        "The driving video's motion: used when the file is there, written there when it is not.",
        kind=PATH,
        metavar="FILE.npz",
        group="Movement",
    )
    portrait: Subject = Subject()
    this_run: Run = Run()


def render(options: RenderOptions) -> int:
    """Move a portrait by a video, offline: every frame, the same result each time.

    The whole video is tracked first, so its own most neutral moment is the rest that movement is measured
    against. An interrupted or failed render leaves no file behind.
    """
    from methods.registry import find_method
    from methods.subject import resolve
    from realtime.offline.render import check_places, refined, track_clip
    from realtime.offline.render import render as draw

    movement, driving, motion = options.movement, options.driving, options.motion
    steps = ProgressBars()
    opening = options.portrait.opening(tell, steps)
    check_places(options.subject, driving, options.out)
    tracked = _kept_motion(motion)
    with steps:
        puppet = find_method(options.portrait.method).open(resolve(options.subject), opening)
    with closing(puppet), ProgressBars("frames") as progress:
        if tracked is not None and puppet.reads_frame:
            raise WrongUse(
                f"{motion} does not tell where the face is in the driver's picture, which this model reads; "
                "leave --motion out"
            )
        if tracked is None:
            tracked = track_clip(
                driving,
                mirror=movement.mirror,
                smoothing=movement.smoothing,
                relative=not movement.absolute,
                gains=movement.gains,
                on_progress=progress,
            )
            _keep_motion(motion, tracked)
        if options.refine:
            puppet = refined(puppet, tracked, on_progress=progress)
        made = draw(
            puppet,
            driving,
            options.out,
            tracked,
            compare=options.compare,
            mirror=movement.mirror,
            audio=options.audio,
            badge=options.badge,
            on_progress=progress,
        )
    lost = f", {made.faceless} of them without a face" if made.faceless else ""
    note(f"{made.out}: {made.frames} frames{lost}, drawn at {made.stats.mean_fps:.0f} frames a second")
    if options.this_run.json:
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

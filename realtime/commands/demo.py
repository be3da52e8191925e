# SPDX-License-Identifier: MIT
"""facepuppet demo: the main job with what comes along."""

from contextlib import closing
from pathlib import Path

from realtime.commands import options as opt
from realtime.console import FrameProgress, StepProgress, last_line, log_to_stderr, note, tell


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
    from methods.method import Opening
    from methods.registry import check_method
    from methods.subject import Photo, Seed
    from realtime.offline.builtin import second_portrait
    from realtime.offline.demo import demonstrate
    from realtime.offline.render import check_out

    log_to_stderr(log_level)
    chosen = check_method(method, engine=engine, model=model)
    check_out(out)
    subject = Seed(seed, psi) if chosen.generates else Photo("the portrait", second_portrait())
    with StepProgress() as steps:
        opening = Opening(model=model, engine=engine, frame=frame, tell=tell, on_step=steps)
        puppet = chosen.open(subject, opening)
    with closing(puppet), FrameProgress() as progress:
        made = demonstrate(out, puppet, seconds=seconds, on_progress=progress)
    note(
        f"{made.out}: {made.frames} frames, driver, portrait and result side by side, "
        f"drawn at {made.stats.mean_fps:.0f} frames a second"
    )
    if json_line:
        values = {"out": str(made.out), "frames": made.frames, "faceless": made.faceless}
        last_line({**values, "drawn_fps": round(made.stats.mean_fps, 2)})
    return 0

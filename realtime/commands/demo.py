# SPDX-License-Identifier: MIT
"""facepuppet demo: the main job with what comes along."""

from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from realtime.console import ProgressBars, last_line, note, tell
from realtime.options import THIS_RUN, Run, Subject, flag


@dataclass(frozen=True, slots=True)
class DemoOptions:
    out: Path = flag(
        Path("demo.mp4"), "The video that is written.", short="o", metavar="FILE.mp4", group="Output"
    )
    portrait: Subject = Subject()
    seed: int = flag(
        21,
        "Method directions: which face that was never anyone's.",
        low=0,
        high=999_999_999,
        group="Portrait",
    )
    psi: float = flag(
        0.7,
        "Method directions: 0 is the mean face, 1 the generator's full variety.",
        low=0,
        high=1,
        group="Portrait",
    )
    seconds: float = flag(10.0, "How long it is.", metavar="S", low=0.5, high=60, group=THIS_RUN)
    this_run: Run = Run()


def demo(options: DemoOptions) -> int:
    """Show the main job with what comes along: no camera, no screen, no photo needed.

    A scripted driver talks, turns, nods, blinks, smiles and looks around; the film of it is tracked and moves
    a portrait. The file shows driver, portrait and result side by side. With --method directions the portrait
    is a face that was never anyone's: choose it by --seed.
    """
    from methods.registry import find_method
    from methods.subject import Photo, Seed
    from realtime.offline.builtin import second_portrait
    from realtime.offline.demo import demonstrate
    from realtime.offline.render import check_out

    steps = ProgressBars()
    opening = options.portrait.opening(tell, steps)
    chosen = find_method(options.portrait.method)
    check_out(options.out)
    subject = (
        Seed(options.seed, options.psi) if chosen.generates else Photo("the portrait", second_portrait())
    )
    with steps:
        puppet = chosen.open(subject, opening)
    with closing(puppet), ProgressBars("frames") as progress:
        made = demonstrate(options.out, puppet, seconds=options.seconds, on_progress=progress)
    note(
        f"{made.out}: {made.frames} frames, driver, portrait and result side by side, "
        f"drawn at {made.stats.mean_fps:.0f} frames a second"
    )
    if options.this_run.json:
        values = {"out": str(made.out), "frames": made.frames, "faceless": made.faceless}
        last_line({**values, "drawn_fps": round(made.stats.mean_fps, 2)})
    return 0

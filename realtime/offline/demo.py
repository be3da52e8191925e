# SPDX-License-Identifier: MIT
"""The main job with what comes along: a scripted driver moves a portrait. Knows no camera, no screen."""

from pathlib import Path
from tempfile import TemporaryDirectory

from methods.method import Puppet
from realtime.offline.builtin import write_driver
from realtime.offline.places import check_out
from realtime.offline.render import Progress, Rendered, render, track_clip


def demonstrate(
    out: Path, puppet: Puppet, *, seconds: float, on_progress: Progress | None = None
) -> Rendered:
    """Film the driver, track it, move `puppet`, write driver, portrait and result side by side."""
    check_out(out)
    with TemporaryDirectory(prefix="facepuppet-") as folder:
        driver = Path(folder) / "driver.mp4"

        def filmed(frames: int) -> None:
            if on_progress is not None:
                on_progress("filming", frames)

        write_driver(driver, seconds=seconds, on_frame=filmed)
        tracked = track_clip(driver, on_progress=on_progress)
        return render(puppet, driver, out, tracked, compare=True, audio=False, on_progress=on_progress)

# SPDX-License-Identifier: MIT
"""The main job with what comes along: a scripted driver moves a portrait. Knows no camera, no screen."""

from pathlib import Path
from tempfile import TemporaryDirectory

from face.arrays import Image
from methods.mesh.puppet import open_puppet
from realtime.frame import Puppet
from realtime.offline.builtin import second_portrait, write_driver
from realtime.offline.render import Progress, Rendered, check_out, render, track_clip


def open_demo_puppet() -> tuple[Puppet, Image]:
    """The built-in portrait, moved by the method that needs nothing, and its photo."""
    portrait = second_portrait()
    return open_puppet("mesh", portrait), portrait


def demonstrate(
    out: Path,
    *,
    seconds: float,
    puppet: tuple[Puppet, Image] | None = None,
    on_progress: Progress | None = None,
) -> Rendered:
    """Film the driver, track it, move the portrait, write driver, portrait and result side by side.

    puppet: what is moved, and what it looks like; the built-in portrait's mesh without.
    """
    check_out(out)
    with TemporaryDirectory(prefix="facepuppet-") as folder:
        driver = Path(folder) / "driver.mp4"

        def filmed(frames: int) -> None:
            if on_progress is not None:
                on_progress("filming", frames)

        write_driver(driver, seconds=seconds, on_frame=filmed)
        tracked = track_clip(driver, on_progress=on_progress)
        moved, portrait = puppet or open_demo_puppet()
        return render(
            moved, portrait, driver, out, tracked, compare=True, audio=False, on_progress=on_progress
        )

# SPDX-License-Identifier: MIT
"""A folder of pictures as a clip, or one still picture shown again and again. Knows no picture formats."""

import os
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Self

from face.arrays import Image
from face.errors import BadImage
from face.frame import Frame
from face.photo import photos_in, read_photo
from realtime.sources.pacing import Ticks


class Images:
    """A Source of the pictures in a folder, in natural order (2 before 10), or of one picture.

    Live it is paced at `fps` and reads only what is fetched in time; a single picture is then repeated for
    ever, a folder ends after its last picture unless `loop`. Offline every picture comes once. Raises
    BadImage for what cannot be read: the first picture at once, a later one when its turn comes.
    """

    def __init__(self, path: str | Path, *, fps: float = 30.0, live: bool = True, loop: bool = False) -> None:
        if loop and not live:
            raise ValueError("loop is for live sources: an offline clip would never end")
        path = Path(path)
        self.live = live
        self.fps = fps
        self._paths = picture_paths(path) if os.path.isdir(path) else [path]
        self._endless = loop or (live and len(self._paths) == 1)
        self._ticks = Ticks(fps, live=live)
        self._last: tuple[int, Image] = (0, read_photo(self._paths[0]))  # place in the folder, its picture

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._ticks.close()

    def __iter__(self) -> Iterator[Frame]:
        while not self._ticks.closed:
            number = self._ticks.upcoming()
            if number >= len(self._paths) and not self._endless:
                return
            image = self._picture(number % len(self._paths))
            captured_s = self._ticks.wait_for(number)
            if captured_s is None:
                return
            yield Frame(image, captured_s, number, self._ticks.media_s(number))

    def _picture(self, place: int) -> Image:
        """A picture of its own for each frame, so that who draws into one does not draw into the next."""
        if place != self._last[0]:
            self._last = (place, read_photo(self._paths[place]))
        return self._last[1].copy()


def picture_paths(folder: Path) -> list[Path]:
    """The pictures in a folder in natural order."""
    pictures = photos_in(folder)
    if not pictures:
        kinds = Counter(entry.suffix.lower() or "no ending" for entry in folder.iterdir() if entry.is_file())
        found = ", ".join(f"{count} x {kind}" for kind, count in kinds.most_common(3)) or "nothing"
        raise BadImage(f"{folder} holds {found}, expected pictures (.jpg, .png, .webp ...); name another")
    return sorted(pictures, key=_natural)


def _natural(path: Path) -> list[tuple[int, int, str]]:
    """Sorts runs of digits by their value and everything else by its letters."""
    parts = re.split(r"([0-9]+)", path.name.lower())
    return [(0, int(part), "") if part.isdecimal() and part.isascii() else (1, 0, part) for part in parts]

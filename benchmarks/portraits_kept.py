# SPDX-License-Identifier: MIT
"""Measurements on disk, so that an interrupted run goes on where it was. Knows not what they measure.

A record is a dataclass of arrays in one .npz, bound to a text that says what it was measured of: of another
identity, clip or setting it is measured anew.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar
from zipfile import BadZipFile

import numpy as np
from PIL import Image as Pillow
from PIL import ImageOps

from face.arrays import Image

Record = TypeVar("Record")

CELL_PX = 200  # of a picture in a strip
QUALITY = 92


def keep(path: Path, record: Any, of: str) -> None:
    """Written beside and renamed: a record is whole or not there."""
    arrays: dict[str, Any] = {each.name: getattr(record, each.name) for each in fields(record)}
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".part.npz")
    np.savez(unfinished, allow_pickle=False, bound_to=np.array(of), **arrays)
    unfinished.replace(path)


def kept(path: Path, kind: type[Record], of: str) -> Record | None:
    """None where there is none, where it cannot be read and where it is of something else."""
    names = {each.name for each in fields(kind)}  # type: ignore[arg-type]
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as stored:
            if set(stored) != names | {"bound_to"} or str(stored["bound_to"]) != of:
                return None
            return kind(**{name: stored[name] for name in names})
    except (OSError, ValueError, EOFError, BadZipFile):
        return None


def bound_to(*parts: object) -> str:
    """A text for what a measurement depends on: settings as they read, files by their content."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part.read_bytes() if isinstance(part, Path) else repr(part).encode())
        digest.update(b"\n")
    return digest.hexdigest()


def keep_strip(path: Path, pictures: Sequence[Image]) -> None:
    """Square cells side by side in one JPEG."""
    strip = Pillow.new("RGB", (CELL_PX * len(pictures), CELL_PX), (90, 90, 90))
    for column, picture in enumerate(pictures):
        whole = ImageOps.contain(Pillow.fromarray(picture), (CELL_PX, CELL_PX), Pillow.Resampling.LANCZOS)
        left = column * CELL_PX + (CELL_PX - whole.width) // 2
        strip.paste(whole, (left, (CELL_PX - whole.height) // 2))
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".part.jpg")
    strip.save(unfinished, quality=QUALITY)
    unfinished.replace(path)


def kept_strip(path: Path) -> list[Image]:
    """Its cells; empty where there is none."""
    if not path.is_file():
        return []
    with Pillow.open(path) as strip:
        whole = np.asarray(strip.convert("RGB"), np.uint8)
    return [whole[:, at : at + CELL_PX] for at in range(0, whole.shape[1], CELL_PX)]

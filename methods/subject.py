# SPDX-License-Identifier: MIT
"""Whom the user named: a photo, an enrolled identity or a generated face. Resolved once, read once."""

import hashlib
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from face.arrays import Image
from face.errors import WrongUse
from face.photo import photos_in, read_photo
from methods.identity import Identity, is_identity, read_identity

SEED = re.compile(r"seed:([0-9]{1,9})(?::([0-9]*\.?[0-9]+))?")


@dataclass(frozen=True, slots=True)
class Photo:
    """A picture of one face, whole and upright."""

    name: str  # how errors call it
    image: Image
    path: Path | None = None  # None: a picture in memory

    @property
    def sha256(self) -> str:
        """Of the file's content, or of the pixels where there is no file."""
        content = self.image.tobytes() if self.path is None else self.path.read_bytes()
        return hashlib.sha256(content).hexdigest()


@dataclass(frozen=True, slots=True)
class Enrolled:
    """A photo that was brought into a generator earlier."""

    path: Path
    identity: Identity

    @property
    def photo(self) -> Photo:
        return Photo(self.identity.name, self.identity.portrait)


@dataclass(frozen=True, slots=True)
class Seed:
    """A face of a generator's own."""

    number: int
    psi: float | None = None  # truncation, 0 to 1; None: the method's own

    def __str__(self) -> str:
        return f"seed:{self.number}"


Subject = Photo | Enrolled | Seed


def resolve(named: Path | str) -> Subject:
    """Read what was named: "seed:7", "seed:7:0.5", an identity folder, or a photo.

    Raises WrongUse or BadImage for a photo that cannot be read, ModelUnavailable for a damaged identity.
    """
    seed = SEED.fullmatch(str(named))
    if seed is not None:
        return Seed(int(seed[1]), float(seed[2]) if seed[2] else None)
    path = Path(named)
    if is_identity(path):
        return Enrolled(path, read_identity(path))
    return Photo(path.name, read_photo(path), path)


def check_named(path: Path, expected: str) -> None:
    """WrongUse when there is nothing of that name; cheap, reads nothing."""
    try:
        there = path.exists()
    except PermissionError:  # whoever opens it says so
        there = True
    if not there and not SEED.fullmatch(str(path)):
        raise WrongUse(f"{path} does not exist, expected {expected}; check the path")


def find_portraits(paths: Sequence[Path]) -> tuple[Path, ...]:
    """Files and identity folders as given, of other folders their content; WrongUse where that is nothing.

    Hidden files and folders in a folder do not count.
    """
    found: list[Path] = []
    for path in paths:
        if not os.path.isdir(path) or is_identity(path):
            found.append(path)
            continue
        photos = photos_in(path)
        inside = sorted([*photos, *(e for e in path.iterdir() if e.name[0] != "." and is_identity(e))])
        if not inside:
            raise WrongUse(
                f"{path} holds no picture (.jpg, .png, .webp ...) and no identity; name a portrait photo"
            )
        found += inside
    return tuple(found)

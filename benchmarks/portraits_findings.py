# SPDX-License-Identifier: MIT
"""What the portraits' evaluation found, pair by pair. Knows no file and no table."""

from dataclasses import dataclass

import numpy as np

from benchmarks.portraits_judges import Driven, Driver, Rebuilt, Yardsticks
from evaluation.distances import Transfer, transfer, unmoved
from face.arrays import Image

# Drawn as live unless refined; the driver's movement is added to the photo unless absolute.
METHODS = ("directions", "mesh", "directions-absolute", "mesh-absolute", "mesh-refined")
ABSOLUTE = "-absolute"


@dataclass(frozen=True, slots=True)
class Portrait:
    """One portrait's reconstruction, and what its enrolment said of itself."""

    name: str
    rebuilt: Rebuilt
    facts: dict[str, float]


@dataclass(frozen=True, slots=True)
class Pair:
    """One portrait driven by one clip by one method, with the pictures of a contact sheet."""

    portrait: str
    clip: str
    method: str
    sitter: Rebuilt
    driver: Driver
    driven: Driven
    still: tuple[Image, ...]  # the photo's crop, then STAGES from the last to the first
    drivers: tuple[Image, ...]  # of MOMENTS
    pictures: tuple[Image, ...]

    @property
    def transfer(self) -> Transfer:
        return transfer(
            self.driver.track,
            self.driver.rest,
            self.sitter.photo,
            self.driven.track,
            csim=self.driven.second,
            dlib=self.driven.dlib,
        )

    @property
    def still_photo(self) -> Transfer:
        """Had the photo stood still; identity is not asked of it."""
        nothing = np.zeros(0, np.float32)
        photo = self.sitter.photo
        stood = unmoved(photo, len(self.driver.chosen))
        return transfer(self.driver.track, self.driver.rest, photo, stood, csim=nothing, dlib=nothing)

    @property
    def as_meant(self) -> Transfer:
        """Had the driver's movement been added to the photo without error."""
        nothing = np.zeros(0, np.float32)
        rest, photo = self.driver.rest, self.sitter.photo
        meant = self.driver.track.moved_from(rest, photo)
        return transfer(self.driver.track, rest, photo, meant, csim=nothing, dlib=nothing)


@dataclass(frozen=True, slots=True)
class Findings:
    """All that was measured so far."""

    portraits: list[Portrait]
    drivers: dict[str, Driver]
    yardsticks: Yardsticks
    pairs: list[Pair]
    refused: list[str]

    def by(self, method: str) -> list[Pair]:
        return [pair for pair in self.pairs if pair.method == method]

    @property
    def methods(self) -> list[str]:
        return [method for method in METHODS if self.by(method)]

# SPDX-License-Identifier: MIT
"""What a method is: its record, how its puppet is opened, what a puppet does."""

from __future__ import annotations  # a record of methods is read by --help, which needs no array

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    from face.arrays import Floats, Image
    from face.frame import Frame
    from face.motion import Motion
    from methods.subject import Subject

FrameKind = Literal["photo", "crop", "raw"]
DEFAULT_LONGEST_PX = 512

Tell = Callable[[str], None]  # one line for the user
OnStep = Callable[[str, int, int], None]  # what is done, how many steps, of how many
OnFrame = Callable[[], None]  # one more frame is done


@dataclass(frozen=True, slots=True)
class Rest:
    """The face a portrait shows when nobody moves it."""

    rotation: Floats  # (3,) yaw, pitch, roll in degrees, signs as Motion.rotation
    blendshapes: Floats  # (52,) scores in [0, 1]


def _tell_nobody(line: str) -> None:
    return None


def _count_nothing(what: str, done: int, total: int) -> None:
    return None


@dataclass(frozen=True, slots=True)
class Opening:
    """How a puppet is opened: what every method is told beside its subject."""

    longest: int = DEFAULT_LONGEST_PX  # pixels, longer side of the pictures a photo is shown in
    model: Path | None = None  # a model folder; None: the one of the installed extra
    engine: str = "auto"
    frame: FrameKind = "photo"  # how much of the photo stands around what a generator draws
    whole_photo: bool = False  # shown however small the face becomes, not its head and shoulders
    threads: int = 2  # of one operator; the tracker takes a core by itself
    tell: Tell = _tell_nobody
    on_step: OnStep = _count_nothing


class Puppet(Protocol):
    """One portrait that a driver moves. Called by one thread at a time; whoever opens closes."""

    @property
    def size(self) -> tuple[int, int]: ...  # width, height of every picture it returns
    @property
    def rest(self) -> Rest: ...
    @property
    def portrait(self) -> Image: ...  # (H, W, 3) uint8 RGB: what it looks like at rest
    @property
    def reads_frame(self) -> bool: ...  # whether the driver's picture counts beside the motion

    def __call__(self, motion: Motion, frame: Frame | None = None) -> Image:
        """(H, W, 3) uint8 RGB, a new array the caller owns. `frame`: the picture `motion` was tracked in."""
        ...

    def refined(self, motions: Sequence[Motion], *, on_frame: OnFrame | None = None) -> Puppet:
        """A puppet corrected for this clip by reading its own pictures; itself where the method has no such
        correction. Closing either closes both.
        """
        ...

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Method:
    """One way to move a portrait. `open` raises BadPortrait or BadImage for a photo that cannot be used,
    ModelUnavailable for what is missing, damaged or of another model, WrongUse for a subject it cannot move.
    """

    name: str  # as --method takes it
    summary: str  # one clause for --help
    paper: str  # "" for none
    licence: str  # of the weights it runs
    reads: str  # what of a motion or frame moves it
    networks: bool  # runs networks: --engine and --model are meant for it
    generates: bool  # plays faces that were never anyone's: seed:N
    open: Callable[[Subject, Opening], Puppet]

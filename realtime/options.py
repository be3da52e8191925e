# SPDX-License-Identifier: MIT
"""The options that commands share, as the records that the live code takes. A flag is one field of a record.

`loop: bool = flag(False, "Play it again and again.")` is --loop, --no-loop, the settings file's key `loop`,
the line in --help and the attribute. A command's own flags stand in its file, in a record that holds these.
"""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from methods.method import OnStep, Opening, Tell

REQUIRED: Any = type("Required", (), {"__repr__": lambda self: "required"})()
THIS_RUN = "This run"
BADGE = "Draw a small AI badge into the picture; files are marked for machines either way."
GENERATED_SIZE = "Side of the generated picture: 256, 512, 1024."

Size = tuple[int, int]  # width, height in pixels


@dataclass(frozen=True, slots=True)
class Kind:
    """What a flag's value is."""

    expected: str
    in_file: tuple[type, ...]  # types it may have in the settings file
    read: Callable[[Any], Any]  # of a text, or of the file's value; ValueError
    example: object = ""  # in the settings file, for a flag without a default


def parse_size(text: str) -> Size:
    """Width and height of "1280x720"; ValueError for anything else."""
    found = re.fullmatch(r"\s*([1-9][0-9]{0,4})\s*[x×*,]\s*([1-9][0-9]{0,4})\s*", text)
    if found is None:
        raise ValueError(text)
    return int(found[1]), int(found[2])


SWITCH = Kind("true or false", (bool,), bool, False)
WHOLE = Kind("a whole number", (int,), int, 0)
NUMBER = Kind("a number", (int, float), float, 0.0)
TEXT = Kind("a text in quotes", (str,), str)
PATH = Kind("a text in quotes", (str,), Path)
SIZE = Kind("width and height, as 1280x720", (str,), parse_size, "1280x720")
KINDS: Mapping[type, Kind] = {bool: SWITCH, int: WHOLE, float: NUMBER, str: TEXT, Path: PATH, tuple: SIZE}


@dataclass(frozen=True, slots=True)
class Option:
    """All that command line, settings file and help know of a flag beside its name and default."""

    help: str | Callable[[], str]
    kind: Kind
    metavar: str
    short: str = ""
    low: float = -math.inf
    high: float = math.inf
    choices: Callable[[], Sequence[str]] | Sequence[str] = ()
    off: str = ""  # what switches a switch off; "": no- before its name
    many: bool = False  # may be given again; the value is a tuple
    name: str = ""  # "": the field's
    group: str = ""
    place: bool = False  # an argument that has a place, no flag
    in_file: bool = True

    @property
    def allowed(self) -> Sequence[str]:
        return self.choices() if callable(self.choices) else self.choices


def flag(default: Any, help: str | Callable[[], str], *, kind: Kind | None = None, **more: Any) -> Any:
    """A field that is a flag; `more` as in Option. Without a default that tells it, name the kind."""
    known = kind or next(kind for each, kind in KINDS.items() if isinstance(default, each))
    more.setdefault("metavar", {NUMBER: "N", WHOLE: "N", SIZE: "WxH", PATH: "PATH"}.get(known, "TEXT"))
    return field(default=default, metadata={"option": Option(help, known, **more)})


def argument(default: Any, help: str, metavar: str, *, kind: Kind = PATH, many: bool = False) -> Any:
    """A field that is given by its place; the last one may be `many`."""
    return flag(default, help, kind=kind, metavar=metavar, many=many, place=True, in_file=False)


def engines() -> tuple[str, ...]:
    from engines import BACKENDS

    return ("auto", *BACKENDS)


def methods_explained() -> str:
    from methods.registry import METHODS, find_method

    found = [find_method(name) for name in METHODS]
    return f"What moves the portrait: {'; '.join(f'{each.name} ({each.summary})' for each in found)}."


@dataclass(frozen=True, slots=True)
class Driver:
    """What moves the portrait."""

    camera: str = flag(
        "0",
        "What drives the portrait: a camera's number, device, name or address; a video, a picture or a "
        "folder of pictures played as if it were one; testcard; or, with a page, browser.",
        short="c",
        metavar="N|PATH|NAME|URL",
    )
    camera_size: Size = flag(
        (640, 480), "Pixels asked of the camera; 640x480 is quickest and enough for the tracker."
    )
    camera_fps: float = flag(30.0, "Pictures a second asked of it.", metavar="HZ", low=1, high=240)
    loop: bool = flag(False, "Play a video or folder again and again.")
    recalibrate: bool = flag(
        False, "Forget the rest kept from an earlier run; the driver's face is measured anew."
    )


@dataclass(frozen=True, slots=True)
class Movement:
    """How much of the driver's movement is passed on, and how."""

    mirror: bool = flag(False, "Turn the portrait as a mirror would: your left is the picture's left.")
    absolute: bool = flag(
        False,
        "Take the driver's pose as it is, instead of its change against the driver's own rest.",
        off="relative",
    )
    pose_gain: float = flag(
        1.0,
        "Share of the head's movement passed on; 0 holds it still, 1 is the driver's own.",
        low=0,
        high=2,
    )
    expression_gain: float = flag(1.0, "The same for mouth and brows.", low=0, high=2)
    eyes_gain: float = flag(1.0, "The same for lids and gaze.", low=0, high=2)
    smoothing: float = flag(
        1.0, "0 passes every tremble on, 1 is calm without a lag one sees, 2 is the calmest.", low=0, high=2
    )

    @property
    def gains(self) -> dict[str, float]:
        return {"pose": self.pose_gain, "expression": self.expression_gain, "eyes": self.eyes_gain}


@dataclass(frozen=True, slots=True)
class Subject:
    """By what method the portrait is moved, and how it is opened."""

    method: str = flag("mesh", methods_explained, short="m", metavar="NAME")
    engine: str = flag(
        "auto",
        "What runs a learned method's networks; one asked for by name is never replaced.",
        metavar="NAME",
        choices=engines,
    )
    model: Path | None = flag(
        None, "An exported model's folder, for learned methods.", kind=PATH, metavar="DIR"
    )
    portrait_size: int = flag(
        512,
        "Longer side the portrait is worked on at; the time a frame takes grows with its square.",
        metavar="PIXELS",
        low=64,
        high=4096,
    )
    frame: Any = flag(
        "photo",
        "Method directions: the generated head in the whole photo, in the photo's aligned square at the "
        "generator's size (crop), or nothing but what the generator draws (raw).",
        metavar="KIND",
        choices=("photo", "crop", "raw"),
    )
    whole_photo: bool = flag(
        False,
        "Show all of a photo, however small its face becomes; else a photo that is reduced to a face of less "
        "than 160 pixels is cut to head and shoulders.",
    )

    def opening(self, tell: "Tell", on_step: "OnStep | None" = None) -> "Opening":
        """As methods take it; WrongUse for what does not go together."""
        from methods.method import Opening
        from methods.registry import check_method

        check_method(self.method, engine=self.engine, model=self.model)
        opening = Opening(
            self.portrait_size, self.model, self.engine, self.frame, self.whole_photo, tell=tell
        )
        return opening if on_step is None else replace(opening, on_step=on_step)


@dataclass(frozen=True, slots=True)
class Output:
    """Where the picture goes."""

    sinks: tuple[str, ...] = flag(
        ("window",),
        "Where the picture goes: vcam[:DEVICE], window, web, file:OUT.mp4 or null. May be given again.",
        kind=TEXT,
        name="sink",
        short="s",
        metavar="SINK",
        many=True,
    )
    record: Path | None = flag(None, "Keep the picture in a file as well.", kind=PATH, metavar="FILE.mp4")
    size: Size | None = flag(
        None,
        "Pixels of the output. Without: 1280x720 for a virtual camera, else the picture's own.",
        kind=SIZE,
    )
    fps: float = flag(30.0, "Rate the virtual camera announces.", metavar="HZ", low=1, high=240)
    fit: str = flag(
        "letterbox",
        "Bars around the picture, or its edges cut off.",
        metavar="HOW",
        choices=("letterbox", "crop"),
    )
    badge: bool = flag(False, BADGE)


@dataclass(frozen=True, slots=True)
class Page:
    """Where the control page is served."""

    host: str = flag("127.0.0.1", "Address the page listens on.", metavar="ADDRESS")
    port: int = flag(7860, "Its port; 0 takes any free one.", low=0, high=65535)
    allow_remote: bool = flag(
        False, "Let other machines reach the page; the address with its key is all that guards it."
    )


@dataclass(frozen=True, slots=True)
class Run:
    """What every command takes."""

    config: Path | None = flag(
        None,
        "Settings for the flags that are not given; facepuppet config prints a file to start from.",
        kind=PATH,
        metavar="FILE.toml",
        in_file=False,
    )
    json: bool = flag(False, "End with one line of JSON on standard output.", in_file=False)
    log_level: str = flag(
        "warning",
        "What is logged on standard error.",
        metavar="LEVEL",
        choices=("debug", "info", "warning", "error"),
    )


@dataclass(frozen=True, slots=True)
class Plain:
    """Of a command that has no flags of its own."""

    this_run: Run = Run()


@dataclass(frozen=True, slots=True)
class Live:
    """All that a live run is told."""

    portraits: tuple[str, ...] = argument(
        (),
        "Photos of one face each, identity folders, or folders of them; keys 1 to 9 choose. seed:N is a "
        "generated face, for the method directions. Without: the built-in photo.",
        "PORTRAIT",
        kind=TEXT,
        many=True,
    )
    driver: Driver = Driver()
    movement: Movement = Movement()
    portrait: Subject = Subject()
    output: Output = Output()
    page: Page = Page()
    seconds: float = flag(0.0, "Stop after so long; 0 runs on.", metavar="S", low=0, group=THIS_RUN)
    statistics: bool = flag(False, "Show figures in the window (key I).", group=THIS_RUN)
    landmarks: bool = flag(False, "Show the tracked points in the window (key O).", group=THIS_RUN)
    this_run: Run = Run()

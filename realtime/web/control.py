# SPDX-License-Identifier: MIT
"""What the page may ask of a running session, checked at the door. Knows no network, no session class."""

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from face.errors import WrongUse

GAINS = ("pose", "expression", "eyes")
GAIN_RANGE = (0.0, 2.0)  # 0 holds that part still, 1 is the driver's own movement
SMOOTHING_RANGE = (0.0, 2.0)
MODES = ("mirror", "flip", "badge", "passthrough")
NUDGES = {  # share of the picture's side, right and down
    "left": (-0.03, 0.0), "right": (0.03, 0.0), "up": (0.0, -0.03), "down": (0.0, 0.03),
    "left_fine": (-0.003, 0.0), "right_fine": (0.003, 0.0),
    "up_fine": (0.0, -0.003), "down_fine": (0.0, 0.003),
}  # fmt: skip

Value = str | float | bool | None  # what the page sends beside a command's name


class StateLike(Protocol):
    """One look at a running session; a frozen record."""

    @property
    def fps(self) -> float: ...  # frames a second that reached the sink, over the last seconds
    @property
    def latency_p50_ms(self) -> float: ...  # capture to sink, the same; nan before the first frame
    @property
    def latency_p95_ms(self) -> float: ...
    @property
    def delivered(self) -> int: ...  # frames that reached the sink since the start
    @property
    def dropped(self) -> int: ...  # frames that a newer one replaced somewhere in the line
    @property
    def face_found(self) -> bool: ...
    @property
    def portraits(self) -> Sequence[Path]: ...  # in the order of the keys 1-9
    @property
    def portrait(self) -> int: ...  # index of the one on show, -1 for none
    @property
    def enrolling(self) -> str: ...  # name of the portrait being prepared, "" for none
    @property
    def method(self) -> str: ...
    @property
    def methods(self) -> Sequence[str]: ...  # what `set_method` takes
    @property
    def gains(self) -> Mapping[str, float]: ...  # by GAINS
    @property
    def smoothing(self) -> float: ...
    @property
    def zoom(self) -> float: ...
    @property
    def modes(self) -> Mapping[str, bool]: ...  # by MODES
    @property
    def message(self) -> str: ...  # the last line for the user, "" for none
    @property
    def message_number(self) -> int: ...  # counts messages, so that the same line said twice is seen twice
    @property
    def message_problem(self) -> bool: ...  # it says what went wrong
    @property
    def slow(self) -> str: ...  # one line when this computer is too slow, "" when it keeps up


class SessionLike(Protocol):
    """The part of a live session that the page drives.

    Every method may be called from any thread and returns soon; what takes long (enrolling a portrait)
    goes on in the background and shows in `state()`. A wrong wish raises a PuppetError of one line.
    """

    def state(self) -> StateLike: ...
    def calibrate(self) -> None: ...
    def find_best_reference(self) -> None: ...
    def select_portrait(self, index: int) -> None: ...
    def add_portrait(self, path: Path) -> None: ...  # enrols, appends to `portraits`, shows it
    def next_portrait(self) -> None: ...
    def previous_portrait(self) -> None: ...
    def set_method(self, name: str) -> None: ...
    def set_gain(self, region: str, value: float) -> None: ...
    def set_smoothing(self, value: float) -> None: ...
    def set_mode(self, name: str, on: bool) -> None: ...
    def zoom_in(self) -> None: ...
    def zoom_out(self) -> None: ...
    def move_crop(self, right: float, down: float) -> None: ...
    def reset_crop(self) -> None: ...
    def reload_portraits(self) -> None: ...


def obey(session: SessionLike, name: str, value: Value) -> None:
    """Carry out one command of the page; WrongUse names a stranger or a value that cannot be meant."""
    command = COMMANDS.get(name)
    if command is None:
        raise WrongUse(
            f"unknown command {name!r}; this page is older or newer than the program: load it again"
        )
    command(session, value)


def _number(value: Value, what: str, limits: tuple[float, float]) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise WrongUse(f"{what} is {value!r}, expected a number from {limits[0]:g} to {limits[1]:g}")
    if not limits[0] <= value <= limits[1]:
        raise WrongUse(f"{what} is {value:g}, expected {limits[0]:g} to {limits[1]:g}")
    return float(value)


def _select(session: SessionLike, value: Value) -> None:
    count = len(session.state().portraits)
    if isinstance(value, bool) or not isinstance(value, int | float) or not float(value).is_integer():
        raise WrongUse(f"portrait is {value!r}, expected a whole number from 0 to {count - 1}")
    if not 0 <= value < count:
        raise WrongUse(f"portrait {value + 1:g} was asked for, there are {count}; add one with Upload")
    session.select_portrait(int(value))


def _method(session: SessionLike, value: Value) -> None:
    methods = session.state().methods
    if not isinstance(value, str) or value not in methods:
        raise WrongUse(f"method is {value!r}, expected one of {', '.join(methods)}")
    session.set_method(value)


def _move(session: SessionLike, value: Value) -> None:
    if not isinstance(value, str) or value not in NUDGES:
        raise WrongUse(f"move is {value!r}, expected one of {', '.join(NUDGES)}")
    session.move_crop(*NUDGES[value])


def _gain(region: str) -> "Command":
    def command(session: SessionLike, value: Value) -> None:
        session.set_gain(region, _number(value, f"{region} gain", GAIN_RANGE))

    return command


def _mode(name: str) -> "Command":
    def command(session: SessionLike, value: Value) -> None:
        if not isinstance(value, bool):
            raise WrongUse(f"{name} is {value!r}, expected true or false")
        session.set_mode(name, value)

    return command


Command = Callable[[SessionLike, Value], None]

COMMANDS: Mapping[str, Command] = {
    "calibrate": lambda session, _: session.calibrate(),
    "find": lambda session, _: session.find_best_reference(),
    "next": lambda session, _: session.next_portrait(),
    "previous": lambda session, _: session.previous_portrait(),
    "select": _select,
    "method": _method,
    "smoothing": lambda session, value: session.set_smoothing(_number(value, "smoothing", SMOOTHING_RANGE)),
    "zoom_in": lambda session, _: session.zoom_in(),
    "zoom_out": lambda session, _: session.zoom_out(),
    "reset_crop": lambda session, _: session.reset_crop(),
    "reload": lambda session, _: session.reload_portraits(),
    "move": _move,
    **{f"gain.{region}": _gain(region) for region in GAINS},
    **{name: _mode(name) for name in MODES},
}

# SPDX-License-Identifier: MIT
"""The live commands: what each is called on the page's socket, its keys, their help, and what it does.

One table for the window's keys, the terminal's, the page and --help. A key is a command with a fixed value.
"""

import html
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from face.errors import PuppetError, WrongUse
from realtime.stats import StageStats

MODES = ("mirror", "flip", "badge", "passthrough", "statistics", "landmarks")
GAINS = ("pose", "expression", "eyes")
GAIN_RANGE = (0.0, 2.0)  # 0 holds that part still, 1 is the driver's own movement
SMOOTHING_RANGE = (0.0, 2.0)
GAIN_STEP, SMOOTHING_STEP = 0.1, 0.25  # of one key press
STEP_RANGE = (-2.0, 2.0)
MOVES = {"left": (-1, 0), "right": (1, 0), "up": (0, -1), "down": (0, 1)}
MOVE, FINE = 0.03, 0.003  # share of the picture's side

Value = str | float | bool | None  # what comes with a command's name


@dataclass(frozen=True, slots=True)
class SessionState:
    """One look at a running session."""

    fps: float  # frames a second that reached the sink, over the last seconds
    latency_p50_ms: float  # capture to sink over the last seconds; nan before the first frame
    latency_p95_ms: float
    delivered: int
    dropped: int
    face_found: bool
    portraits: tuple[Path, ...]  # in the order of the keys 1-9
    portrait: int  # index of the one on show, -1 for none
    enrolling: str  # name of the portrait being prepared, "" for none
    method: str
    methods: tuple[str, ...]
    gains: Mapping[str, float]  # by GAINS
    smoothing: float
    zoom: float
    modes: Mapping[str, bool]  # by MODES
    message: str  # the last line for the user, "" for none
    message_number: int  # counts messages
    message_problem: bool  # it says what went wrong
    slow: str  # one line when this computer is too slow or the face too small, "" when all is well
    stages: tuple[StageStats, ...]  # source, tracker, puppet, sink


class SessionLike(Protocol):
    """The part of a live session that keys and page drive.

    Every method may be called from any thread and returns soon; what takes long (enrolling a portrait)
    goes on in the background and shows in `state()`. A wrong wish raises a PuppetError of one line.
    """

    def state(self) -> SessionState: ...
    def calibrate(self) -> None: ...
    def find_best_reference(self) -> None: ...
    def select_portrait(self, index: int) -> None: ...
    def add_portrait(self, path: Path) -> None: ...  # enrols, appends to `portraits`, shows it
    def next_portrait(self) -> None: ...
    def previous_portrait(self) -> None: ...
    def set_method(self, name: str) -> None: ...
    def set_gain(self, region: str, value: float) -> None: ...
    def change_gain(self, by: float) -> None: ...
    def set_smoothing(self, value: float) -> None: ...
    def change_smoothing(self, by: float) -> None: ...
    def set_mode(self, name: str, on: bool) -> None: ...
    def toggle(self, name: str) -> None: ...
    def zoom_in(self) -> None: ...
    def zoom_out(self) -> None: ...
    def move_crop(self, right: float, down: float) -> None: ...
    def reset_crop(self) -> None: ...
    def reload_portraits(self) -> None: ...
    def quit(self) -> None: ...
    def say(self, line: str, *, problem: bool = False) -> None: ...


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
    where = value.removesuffix("_fine") if isinstance(value, str) else ""
    if where not in MOVES:
        raise WrongUse(f"move is {value!r}, expected one of {', '.join(MOVES)}, or such as left_fine")
    right, down = MOVES[where]
    size = MOVE if value == where else FINE
    session.move_crop(right * size, down * size)


def _gain(region: str) -> "Act":
    def act(session: SessionLike, value: Value) -> None:
        session.set_gain(region, _number(value, f"{region} gain", GAIN_RANGE))

    return act


def _mode(name: str) -> "Act":
    """Without a value the mode is switched over."""

    def act(session: SessionLike, value: Value) -> None:
        if value is None:
            session.toggle(name)
        elif isinstance(value, bool):
            session.set_mode(name, value)
        else:
            raise WrongUse(f"{name} is {value!r}, expected true or false")

    return act


Act = Callable[[SessionLike, Value], None]


@dataclass(frozen=True, slots=True)
class Key:
    """A key of a command. Letters mean both cases unless the other case has a key of its own."""

    key: str
    help: str = ""  # "": told with the key before it
    value: Value = None  # what the command is given
    shown: str = ""  # how a list calls it, and those told with it; "": the key


@dataclass(frozen=True, slots=True)
class Command:
    """One command."""

    name: str  # as the page's socket calls it
    act: Act
    keys: tuple[Key, ...] = ()
    on_page: bool = True  # a page may ask for it, and its keys work there


# The letters are avatarify's where it has them.
_TABLE = (
    Command(
        "select",
        _select,
        (
            Key("1", "portrait 1 to 9", 0, "1-9"),
            *(Key(str(number), value=number - 1) for number in range(2, 10)),
        ),
    ),
    Command("previous", lambda session, _: session.previous_portrait(), (Key("a", "previous portrait"),)),
    Command("next", lambda session, _: session.next_portrait(), (Key("d", "next portrait"),)),
    Command(
        "reload",
        lambda session, _: session.reload_portraits(),
        (Key("l", "look again into the portrait folders"),),
    ),
    Command(
        "calibrate", lambda session, _: session.calibrate(), (Key("x", "calibrate: this is my face at rest"),)
    ),
    Command(
        "find",
        lambda session, _: session.find_best_reference(),
        (Key("f", "find the moment most like the portrait, calibrate on it"),),
    ),
    Command("passthrough", _mode("passthrough"), (Key("0", "show the camera instead"),)),
    Command("zoom_in", lambda session, _: session.zoom_in(), (Key("w", "zoom in"),)),
    Command("zoom_out", lambda session, _: session.zoom_out(), (Key("s", "zoom out"),)),
    Command(
        "move",
        _move,
        (
            Key("u", "move the part that is shown; finely with Shift", "up", "U H J K"),
            *(Key(key, value=value) for key, value in (("h", "left"), ("j", "down"), ("k", "right"))),
            *(
                Key(key, value=f"{to}_fine")
                for key, to in zip("UHJK", ("up", "left", "down", "right"), strict=True)
            ),
        ),
    ),
    Command(
        "reset_crop",
        lambda session, _: session.reset_crop(),
        (Key("Z", "reset zoom and crop", shown="Shift-Z"),),
    ),
    Command("mirror", _mode("mirror"), (Key("r", "mirror my movement"),)),
    Command("flip", _mode("flip"), (Key("t", "flip the picture"),)),
    Command(
        "gain",
        lambda session, value: session.change_gain(_number(value, "gain step", STEP_RANGE)),
        (Key("+", "more movement", GAIN_STEP), Key("-", "less movement", -GAIN_STEP)),
    ),
    *(Command(f"gain.{region}", _gain(region)) for region in GAINS),
    Command(
        "smoother",
        lambda session, value: session.change_smoothing(_number(value, "smoothing step", STEP_RANGE)),
        (Key("]", "smoother", SMOOTHING_STEP), Key("[", "quicker", -SMOOTHING_STEP)),
    ),
    Command(
        "smoothing",
        lambda session, value: session.set_smoothing(_number(value, "smoothing", SMOOTHING_RANGE)),
    ),
    Command("method", _method),
    Command("badge", _mode("badge"), (Key("b", "badge"),)),
    Command("statistics", _mode("statistics"), (Key("i", "statistics"),)),
    Command("landmarks", _mode("landmarks"), (Key("o", "landmarks"),), on_page=False),  # windows show them
    Command("quit", lambda session, _: session.quit(), (Key("esc", "quit"),), on_page=False),
)
COMMANDS: Mapping[str, Command] = {command.name: command for command in _TABLE}
KEYS: Mapping[str, tuple[Command, Key]] = {
    key.key: (command, key) for command in _TABLE for key in command.keys
}


def obey(session: SessionLike, name: str, value: Value) -> None:
    """Carry out one command of the page; WrongUse names a stranger or a value that cannot be meant."""
    command = COMMANDS.get(name)
    if command is None or not command.on_page:
        raise WrongUse(
            f"unknown command {name!r}; this page is older or newer than the program: load it again"
        )
    command.act(session, value)


def press(session: SessionLike, key: str) -> bool:
    """Carry out the key's command and say what went wrong; False for a key without one. From any thread."""
    found = KEYS.get(key) or KEYS.get(key.lower())
    if found is None:
        return False
    command, pressed = found
    try:
        command.act(session, pressed.value)
    except PuppetError as error:
        session.say(str(error), problem=True)
    return True


def keys_explained() -> str:
    """What the keys do, in one sentence."""
    told = (f"{key.shown or key.key.title()} {key.help}" for _, key in KEYS.values() if key.help)
    return f"Keys in the window and in this terminal: {'; '.join(told)}."


def key_table() -> bytes:
    """The keys of the page as JSON, quoted for an attribute of it."""
    rows = [
        {
            "key": key.key,
            "shown": key.shown or key.key.upper(),
            "help": key.help,
            "do": command.name,
            "value": key.value,
        }
        for command, key in KEYS.values()
        if command.on_page
    ]
    return html.escape(json.dumps(rows)).encode()

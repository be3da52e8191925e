# SPDX-License-Identifier: MIT
"""What each hot key does, in the window, the terminal and on the page. Knows no device a key comes from."""

from collections.abc import Callable
from dataclasses import dataclass

from face.errors import PuppetError
from realtime.live.session import Session
from realtime.live.slot import NUDGE

GAIN_STEP = 0.1
SMOOTHING_STEP = 0.25
FINE = 0.1  # share of a nudge that Shift leaves


@dataclass(frozen=True, slots=True)
class Key:
    """One key and its command. Letters mean both cases unless the other case has a key of its own."""

    key: str
    help: str
    press: Callable[[Session], None]


def _portrait(number: int) -> Key:
    return Key(str(number), f"portrait {number}", lambda session: session.select_portrait(number - 1))


def _nudge(key: str, where: str, right: float, down: float) -> tuple[Key, Key]:
    def by(size: float) -> Callable[[Session], None]:
        return lambda session: session.move_crop(right * size, down * size)

    return (
        Key(key, f"move the crop {where}", by(NUDGE)),
        Key(key.upper(), f"move the crop {where}, finely", by(NUDGE * FINE)),
    )


# The letters are avatarify's where it has them.
KEYS: tuple[Key, ...] = (
    *(_portrait(number) for number in range(1, 10)),
    Key("0", "pass-through: show the camera", lambda session: session.toggle("passthrough")),
    Key("a", "previous portrait", Session.previous_portrait),
    Key("d", "next portrait", Session.next_portrait),
    Key("l", "look again into the portrait folders", Session.reload_portraits),
    Key("x", "calibrate: this is my face at rest", Session.calibrate),
    Key("f", "find the best reference for some seconds", Session.find_best_reference),
    Key("w", "zoom in", Session.zoom_in),
    Key("s", "zoom out", Session.zoom_out),
    *_nudge("u", "up", 0, -1),
    *_nudge("h", "left", -1, 0),
    *_nudge("j", "down", 0, 1),
    *_nudge("k", "right", 1, 0),
    Key("Z", "reset zoom and crop", Session.reset_crop),
    Key("r", "mirror the driver", lambda session: session.toggle("mirror")),
    Key("t", "flip the picture", lambda session: session.toggle("flip")),
    Key("+", "more movement", lambda session: session.change_gain(GAIN_STEP)),
    Key("-", "less movement", lambda session: session.change_gain(-GAIN_STEP)),
    Key("]", "smoother", lambda session: session.change_smoothing(SMOOTHING_STEP)),
    Key("[", "quicker", lambda session: session.change_smoothing(-SMOOTHING_STEP)),
    Key("b", "badge", lambda session: session.toggle("badge")),
    Key("i", "statistics", lambda session: session.toggle("statistics")),
    Key("o", "landmarks", lambda session: session.toggle("landmarks")),
    Key("esc", "quit", Session.quit),
)
_BY_KEY = {key.key: key for key in KEYS}


def press(session: Session, key: str) -> bool:
    """Carry out the key's command and say what went wrong; False for a key without one. From any thread."""
    found = _BY_KEY.get(key) or _BY_KEY.get(key.lower())
    if found is None:
        return False
    try:
        found.press(session)
    except PuppetError as error:
        session.say(str(error), problem=True)
    return True

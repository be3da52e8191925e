# SPDX-License-Identifier: MIT
"""Where frames go: virtual camera, window, file, nothing. Knows no puppet."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from face.arrays import Image
from face.errors import WrongUse
from realtime.frame import Sink
from realtime.sinks.fit import Size


@dataclass(frozen=True, slots=True)
class _Wish:
    """All that any sink may want to know."""

    address: str  # what stands behind the colon: a path, a device
    size: Size | None
    fps: float
    fit: str
    card: Image | None
    on_key: Callable[[str], None] | None
    mark: bool


def _null(wish: _Wish) -> Sink:
    from realtime.sinks.null import NullSink

    return NullSink()


def _window(wish: _Wish) -> Sink:
    from realtime.sinks.window import Window

    return Window(wish.address or "facepuppet", size=wish.size, fit=wish.fit, on_key=wish.on_key)


def _virtual_camera(wish: _Wish) -> Sink:
    from realtime.sinks.virtual_camera import VirtualCamera

    size, device = wish.size or (1280, 720), wish.address or None
    return VirtualCamera(size=size, fps=wish.fps, fit=wish.fit, device=device, card=wish.card)


def _file(wish: _Wish) -> Sink:
    from realtime.sinks.file import FileSink

    if not wish.address:
        raise WrongUse("a file sink needs a name; write --sink file:out.mp4")
    return FileSink(Path(wish.address), fps=wish.fps, size=wish.size, fit=wish.fit, mark=wish.mark)


SINKS: dict[str, Callable[[_Wish], Sink]] = {
    "vcam": _virtual_camera,
    "window": _window,
    "file": _file,
    "null": _null,
}


def open_sink(
    spec: str,
    *,
    size: Size | None = None,
    fps: float = 30.0,
    fit: str = "letterbox",
    card: Image | None = None,
    on_key: Callable[[str], None] | None = None,
    mark: bool = True,
) -> Sink:
    """A live sink by name, for a with statement: `vcam[:device]`, `window[:title]`, `file:path`, `null`.

    `size` None: the sink's own (virtual camera 1280x720, else the picture's). `card`: what a virtual camera
    shows until the first frame. `mark`: files say that they are synthetic. A sink ignores what it cannot use.
    """
    name, _, address = spec.partition(":")
    if name not in SINKS:
        raise WrongUse(
            f"there is no sink {name!r}, expected one of {', '.join(SINKS)}, or web; a file is file:out.mp4"
        )
    return SINKS[name](_Wish(address, size, fps, fit, card, on_key, mark))

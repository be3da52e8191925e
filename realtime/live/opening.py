# SPDX-License-Identifier: MIT
"""Opens all that a live run needs, in the order in which it can fail cheaply, and closes it again."""

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from face.errors import SinkUnavailable, WrongUse
from face.frame import Frame
from methods.method import Opening
from methods.subject import check_named
from realtime.control import SessionLike, press
from realtime.frame import EndOfLine, Sink, Source
from realtime.options import Driver, Live, Output
from realtime.sinks import open_sink
from realtime.sources import open_source

if TYPE_CHECKING:
    from realtime.live.session import Session

BROWSER = "browser"  # the camera of whoever looks at the page
BUILT_IN = "builtin"
PAGE = "web"
CARD_SIZE = (512, 512)  # of the picture that a window shows while the portrait is prepared


@dataclass(frozen=True, slots=True)
class Opened:
    """A session ready to run."""

    session: "Session"
    page: str  # address of the control page with its key, "" without one
    picture: str  # address of the bare picture for OBS, "" without a page


def open_driver(driver: Driver) -> Source:
    """The source that a driver names, for a with statement; WrongUse for what is not there."""
    if driver.camera == BROWSER:
        raise WrongUse("--camera browser needs the page; add --sink web, or use: facepuppet web")
    return open_source(driver.camera, fps=driver.camera_fps, size=driver.camera_size, loop=driver.loop)


def check_live(live: Live) -> None:
    """WrongUse or SinkUnavailable for what is missing or taken, before anything that takes long."""
    for name in live.portraits:
        if name != BUILT_IN:
            check_named(Path(name), "a portrait photo or a folder of them")
    files = [Path(name[5:]) for name in live.output.sinks if name.startswith("file:")]
    for path in (*files, *filter(None, [live.output.record])):
        if path.parent.is_dir() and not os.access(path.parent, os.W_OK):
            raise SinkUnavailable(
                f"{path} cannot be written: {path.parent} is not yours; choose another place"
            )
    if PAGE in live.output.sinks:
        from realtime.web.listening import check_address

        check_address(live.page.host, live.page.port, allow_remote=live.page.allow_remote)
    if live.driver.camera != BROWSER or PAGE not in live.output.sinks:
        open_driver(live.driver)  # made, not opened


def portrait_paths(names: Sequence[str]) -> tuple[Path, ...]:
    """The photos and folders named; the built-in one without a name."""
    from realtime.offline.builtin import portrait_path

    return tuple(portrait_path() if name == BUILT_IN else Path(name) for name in names or [BUILT_IN])


@contextmanager
def open_live(live: Live, puppets: Opening) -> Iterator[Opened]:
    """A session with everything it needs open; `puppets` is how its portraits are, and tells what is done."""
    driver, movement, output = live.driver, live.movement, live.output
    check_live(live)
    keyboard = _Keyboard()
    plain, previews = _sinks(output, keyboard)
    doing = f"opening {_camera_name(driver.camera)}, preparing {_portrait_name(live.portraits)}"
    puppets.tell(doing)
    with ExitStack() as stack:
        for sink in previews:
            _show_card(stack.enter_context(sink), doing)
        from methods.registry import METHODS, open_puppet
        from methods.subject import resolve
        from realtime.badge import Badge
        from realtime.live.session import Session
        from realtime.tracker.face_tracker import FaceTracker
        from realtime.tracker.neutrals import NeutralStore

        page = None
        if PAGE in output.sinks:
            from realtime.live.page import PageLine

            page = PageLine(driver, open_driver)
            plain.append(page.sink)
        source = stack.enter_context(page.source if page else open_driver(driver))
        for sink in plain:
            stack.enter_context(sink)
        tracker = stack.enter_context(
            FaceTracker(
                smoothing=movement.smoothing,
                gains=movement.gains,
                mirror=movement.mirror,
                relative=not movement.absolute,
                store=NeutralStore(),
                source_name=driver.camera,
                start_from_kept=not driver.recalibrate,
            )
        )
        session = keyboard.session = Session(
            source,
            tracker,
            sinks=plain,
            previews=previews,
            open_puppet=lambda name, path: open_puppet(name, resolve(path), puppets),
            portraits=portrait_paths(live.portraits),
            method=live.portrait.method,
            methods=tuple(METHODS),
            badge=Badge(),
            modes={
                "mirror": movement.mirror,
                "badge": output.badge,
                "statistics": live.statistics,
                "landmarks": live.landmarks,
            },
            gains=movement.gains,
            smoothing=movement.smoothing,
            on_delivered=_Deadline(live.seconds) if live.seconds else None,
        )
        server = stack.enter_context(page.serve(session, live.page)) if page else None
        yield Opened(session, server.url if server else "", server.picture_url if server else "")


def _sinks(output: Output, keyboard: "_Keyboard") -> tuple[list[Sink], list[Sink]]:
    """Sinks that others see, and the windows, which only the user sees; none of them open yet."""
    plain: list[Sink] = []
    previews: list[Sink] = []
    for name in output.sinks:
        if name == PAGE:
            continue
        sink = open_sink(name, size=output.size, fps=output.fps, fit=output.fit, on_key=keyboard)
        (previews if name.partition(":")[0] == "window" else plain).append(sink)
    if output.record is not None:
        plain.append(_recorder(output.record, output))
    return plain, previews


def _camera_name(camera: str) -> str:
    return (
        f"camera {camera}" if camera.isdecimal() else "the page" if camera == BROWSER else Path(camera).name
    )


def _portrait_name(names: Sequence[str]) -> str:
    return Path(names[0]).name if names else "the built-in portrait"


def _show_card(preview: Sink, line: str) -> None:
    """Something to look at until the first picture is there."""
    import numpy as np

    from realtime.live.overlay import draw_lines

    card = np.full((*CARD_SIZE[::-1], 3), 32, np.uint8)
    draw_lines(card, line.split(", "))
    with suppress(EndOfLine):  # closed already: its first picture ends the line
        preview(Frame(card, time.perf_counter(), 0))


def _recorder(path: Path, output: Output) -> Sink:
    """Writes in a thread of its own, and ends alone when the disk is full."""
    from realtime.sinks.file import FileSink
    from realtime.sinks.mp4 import SUFFIXES
    from realtime.sinks.null import NullSink
    from realtime.sinks.tee import TeeSink

    if path.suffix.lower() not in SUFFIXES:
        kinds = ", ".join(SUFFIXES)
        raise WrongUse(f"--record is {str(path)!r}, expected a name that ends in {kinds}; rename it")
    return TeeSink(NullSink(), FileSink(path, fps=output.fps, size=output.size, fit=output.fit))


class _Keyboard:
    """Carries keys to a session that is opened after the window they come from."""

    def __init__(self) -> None:
        self.session: SessionLike | None = None

    def __call__(self, key: str) -> None:
        if self.session is not None:
            press(self.session, key)


class _Deadline:
    """Ends the line some seconds after its first frame."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._ends_s: float | None = None

    def __call__(self, frame: Frame) -> None:
        now_s = time.perf_counter()
        if self._ends_s is None:
            self._ends_s = now_s + self._seconds
        elif now_s >= self._ends_s:
            raise EndOfLine

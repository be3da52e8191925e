# SPDX-License-Identifier: MIT
"""Opens all that a live run needs, in the order in which it can fail cheaply, and closes it again."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from face.errors import WrongUse
from face.frame import Frame
from methods.method import Opening
from methods.registry import METHODS, open_puppet
from methods.subject import check_named, resolve
from realtime.badge import Badge
from realtime.control import press
from realtime.frame import EndOfLine, Sink, Source
from realtime.live.session import Session
from realtime.offline.builtin import portrait_path
from realtime.options import Driver, Live, Output, Page
from realtime.sinks import open_sink
from realtime.sinks.file import FileSink
from realtime.sinks.mp4 import SUFFIXES
from realtime.sinks.null import NullSink
from realtime.sinks.tee import TeeSink
from realtime.sources import open_source
from realtime.tracker.face_tracker import FaceTracker
from realtime.tracker.neutrals import NeutralStore
from realtime.web.camera import BrowserSource
from realtime.web.picture import WebSink
from realtime.web.server import WebServer
from realtime.web.switch import SourceSwitch

BROWSER = "browser"  # the camera of whoever looks at the page
BUILT_IN = "builtin"
PAGE = "web"


@dataclass(frozen=True, slots=True)
class Opened:
    """A session ready to run."""

    session: Session
    page: str  # address of the control page with its key, "" without one
    picture: str  # address of the bare picture for OBS, "" without a page


def open_driver(driver: Driver) -> Source:
    if driver.camera == BROWSER:
        raise WrongUse("--camera browser needs the page; add --sink web, or use: facepuppet web")
    return open_source(driver.camera, fps=driver.camera_fps, size=driver.camera_size, loop=driver.loop)


def portrait_paths(names: Sequence[str]) -> tuple[Path, ...]:
    """The photos and folders named; the built-in one without a name. WrongUse for what is not there."""
    paths = [portrait_path() if name == BUILT_IN else Path(name) for name in names or [BUILT_IN]]
    for path in paths:
        check_named(path, "a portrait photo or a folder of them")
    return tuple(paths)


@contextmanager
def open_live(live: Live, puppets: Opening) -> Iterator[Opened]:
    """A session with everything it needs open; `puppets` is how its portraits are."""
    driver, movement, output = live.driver, live.movement, live.output
    paths = portrait_paths(live.portraits)
    keyboard = _Keyboard()
    plain, previews = _sinks(output, keyboard)
    with ExitStack() as stack:
        desk = _Desk(driver) if PAGE in output.sinks else None
        if desk is not None:
            plain.append(desk.sink)
        source = stack.enter_context(desk.source if desk else open_driver(driver))
        for sink in (*plain, *previews):
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
            portraits=paths,
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
        server = stack.enter_context(desk.serve(session, live.page)) if desk else None
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


def _recorder(path: Path, output: Output) -> Sink:
    """Writes in a thread of its own, and ends alone when the disk is full."""
    if path.suffix.lower() not in SUFFIXES:
        kinds = ", ".join(SUFFIXES)
        raise WrongUse(f"--record is {str(path)!r}, expected a name that ends in {kinds}; rename it")
    return TeeSink(NullSink(), FileSink(path, fps=output.fps, size=output.size, fit=output.fit))


class _Keyboard:
    """Carries keys to a session that is opened after the window they come from."""

    def __init__(self) -> None:
        self.session: Session | None = None

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


class _Desk:
    """The page's half of a line: its picture, its camera, and the source it may choose instead."""

    def __init__(self, driver: Driver) -> None:
        self._browser = BrowserSource(size=driver.camera_size)
        openers: dict[str, Callable[[], Source]] = {BROWSER: lambda: self._browser}
        if driver.camera != BROWSER:
            openers[driver.camera] = lambda: open_driver(driver)
            with open_driver(driver):  # a wrong name is an error here, not a line on the page
                pass
        self.sink = WebSink()
        self.source = SourceSwitch(openers, chosen=driver.camera)

    def serve(self, session: Session, page: Page) -> WebServer:
        return WebServer(
            session,
            self.sink,
            camera=self._browser,
            sources=self.source,
            host=page.host,
            port=page.port,
            allow_remote=page.allow_remote,
        )

# SPDX-License-Identifier: MIT
"""Opens all that a live run needs, in the order in which it can fail cheaply, and closes it again."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from face.errors import WrongUse
from realtime.badge import Badge
from realtime.builtin import portrait_path
from realtime.frame import EndOfLine, Frame, Puppet, Sink, Source
from realtime.keys import press
from realtime.neutrals import NeutralStore
from realtime.puppet import PUPPETS, open_puppet
from realtime.session import Session
from realtime.sinks import open_sink
from realtime.sinks.file import FileSink
from realtime.sinks.mp4 import SUFFIXES
from realtime.sinks.null import NullSink
from realtime.sinks.tee import TeeSink
from realtime.sources import open_source
from realtime.tracker import FaceTracker
from realtime.web.camera import BrowserSource
from realtime.web.picture import WebSink
from realtime.web.server import WebServer
from realtime.web.switch import SourceSwitch

BROWSER = "browser"  # the camera of whoever looks at the page
BUILT_IN = "builtin"


@dataclass(frozen=True, slots=True)
class Live:
    """A session ready to run."""

    session: Session
    page: str  # address of the control page with its key, "" without one
    picture: str  # address of the bare picture for OBS, "" without a page


@dataclass(frozen=True, slots=True)
class Page:
    """Where the control page is served."""

    host: str
    port: int
    allow_remote: bool


def portrait_paths(names: Sequence[str]) -> tuple[Path, ...]:
    """The photos and folders named; the built-in one without a name. WrongUse for what is not there."""
    paths = [portrait_path() if name == BUILT_IN else Path(name) for name in names or [BUILT_IN]]
    for path in paths:
        if not path.exists():
            raise WrongUse(
                f"{path} does not exist, expected a portrait photo or a folder of them; check the path"
            )
    return tuple(paths)


def check_method(method: str, engine: str, model: Path | None) -> None:
    """WrongUse for a method nobody has, and for an engine or model given to one that runs no network."""
    if method not in PUPPETS:
        raise WrongUse(f"method {method!r} is not known, expected one of {', '.join(PUPPETS)}; choose one")
    if method == "mesh" and (engine != "auto" or model is not None):
        flag = "--engine" if engine != "auto" else "--model"
        raise WrongUse(f"{flag} was given, but method mesh runs no network; leave it out")


@contextmanager
def open_live(
    *,
    portraits: Sequence[str],
    camera: str,
    camera_size: tuple[int, int],
    camera_fps: float,
    loop: bool,
    method: str,
    portrait_size: int,
    gains: Mapping[str, float],
    smoothing: float,
    absolute: bool,
    recalibrate: bool,
    sinks: Sequence[str],
    record: Path | None,
    size: tuple[int, int] | None,
    fps: float,
    fit: str,
    modes: Mapping[str, bool],
    page: Page,
    seconds: float,
) -> Iterator[Live]:
    """A session with everything it needs open. `modes` are those of the session by name."""
    paths = portrait_paths(portraits)
    names = [name for name in sinks if name != "web"]
    with ExitStack() as stack:
        keyboard = _Keyboard()
        plain: list[Sink] = []
        previews: list[Sink] = []
        for name in names:
            sink = open_sink(name, size=size, fps=fps, fit=fit, on_key=keyboard)
            (previews if name.partition(":")[0] == "window" else plain).append(sink)
        if record is not None:
            plain.append(_recorder(record, size, fps, fit))
        desk = _Desk(camera, camera_size, camera_fps, loop) if "web" in sinks else None
        if desk is not None:
            plain.append(desk.sink)
        elif camera == BROWSER:
            raise WrongUse("--camera browser needs the page; add --sink web, or use: facepuppet web")
        source = desk.source if desk else open_source(camera, fps=camera_fps, size=camera_size, loop=loop)
        stack.enter_context(source)
        for sink in (*plain, *previews):
            stack.enter_context(sink)
        tracker = stack.enter_context(
            FaceTracker(
                smoothing=smoothing,
                gains=gains,
                mirror=modes.get("mirror", False),
                relative=not absolute,
                store=NeutralStore(),
                source_name=camera,
                start_from_kept=not recalibrate,
            )
        )
        session = Session(
            source,
            tracker,
            sinks=plain,
            previews=previews,
            open_puppet=lambda name, path: _open_puppet(name, path, portrait_size),
            portraits=paths,
            method=method,
            methods=tuple(PUPPETS),
            badge=Badge(),
            modes=modes,
            gains=gains,
            smoothing=smoothing,
            on_delivered=_Deadline(seconds) if seconds else None,
        )
        keyboard.session = session
        server = stack.enter_context(desk.serve(session, page)) if desk else None
        yield Live(session, server.url if server else "", server.picture_url if server else "")


def _open_puppet(method: str, path: Path, longest: int) -> Puppet:
    return open_puppet(method, path, longest=longest)


def _recorder(path: Path, size: tuple[int, int] | None, fps: float, fit: str) -> Sink:
    """Writes in a thread of its own, and ends alone when the disk is full."""
    if path.suffix.lower() not in SUFFIXES:
        kinds = ", ".join(SUFFIXES)
        raise WrongUse(f"--record is {str(path)!r}, expected a name that ends in {kinds}; rename it")
    return TeeSink(NullSink(), FileSink(path, fps=fps, size=size, fit=fit))


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

    def __init__(self, camera: str, size: tuple[int, int], fps: float, loop: bool) -> None:
        def opened() -> Source:
            return open_source(camera, fps=fps, size=size, loop=loop)

        self._browser = BrowserSource(size=size)
        openers: dict[str, Callable[[], Source]] = {BROWSER: lambda: self._browser}
        if camera != BROWSER:
            openers[camera] = opened
            with opened():  # a wrong name is an error here, not a line on the page
                pass
        self.sink = WebSink()
        self.source = SourceSwitch(openers, chosen=camera)

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

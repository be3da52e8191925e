# SPDX-License-Identifier: MIT
"""A real web server on a free port before a stand-in session. Knows no tracker and no puppet."""

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path

import cv2
import numpy as np
from waiting import HANG_S, STUCK_S
from websockets.sync.client import ClientConnection, connect

from face.arrays import Image
from face.errors import BadPortrait
from face.frame import Frame
from realtime.web.camera import BrowserSource
from realtime.web.picture import WebSink
from realtime.web.server import WebServer
from realtime.web.switch import SourceSwitch


@dataclass(frozen=True)
class ScriptedState:
    """A StateLike with figures one can recognise."""

    fps: float = 29.5
    latency_p50_ms: float = 31.0
    latency_p95_ms: float = float("nan")
    delivered: int = 120
    dropped: int = 3
    face_found: bool = True
    portraits: tuple[Path, ...] = ()
    portrait: int = -1
    enrolling: str = ""
    method: str = "mesh"
    methods: tuple[str, ...] = ("mesh", "landmarks")
    gains: Mapping[str, float] = field(default_factory=lambda: {"pose": 1.0, "expression": 1.0, "eyes": 1.0})
    smoothing: float = 1.0
    zoom: float = 1.0
    modes: Mapping[str, bool] = field(default_factory=dict)
    message: str = ""
    message_number: int = 0
    message_problem: bool = False
    slow: str = ""


class ScriptedSession:
    """A SessionLike that writes down what it was told; while `free` is cleared, each command is stuck."""

    def __init__(self, portraits: tuple[Path, ...] = ()) -> None:
        self.told: list[tuple[object, ...]] = []
        self.portraits = portraits
        self.free = threading.Event()
        self.free.set()
        self.broken = False

    def state(self) -> ScriptedState:
        return ScriptedState(portraits=self.portraits, portrait=0 if self.portraits else -1)

    def _hear(self, *words: object) -> None:
        self.free.wait(STUCK_S)
        if self.broken:
            raise RuntimeError("a bug in the session")
        self.told.append(words)

    def calibrate(self) -> None:
        self._hear("calibrate")

    def find_best_reference(self) -> None:
        self._hear("find")

    def select_portrait(self, index: int) -> None:
        self._hear("select", index)

    def add_portrait(self, path: Path) -> None:
        if path.stem.startswith("refused"):
            raise BadPortrait(f"{path.name} shows 2 faces, expected one; crop it")
        self._hear("add", path)
        self.portraits += (path,)

    def next_portrait(self) -> None:
        self._hear("next")

    def previous_portrait(self) -> None:
        self._hear("previous")

    def set_method(self, name: str) -> None:
        self._hear("method", name)

    def set_gain(self, region: str, value: float) -> None:
        self._hear("gain", region, value)

    def set_smoothing(self, value: float) -> None:
        self._hear("smoothing", value)

    def change_gain(self, by: float) -> None:
        self._hear("gain by", by)

    def change_smoothing(self, by: float) -> None:
        self._hear("smoothing by", by)

    def toggle(self, name: str) -> None:
        self._hear("toggle", name)

    def set_mode(self, name: str, on: bool) -> None:
        self._hear("mode", name, on)

    def zoom_in(self) -> None:
        self._hear("zoom_in")

    def zoom_out(self) -> None:
        self._hear("zoom_out")

    def move_crop(self, right: float, down: float) -> None:
        self._hear("move", right, down)

    def reset_crop(self) -> None:
        self._hear("reset_crop")

    def reload_portraits(self) -> None:
        self._hear("reload")


@dataclass
class Stage:
    """A started server with everything behind it, and a visitor with or without the key."""

    session: ScriptedSession
    picture: WebSink
    camera: BrowserSource
    server: WebServer

    @property
    def origin(self) -> str:
        return self.server.address

    @property
    def cookie(self) -> str:
        return f"facepuppet_{self.server.port}={self.server.token}"

    def request(
        self,
        path: str,
        *,
        method: str = "GET",
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        key: bool = True,
    ) -> tuple[HTTPResponse, bytes]:
        """One request over a fresh connection; the guard's headers are right unless overridden."""
        sent = {"Cookie": self.cookie} if key else {}
        if method != "GET":
            sent["Origin"] = self.origin
        sent |= dict(headers or {})
        connection = HTTPConnection("127.0.0.1", self.server.port, timeout=HANG_S)
        try:
            connection.request(method, path, body=body, headers=sent)
            response = connection.getresponse()
            return response, response.read()
        finally:
            connection.close()

    def socket(self, path: str, *, origin: str | None = "", cookie: str | None = None) -> ClientConnection:
        """A WebSocket of the page; `origin` and `cookie` as given where they are given."""
        headers = {"Cookie": self.cookie if cookie is None else cookie}
        return connect(
            f"ws://127.0.0.1:{self.server.port}{path}",
            origin=self.origin if origin == "" else origin,  # type: ignore[arg-type]
            additional_headers=headers,
            max_size=None,
            compression=None,
            close_timeout=1,
        )


class Feeder:
    """Publishes grey pictures to a sink at `fps` from a thread."""

    def __init__(self, sink: WebSink, fps: float = 60.0, size: tuple[int, int] = (64, 48)) -> None:
        self._sink, self._period_s, self._size = sink, 1 / fps, size
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.published = 0

    def __enter__(self) -> "Feeder":
        self._thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._stop.set()
        self._thread.join(HANG_S)

    def _run(self) -> None:
        while not self._stop.wait(self._period_s):
            image = np.full((self._size[1], self._size[0], 3), 10 + self.published % 200, np.uint8)
            self._sink(Frame(image, time.perf_counter(), self.published))
            self.published += 1


class serve:
    """`with serve(...) as stage`: a server on a free port."""

    def __init__(
        self,
        *,
        session: ScriptedSession | None = None,
        uploads: Path | None = None,
        largest_upload: int = 1_000_000,
        sources: Callable[[BrowserSource], SourceSwitch] | None = None,
    ) -> None:
        session, picture, camera = session or ScriptedSession(), WebSink(), BrowserSource()
        server = WebServer(
            session,
            picture,
            camera=camera,
            sources=sources(camera) if sources else None,
            port=0,
            uploads=uploads,
            largest_upload=largest_upload,
        )
        self._stage = Stage(session, picture, camera, server)

    def __enter__(self) -> Stage:
        self._stage.server.start()
        return self._stage

    def __exit__(self, *exc_info: object) -> None:
        self._stage.server.close()


def jpeg(image: Image | None = None, *, size: tuple[int, int] = (64, 48), suffix: str = ".jpg") -> bytes:
    """A picture as a browser sends it."""
    if image is None:
        image = np.full((size[1], size[0], 3), (40, 120, 200), np.uint8)
    done, buffer = cv2.imencode(suffix, image[:, :, ::-1])
    assert done
    return bytes(buffer)

# SPDX-License-Identifier: MIT
"""WebServer: the page's web server in a thread of its own. Knows no tracker, no puppet and no pipeline.

sink, camera = WebSink(), BrowserSource()
with WebServer(session, picture=sink, camera=camera, port=7860) as server:
    print(server.url)       # carries the key; open it once, a cookie takes its place
    session.run()           # a line from `camera` to `sink`
"""

import asyncio
import contextlib
import errno
import logging
import os
import socket
import tempfile
import threading
import time
from functools import partial
from pathlib import Path
from typing import Self

import uvicorn

from face.errors import SinkUnavailable, WrongUse
from realtime.control import SessionLike
from realtime.web.camera import LARGEST_BLOB, BrowserSource
from realtime.web.connections import LONGEST_HEAD, Connections
from realtime.web.desk import Desk
from realtime.web.guard import App, Guard, GuardedApp, answer_without_key, check_host, new_token
from realtime.web.picture import WebSink
from realtime.web.portraits import LARGEST_UPLOAD, Shelf
from realtime.web.routes import build_app
from realtime.web.switch import SourceSwitch

logger = logging.getLogger(__name__)

DEFAULT_PORT = 7860
START_WITHIN_S = 10.0
LEAVE_WITHIN_S = 2.0
BACKLOG = 1024  # connections that wait to be taken in; beyond it a client tries again after a second
AT_ONCE = 16  # of them are taken in before anybody else has his turn
SEND_BUFFER = 256 * 1024  # bytes the system may hold for one client: it bounds how far Motion JPEG can lag


class WebServer:
    """Serves the page from `start` to `close`.

    session  what the page drives, see SessionLike
    picture  the sink whose frames the page shows; the caller gives it to the line
    camera   where the browser's own camera arrives, or None; the caller gives it (or `sources`) to the line
    sources  the sources the page may choose from, or None for one fixed source
    uploads  folder for uploaded portraits; a temporary one, gone at the end, when None
    token    the key in the address; a fresh one when None
    """

    def __init__(
        self,
        session: SessionLike,
        picture: WebSink,
        *,
        camera: BrowserSource | None = None,
        sources: SourceSwitch | None = None,
        host: str = "127.0.0.1",
        port: int = DEFAULT_PORT,
        allow_remote: bool = False,
        token: str | None = None,
        uploads: Path | None = None,
        largest_upload: int = LARGEST_UPLOAD,
    ) -> None:
        check_host(host, allow_remote=allow_remote)
        if not 0 <= port <= 65535:
            raise WrongUse(f"port is {port}, expected 1 to 65535, or 0 for any free one; use --port 7860")
        if token is not None and len(token) < 16:
            raise WrongUse(f"the token has {len(token)} characters, expected at least 16; leave it out")
        self._session, self._picture, self._camera, self._sources = session, picture, camera, sources
        self._host, self._port, self._allow_remote = host, port, allow_remote
        self._token = token or new_token()
        self._uploads, self._largest_upload = uploads, largest_upload
        self._connections: Connections | None = None
        self._exit = contextlib.ExitStack()
        self._server: uvicorn.Server | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._desk: Desk | None = None
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    @property
    def port(self) -> int:
        """The port it listens on; settled once started."""
        return self._port

    @property
    def token(self) -> str:
        return self._token

    @property
    def address(self) -> str:
        """Where it listens, as a browser writes it, without the key."""
        host = "127.0.0.1" if self._host in ("0.0.0.0", "::", "localhost") else self._host
        return f"http://[{host}]:{self._port}" if ":" in host else f"http://{host}:{self._port}"

    @property
    def url(self) -> str:
        """The page's address with the key in it."""
        return f"{self.address}/?token={self._token}"

    @property
    def picture_url(self) -> str:
        """The Motion JPEG address with a key of its own, for an OBS browser source."""
        return f"{self.address}{self._guard().picture_path}"

    def start(self) -> None:
        """Listen and serve; SinkUnavailable when the port cannot be had."""
        if self._server is not None:
            raise ValueError("the server is already started")
        listener = _listen(self._host, self._port)
        self._exit.callback(listener.close)
        self._port = listener.getsockname()[1]
        folder = self._uploads or Path(
            self._exit.enter_context(tempfile.TemporaryDirectory(prefix="facepuppet-"))
        )
        folder.mkdir(parents=True, exist_ok=True)
        shelf = Shelf(folder, largest_upload=self._largest_upload)
        guard = self._guard()
        self._desk = Desk(
            self._session, self._picture, self._camera, self._sources, shelf, picture_path=guard.picture_path
        )
        connections = self._connections = Connections(guard.shows_key, answer_without_key())
        app = GuardedApp(build_app(self._desk, guard), guard, connections)
        self._server = uvicorn.Server(_config(app, connections))
        serve = partial(asyncio.run, self._serve(self._server, listener))
        self._thread = threading.Thread(target=serve, name="web", daemon=True)
        self._thread.start()
        self._await_start()
        listener.listen(BACKLOG)  # asyncio has made as many wait as it takes in at once

    def close(self) -> None:
        """End every connection and stop listening; within a second. May be called twice."""
        if self._server is not None and self._thread is not None:
            self._server.should_exit = True
            for each in (self._connections, self._desk):
                if self._loop is not None and each is not None:
                    with contextlib.suppress(RuntimeError):  # the loop ended by itself
                        self._loop.call_soon_threadsafe(each.close)
            self._thread.join(LEAVE_WITHIN_S)
            if self._thread.is_alive():
                logger.warning("the web server was still busy after %.0f s: left behind", LEAVE_WITHIN_S)
        self._server = self._thread = self._desk = self._loop = None
        self._exit.close()

    def _guard(self) -> Guard:
        return Guard(self._token, self._host, self._port, self._allow_remote)

    async def _serve(self, server: uvicorn.Server, listener: socket.socket) -> None:
        self._loop = asyncio.get_running_loop()
        await server.serve(sockets=[listener])

    def _await_start(self) -> None:
        assert self._server is not None and self._thread is not None
        deadline_s = time.perf_counter() + START_WITHIN_S
        while not self._server.started:
            if not self._thread.is_alive() or time.perf_counter() > deadline_s:
                self.close()
                raise SinkUnavailable(f"the web server did not start on {self.address}; see the log above")
            time.sleep(0.005)


def _listen(host: str, port: int) -> socket.socket:
    """A listening socket, here and now, so that a taken port is the caller's error and not a thread's."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        if os.name == "posix":  # elsewhere it would let two programs share one port
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)  # clients inherit it
        listener.bind((host, port))
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        raise _mendable(error, host, port) from error
    return listener


def _mendable(error: OSError, host: str, port: int) -> SinkUnavailable | WrongUse:
    if isinstance(error, socket.gaierror) or error.errno == errno.EADDRNOTAVAIL:
        return WrongUse(f"host {host} is no address of this machine, expected one; use --host 127.0.0.1")
    if error.errno in (errno.EADDRINUSE, errno.EACCES):
        found = "taken by another program" if error.errno == errno.EADDRINUSE else "not allowed to this user"
        other = port + 1 if 1024 <= port < 65535 else DEFAULT_PORT
        return SinkUnavailable(f"port {port} on {host} is {found}, expected a free one; use --port {other}")
    return SinkUnavailable(f"cannot listen on {host} port {port} ({error.strerror}); try another --port")


def _config(app: App, connections: Connections) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http=connections.protocol,  # type: ignore[arg-type]  # it asks for a class, and only calls it
        backlog=AT_ONCE,
        ws="websockets-sansio",
        ws_max_size=2 * LARGEST_BLOB,  # above it the connection is closed, below it the page is told why
        ws_per_message_deflate=False,  # pictures do not get smaller
        lifespan="off",
        log_config=None,
        log_level="error",  # a stranger's bad request is not worth a line
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=1,
        h11_max_incomplete_event_size=LONGEST_HEAD,
    )

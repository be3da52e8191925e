# SPDX-License-Identifier: MIT
"""The server's addresses: page, pictures, camera, commands, portraits. Knows who may come in from nobody.

GET  /                      the page
GET  /picture.mjpg          the live picture as Motion JPEG, for programs without WebSockets
GET  /portraits/N.jpg       thumbnail of portrait N
POST /portraits?name=...    a new portrait, the file's bytes as the body
WS   /live                  pictures out: header and JPEG; the next one after the client's answer
WS   /camera                pictures in: JPEG or WebP; one JSON answer each
WS   /control               commands in, answers and state out, JSON
"""

import asyncio
import errno
import json
import logging
import math
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import BaseRoute, Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from face.errors import PuppetError, WrongUse
from realtime.control import Value, key_table
from realtime.web.camera import BadBlob, BrowserSource
from realtime.web.desk import Desk
from realtime.web.guard import PICTURE_PATH, Guard, drain
from realtime.web.picture import Picture
from realtime.web.portraits import safe_name

logger = logging.getLogger(__name__)

PICTURE_HEADER = struct.Struct("<IIIIdd")  # sequence, width, height, 0, captured_s, encoded_s; then the JPEG
STATE_EVERY_S = 0.25
RESEND_S = 1.0  # Motion JPEG: a still picture is sent again this often, which also finds dead connections
LONGEST_COMMAND = 4096  # characters
UPLOAD_WITHIN_S, STALLED_S = 60.0, 5.0  # for a whole photo, and without a byte of it
LONGEST_NUMBER = 6  # digits of a portrait's number
CAMERA_TAKEN = 4001  # WebSocket close code: another page sends its camera now

ASSETS = {  # address -> type; each is a file beside this one
    "/page.css": "text/css",
    "/page.js": "text/javascript",
    "/live.js": "text/javascript",
    "/camera.js": "text/javascript",
    "/camera-worker.js": "text/javascript",
    "/controls.js": "text/javascript",
    "/portraits.js": "text/javascript",
    "/keys.js": "text/javascript",
    "/icon.svg": "image/svg+xml",
}
HERE = Path(__file__).parent


def build_app(desk: Desk, guard: Guard) -> Starlette:
    """The application behind the guard; its files are read once, here."""
    handlers = Handlers(desk, guard)
    routes: list[BaseRoute] = [
        Route("/", handlers.page),
        Route(PICTURE_PATH, handlers.motion_jpeg),
        Route("/portraits/{number}.jpg", handlers.thumbnail),
        Route("/portraits", handlers.upload, methods=["POST"]),
        WebSocketRoute("/live", handlers.live),
        WebSocketRoute("/camera", handlers.camera),
        WebSocketRoute("/control", handlers.control),
    ]
    routes += [Route(address, _asset(HERE / address[1:], kind)) for address, kind in ASSETS.items()]
    return Starlette(routes=routes)


class Handlers:
    """One method an address."""

    def __init__(self, desk: Desk, guard: Guard) -> None:
        self._desk = desk
        self._guard = guard
        self._page = (HERE / "page.html").read_bytes().replace(b"KEY_TABLE", key_table())
        self._uploading = asyncio.Lock()

    async def page(self, request: Request) -> Response:
        headers = {"set-cookie": self._guard.cookie} if self._guard.token_in_address(request.scope) else {}
        return Response(self._page, media_type="text/html", headers=headers)

    async def motion_jpeg(self, request: Request) -> Response:
        return StreamingResponse(
            self._parts(),
            media_type="multipart/x-mixed-replace; boundary=frame",
            headers={"cross-origin-resource-policy": "same-origin"},
        )

    async def _parts(self) -> AsyncIterator[bytes]:
        """The boundary follows its picture at once: browsers show a part when they have seen its end."""
        desk = self._desk
        yield b"--frame\r\n"
        with _Watch(desk) as watch:
            while not desk.closing:
                with suppress(TimeoutError):
                    await asyncio.wait_for(watch.pulse.wait(), RESEND_S)
                watch.pulse.clear()
                picture = desk.picture.latest()
                if picture is not None and not desk.closing:
                    yield b"Content-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n" % len(picture.jpeg)
                    yield picture.jpeg + b"\r\n--frame\r\n"

    async def thumbnail(self, request: Request) -> Response:
        portraits = self._desk.session.state().portraits
        number = request.path_params["number"]
        known = number.isascii() and number.isdecimal() and len(number) <= LONGEST_NUMBER
        if not known or int(number) >= len(portraits):
            return Response(status_code=404)
        try:
            jpeg = await run_in_threadpool(self._desk.shelf.thumbnail, portraits[int(number)])
        except PuppetError as error:
            return Response(str(error), status_code=404, media_type="text/plain")
        return Response(jpeg, media_type="image/jpeg", headers={"cache-control": "private, max-age=3600"})

    async def upload(self, request: Request) -> Response:
        """One photo at a time: what is half sent is held in memory."""
        if self._uploading.locked():
            await drain(request.receive)
            return _refused("another photo is just being sent; try again in a moment", 409)
        shelf, name = self._desk.shelf, request.query_params.get("name", "portrait.jpg")
        try:
            async with self._uploading:
                data = await _body(request, shelf.largest_upload)
                if data is None:
                    await drain(request.receive, 10 * shelf.largest_upload)
                    line = f"the photo is too large, {shelf.upload_limit}; choose a smaller one"
                    return _refused(line, 413)
                path = await run_in_threadpool(shelf.receive, name, data)
            await run_in_threadpool(self._desk.session.add_portrait, path)
        except ClientDisconnect:
            return Response(status_code=400)
        except TimeoutError:
            return _refused("the photo stopped arriving; check the connection and send it again", 408)
        except PuppetError as error:
            return _refused(str(error), 422)
        except OSError as error:
            cure = "free some space" if error.errno == errno.ENOSPC else "rename it"
            return _refused(
                f"{safe_name(name)} cannot be stored ({error.strerror}); {cure} and try again", 507
            )
        return JSONResponse({"added": path.stem})

    async def live(self, socket: WebSocket) -> None:
        """One picture under way at a time: a slow client skips, it never lags."""
        await socket.accept()
        desk, shown, free = self._desk, 0, True
        with _Watch(desk) as watch:
            answers: asyncio.Queue[bool] = asyncio.Queue()
            reader = asyncio.create_task(_read_answers(socket, answers, watch.pulse))
            try:
                while not desk.closing:
                    watch.pulse.clear()
                    while not answers.empty():
                        if not answers.get_nowait():
                            return
                        free = True
                    picture = desk.picture.latest()
                    if free and picture is not None and picture.sequence > shown:
                        shown, free = picture.sequence, False
                        await socket.send_bytes(pack(picture))
                    else:
                        await watch.pulse.wait()
            except WebSocketDisconnect:
                logger.debug("a viewer left")
            finally:
                reader.cancel()

    async def camera(self, socket: WebSocket) -> None:
        """The page that came last sends; the one before is told."""
        desk, camera = self._desk, self._desk.camera
        if camera is None:
            await socket.close()
            return
        await socket.accept()
        before, desk.camera_owner = desk.camera_owner, socket
        if before is not None:
            with suppress(WebSocketDisconnect, RuntimeError):  # it may have left in this very moment
                await before.close(CAMERA_TAKEN, "another page sends its camera now")
        try:
            while desk.camera_owner is socket:
                message = await socket.receive()
                if message["type"] == "websocket.disconnect":
                    break
                await _send(socket, _take(camera, message.get("bytes") or b""))
        except (WebSocketDisconnect, RuntimeError):
            logger.debug("a camera left")
        finally:
            if desk.camera_owner is socket:
                desk.camera_owner = None

    async def control(self, socket: WebSocket) -> None:
        """Commands are answered by number; the state comes by itself."""
        await socket.accept()
        pusher = asyncio.create_task(self._push_state(socket))
        try:
            while True:
                answer = await self._answer(await socket.receive_text())
                await _send(socket, answer)
        except (WebSocketDisconnect, KeyError):  # KeyError: bytes where text is spoken
            logger.debug("a page left")
        finally:
            pusher.cancel()

    async def _push_state(self, socket: WebSocket) -> None:
        with suppress(WebSocketDisconnect, RuntimeError):
            while not self._desk.closing:
                await _send(socket, {"state": self._desk.state()})
                await asyncio.sleep(STATE_EVERY_S)

    async def _answer(self, text: str) -> dict[str, Any]:
        number: object = None
        try:
            if len(text) > LONGEST_COMMAND:
                raise WrongUse(f"command of {len(text)} characters, expected at most {LONGEST_COMMAND}")
            number, name, value = _parse(text)
            await run_in_threadpool(self._desk.obey, name, value)
        except PuppetError as error:
            return {"answer": number, "error": str(error)}
        except Exception as error:  # the page of a running show outlives a bug in one command
            logger.exception("a command of the page failed")
            return {"answer": number, "error": f"the command failed: {type(error).__name__}; see the log"}
        return {"answer": number, "error": ""}


class _Watch:
    """A place at the picture: `pulse` is set when something new is to be looked at. In the event loop."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self.pulse = asyncio.Event()
        self._unwatch: Callable[[], None] | None = None

    def __enter__(self) -> "_Watch":
        loop = asyncio.get_running_loop()

        def wake() -> None:
            with suppress(RuntimeError):  # the loop closed between the publisher's look and its call
                loop.call_soon_threadsafe(self.pulse.set)

        self._desk.pulses.add(self.pulse)
        self._unwatch = self._desk.picture.watch(wake)
        return self

    def __exit__(self, *exc_info: object) -> None:
        if self._unwatch is not None:
            self._unwatch()
        self._desk.pulses.discard(self.pulse)


def _refused(line: str, status: int) -> Response:
    return JSONResponse({"error": line}, status_code=status, headers={"connection": "close"})


async def _body(request: Request, most: int) -> bytes | None:
    """The request's body, None for more than `most` bytes; TimeoutError when it stalls or takes too long."""
    data, chunks = bytearray(), request.stream()
    async with asyncio.timeout(UPLOAD_WITHIN_S):
        while True:
            async with asyncio.timeout(STALLED_S):
                chunk = await anext(chunks, None)
            if chunk is None:
                return bytes(data)
            data += chunk
            if len(data) > most:
                return None


async def _send(socket: WebSocket, values: dict[str, Any]) -> None:
    """As JSON in ASCII: names from a disk may hold what is no text, and a page takes neither nan nor inf."""
    await socket.send_text(json.dumps(values, allow_nan=False))


def pack(picture: Picture) -> bytes:
    """A picture as one binary message of /live."""
    width, height = picture.size
    header = PICTURE_HEADER.pack(picture.sequence, width, height, 0, picture.captured_s, picture.encoded_s)
    return header + picture.jpeg


async def _read_answers(socket: WebSocket, answers: asyncio.Queue[bool], pulse: asyncio.Event) -> None:
    """True for each message of the client, False when it has left."""
    here = True
    while here:
        here = (await socket.receive())["type"] != "websocket.disconnect"
        answers.put_nowait(here)
        pulse.set()


def _take(camera: BrowserSource, blob: bytes) -> dict[str, Any]:
    try:
        return {"captured_s": camera.offer(blob).captured_s}
    except BadBlob as error:
        return {"refused": str(error)}


def _parse(text: str) -> tuple[float | None, str, Value]:
    """Number, name and value of a command; every number in it is finite."""
    try:
        message = json.loads(text, parse_int=_finite, parse_float=_finite, parse_constant=_finite)
    except (ValueError, RecursionError) as error:
        raise WrongUse('the command is no JSON, expected {"do": name, "value": ...}') from error
    name = message.get("do") if isinstance(message, dict) else None
    value = message.get("value") if isinstance(message, dict) else None
    number = message.get("number") if isinstance(message, dict) else None
    if not isinstance(name, str) or not isinstance(value, str | float | bool | None):
        raise WrongUse('the command has no name, expected {"do": name, "value": ...}')
    return number if isinstance(number, float) else None, name, value


def _finite(text: str) -> float:
    """A number of JSON: Python's reader also takes NaN, Infinity, 1e400 and integers beyond every float."""
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text[:20]} is not finite")
    return number


def _asset(path: Path, kind: str) -> Callable[[Request], Any]:
    content = path.read_bytes()

    async def asset(request: Request) -> Response:
        return Response(content, media_type=kind)

    return asset

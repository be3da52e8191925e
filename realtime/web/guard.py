# SPDX-License-Identifier: MIT
"""Who may talk to the page's server: token, cookie, Host, Origin, content policy. Knows no route, no session.

A web page of somebody else, open in the same browser, is the attacker: it can send requests to 127.0.0.1
(cross-site requests, WebSocket hijack) and can point a name of its own at 127.0.0.1 (DNS rebinding). So every
request must carry the secret, and must have been sent by our own page to our own name.
"""

import asyncio
import hmac
import ipaddress
import re
import secrets
import socket
from collections.abc import Awaitable, Callable, MutableMapping
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from typing import Any
from urllib.parse import parse_qs, unquote_plus

from face.errors import WrongUse
from realtime.web.connections import DRAIN_BYTES, DRAIN_S, Connections

LOOPBACK = ("127.0.0.1", "::1", "localhost")
PICTURE_PATH = "/picture.mjpg"
TOKEN_BYTES = 24  # 192 bits: nobody guesses it
MOST_KEYS = 64  # looked at in a request; other programs here have tokens in cookies too

Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

CONTENT_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' blob:",
        "connect-src 'self'",
        "worker-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)

SAFETY_HEADERS: tuple[tuple[bytes, bytes], ...] = (
    (b"content-security-policy", CONTENT_POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(self), microphone=(), geolocation=()"),
)

WITHOUT_KEY = "open the address that facepuppet printed at its start: it carries the key"


def new_token() -> str:
    """A fresh secret that is safe in a URL."""
    return secrets.token_urlsafe(TOKEN_BYTES)


def check_host(host: str, *, allow_remote: bool) -> None:
    """Refuse to listen beyond this machine unless that was asked for; WrongUse says how."""
    if host in LOOPBACK or allow_remote:
        return
    raise WrongUse(
        f"host {host} can be reached from other machines, expected 127.0.0.1: the page shows your camera; "
        f"use --host 127.0.0.1, or add --allow-remote if you mean it"
    )


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a request was turned away: an HTTP status and one line for the person in front of it."""

    status: int
    line: str


@dataclass(frozen=True, slots=True)
class Guard:
    """The rules one server holds its visitors to; `admit` is pure and can be asked without a network."""

    token: str
    host: str  # what the server listens on
    port: int
    allow_remote: bool = False

    @property
    def cookie_name(self) -> str:
        """Cookies know no ports: two servers on one machine must not overwrite each other's."""
        return f"facepuppet_{self.port}"

    @property
    def picture_token(self) -> str:
        """A lesser secret for the picture alone: it may be shown, and pasted into other programs."""
        return hmac.new(self.token.encode(), b"picture", "sha256").hexdigest()[:32]

    @property
    def picture_path(self) -> str:
        """Where programs without cookies find the live picture."""
        return f"{PICTURE_PATH}?token={self.picture_token}"

    @property
    def cookie(self) -> str:
        """The Set-Cookie header that takes the place of the token in the address."""
        return f"{self.cookie_name}={self.token}; Path=/; HttpOnly; SameSite=Strict"

    def admit(self, scope: Scope) -> Refusal | None:
        """None for a request that may pass; a Refusal names the first rule that it breaks."""
        headers = {
            name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]
        }
        if not self._own_name(headers.get("host", "")):
            return Refusal(421, f"this server answers to {self.host}:{self.port} only")
        origin = headers.get("origin")
        changes = scope["type"] == "websocket" or scope["method"] not in ("GET", "HEAD")
        if (changes or origin is not None) and not self._own_origin(origin, headers["host"]):
            return Refusal(403, "this request was sent by another site")
        site = headers.get("sec-fetch-site", "none")
        opened_by_hand = headers.get("sec-fetch-mode") == "navigate" and scope["path"] == "/"
        if site not in ("none", "same-origin") and not opened_by_hand:
            return Refusal(403, "this request was sent by another site")
        if not (self.token_in_address(scope) or self._token_in_cookie(headers.get("cookie", ""))):
            return Refusal(401, WITHOUT_KEY)
        return None

    def shows_key(self, head: bytes) -> bool:
        """Whether a request's head shows a key of this server at all; `admit` then asks whether it may."""
        names = rb"(?:\btoken|\b%b)=([^;&\s]*)" % self.cookie_name.encode()
        shown = islice(re.finditer(names, head), MOST_KEYS)
        given = [match[1].decode("latin-1") for match in shown]
        given += [unquote_plus(each) for each in given]
        return any(_same(each, key) for each in given for key in (self.token, self.picture_token))

    def token_in_address(self, scope: Scope) -> bool:
        """True when the address itself carries the right token, on a path where it may."""
        expected = {"/": self.token, PICTURE_PATH: self.picture_token}.get(scope["path"])
        if expected is None or scope["type"] != "http":
            return False
        query = scope.get("query_string", b"").decode("latin-1")
        try:
            given = parse_qs(query, max_num_fields=MOST_KEYS).get("token", [""])[0]
        except ValueError:  # too many of them
            return False
        return _same(given, expected)

    def _token_in_cookie(self, header: str) -> bool:
        # By hand: other programs here set cookies too, and http.cookies stops at the first odd one.
        pairs = (pair.strip().partition("=") for pair in header.split(";"))
        return any(_same(value, self.token) for name, _, value in pairs if name == self.cookie_name)

    def _own_origin(self, origin: str | None, host: str) -> bool:
        return origin is not None and origin.lower() == f"http://{host}".lower()

    def _own_name(self, host: str) -> bool:
        """DNS rebinding needs a name: loopback names and bare addresses cannot be rebound."""
        name, _, port = host.rpartition(":")
        if not name or port != str(self.port):
            return False
        name = name.strip("[]").lower()
        if name in LOOPBACK:
            return True
        if not self.allow_remote:
            return False
        own = socket.gethostname().lower()
        return name in (self.host, own, f"{own}.local") or _is_address(name)


def _same(given: str, expected: str) -> bool:
    """In constant time: how long it takes tells nothing about how much was right."""
    return hmac.compare_digest(given.encode("utf-8", "surrogateescape"), expected.encode())


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


class GuardedApp:
    """An ASGI application behind a Guard; adds the safety headers to whatever leaves it."""

    def __init__(self, app: App, guard: Guard, connections: Connections) -> None:
        self._app = app
        self._guard = guard
        self._connections = connections

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        refusal = self._guard.admit(scope)
        if refusal is None and self._connections.full:
            refusal = Refusal(503, "too many pages show this session; close one and load this one again")
        if refusal is None:
            with self._connections.asking(scope.get("client")):
                await self._app(scope, receive, _with_safety_headers(send))
        elif scope["type"] == "websocket":
            await _refuse_socket(receive, send)
        else:
            await _refuse(refusal, receive, _with_safety_headers(send))


def _with_safety_headers(send: Send) -> Send:
    async def send_with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = list(message.get("headers", []))
            given = {name.lower() for name, _ in headers}
            if b"cache-control" not in given:
                headers.append((b"cache-control", b"no-store"))
            message["headers"] = headers + [pair for pair in SAFETY_HEADERS if pair[0] not in given]
        await send(message)

    return send_with_headers


def answer_without_key() -> bytes:
    """The whole HTTP answer to whoever shows no key."""
    body = f"{WITHOUT_KEY}\n".encode()
    headers = (*_headers_of(body), (b"cache-control", b"no-store"), *SAFETY_HEADERS)
    lines = [b"HTTP/1.1 401 Unauthorized", *(name + b": " + value for name, value in headers)]
    return b"\r\n".join([*lines, b"", body])


def _headers_of(body: bytes) -> tuple[tuple[bytes, bytes], ...]:
    return (
        (b"content-type", b"text/plain; charset=utf-8"),
        (b"content-length", str(len(body)).encode()),
        (b"connection", b"close"),
    )


async def _refuse(refusal: Refusal, receive: Receive, send: Send) -> None:
    """Answer and hang up."""
    await drain(receive)
    body = f"{refusal.line}\n".encode()
    headers = _headers_of(body)
    await send({"type": "http.response.start", "status": refusal.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def drain(receive: Receive, most: int = DRAIN_BYTES) -> None:
    """Read a little of what a refused request sends: closing on unread bytes resets the connection, and the
    answer may be lost with it.
    """
    left = most
    with suppress(TimeoutError):
        async with asyncio.timeout(DRAIN_S):
            while left > 0:
                message = await receive()
                left -= len(message.get("body", b""))
                if not message.get("more_body", False):
                    return


async def _refuse_socket(receive: Receive, send: Send) -> None:
    """Closing before accepting makes the handshake fail with HTTP 403."""
    await receive()
    await send({"type": "websocket.close", "code": 1008})

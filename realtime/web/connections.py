# SPDX-License-Identifier: MIT
"""Who holds a place at the page's server: connections that ask nothing go, those with the key are few.

A connection costs whoever opens it nothing and needs no key. So each is given some seconds to say what it
wants, and when too many wait, the one that has waited longest goes: a new one always has its turn. Until it
has shown the key nobody reads more of it than the head of one request, which takes a fiftieth of what an
HTTP parser takes: while strangers knock, the page's own requests hardly wait.
"""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

logger = logging.getLogger(__name__)

ASK_WITHIN_S = 10.0  # for a whole request line and its headers; idle browsers hang up by themselves before
MOST_WAITING = 64
MOST_BUSY = 64  # requests and sockets with the key; a page has four
LONGEST_HEAD = 16_384  # bytes of a request line and its headers; a browser sends about 1,000
DRAIN_BYTES, DRAIN_S = 65_536, 0.5  # read of a request that is refused, before hanging up

Client = tuple[str, int]  # address and port, as in ASGI's scope


@dataclass(slots=True)
class _Place:
    """One open connection."""

    transport: asyncio.Transport
    asking: int = 0  # admitted requests under way
    timer: asyncio.TimerHandle | None = None  # runs while none is


class _Door(asyncio.Protocol):
    """A connection that has not shown the key: the head of its request is read, and nothing of it parsed."""

    def __init__(self, connections: "Connections", open_up: Callable[[], asyncio.Protocol]) -> None:
        self._connections, self._open_up = connections, open_up
        self._head = bytearray()
        self._client: Client | None = None
        self._left = DRAIN_BYTES
        self._refused = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._client = self._connections.arrived(transport)

    def connection_lost(self, error: Exception | None) -> None:
        self._connections.left(self._client)

    def data_received(self, data: bytes) -> None:
        if self._refused:
            self._left -= len(data)
            if self._left < 0:
                self._transport.abort()
            return
        searched = max(len(self._head) - 3, 0)
        self._head += data
        end = self._head.find(b"\r\n\r\n", searched)
        head = bytes(self._head[: end if end >= 0 else LONGEST_HEAD + 1])
        if len(head) > LONGEST_HEAD or not head[:1].isalpha():
            self._refuse()
        elif end >= 0 and self._connections.knows(head):
            protocol, first = self._open_up(), bytes(self._head)
            self._transport.set_protocol(protocol)
            protocol.connection_made(self._transport)
            protocol.data_received(first)
        elif end >= 0:
            self._refuse()

    def _refuse(self) -> None:
        """Answer, and read on a little: closing on unread bytes resets the connection, and the answer may be
        lost with it.
        """
        self._refused, self._head = True, bytearray()
        self._transport.write(self._connections.answer)
        if self._transport.can_write_eof():
            self._transport.write_eof()
        asyncio.get_running_loop().call_later(DRAIN_S, self._transport.abort)


class Connections:
    """The connections of one server; in its event loop only.

    knows   whether the head of a request shows the key; more is asked of it later
    answer  the whole answer to one that does not
    """

    def __init__(self, knows: Callable[[bytes], bool], answer: bytes) -> None:
        self.knows, self.answer = knows, answer
        self._places: dict[Client, _Place] = {}
        self._waiting: OrderedDict[Client, _Place] = OrderedDict()  # those that ask nothing, longest first
        self._busy = 0
        self._closed = False

    @property
    def full(self) -> bool:
        """No more requests are to be admitted now."""
        return self._busy >= MOST_BUSY

    def protocol(self, **arguments: Any) -> asyncio.Protocol:
        """The protocol of a new connection: once it has shown the key, uvicorn's."""

        def open_up() -> asyncio.Protocol:
            protocol = H11Protocol(**arguments)
            lost = protocol.connection_lost

            def connection_lost(error: Exception | None) -> None:
                self.left(protocol.client)
                lost(error)

            # On the instance: asyncio calls it, and on nothing else of uvicorn's is relied.
            protocol.connection_lost = connection_lost  # type: ignore[assignment, method-assign]
            return protocol

        return _Door(self, open_up)

    def arrived(self, transport: asyncio.Transport) -> Client | None:
        """A connection begins to wait; its name, None when it has left already."""
        peer = transport.get_extra_info("peername")
        if peer is None or self._closed:
            transport.abort()
            return None
        client = (str(peer[0]), int(peer[1]))
        self.left(client)
        self._wait(client, _Place(transport))
        return client

    def left(self, client: Client | None) -> None:
        """A connection has ended."""
        if client is not None:
            self._stop_waiting(client)
            self._places.pop(client, None)

    def close(self) -> None:
        """Hang up whoever waits, now and later: those with the key are uvicorn's."""
        self._closed = True
        for client in list(self._waiting):
            self._hang_up(client)

    @contextmanager
    def asking(self, client: Client | None) -> Iterator[None]:
        """While an admitted request is under way; its connection waits again afterwards."""
        place = self._places.get(client) if client is not None else None
        self._busy += 1
        if client is not None and place is not None:
            place.asking += 1
            self._stop_waiting(client)
        try:
            yield
        finally:
            self._busy -= 1
            if client is not None and place is not None and place is self._places.get(client):
                place.asking -= 1
                if place.transport.is_closing():
                    self.left(client)
                elif not place.asking:
                    self._wait(client, place)

    def _wait(self, client: Client, place: _Place) -> None:
        place.timer = asyncio.get_running_loop().call_later(ASK_WITHIN_S, self._hang_up, client)
        self._places[client] = self._waiting[client] = place
        self._waiting.move_to_end(client)
        while len(self._waiting) > MOST_WAITING:
            self._hang_up(next(iter(self._waiting)))

    def _stop_waiting(self, client: Client) -> None:
        place = self._waiting.pop(client, None)
        if place is not None and place.timer is not None:
            place.timer.cancel()

    def _hang_up(self, client: Client) -> None:
        logger.debug("%s asked nothing and is hung up", client)
        self._places[client].transport.abort()  # at once: what is left to send may never be read
        self.left(client)

# SPDX-License-Identifier: MIT
"""Who holds a place at the page's server: connections that ask nothing go, those with the key are few.

A connection costs whoever opens it nothing and needs no key. So each is given some seconds to say what it
wants, and when too many wait, the one that has waited longest goes: a new one always has its turn.
"""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

logger = logging.getLogger(__name__)

ASK_WITHIN_S = 10.0  # for a whole request line and its headers; idle browsers hang up by themselves before
MOST_WAITING = 64
MOST_BUSY = 64  # requests and sockets with the key; a page has four

Client = tuple[str, int]  # address and port, as in ASGI's scope


@dataclass(slots=True)
class _Place:
    """One open connection."""

    transport: asyncio.Transport
    asking: int = 0  # admitted requests under way
    timer: asyncio.TimerHandle | None = None  # runs while none is


class Connections:
    """The connections of one server; in its event loop only."""

    def __init__(self) -> None:
        self._places: dict[Client, _Place] = {}
        self._waiting: OrderedDict[Client, _Place] = OrderedDict()  # those that ask nothing, longest first
        self._busy = 0

    @property
    def full(self) -> bool:
        """No more requests are to be admitted now."""
        return self._busy >= MOST_BUSY

    def protocol(self, **arguments: Any) -> H11Protocol:
        """uvicorn's protocol for a new connection, whose begin and end are noted here."""
        protocol = H11Protocol(**arguments)
        made, lost = protocol.connection_made, protocol.connection_lost

        def connection_made(transport: asyncio.Transport) -> None:
            peer = transport.get_extra_info("peername")
            if peer is not None:  # None: it has left already
                client = (str(peer[0]), int(peer[1]))
                self._forget(client)
                self._wait(client, _Place(transport))
            made(transport)

        def connection_lost(error: Exception | None) -> None:
            if protocol.client is not None:
                self._forget(protocol.client)
            lost(error)

        # On the instance: asyncio calls these two, and on nothing else of uvicorn's is relied.
        protocol.connection_made = connection_made  # type: ignore[method-assign]
        protocol.connection_lost = connection_lost  # type: ignore[assignment, method-assign]
        return protocol

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
                    self._forget(client)
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
        self._forget(client)

    def _forget(self, client: Client) -> None:
        self._stop_waiting(client)
        self._places.pop(client, None)

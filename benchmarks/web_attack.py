# SPDX-License-Identifier: MIT
"""The page under attack: how soon it answers one browser while strangers do what they can.

    python -m benchmarks.web_attack --seconds 300

A page's server on loopback, pictures at 30 a second. The browser asks for the page over a new connection each
time and holds the sockets of the pictures and of the state; the attacker is a process of its own, at a lower
priority (it shares the processor with the server, which it would not over a network). In peace first.
On a busy machine `turn_ms` tells more than the answers: the processor time of one turn of the server's event
loop, for which whoever asks has to wait.
"""

import argparse
import asyncio
import json
import logging
import multiprocessing
import os
import platform
import random
import resource
import socket
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from websockets.exceptions import WebSocketException
from websockets.sync.client import connect

from face.frame import Frame
from realtime.web.camera import BrowserSource
from realtime.web.picture import WebSink
from realtime.web.server import WebServer

LIMIT_MS = 200.0
ASKS_EVERY_S = 0.1
PICTURES_EVERY_S = 1 / 30
HELD = 100  # connections that the attacker keeps open at once
NICE = 19


class Session:
    """A SessionLike that has nothing to show."""

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *values: None

    def state(self) -> Any:
        figures = dict.fromkeys(("fps", "latency_p50_ms", "latency_p95_ms", "smoothing", "zoom"), 1.0)
        counts = dict.fromkeys(("delivered", "dropped", "message_number"), 0)
        empty = {"portraits": (), "methods": ("mesh",), "gains": {}, "modes": {}, "portrait": -1}
        texts = dict.fromkeys(("enrolling", "message", "slow"), "")
        rest = {"face_found": True, "method": "mesh", "message_problem": False}
        return SimpleNamespace(**figures, **counts, **empty, **texts, **rest)


@dataclass
class Browser:
    """What one browser saw; times in ms."""

    page_ms: list[float] = field(default_factory=list)
    state_gaps_ms: list[float] = field(default_factory=list)
    pictures: int = 0
    failures: Counter[str] = field(default_factory=Counter)

    def look(self, server: WebServer, seconds: float) -> "Browser":
        """Ask for the page, watch the pictures and the state, all at once and for so long."""
        ends_s = time.perf_counter() + seconds
        threads = [
            threading.Thread(target=self._held, args=(server, path, ends_s)) for path in ("/live", "/control")
        ]
        for thread in threads:
            thread.start()
        while time.perf_counter() < ends_s:
            began_s = time.perf_counter()
            connection = HTTPConnection("127.0.0.1", server.port, timeout=5)
            try:
                connection.request("GET", "/", headers=headers(server))
                answer = connection.getresponse()
                whole = b"facepuppet" in answer.read()
                if answer.status == 200 and whole:
                    self.page_ms.append(1000 * (time.perf_counter() - began_s))
                else:
                    self.failures[f"page: {answer.status}"] += 1
            except (OSError, HTTPException) as error:
                self.failures[f"page: {type(error).__name__}"] += 1
            finally:
                connection.close()
            time.sleep(max(0.0, began_s + ASKS_EVERY_S - time.perf_counter()))
        for thread in threads:
            thread.join()
        return self

    def _held(self, server: WebServer, path: str, ends_s: float) -> None:
        while time.perf_counter() < ends_s:
            try:
                with keyed(server, path) as open_socket:
                    last_s = 0.0
                    while time.perf_counter() < ends_s:
                        open_socket.recv(timeout=5)
                        now_s = time.perf_counter()
                        if path == "/live":
                            self.pictures += 1
                            open_socket.send("1")
                        elif last_s:
                            self.state_gaps_ms.append(1000 * (now_s - last_s))
                        last_s = now_s
            except (OSError, WebSocketException) as error:
                self.failures[f"{path}: {type(error).__name__}"] += 1
                time.sleep(0.1)

    def figures(self, seconds: float) -> dict[str, Any]:
        return {
            "page_ms": spread(self.page_ms),
            "pages": len(self.page_ms),
            "over_limit": sum(ms > LIMIT_MS for ms in self.page_ms),
            "state_gap_ms": spread(self.state_gaps_ms),
            "pictures_a_second": round(self.pictures / seconds, 1),
            "failures": dict(self.failures),
        }


def spread(values: Sequence[float]) -> dict[str, float]:
    """p50, p95, p99 and the largest, ms."""
    if not values:
        return {}
    shares = np.percentile(values, (50, 95, 99, 100))
    return {name: round(float(v), 1) for name, v in zip(("p50", "p95", "p99", "max"), shares, strict=True)}


def headers(server: Any) -> dict[str, str]:
    cookie = f"facepuppet_{server.port}={server.token}"
    return {"Cookie": cookie, "Origin": f"http://127.0.0.1:{server.port}"}


def keyed(server: Any, path: str) -> Any:
    """A WebSocket with the key."""
    sent = headers(server)
    address = f"ws://127.0.0.1:{server.port}{path}"
    key = {"Cookie": sent["Cookie"]}
    return connect(address, origin=sent["Origin"], additional_headers=key, max_size=None)  # type: ignore[arg-type]


def strangers(port: int) -> list[bytes]:
    """What is sent without the key, and nothing after it."""
    host = f"Host: 127.0.0.1:{port}\r\n".encode()
    upgrade = b"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    return [
        b"",
        b"GET / HT",
        b"GET / HTTP/1.1\r\n" + host + b"X: a\r\n",
        b"GET / HTTP/1.1\r\n" + host + b"\r\n",
        b"GET /?" + b"token=a&" * 7000 + b" HTTP/1.1\r\n" + host + b"\r\n",
        b"GET / HTTP/1.1\r\n" + host + b"a:b\r\n" * 40_000 + b"\r\n",
        b"GET /portraits/" + b"9" * 5000 + b".jpg HTTP/1.1\r\n" + host + b"\r\n",
        b"POST /portraits HTTP/1.1\r\n" + host + b"Content-Length: 30000000\r\n\r\n" + bytes(300_000),
        b"GET /live HTTP/1.1\r\n" + host + upgrade + b"Sec-WebSocket-Key: " + b"a" * 22 + b"==\r\n\r\n",
        b"\x16\x03\x01\x02\x00" + bytes(500),
        os.urandom(4000),
    ]


def with_key(server: Any, dice: random.Random) -> None:
    """What a page gone wrong sends: it has the key."""
    kind = dice.randrange(4)
    if kind == 0:
        connection = HTTPConnection("127.0.0.1", server.port, timeout=2)
        connection.request("GET", f"/portraits/{'9' * 5000}.jpg", headers=headers(server))
        connection.getresponse().read()
        connection.close()
    elif kind == 1:
        connection = HTTPConnection("127.0.0.1", server.port, timeout=2)
        connection.request("POST", "/portraits?name=a.jpg", body=bytes(3_000_000), headers=headers(server))
        connection.getresponse().read()
        connection.close()
    else:
        with keyed(server, "/control" if kind == 2 else "/camera") as junk:
            for value in ("1e400", "NaN", "[" * 2000, '"\\ud800"', "9" * 4000):
                junk.send(f'{{"do": "select", "value": {value}, "number": {value}}}')
                junk.send(dice.randbytes(3000))


def attack(server: Any, ends: Any, sent: Any) -> None:
    """Until told to end; a process of its own."""
    os.nice(NICE)
    logging.disable()  # what a client's library says of connections that were hung up
    dice, openings, held = random.Random(1), strangers(server.port), list[socket.socket]()

    def gone_wrong() -> None:
        while not ends.is_set():
            with suppress(OSError, HTTPException, WebSocketException):
                with_key(server, dice)
            time.sleep(0.1)

    threading.Thread(target=gone_wrong, daemon=True).start()
    while not ends.is_set():
        with suppress(OSError):
            one = socket.create_connection(("127.0.0.1", server.port), 1)
            held.append(one)
            one.setblocking(False)
            one.send(dice.choice(openings))
            sent.value += 1
        while len(held) > HELD:
            held.pop(dice.randrange(len(held))).close()


def count_turns() -> list[float]:
    """Where each turn of an event loop of this process will be counted: processor time of its thread, ms."""
    turns: list[float] = []
    turn = asyncio.BaseEventLoop._run_once  # type: ignore[attr-defined]

    def counted(loop: asyncio.BaseEventLoop) -> None:
        began_s = time.thread_time()
        turn(loop)
        turns.append(1000 * (time.thread_time() - began_s))

    asyncio.BaseEventLoop._run_once = counted  # type: ignore[attr-defined]
    return turns


def commit() -> str:
    root = Path(__file__).parent
    run = subprocess.run(["git", "describe", "--always", "--dirty"], cwd=root, capture_output=True, text=True)
    return run.stdout.strip()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--seconds", type=float, default=300.0, help="of the attack")
    parser.add_argument("--peace", type=float, default=15.0, help="seconds before it")
    options = parser.parse_args()
    turns = count_turns()
    picture, stop = WebSink(), threading.Event()
    image = np.random.default_rng(0).integers(0, 255, (256, 256, 3), np.uint8)

    def feed() -> None:
        number = 0
        while not stop.wait(PICTURES_EVERY_S):
            picture(Frame(image, time.perf_counter(), number))
            number += 1

    threading.Thread(target=feed, daemon=True).start()
    spawn = multiprocessing.get_context("spawn")
    ends, sent = spawn.Event(), spawn.Value("Q", 0)
    with WebServer(Session(), picture, camera=BrowserSource(), port=0, largest_upload=1_000_000) as server:  # type: ignore[arg-type]
        peace = Browser().look(server, options.peace).figures(options.peace)
        print("in peace:", json.dumps(peace), flush=True)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        target = SimpleNamespace(port=server.port, token=server.token)
        attacker = spawn.Process(target=attack, args=(target, ends, sent), daemon=True)
        attacker.start()
        while not sent.value:
            time.sleep(0.05)
        turns.clear()
        attacked = Browser().look(server, options.seconds).figures(options.seconds)
        ends.set()
        attacker.join(5)
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    stop.set()
    print("attacked:", json.dumps(attacked))
    facts = {
        "load": round(os.getloadavg()[0], 1),
        "connections": sent.value,
        "turn_ms": spread(turns),
        "memory_grown_mib": grown >> 10,
        "machine": f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores",
        "commit": commit(),
    }
    print(json.dumps({"peace": peace, "attacked": attacked, "seconds": options.seconds, **facts}))


if __name__ == "__main__":
    main()

# SPDX-License-Identifier: MIT
"""Connections that hold a place and ask nothing lock nobody out: they are few, and gone within a deadline."""

import asyncio
import json
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from http.client import HTTPConnection

import pytest
from waiting import wait_until
from web_stage import Feeder, Stage, jpeg, serve

from realtime.web import connections, routes

SOON_S = 0.3  # the deadlines of these tests
ANSWERS_WITHIN_S = 1.0  # on a machine that is busy with other tests


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    """A server with short deadlines."""
    monkeypatch.setattr(connections, "ASK_WITHIN_S", SOON_S)
    monkeypatch.setattr(routes, "STALLED_S", SOON_S)
    monkeypatch.setattr(routes, "UPLOAD_WITHIN_S", 3 * SOON_S)
    with serve() as stage:
        yield stage


@contextmanager
def connected(stage: Stage, count: int, first: bytes = b"") -> Iterator[list[socket.socket]]:
    """Bare connections that have said `first` and nothing more."""
    with ExitStack() as stack:
        opened = []
        for _ in range(count):
            one = stack.enter_context(socket.create_connection(("127.0.0.1", stage.server.port), 5))
            one.sendall(first)
            opened.append(one)
        yield opened


def heard(one: socket.socket, within_s: float) -> tuple[bytes, bool]:
    """What the server said within that time, and whether it hung up."""
    said, ends_s = b"", time.perf_counter() + within_s
    while True:
        one.settimeout(max(ends_s - time.perf_counter(), 0.001))
        try:
            more = one.recv(65536)
        except TimeoutError:
            return said, False
        except OSError:
            return said, True
        if not more:
            return said, True
        said += more


def is_closed(one: socket.socket, within_s: float = 0.0) -> bool:
    return heard(one, within_s)[1]


def head(stage: Stage, *lines: str, key: bool = True) -> bytes:
    """A request up to its blank line."""
    sent = [*lines, f"Host: 127.0.0.1:{stage.server.port}", f"Origin: {stage.origin}"]
    if key:
        sent.append(f"Cookie: {stage.cookie}")
    return "\r\n".join(sent).encode() + b"\r\n\r\n"


SILENT = {
    "nothing": b"",
    "half a request line": b"GET / HT",
    "endless headers": b"GET / HTTP/1.1\r\nHost: x\r\nX-A: b\r\n",
}


@pytest.mark.parametrize("first", SILENT.values(), ids=SILENT)
def test_many_connections_that_ask_nothing_lock_nobody_out(stage: Stage, first: bytes) -> None:
    with connected(stage, 3 * connections.MOST_WAITING, first):
        began_s = time.perf_counter()
        response, body = stage.request("/")
        assert response.status == 200 and b"facepuppet" in body
        assert time.perf_counter() - began_s < ANSWERS_WITHIN_S


def test_when_too_many_wait_the_one_that_waited_longest_goes(stage: Stage) -> None:
    most = connections.MOST_WAITING
    with connected(stage, 1) as (oldest,), connected(stage, most) as waiting:
        assert is_closed(oldest, 2.0)
        assert not any(is_closed(one) for one in waiting)


@pytest.mark.parametrize("first", SILENT.values(), ids=SILENT)
def test_a_connection_that_does_not_say_what_it_wants_is_hung_up(hasty: Stage, first: bytes) -> None:
    with connected(hasty, 3, first) as silent:
        assert all(is_closed(one, 5 * SOON_S) for one in silent)


def test_a_header_that_trickles_is_hung_up(hasty: Stage) -> None:
    with connected(hasty, 1, b"GET / HTTP/1.1\r\n") as (slow,):
        began_s = time.perf_counter()
        while not is_closed(slow, SOON_S / 10):
            assert time.perf_counter() - began_s < 10 * SOON_S
            try:
                slow.sendall(b"X-A: b\r\n")
            except OSError:
                break


@pytest.mark.parametrize("key", [True, False], ids=["with the key", "without"])
def test_a_body_that_trickles_behind_its_answer_is_hung_up(hasty: Stage, key: bool) -> None:
    first = head(hasty, "GET / HTTP/1.1", "Content-Length: 1000", key=key)
    with connected(hasty, 1, first) as (slow,):
        began_s = time.perf_counter()
        while not is_closed(slow, SOON_S / 10):
            assert time.perf_counter() - began_s < 10 * SOON_S
            try:
                slow.sendall(b"x")
            except OSError:
                break


def test_who_uses_a_connection_keeps_it(hasty: Stage) -> None:
    """A page's sockets live for hours; a browser asks again over the same connection."""
    with Feeder(hasty.picture), hasty.socket("/live") as live, hasty.socket("/control") as control:
        connection = HTTPConnection("127.0.0.1", hasty.server.port, timeout=5)
        for _ in range(4):
            connection.request("GET", "/", headers={"Cookie": hasty.cookie})
            own = connection.sock
            assert connection.getresponse().read()
            time.sleep(SOON_S / 2)
        assert connection.sock is own
        connection.close()
        live.recv(timeout=2)
        live.send("1")
        assert live.recv(timeout=2)
        control.send('{"do": "next", "number": 1}')
        assert wait_until(lambda: ("next",) in hasty.session.told)


def test_those_with_the_key_are_bounded_too_and_told(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "MOST_BUSY", 2)
    with stage.socket("/control"), stage.socket("/control"):
        response, body = stage.request("/")
        assert response.status == 503 and b"close one" in body
    assert wait_until(lambda: stage.request("/")[0].status == 200)


def upload_head(stage: Stage, length: int = 100_000, *, key: bool = True) -> bytes:
    return head(stage, "POST /portraits?name=a.jpg HTTP/1.1", f"Content-Length: {length}", key=key) + b"abc"


def test_an_upload_that_stalls_is_given_up_and_said(hasty: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(routes, "UPLOAD_WITHIN_S", 60.0)
    with connected(hasty, 1, upload_head(hasty)) as (half,):
        answer, closed = heard(half, 5.0)
        assert closed and b" 408 " in answer and b"stopped arriving" in answer
    assert hasty.session.told == []


def test_an_upload_that_trickles_is_given_up(hasty: Stage) -> None:
    with connected(hasty, 1, upload_head(hasty)) as (slow,):
        began_s = time.perf_counter()
        while not is_closed(slow, SOON_S / 10):
            assert time.perf_counter() - began_s < 20 * SOON_S
            try:
                slow.sendall(b"x")
            except OSError:
                break


def test_one_photo_is_taken_at_a_time_and_the_next_one_after_it(stage: Stage) -> None:
    photo = jpeg(size=(320, 240))
    with connected(stage, 1, upload_head(stage)):
        time.sleep(0.1)
        response, body = stage.request("/portraits?name=b.jpg", method="POST", body=photo)
        assert response.status == 409 and "another photo" in json.loads(body)["error"]
    assert wait_until(
        lambda: stage.request("/portraits?name=b.jpg", method="POST", body=photo)[0].status == 200
    )


def test_half_sent_uploads_without_the_key_are_answered_and_hung_up(stage: Stage) -> None:
    with connected(stage, 30, upload_head(stage, key=False)) as halves:
        for half in halves:
            answer, closed = heard(half, 5.0)
            assert closed and b" 401 " in answer
    response, _ = stage.request("/portraits?name=c.jpg", method="POST", body=jpeg(size=(320, 240)))
    assert response.status == 200


def test_who_sends_far_too_much_still_gets_the_answer() -> None:
    """Closing on what nobody has read resets the connection while the browser is still sending."""
    with serve(largest_upload=3_000_000) as stage:
        for _ in range(3):
            response, body = stage.request("/portraits?name=a.jpg", method="POST", body=bytes(25_000_000))
            assert response.status == 413 and "expected at most 3 MB" in json.loads(body)["error"]


def test_a_stranger_who_is_refused_may_finish_his_sentence_and_no_more(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "DRAIN_S", 60.0)
    with connected(stage, 1, upload_head(stage, key=False)) as (half,):
        answer, ended = heard(half, 5.0)
        assert ended and b" 401 " in answer
        half.sendall(bytes(1000))
        time.sleep(0.02)
        half.sendall(bytes(1000))  # it is still taken
        with pytest.raises(ConnectionError):
            for _ in range(1000):
                half.sendall(bytes(1000))
                time.sleep(0.005)


def test_nothing_is_parsed_before_the_key_is_seen(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten thousand headers cost a parser a tenth of a second, and so they do whoever waits behind them."""
    parsers: list[dict[str, object]] = []
    parser = connections.H11Protocol
    monkeypatch.setattr(
        connections, "H11Protocol", lambda **given: (parsers.append(given), parser(**given))[1]
    )
    many = b"a:b\r\n" * (connections.LONGEST_HEAD // 5)
    asked = [
        head(stage, "GET / HTTP/1.1", key=False),
        head(stage, "GET / HTTP/1.1")[:-2] + many + b"\r\n",  # the key does not count in a head that long
        b"GET /?" + b"token=a&" * 1000 + b" HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + many * 10,
    ]
    for first in asked:
        with connected(stage, 1, first) as (one,):
            assert b" 401 " in heard(one, 5.0)[0]
    assert parsers == []
    assert stage.request("/")[0].status == 200 and len(parsers) == 1


def test_a_head_that_comes_in_pieces_is_read(stage: Stage) -> None:
    with connected(stage, 1) as (slow,):
        for byte in head(stage, "GET / HTTP/1.1", "Connection: close"):
            slow.sendall(bytes([byte]))
        answer, closed = heard(slow, 5.0)
        assert closed and answer.startswith(b"HTTP/1.1 200 ") and b"facepuppet" in answer


class Line:
    """What asyncio hands a protocol, as far as it is asked here."""

    def __init__(self, port: int) -> None:
        self.port, self.aborted = port, False

    def get_extra_info(self, name: str) -> tuple[str, int]:
        return "127.0.0.1", self.port

    def abort(self) -> None:
        self.aborted = True


def test_the_end_of_the_server_hangs_up_whoever_waits_and_whoever_comes_then() -> None:
    before, after = Line(1), Line(2)

    async def end() -> None:
        ending = connections.Connections(lambda head: True, b"")
        ending.arrived(before)  # type: ignore[arg-type]
        assert not before.aborted
        ending.close()
        ending.arrived(after)  # type: ignore[arg-type]

    asyncio.run(end())
    assert before.aborted and after.aborted


GARBAGE = {
    "noise": bytes(range(256)) * 20,
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(500),
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "a header of a megabyte": b"GET / HTTP/1.1\r\nX: " + b"a" * 1_000_000,
    "two lengths": b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
    "a length that is none": b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n",
}


@pytest.mark.parametrize("sent", GARBAGE.values(), ids=GARBAGE)
def test_what_is_no_request_is_hung_up_without_a_line_in_the_log(
    stage: Stage, sent: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    with socket.create_connection(("127.0.0.1", stage.server.port), 5) as one:
        try:
            one.sendall(sent)
        except OSError:
            pass  # it hung up while we were still talking
        assert is_closed(one, 5.0)
    assert stage.request("/")[0].status == 200
    assert caplog.text == ""

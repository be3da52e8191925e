# SPDX-License-Identifier: MIT
"""The server's life: ports, closing with everybody still there, what an import costs."""

import json
import socket
import subprocess
import sys
import threading
from contextlib import ExitStack
from pathlib import Path

import pytest
from waiting import HANG_S, STUCK_S, no_hang
from web_stage import Feeder, ScriptedSession, Stage, jpeg, serve
from websockets.exceptions import ConnectionClosed

from face.errors import SinkUnavailable, WrongUse
from realtime.web.picture import WebSink
from realtime.web.server import WebServer


def server(**changes: object) -> WebServer:
    return WebServer(ScriptedSession(), WebSink(), port=0, **changes)  # type: ignore[arg-type]


def test_a_taken_port_is_one_line_with_the_cure() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        late = WebServer(ScriptedSession(), WebSink(), port=port)
        with pytest.raises(SinkUnavailable) as refused:
            late.start()
    line = str(refused.value)
    assert f"port {port}" in line and "taken" in line and "--port" in line and "\n" not in line
    late.close()


@pytest.mark.parametrize("port", [-1, 65536, 1_000_000])
def test_a_port_that_cannot_be_is_wrong_use(port: int) -> None:
    with pytest.raises(WrongUse, match="--port"):
        WebServer(ScriptedSession(), WebSink(), port=port)


def test_a_host_that_is_not_this_machine_is_wrong_use() -> None:
    with pytest.raises(WrongUse, match="--allow-remote"):
        server(host="0.0.0.0")
    with pytest.raises(WrongUse, match="--host"), server(host="203.0.113.7", allow_remote=True):
        pytest.fail("listened on somebody else's address")


def test_a_guessable_token_is_wrong_use() -> None:
    with pytest.raises(WrongUse, match="at least 16"):
        server(token="1234")


def test_it_listens_on_loopback_only() -> None:
    with server() as running:
        assert running.address.startswith("http://127.0.0.1:")
        own = _own_address()
        if own is None:
            pytest.skip("this machine has no address but loopback")
        with pytest.raises(OSError):
            socket.create_connection((own, running.port), timeout=1).close()


def test_the_address_carries_the_key() -> None:
    with server() as running:
        assert running.url == f"http://127.0.0.1:{running.port}/?token={running.token}"
        assert running.token not in running.picture_url


def test_closing_waits_for_nobody_who_is_still_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("realtime.web.server.LEAVE_WITHIN_S", STUCK_S)
    with ExitStack() as everybody:
        stage = everybody.enter_context(serve())
        everybody.enter_context(Feeder(stage.picture))
        clients = [everybody.enter_context(stage.socket(path)) for path in ("/live", "/control", "/camera")]
        live, control, camera = clients
        live.recv(timeout=HANG_S)
        control.recv(timeout=HANG_S)
        camera.send(jpeg())
        camera.recv(timeout=HANG_S)
        stream = everybody.enter_context(socket.create_connection(("127.0.0.1", stage.server.port)))
        path = stage.server.picture_url.removeprefix(stage.origin)
        stream.sendall(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{stage.server.port}\r\n\r\n".encode())
        assert stream.recv(1000)
        assert stage.server._server is not None
        stage.server._server.config.timeout_graceful_shutdown = int(STUCK_S)
        with no_hang():
            stage.server.close()
        for client in clients:
            with pytest.raises(ConnectionClosed):
                while True:
                    client.recv(timeout=HANG_S)
        assert not any(thread.name == "web" for thread in threading.enumerate())
        stage.server.close()  # a second time is nothing


def test_the_port_is_free_again_and_temporary_uploads_are_gone() -> None:
    with serve() as stage:
        stage.request("/portraits?name=a.jpg", method="POST", body=jpeg())
        ((_, kept),) = stage.session.told
        port = stage.server.port
        assert isinstance(kept, Path) and kept.exists()
    assert not kept.exists()
    with WebServer(ScriptedSession(), WebSink(), port=port) as again:
        assert again.port == port


def test_a_failing_session_does_not_end_the_server(stage: Stage) -> None:
    stage.session.broken = True
    with stage.socket("/control") as control:
        control.send('{"do": "calibrate", "number": 7}')
        while "answer" not in (answer := json.loads(control.recv(timeout=HANG_S))):
            continue
    assert answer["answer"] == 7 and "RuntimeError" in answer["error"] and "\n" not in answer["error"]
    assert stage.request("/")[0].status == 200


def test_the_page_as_a_sink_needs_no_web_server() -> None:
    code = "import sys, realtime.web.picture; print('starlette' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False"]


def _own_address() -> str | None:
    """An address of this machine that is not loopback; no packet is sent to find it."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            return None
        address = str(probe.getsockname()[0])
    return None if address.startswith("127.") or address == "0.0.0.0" else address

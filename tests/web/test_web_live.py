# SPDX-License-Identifier: MIT
"""The picture on its way out: encoded once, newest first, to fast, slow and many viewers."""

import io
import socket as sockets
import struct
import time

import cv2
import numpy as np
import pytest
from PIL import Image as PillowImage
from waiting import HANG_S, wait_until
from web_stage import Feeder, Stage, serve
from websockets.sync.client import ClientConnection

from face.frame import Frame
from realtime.web.picture import WebSink

HEADER = struct.Struct("<IIIIdd")
JPEG_TOLERANCE = 4  # grey levels
NOTHING_S = 0.3  # how long nothing must come


def frame(level: int = 128, index: int = 0, size: tuple[int, int] = (64, 48)) -> Frame:
    return Frame(np.full((size[1], size[0], 3), level, np.uint8), time.perf_counter(), index)


def receive(socket: ClientConnection) -> tuple[int, float, bytes]:
    """Sequence, time of capture, JPEG; without the answer that asks for the next."""
    message = socket.recv(timeout=HANG_S)
    assert isinstance(message, bytes)
    sequence, width, height, zero, captured_s, encoded_s = HEADER.unpack_from(message)
    assert (width, height, zero) == (64, 48, 0) and encoded_s >= captured_s
    return sequence, captured_s, message[HEADER.size :]


def test_a_frame_arrives_as_it_was_published(stage: Stage) -> None:
    with stage.socket("/live") as socket:
        assert wait_until(lambda: stage.picture.watchers == 1)
        colours = np.zeros((48, 64, 3), np.uint8)
        colours[:] = (200, 90, 30)
        stage.picture(Frame(colours, 12.5, 0))
        _, captured_s, jpeg = receive(socket)
        shown = np.asarray(PillowImage.open(io.BytesIO(jpeg)).convert("RGB"))
    assert captured_s == 12.5
    assert np.abs(shown.astype(int) - (200, 90, 30)).max() <= JPEG_TOLERANCE  # RGB, not BGR


def test_nothing_is_sent_before_the_client_answers(stage: Stage) -> None:
    with stage.socket("/live") as socket, Feeder(stage.picture):
        receive(socket)
        with pytest.raises(TimeoutError):
            socket.recv(timeout=NOTHING_S)
        socket.send("next")
        receive(socket)


def test_a_slow_client_skips_and_always_sees_the_newest(stage: Stage) -> None:
    with stage.socket("/live") as socket, Feeder(stage.picture) as feeder:
        receive(socket)
        for _ in range(8):
            seen = feeder.published
            assert wait_until(lambda seen=seen: feeder.published >= seen + 7)  # late by seven frames
            newest = stage.picture.latest()
            assert newest is not None
            socket.send("next")
            sequence, _, _ = receive(socket)
            assert sequence >= newest.sequence, "the newest there was when it asked, not the next in a queue"


def test_two_clients_each_get_the_frames_and_each_is_encoded_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    encoded: list[int] = []
    encode = cv2.imencode
    monkeypatch.setattr(cv2, "imencode", lambda *given: encoded.append(1) or encode(*given))

    with serve() as stage, stage.socket("/live") as one, stage.socket("/live") as two:
        assert wait_until(lambda: stage.picture.watchers == 2)
        for sequence in range(1, 31):
            stage.picture(frame(index=sequence))
            for socket in (one, two):
                assert receive(socket)[0] == sequence
                socket.send("next")
        assert len(encoded) == 30


def test_nothing_is_encoded_while_nobody_watches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cv2, "imencode", lambda *given: pytest.fail("encoded for nobody"))
    sink = WebSink()
    sink(frame())
    assert sink.latest() is None


def test_a_new_viewer_does_not_begin_with_a_picture_from_long_ago() -> None:
    sink = WebSink()
    unwatch = sink.watch(lambda: None)
    sink(frame())
    assert sink.latest() is not None
    unwatch()
    assert sink.latest() is None


def test_pictures_say_that_they_are_synthetic() -> None:
    for mark in (True, False):
        sink = WebSink(mark=mark)
        sink.watch(lambda: None)
        sink(frame())
        picture = sink.latest()
        assert picture is not None
        assert (b"digitalsourcetype/trainedAlgorithmicMedia" in picture.jpeg) is mark
        assert PillowImage.open(io.BytesIO(picture.jpeg)).size == (64, 48)


def test_a_sink_that_is_closed_takes_no_more() -> None:
    with WebSink() as sink:
        sink.watch(lambda: None)
    sink(frame())
    assert sink.latest() is None


def test_motion_jpeg_shows_the_newest_frames_to_a_program_with_its_own_key(stage: Stage) -> None:
    with Feeder(stage.picture), sockets.create_connection(("127.0.0.1", stage.server.port)) as client:
        path = stage.server.picture_url.removeprefix(stage.origin)
        client.sendall(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{stage.server.port}\r\n\r\n".encode())
        stream = client.makefile("rb")
        while stream.readline() != b"\r\n":
            continue
        levels = [_next_level(stream) for _ in range(6)]
        stream.close()
    steps = np.diff(levels) % 200  # where the feeder's levels begin again
    assert ((steps > 0) & (steps < 100)).all()
    assert wait_until(lambda: stage.picture.watchers == 0)  # a client that hung up is forgotten


def test_viewers_that_leave_are_forgotten(stage: Stage) -> None:
    with Feeder(stage.picture):
        for _ in range(3):
            with stage.socket("/live") as socket:
                receive(socket)
    assert wait_until(lambda: stage.picture.watchers == 0)


def _next_level(stream: io.BufferedIOBase) -> int:
    """Grey level of the next picture; chunk headers between the parts are skipped."""
    length = 0
    while True:
        line = stream.readline()
        if line.startswith(b"Content-Length:"):
            length = int(line.split(b":")[1])
        if line.startswith(b"\r\n") and length:
            break
    data = b""
    while len(data) < length:
        line = stream.readline()
        data += line
    at = data.index(b"\xff\xd8")
    image = cv2.imdecode(np.frombuffer(data[at:], np.uint8), cv2.IMREAD_COLOR)
    return int(image.mean())

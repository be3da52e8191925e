# SPDX-License-Identifier: MIT
"""A camera on the network, through OpenCV itself: pictures come, and come again after the server was away."""

import io
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
from PIL import Image as Pillow
from waiting import HANG_S

from face.frame import Frame
from realtime.sources.camera import BLANK_GREY, Camera
from realtime.sources.testcard import TestCard, read_counter


class JpegStream(BaseHTTPRequestHandler):
    """Test cards as a stream of JPEG pictures, 50 a second, until the reader leaves or the server stops."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=card")
        self.end_headers()
        try:
            for frame in TestCard((320, 240), fps=50.0):
                if self.server.stopping:  # type: ignore[attr-defined]
                    return
                stream = io.BytesIO()
                Pillow.fromarray(frame.image).save(stream, "JPEG", quality=80)
                body = stream.getvalue()
                head = f"--card\r\nContent-Type: image/jpeg\r\nContent-Length: {len(body)}\r\n\r\n"
                self.wfile.write(head.encode() + body + b"\r\n")
        except OSError:
            return  # the reader has left

    def log_message(self, *words: object) -> None:
        """Says nothing."""


class JpegServer:
    """A server that can be stopped and started again at the same place."""

    def __init__(self) -> None:
        self.port = 0
        self.start()

    def start(self) -> None:
        self._server = ThreadingHTTPServer(("127.0.0.1", self.port), JpegStream)
        self._server.stopping = False  # type: ignore[attr-defined]
        self.port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()

    def stop(self) -> None:
        self._server.stopping = True  # type: ignore[attr-defined]
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture
def server() -> Iterator[JpegServer]:
    server = JpegServer()
    yield server
    server.stop()


def first(source: Iterator[Frame], *, blank: bool) -> Frame:
    deadline_s = time.perf_counter() + HANG_S
    for frame in source:
        if bool(np.all(frame.image == BLANK_GREY)) == blank:
            return frame
        assert time.perf_counter() < deadline_s, f"no {'blank' if blank else 'real'} picture came"
    raise AssertionError("the camera ended")


def test_a_network_camera_is_read_and_survives_its_server(server: JpegServer) -> None:
    with Camera(f"http://127.0.0.1:{server.port}/stream", timeout_s=0.3, retry_s=0.2) as camera:
        source = iter(camera)
        frame = first(source, blank=False)
        assert frame.image.shape == (240, 320, 3)
        assert read_counter(frame.image) is not None
        assert frame.image[20, 20].tolist() == pytest.approx([235, 235, 235], abs=12)
        assert frame.image[20, 300].tolist() == pytest.approx([30, 40, 210], abs=25)  # blue stays blue
        server.stop()
        first(source, blank=True)
        server.start()
        again = first(source, blank=False)
        assert read_counter(again.image) is not None
        assert again.index > frame.index

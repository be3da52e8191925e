# SPDX-License-Identifier: MIT
"""What every sink promises, asked of each one in the registry that can run here."""

import time
from pathlib import Path

import numpy as np
import pytest
import pyvirtualcam.camera

from face.errors import WrongUse
from face.frame import Frame
from realtime.frame import Sink
from realtime.pipeline import play
from realtime.sinks import SINKS, open_sink
from realtime.sinks.window import _require_display


class Loopback:
    def __init__(self, *, width: int, height: int, fps: float, fourcc: int, device: str | None) -> None:
        self.name = device or "loopback"

    def close(self) -> None:
        return None

    def send(self, frame: np.ndarray) -> None:
        assert frame.ndim == 1

    def device(self) -> str:
        return self.name

    def native_fourcc(self) -> int | None:
        return None


def spec(name: str, folder: Path) -> str:
    return f"file:{folder / 'out.mp4'}" if name == "file" else name


@pytest.fixture(params=SINKS)
def sink(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Sink:
    monkeypatch.setattr(pyvirtualcam.camera, "BACKENDS", {"loopback": Loopback})
    if request.param == "window":
        try:
            _require_display()
        except Exception as error:
            pytest.skip(f"no screen here: {error}")
    return open_sink(spec(request.param, tmp_path), size=(64, 48))


def test_takes_frames_of_any_size_and_does_not_write_into_them(sink: Sink) -> None:
    with sink as opened:
        assert opened is sink
        for number, (height, width) in enumerate([(48, 64), (100, 10), (1, 1), (33, 77), (48, 64)]):
            image = np.full((height, width, 3), 99, np.uint8)
            image.flags.writeable = False
            sink(Frame(image, time.perf_counter(), number))


def test_can_be_opened_and_closed_without_a_frame(sink: Sink) -> None:
    with sink:
        pass


def test_lets_an_error_through(sink: Sink) -> None:
    with pytest.raises(ZeroDivisionError), sink:
        sink(Frame(np.zeros((48, 64, 3), np.uint8), time.perf_counter(), 0))
        raise ZeroDivisionError


def test_stands_at_the_end_of_a_line(sink: Sink) -> None:
    class Five:
        live, fps = True, 30.0

        def __iter__(self):
            for number in range(5):
                yield Frame(np.full((48, 64, 3), number, np.uint8), time.perf_counter(), number)

        def __enter__(self):
            return self

        def __exit__(self, *exc_info: object) -> None:
            return None

    with sink:
        stats = play(Five(), sink=sink)
    assert stats.delivered == 5


@pytest.mark.parametrize(
    "wrong, words",
    [
        ("video", "expected one of vcam, window, file, null"),
        ("out.mp4", "a file is file:out.mp4"),
        ("", "expected one of"),
        ("file", "needs a name"),
        ("file:out.gif", "ends in .mp4"),
    ],
)
def test_a_sink_that_is_none_is_refused_in_one_line(wrong: str, words: str) -> None:
    with pytest.raises(WrongUse) as caught:
        open_sink(wrong)
    assert words in str(caught.value) and "\n" not in str(caught.value)


def test_the_device_behind_the_colon_is_the_one_that_is_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pyvirtualcam.camera, "BACKENDS", {"loopback": Loopback})
    with open_sink("vcam:/dev/video7") as sink:
        assert sink.device == "/dev/video7"


def test_the_null_sink_counts_and_shows_the_last_frame() -> None:
    with open_sink("null") as sink:
        for number in range(3):
            sink(Frame(np.zeros((2, 2, 3), np.uint8), 0.0, number))
        assert (sink.delivered, sink.last.index) == (3, 2)

# SPDX-License-Identifier: MIT
"""The virtual camera is never black, never late, and says what to do when there is none."""

import platform
import threading
import time
from collections.abc import Iterator

import numpy as np
import pytest
import pyvirtualcam.camera
from waiting import HANG_S, no_hang, wait_until

from face.errors import SinkUnavailable, WrongUse
from face.frame import Frame
from realtime.sinks.virtual_camera import CURES, PATIENCE, VirtualCamera, starting_card


class Loopback:
    """A backend as pyvirtualcam wants it; keeps what it was sent and when. Faults are data."""

    refuses: str | None = None
    breaks_after: int | None = None
    opened: list["Loopback"] = []

    def __init__(self, *, width: int, height: int, fps: float, fourcc: int, device: str | None) -> None:
        if self.refuses:
            raise RuntimeError(self.refuses)
        self.shape, self.fps, self.name = (height, width, 3), fps, device or "/dev/video10"
        self.sent: list[tuple[float, np.ndarray]] = []
        self.tried = 0  # pictures it was to take, those that broke it included
        self.closed = 0
        self.opened.append(self)

    def close(self) -> None:
        self.closed += 1

    def send(self, frame: np.ndarray) -> None:
        self.tried += 1
        if self.breaks_after is not None and len(self.sent) >= self.breaks_after:
            raise RuntimeError("error writing to the device")
        self.sent.append((time.perf_counter(), frame.reshape(self.shape).copy()))

    def device(self) -> str:
        return self.name

    def native_fourcc(self) -> int | None:
        return None


@pytest.fixture
def loopback(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Loopback]]:
    """The only backend there is, registered with pyvirtualcam's own function."""
    monkeypatch.setattr(pyvirtualcam.camera, "BACKENDS", {})
    pyvirtualcam.register_backend("loopback", Loopback)
    monkeypatch.setattr(Loopback, "refuses", None)
    monkeypatch.setattr(Loopback, "breaks_after", None)
    monkeypatch.setattr(Loopback, "opened", [])
    yield Loopback


def frame(level: int, number: int = 0, height: int = 72, width: int = 128) -> Frame:
    return Frame(np.full((height, width, 3), level, np.uint8), time.perf_counter(), number)


SMALL = (128, 72)
SELDOM = 1 / HANG_S  # frames a second: whoever waits for the next one's turn hangs


def test_it_is_1280_by_720_at_30_unless_told_otherwise(loopback: type[Loopback]) -> None:
    with VirtualCamera():
        camera = loopback.opened[0]
    assert (camera.shape, camera.fps, camera.closed) == ((720, 1280, 3), 30.0, 1)


def test_a_picture_is_there_before_the_first_frame_and_it_is_not_black(loopback: type[Loopback]) -> None:
    with VirtualCamera(size=SMALL) as sink:
        assert len(loopback.opened[0].sent) == 1
        assert (loopback.opened[0].sent[0][1] == starting_card(SMALL)).all()
        assert starting_card(SMALL).mean() > 20
        assert sink.device == "/dev/video10"


def test_the_card_can_be_the_portrait(loopback: type[Loopback]) -> None:
    with VirtualCamera(size=SMALL, card=np.full((50, 50, 3), 77, np.uint8)):
        shown = loopback.opened[0].sent[0][1]
    assert (shown[:, 30:98] == 77).all() and (shown[:, :20] == 0).all()


def test_a_frame_is_sent_at_once_in_its_colours_and_shape(loopback: type[Loopback]) -> None:
    with no_hang(), VirtualCamera(size=SMALL, fps=SELDOM) as sink:
        for number in range(3):
            picture = np.zeros((72, 72, 3), np.uint8)
            picture[:] = (200, 100, number)
            sink(Frame(picture, time.perf_counter(), number))
            assert len(loopback.opened[0].sent) == number + 2, "sent before the call returns"
        sent = [image for _, image in loopback.opened[0].sent[1:4]]
    assert [tuple(image[36, 64]) for image in sent] == [(200, 100, number) for number in range(3)]
    assert all((image[:, :28] == 0).all() and (image[:, 100:] == 0).all() for image in sent)  # letterbox


def test_cropped_it_has_no_bars(loopback: type[Loopback]) -> None:
    with VirtualCamera(size=SMALL, fit="crop") as sink:
        sink(frame(90, height=100, width=50))
        assert (loopback.opened[0].sent[-1][1] == 90).all()


def test_the_last_picture_is_sent_on_no_faster_than_the_frame_rate_while_no_new_one_comes(
    loopback: type[Loopback],
) -> None:
    with VirtualCamera(size=SMALL, fps=50) as sink:
        sink(frame(123))
        assert wait_until(lambda: sink.repeated >= 10)
    (first_s, _), *repeated = loopback.opened[0].sent[-sink.repeated - 1 :]
    assert all((image == 123).all() for _, image in repeated)
    assert np.diff([first_s, *(sent_s for sent_s, _ in repeated)]).min() > 0.9 / 50


def test_nothing_is_repeated_while_frames_come_in_time(loopback: type[Loopback]) -> None:
    with VirtualCamera(size=SMALL, fps=10) as sink:
        for number in range(6):
            sink(frame(100 + number, number))
            time.sleep(0.1)
        sent = [(sent_s, int(image[0, 0, 0])) for sent_s, image in loopback.opened[0].sent[1:]]
    assert [level for _, level in sent] == sorted(level for _, level in sent)
    for number in range(6):  # one that the machine let come late may have been waited for
        new_s, *repeated_s = [sent_s for sent_s, level in sent if level == 100 + number]
        assert not repeated_s or repeated_s[0] - new_s > 0.9 * PATIENCE / 10


def test_nothing_is_sent_after_it_was_closed_and_it_closes_at_once(loopback: type[Loopback]) -> None:
    with no_hang(), VirtualCamera(size=SMALL, fps=SELDOM) as sink:
        sink(frame(1))
    assert loopback.opened[0].closed == 1 and len(loopback.opened[0].sent) == 2
    assert "virtual camera" not in [thread.name for thread in threading.enumerate()], "nobody is left to send"


@pytest.mark.parametrize("system", [*CURES, "OpenBSD"])
def test_without_a_device_the_line_names_the_cure_of_this_system(
    loopback: type[Loopback], monkeypatch: pytest.MonkeyPatch, system: str
) -> None:
    monkeypatch.setattr(loopback, "refuses", "No v4l2 loopback device found.")
    monkeypatch.setattr(platform, "system", lambda: system)
    with pytest.raises(SinkUnavailable, match="No v4l2 loopback device found") as caught:
        VirtualCamera().__enter__()
    assert CURES.get(system, "Linux, Windows and macOS") in str(caught.value)
    assert "\n" not in str(caught.value)


def test_linux_is_told_the_exact_command() -> None:
    command = 'sudo modprobe v4l2loopback devices=1 video_nr=10 card_label="facepuppet" exclusive_caps=1'
    assert command in CURES["Linux"]


def test_a_missing_device_is_named(loopback: type[Loopback], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loopback, "refuses", "Device could not be opened.")
    with pytest.raises(SinkUnavailable, match="/dev/video42"):
        VirtualCamera(device="/dev/video42").__enter__()


def test_a_device_that_goes_away_ends_the_sink_with_its_name(
    loopback: type[Loopback], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loopback, "breaks_after", 3)
    with VirtualCamera(size=SMALL, fps=1) as sink:
        sink(frame(1))
        sink(frame(2))
        with pytest.raises(SinkUnavailable, match="/dev/video10 takes no more pictures"):
            sink(frame(3))


def test_a_device_that_goes_away_while_no_frame_comes_is_told_with_the_next_one(
    loopback: type[Loopback], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loopback, "breaks_after", 3)
    with VirtualCamera(size=SMALL, fps=100) as sink:
        assert wait_until(lambda: loopback.opened[0].tried > 3)
        with pytest.raises(SinkUnavailable, match="takes no more pictures"):
            sink(frame(1))


@pytest.mark.parametrize(
    "wrong, words",
    [
        ({"size": (1281, 720)}, "even sides"),
        ({"fps": 0.0}, "fps"),
        ({"fit": "stretch"}, "letterbox, crop"),
        ({"backend": "nonsense"}, "no virtual camera backend 'nonsense'"),
    ],
)
def test_wrong_use_is_refused_in_one_line(loopback: type[Loopback], wrong: dict, words: str) -> None:
    with pytest.raises(WrongUse, match=words):
        VirtualCamera(**wrong).__enter__()

# SPDX-License-Identifier: MIT
"""Cameras are listed without our own outputs, asked for the right format, missing ones explained."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from face.errors import CameraUnavailable, WrongUse
from realtime.sources import devices, opencv_device
from realtime.sources.devices import CameraInfo, called, described, holders, linux_cameras, takes_pictures
from realtime.sources.opencv_device import list_cameras, open_device, shown

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="device nodes of this kind are Linux's")

NODES = {
    "video0": "HD Webcam: HD Webcam",
    "video1": "HD Webcam: HD Webcam",  # its second node, metadata
    "video10": "Logitech BRIO",
    "video9": "facepuppet",
    "video2": "Dummy video device (0x0000)",
    "video3": "OBS Virtual Camera",
    "v4l-subdev0": "a sensor",
}


@pytest.fixture
def sysfs(tmp_path: Path) -> Path:
    for node, name in NODES.items():
        (tmp_path / node).mkdir()
        (tmp_path / node / "name").write_text(name + "\n")
    (tmp_path / "video7").mkdir()  # unplugged while we look: no name any more
    return tmp_path


def captures(path: str) -> bool:
    return path != "/dev/video1"


class FakeCapture:
    """A cv2.VideoCapture that opens or not, and gives a picture from its `silent`-th read on."""

    def __init__(self, *, opens: bool = True, silent: float = 0, size: tuple[int, int] = (640, 480)) -> None:
        self.opens, self.silent, self.size = opens, silent, size
        self.asked: dict[int, float] = {}
        self.order: list[int] = []
        self.opened_with: tuple = ()
        self.released = False

    def __call__(self, *arguments: object) -> "FakeCapture":
        self.opened_with = arguments
        return self

    def isOpened(self) -> bool:
        return self.opens

    def set(self, what: int, value: float) -> bool:
        self.asked[what] = value
        self.order.append(what)
        return False  # as a driver that refuses everything

    def read(self) -> tuple[bool, np.ndarray | None]:
        if self.silent > 0:
            self.silent -= 1
            return False, None
        return True, np.zeros((self.size[1], self.size[0], 3), np.uint8)

    def release(self) -> None:
        self.released = True


@pytest.fixture
def camera_node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file that stands for /dev/video0: it is there and takes pictures."""
    node = tmp_path / "node"
    node.touch()
    monkeypatch.setattr(opencv_device, "_located", lambda address: str(node))
    return node


def test_cameras_are_listed_by_number_without_our_own_outputs(sysfs: Path) -> None:
    assert linux_cameras(sysfs, captures) == [
        CameraInfo(0, "HD Webcam: HD Webcam", "/dev/video0"),
        CameraInfo(10, "Logitech BRIO", "/dev/video10"),
    ]


def test_our_own_outputs_are_listed_on_request(sysfs: Path) -> None:
    assert [camera.index for camera in linux_cameras(sysfs, captures, own=True)] == [0, 2, 3, 9, 10]


def test_a_machine_without_cameras_lists_none(tmp_path: Path) -> None:
    assert linux_cameras(tmp_path / "nothing", captures) == []
    assert described([]) == "no camera was found here"


def test_a_name_finds_its_camera_and_exact_names_win(sysfs: Path) -> None:
    cameras = linux_cameras(sysfs, lambda path: True)
    assert [camera.index for camera in called("brio", cameras)] == [10]
    assert [camera.index for camera in called("hd webcam", cameras)] == [0, 1]
    assert called("  ", cameras) == [] and called("nikon", cameras) == []
    exact = [CameraInfo(0, "Cam"), CameraInfo(1, "Cam 2")]
    assert called("cam", exact) == exact[:1]


@linux_only
def test_a_node_that_is_no_camera_takes_no_pictures() -> None:
    assert not takes_pictures("/dev/null")
    assert takes_pictures("/dev/there-is-no-such-node")  # whoever opens it says why not


@linux_only
def test_who_holds_a_device_is_found(tmp_path: Path) -> None:
    node = tmp_path / "node"
    node.touch()
    with node.open() as held, subprocess.Popen(["sleep", "20"], stdin=held) as other:
        try:
            assert holders(str(node)) == [f"sleep ({other.pid})"]
        finally:
            other.kill()
    assert holders(str(node)) == []


@pytest.mark.parametrize("address", [63, "/dev/video63", "no such camera"])
@linux_only
def test_a_camera_that_is_not_there_is_explained_in_one_line(
    address: int | str, sysfs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        opencv_device, "linux_cameras", lambda own=False: linux_cameras(sysfs, captures, own=own)
    )
    with pytest.raises(CameraUnavailable) as caught:
        open_device(address, (640, 480), 30.0)
    message = str(caught.value)
    assert str(address) in message and "\n" not in message
    assert "cameras here: 0 (HD Webcam: HD Webcam), 10 (Logitech BRIO)" in message
    assert "plug it in or name another" in message


@linux_only
def test_two_cameras_of_one_name_are_wrong_use(sysfs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opencv_device, "linux_cameras", lambda own=False: linux_cameras(sysfs, own=own))
    with pytest.raises(WrongUse, match="2 cameras are called 'HD Webcam', expected one; .*give the number"):
        open_device("HD Webcam", (640, 480), 30.0)


@linux_only
def test_a_node_that_is_no_camera_is_refused() -> None:
    with pytest.raises(CameraUnavailable, match="/dev/null gives no pictures"):
        open_device("/dev/null", (640, 480), 30.0)


@linux_only
def test_a_camera_without_rights_is_explained(unreadable: Callable[[str], Path]) -> None:
    node = unreadable("video0")
    with pytest.raises(CameraUnavailable, match="camera 0 may not be opened by this user; join the group"):
        opencv_device._check_node(str(node), "0")


@linux_only
def test_a_camera_another_program_has_is_explained_by_that_program_s_name(camera_node: Path) -> None:
    capture = FakeCapture(opens=False)
    with camera_node.open() as held, subprocess.Popen(["sleep", "20"], stdin=held) as other:
        try:
            with pytest.raises(CameraUnavailable) as caught:
                open_device(0, (640, 480), 30.0, capture=capture)
        finally:
            other.kill()
    assert f"cannot be opened: it is held by sleep ({other.pid}); close that program" in str(caught.value)
    assert capture.released


def test_a_camera_that_opens_and_stays_dark_is_refused(
    camera_node: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(opencv_device, "FIRST_PICTURE_S", 0.1)
    capture = FakeCapture(silent=float("inf"))
    with pytest.raises(
        CameraUnavailable, match="opens but gives no picture: probably another program has it"
    ):
        open_device(0, (640, 480), 30.0, capture=capture)
    assert capture.released


def test_a_camera_that_needs_a_moment_is_waited_for(camera_node: Path) -> None:
    capture = FakeCapture(silent=5)
    assert open_device(0, (640, 480), 30.0, capture=capture) is capture
    assert not capture.released


@pytest.mark.parametrize(
    ("size", "fourcc"),
    [((640, 480), "YUYV"), ((320, 240), "YUYV"), ((1280, 720), "MJPG"), ((800, 600), "MJPG")],
)
def test_large_pictures_are_asked_for_compressed(
    camera_node: Path, size: tuple[int, int], fourcc: str
) -> None:
    capture = FakeCapture(size=(640, 480))
    open_device(0, size, 25.0, capture=capture)
    asked = capture.asked.get(cv2.CAP_PROP_FOURCC)
    if sys.platform == "linux" or fourcc == "MJPG":
        assert asked == cv2.VideoWriter.fourcc(*fourcc)
        assert capture.order[0] == cv2.CAP_PROP_FOURCC  # drivers offer sizes within a format
    assert capture.asked[cv2.CAP_PROP_FRAME_WIDTH] == size[0]
    assert capture.asked[cv2.CAP_PROP_FRAME_HEIGHT] == size[1]
    assert capture.asked[cv2.CAP_PROP_FPS] == 25.0
    assert capture.asked[cv2.CAP_PROP_BUFFERSIZE] == 1


def test_a_silent_address_is_explained_without_its_password(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(CameraUnavailable) as caught:
        open_device("http://me:secret@127.0.0.1:9/stream", (640, 480), 30.0)
    message = str(caught.value)
    assert "http://...@127.0.0.1:9/stream" in message and "secret" not in message
    assert "check address and network" in message


def test_passwords_are_not_shown() -> None:
    assert shown("rtsp://user:pass@host/x@y") == "rtsp://...@host/x@y"
    assert shown("http://host/a@b") == "http://host/a@b"
    assert shown(0) == "0"


@pytest.mark.camera
def test_a_real_camera_gives_pictures() -> None:
    cameras = list_cameras()
    if not cameras:
        pytest.skip("no camera is plugged in")
    device = open_device(cameras[0].index, (640, 480), 30.0)
    try:
        assert device.grab()
        whole, picture = device.retrieve()
        assert whole and picture.ndim == 3
    finally:
        device.release()


def test_the_names_of_our_outputs_are_those_the_virtual_camera_gets() -> None:
    assert devices.is_own_output("FacePuppet") and devices.is_own_output("Dummy video device (0x0001)")
    assert not devices.is_own_output("Integrated Camera")


@pytest.mark.parametrize("error", [cv2.error("broken"), OSError(5, "I/O error"), RuntimeError("a binding's")])
@pytest.mark.parametrize("method", ["__call__", "set", "read"])
def test_a_driver_that_raises_while_it_is_opened_is_a_camera_that_cannot_be_had(
    camera_node: Path, method: str, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    def raises(*arguments: object) -> None:
        raise error

    monkeypatch.setattr(FakeCapture, method, raises)
    capture = FakeCapture()
    with pytest.raises(CameraUnavailable, match="camera 0 "):
        open_device(0, (640, 480), 30.0, capture=capture)
    assert capture.released == (method != "__call__")

# SPDX-License-Identifier: MIT
"""One word names a source, and a wrong word is answered with what would have been right."""

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow

import realtime.sources
from face.errors import BadImage, BadVideo, CameraUnavailable, WrongUse
from realtime.sources import Camera, Images, TestCard, Video, open_source


class Asked(Exception):
    """Carries what a camera was asked for instead of opening one."""


def ask(address: int | str, *, size: tuple[int, int], fps: float) -> Camera:
    raise Asked(address, size, fps)


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    for number in range(3):
        Pillow.new("RGB", (64, 48)).save(tmp_path / f"{number}.png")
    return tmp_path


@pytest.mark.parametrize(
    ("spec", "address"),
    [
        ("0", 0),
        (" 2 ", 2),
        ("/dev/video7", "/dev/video7"),
        ("rtsp://host/stream", "rtsp://host/stream"),
        ("HD Pro Webcam C920 v2.0", "HD Pro Webcam C920 v2.0"),
    ],
)
def test_numbers_nodes_urls_and_names_are_cameras(
    spec: str, address: int | str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(realtime.sources, "Camera", ask)
    with pytest.raises(Asked) as asked:
        open_source(spec, size=(1280, 720), fps=25.0)
    assert asked.value.args == (address, (1280, 720), 25.0)


def test_files_and_folders_are_told_apart(pictures: Path, clip: Path) -> None:
    for spec, kind in (
        (str(pictures), Images),
        (str(pictures / "0.png"), Images),
        (str(clip), Video),
        ("testcard", TestCard),
    ):
        with open_source(spec) as source:
            assert isinstance(source, kind) and source.live
        with open_source(spec, live=False) as source:
            assert isinstance(source, kind) and not source.live
            assert len(list(source)) > 0


def test_a_moving_gif_is_a_video(tmp_path: Path) -> None:
    path = tmp_path / "moving.GIF"
    frames = [Pillow.new("RGB", (64, 48), colour) for colour in ("red", "blue", "lime")]
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=100)
    with open_source(str(path), live=False) as source:
        shown = list(source)
    assert isinstance(source, Video)
    assert [frame.media_s for frame in shown] == pytest.approx([0.0, 0.1, 0.2])
    assert shown[1].image[0, 0].tolist() == pytest.approx([0, 0, 255], abs=4)


def test_the_last_picture_of_a_gif_may_stand(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "moving.gif"
    frames = [Pillow.new("RGB", (64, 48), colour) for colour in ("red", "blue", "lime")]
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=[100, 100, 5000])
    with open_source(str(path), live=False) as source:
        assert [frame.shown_s for frame in source] == pytest.approx([0.1, 0.1, 5.0])
    assert not caplog.text


def test_a_file_wins_over_a_camera_of_that_name(
    tmp_path: Path, clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "webcam").write_bytes(clip.read_bytes())
    (tmp_path / "0").write_bytes(clip.read_bytes())
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(realtime.sources, "Camera", ask)
    for spec in ("webcam", "./0"):
        with open_source(spec) as source:
            assert isinstance(source, Video)
    with pytest.raises(Asked):
        open_source("0")


def test_size_and_rate_reach_what_is_drawn(pictures: Path) -> None:
    with open_source("testcard", size=(320, 240), fps=60.0) as card:
        assert next(iter(card)).image.shape == (240, 320, 3)
        assert card.fps == 60.0
    with open_source(str(pictures), fps=12.0, live=False) as source:
        assert [frame.media_s for frame in source] == pytest.approx([0, 1 / 12, 2 / 12])


def test_a_loop_goes_round(pictures: Path) -> None:
    with open_source(str(pictures), fps=200.0, loop=True) as source:
        frames = [frame.index for frame, _ in zip(source, range(5), strict=False)]
    assert frames[-1] >= 4


@pytest.mark.parametrize(
    "spec", ["clip.mp4", "portrait.JPG", "no/such/folder", "x" * 300 + ".mp4", "nul\0.mp4"]
)
def test_a_missing_file_is_wrong_use(spec: str) -> None:
    with pytest.raises(WrongUse, match="does not exist, expected a video, a picture or a folder"):
        open_source(spec)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the cameras would be opened")
def test_an_unknown_word_is_taken_for_a_camera_s_name() -> None:
    with pytest.raises(CameraUnavailable, match="no camera is called 'qwertz'"):
        open_source("qwertz")


@pytest.mark.parametrize(
    ("settings", "found"),
    [
        ({"spec": " "}, "the source has no name"),
        ({"fps": 0.0}, "0 frames a second"),
        ({"fps": float("nan")}, "nan frames a second"),
        ({"size": (0, 480)}, "size 0x480"),
        ({"loop": True, "live": False}, "never ends"),
        ({"spec": "0", "live": False}, "0 is a camera, expected a file or a folder that ends"),
    ],
)
def test_settings_that_cannot_be_meant_are_wrong_use(settings: dict, found: str) -> None:
    with pytest.raises(WrongUse, match=found) as caught:
        open_source(**{"spec": "testcard", **settings})
    assert "\n" not in str(caught.value)


def test_what_is_in_the_file_decides_over_its_name(tmp_path: Path) -> None:
    text = tmp_path / "driver.mp4"
    text.write_text("dear diary\n" * 50)
    with pytest.raises(BadVideo, match="is no video"):
        open_source(str(text))
    picture = tmp_path / "driver.jpg"
    picture.write_text("dear diary\n" * 50)
    with pytest.raises(BadImage, match="holds no picture"):
        open_source(str(picture))


def test_unreadable_files_are_named_as_such(unreadable: Callable[[str], Path]) -> None:
    with pytest.raises(BadVideo, match="may not be read"):
        open_source(str(unreadable("secret.mp4")))


def test_an_offline_test_card_ends() -> None:
    with open_source("testcard", live=False, size=(64, 48)) as card:
        frames = list(card)
    assert len(frames) == 300
    assert np.any(frames[0].image != frames[-1].image)

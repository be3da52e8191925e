# SPDX-License-Identifier: MIT
"""The window shows, hears keys and closes; without a screen it says so instead of taking the process down."""

import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from waiting import HANG_S, STUCK_S

from face.errors import SinkUnavailable
from face.frame import Frame
from realtime.frame import EndOfLine
from realtime.sinks.window import Window, key_name

ROOT = Path(__file__).parents[2]
linux = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="DISPLAY is a matter of X, so of Linux"
)


@linux
@pytest.mark.parametrize(
    "display, words",
    [
        ("", "DISPLAY is not set"),
        (":987", "no X server answers at DISPLAY=:987"),
        ("nonsense", "expected such as ':0'"),
    ],
)
def test_without_a_screen_the_line_says_what_to_do(monkeypatch, display: str, words: str) -> None:
    monkeypatch.setenv("DISPLAY", display)
    with pytest.raises(SinkUnavailable, match="--sink web, vcam or file") as caught:
        Window().__enter__()
    assert words in str(caught.value) and "\n" not in str(caught.value)


def test_an_opencv_without_windows_is_named(monkeypatch) -> None:
    def headless(*_: object) -> None:
        raise cv2.error("The function is not implemented")

    monkeypatch.setattr("realtime.sinks.window._require_display", lambda: None)
    monkeypatch.setattr(cv2, "namedWindow", headless)
    with pytest.raises(SinkUnavailable, match="opencv-python-headless"):
        Window().__enter__()


@pytest.mark.parametrize(
    "code, name",
    [
        (ord("a"), "a"),
        (ord("X"), "x"),
        (ord("0"), "0"),
        (27, "esc"),
        (13, "enter"),
        (32, "space"),
        (ord("+"), "+"),
    ],
)
def test_keys_have_names(code: int, name: str) -> None:
    assert key_name(code) == name


@pytest.mark.parametrize("code", [0xFF51, 0xFFE1, 0xFFFF, 0, -1, 3, 2424832], ids=hex)
def test_arrows_and_shift_are_no_letters(code: int) -> None:
    assert key_name(code) == ""


class Desktop:
    """OpenCV's windows without a screen: keys come from a list, the window closes when they are used up."""

    def __init__(self, keys: list[int], closes: bool = False) -> None:
        self.keys, self.closes, self.shown = keys, closes, 0

    def install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("realtime.sinks.window._require_display", lambda: None)
        monkeypatch.setattr(cv2, "namedWindow", lambda *_: None)
        monkeypatch.setattr(cv2, "resizeWindow", lambda *_: None)
        monkeypatch.setattr(cv2, "destroyWindow", lambda *_: None)
        monkeypatch.setattr(cv2, "waitKey", lambda _: -1)
        monkeypatch.setattr(cv2, "waitKeyEx", lambda _: self.keys.pop(0) if self.keys else -1)
        monkeypatch.setattr(cv2, "imshow", self.show)
        monkeypatch.setattr(
            cv2, "getWindowProperty", lambda *_: 0.0 if self.closes and not self.keys else 1.0
        )

    def show(self, title: str, bgr: np.ndarray) -> None:
        self.shown += 1
        assert tuple(bgr[0, 0]) == (30, 20, 10)


FRAME = Frame(np.full((8, 8, 3), (10, 20, 30), np.uint8), 0.0, 0)


def test_keys_are_delivered_in_order_and_the_picture_in_its_colours(monkeypatch) -> None:
    desktop, keys = Desktop([ord("1"), 0xFF51, ord("x")]), []
    desktop.install(monkeypatch)
    with Window(on_key=keys.append) as window:
        window(FRAME)
    assert keys == ["1", "x"] and desktop.shown == 1


@pytest.mark.parametrize(
    "desktop", [Desktop([ord("a"), 27]), Desktop([ord("a")], closes=True)], ids=["esc", "closed"]
)
def test_escape_and_closing_end_the_line_and_no_new_window_opens(monkeypatch, desktop: Desktop) -> None:
    keys: list[str] = []
    desktop.install(monkeypatch)
    with Window(on_key=keys.append) as window:
        for _ in range(2):
            with pytest.raises(EndOfLine):
                window(FRAME)
    assert keys == ["a"] and desktop.shown == 1


SCRIPT = """
import sys, time, cv2, numpy as np
from face.frame import Frame
from realtime.frame import EndOfLine
from realtime.pipeline import Pipeline
from realtime.sinks.window import Window

class Source:
    live, fps = True, 30.0
    def __iter__(self):
        for number in range(3):
            time.sleep(0.1)
            yield Frame(np.full((48, 64, 3), 200, np.uint8), time.perf_counter(), number)
        time.sleep(float(sys.argv[1]))  # silent, as a camera that hangs

with Window(size=(320, 240)) as window:
    def close_it(frame):
        if frame.index == 2:
            print("shown", cv2.getWindowImageRect("facepuppet")[2:], flush=True)
            cv2.destroyWindow("facepuppet")
    Pipeline(Source(), sink=window, on_delivered=close_it).run()
    print("ended", flush=True)
"""


@pytest.mark.skipif(
    shutil.which("Xvfb") is None, reason="Xvfb is not installed: no screen to open a real window on"
)
def test_a_real_window_shows_and_its_closing_ends_a_line_whose_source_is_silent() -> None:
    with subprocess.Popen(
        ["Xvfb", "-displayfd", "1", "-screen", "0", "640x480x24"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as server:
        try:
            assert server.stdout is not None
            number = server.stdout.readline().decode().strip()
            done = subprocess.run(
                [sys.executable, "-W", "error", "-c", SCRIPT, str(STUCK_S)],
                cwd=ROOT,
                env={"DISPLAY": f":{number}", "PATH": "", "HOME": "/nonexistent"},
                capture_output=True,
                text=True,
                timeout=2 * HANG_S,
            )
        finally:
            server.terminate()
    assert done.stdout.splitlines() == ["shown (320, 240)", "ended"], done.stderr
    assert "font" not in done.stderr

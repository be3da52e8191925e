# SPDX-License-Identifier: MIT
"""What the page says and does when things go wrong, in a real Chromium: loaded again, too slow, a bad photo.

Run with: python -m pytest -m browser tests/web/test_browser_faults.py
"""

import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import pytest

pytest.importorskip("selenium", reason="selenium is not installed")

from browser_stage import CHROMIUM, DRIVER, Show, chromium, line, two_portraits, write_camera_file
from selenium.webdriver.common.by import By

from face.photo import read_photo
from realtime.live import session
from realtime.offline.builtin import portrait_path

RELOADS = 6
SLOW = (
    "this computer is too slow: 4.2 of 30 frames a second, puppet takes 240 ms a frame; close other programs"
)

pytestmark = [
    pytest.mark.browser,
    pytest.mark.slow,
    pytest.mark.skipif(not (CHROMIUM and DRIVER), reason="Chromium or chromedriver is not installed"),
    # MediaPipe and selenium are guests here
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]


@pytest.fixture(scope="module")
def show(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Show]:
    folder = tmp_path_factory.mktemp("browser")
    clip = folder / "clip.mjpeg"
    write_camera_file(clip)
    portraits = two_portraits(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CONFIG_HOME", str(folder / "config"))
        fake = ("--use-fake-ui-for-media-stream", f"--use-file-for-fake-video-capture={clip}")
        with line(portraits) as url, chromium(folder / "profile", *fake) as browser:
            browser.get(url)
            page = Show(browser, portraits, url, url.partition("token=")[2])
            page.wait(lambda: sends(page), "the camera did not start")
            yield page


def sends(show: Show) -> bool:
    """Pictures of this page's camera come back."""
    return bool(show.script("window.facepuppet && facepuppet.state() && facepuppet.trips().length >= 3"))


def is_problem(show: Show) -> bool:
    return bool(show.script("document.getElementById('line').classList.contains('bad')"))


def upload(show: Show, path: Path) -> None:
    show.browser.find_element(By.ID, "upload").send_keys(str(path))


def test_the_camera_resumes_whenever_the_page_is_loaded_again(show: Show) -> None:
    for number in range(RELOADS):
        show.browser.refresh()
        show.wait(lambda: sends(show), f"the camera did not resume after load {number + 1}")


def test_a_slow_computer_is_not_shown_as_a_missing_face(show: Show, monkeypatch: pytest.MonkeyPatch) -> None:
    show.click("camera")  # no face
    monkeypatch.setattr(session, "slowness", lambda *asked, **wanted: SLOW)
    show.wait(lambda: show.text("hint") == SLOW, "the page says nothing of it")
    assert show.browser.find_element(By.ID, "hint").is_displayed()
    monkeypatch.undo()
    show.wait(lambda: show.text("hint") != SLOW, "the page goes on saying it")
    show.click("camera")
    show.wait(lambda: sends(show), "the camera did not start again")


def test_a_photo_the_session_refuses_stays_in_view_and_names_the_file_once(
    show: Show, tmp_path: Path
) -> None:
    wall = tmp_path / "wall.png"
    cv2.imwrite(str(wall), read_photo(portrait_path())[420:500, 0:120])  # no face in it
    upload(show, wall)
    show.wait(lambda: "face" in show.text("line"), "nothing was said")
    assert is_problem(show) and show.text("line").count("wall") == 1
    time.sleep(7)  # an ordinary line is gone after six
    assert "wall" in show.text("line") and is_problem(show)


def test_a_photo_that_is_taken_is_confirmed(show: Show, tmp_path: Path) -> None:
    good = tmp_path / "new.png"
    cv2.imwrite(str(good), read_photo(portrait_path())[0:320, 62:382][:, :, ::-1])
    count = len(show.script("facepuppet.state().portraits"))  # type: ignore[arg-type]
    upload(show, good)
    show.wait(
        lambda: show.text("line") == f"new.png was added as portrait {count + 1}", "it is not confirmed"
    )
    assert not is_problem(show)

# SPDX-License-Identifier: MIT
"""The real page in a real Chromium whose camera plays a real clip, with tracker and mesh puppet behind it.

Run with: python -m pytest -m browser tests/web/test_browser.py
"""

import re
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("selenium", reason="selenium is not installed")

from browser_stage import (
    CHROMIUM,
    DRIVER,
    SIZE,
    Show,
    chromium,
    distance,
    driving_frames,
    line,
    looks,
    two_portraits,
    write_camera_file,
)
from selenium.webdriver.common.by import By

from engines.mediapipe_reader import VideoReader
from face.photo import read_photo
from realtime.offline.builtin import portrait_path

MOVED = 1.0  # grey levels, mean over the picture, between two looks at a moving portrait

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
            page.wait(lambda: bool(page.script("window.facepuppet && facepuppet.state()")), "no state came")
            # permission is given already, so the camera starts by itself
            page.wait(lambda: len(page.script("facepuppet.trips()")) >= 30, "no camera picture came back")  # type: ignore[arg-type]
            yield page


def test_the_key_left_the_address_and_scripts_cannot_read_it(show: Show) -> None:
    assert show.browser.current_url == show.url.partition("?")[0]
    assert show.token not in str(show.script("document.cookie"))


def test_the_page_shows_the_portrait_moving(show: Show) -> None:
    pictures = looks(show, 8)
    steps = [distance(a, b) for a, b in zip(pictures[:-1], pictures[1:], strict=True)]
    assert max(steps) > MOVED, steps
    assert np.median(steps) > MOVED / 4, steps
    photo = read_photo(show.portraits[show.portrait()])
    camera = next(driving_frames())
    for picture in pictures:  # it is the portrait that moves, not the driver that is shown
        assert distance(picture, photo) < distance(picture, camera)


def test_a_face_is_found_in_the_picture_and_turns(show: Show) -> None:
    pictures = looks(show, 8)
    with VideoReader() as detect:
        faces = [detect(picture) for picture in pictures]
    angles = np.array([face.rotation for face in faces if face is not None])
    assert len(angles) == len(faces)
    assert np.ptp(angles, axis=0).max() > 2.0, angles  # degrees


def test_the_statistics_count_up_and_are_plausible(show: Show) -> None:
    def delivered() -> int:
        return int(show.script("facepuppet.state().delivered"))  # type: ignore[call-overload]

    before, drawn = delivered(), show.drawn()
    show.wait(lambda: delivered() > before + 10 and show.drawn() > drawn + 10, "the counts stand still")
    assert float(show.text("figure-fps").removesuffix(" fps")) > 0
    p50, p95 = map(float, re.findall(r"\d+", show.text("figure-delay")))
    trip = float(show.text("figure-trip").removesuffix(" ms"))
    assert 0 < p50 <= p95 and trip > 0
    assert show.text("figure-face") == "found" and show.text("figure-method") == "mesh"
    assert show.text("link-text") == "Live"


def test_another_portrait_comes_in_without_the_stream_stopping(show: Show) -> None:
    before = show.canvas()
    wanted = 1 - show.portrait()
    seen = {show.drawn()}  # counts of the pictures of the old portrait, while the new one is enrolled
    show.press(str(wanted + 1))

    def settled() -> bool:
        if show.portrait() == wanted:
            return True
        seen.add(show.drawn())
        return False

    show.wait(settled, "the other portrait did not come")
    assert len(seen) > 3, "the stream stood still meanwhile"
    drawn = show.drawn()
    show.wait(
        lambda: show.drawn() > drawn + 30, "the stream stopped with the old portrait"
    )  # it has faded in
    after = show.canvas()
    photo, old = (read_photo(show.portraits[index]) for index in (wanted, 1 - wanted))
    assert distance(after, photo) < distance(after, old)
    assert distance(before, old) < distance(before, photo)


def test_an_uploaded_photo_joins_the_list_and_a_bad_one_says_why(show: Show, tmp_path: Path) -> None:
    count = len(show.script("facepuppet.state().portraits"))  # type: ignore[arg-type]
    bad = tmp_path / "text.jpg"
    bad.write_text("no photo")
    show.browser.find_element(By.ID, "upload").send_keys(str(bad))
    show.wait(
        lambda: "text.jpg" in show.text("line") and "expected" in show.text("line"), "no error was shown"
    )
    assert "\n" not in show.text("line")
    good = tmp_path / "new.png"
    cv2.imwrite(str(good), read_photo(portrait_path())[0:320, 62:382][:, :, ::-1])
    show.browser.find_element(By.ID, "upload").send_keys(str(good))
    show.wait(lambda: show.portrait() == count, "the new portrait was not shown")
    assert len(show.browser.find_elements(By.CSS_SELECTOR, "#portraits button img")) == count + 1
    chosen = show.browser.find_element(By.CSS_SELECTOR, "#portraits [aria-checked=true]")
    assert "new" in chosen.get_attribute("aria-label")


def test_keys_sliders_and_switches_reach_the_session(show: Show) -> None:
    show.press("r")
    show.wait(lambda: show.script("facepuppet.state().modes.mirror") is True, "R did not mirror")
    show.wait(
        lambda: show.script("document.querySelector('[data-command=mirror]').checked") is True, "switch"
    )
    show.press("r")
    show.browser.execute_script(
        "const s = document.querySelector('[data-command=\"gain.pose\"]'); s.value = 0.5;"
        "s.dispatchEvent(new Event('input'))"
    )
    show.wait(lambda: show.script("facepuppet.state().gains.pose") == 0.5, "the slider did nothing")
    show.click("reset")
    show.wait(lambda: show.script("facepuppet.state().gains.pose") == 1, "the reset did nothing")
    show.press("x")
    show.wait(lambda: "calibrated" in show.text("line"), "X said nothing")


def test_pass_through_shows_the_camera(show: Show) -> None:
    camera = next(driving_frames())
    wide = np.zeros((SIZE[1], SIZE[0], 3), np.uint8)
    wide[:, 80:560] = cv2.resize(camera, (480, 480))
    portrait = show.canvas()
    show.press("0")
    show.wait(lambda: show.canvas().shape == wide.shape, "0 did not show the camera")
    assert distance(wide, show.canvas()) < distance(wide, portrait)
    show.press("0")
    show.wait(lambda: show.canvas().shape != wide.shape, "0 did not bring the portrait back")


def test_without_the_camera_the_portrait_idles_and_comes_back(show: Show) -> None:
    show.click("camera")
    show.wait(lambda: show.text("figure-face") == "not found", "the face was not missed")
    welcome = show.browser.find_element(By.ID, "welcome")
    show.wait(welcome.is_displayed, "the page did not offer to start again")
    drawn = show.drawn()
    first = show.canvas()
    show.wait(lambda: show.drawn() > drawn + 10, "the stream stopped with the camera")
    assert distance(first, show.canvas()) < 20  # still the portrait
    show.browser.execute_script("const b = document.getElementById('welcome-start'); b.click(); b.click();")
    show.wait(lambda: show.text("figure-face") == "found", "the face did not come back")


def test_a_hidden_tab_goes_on_sending_and_a_second_page_takes_no_camera_away(show: Show) -> None:
    """The usual case: the page lies behind a meeting."""
    first = show.browser.current_window_handle
    show.browser.switch_to.new_window("tab")
    show.browser.get(show.url)
    show.wait(lambda: bool(show.script("window.facepuppet && facepuppet.drawn() > 5")), "no picture came")
    time.sleep(2)  # longer than the second over which the rate is measured
    assert float(show.script("facepuppet.state().camera_fps")) > 0  # type: ignore[arg-type]
    assert show.text("figure-face") == "found"
    assert show.text("camera") == "Start my camera"
    assert not show.browser.find_element(By.ID, "welcome").is_displayed()
    show.browser.close()
    show.browser.switch_to.window(first)
    assert show.text("camera") == "Stop my camera"


def test_the_page_survives_a_reload(show: Show) -> None:
    show.browser.refresh()
    show.wait(lambda: bool(show.script("window.facepuppet && facepuppet.drawn() > 10")), "no picture came")


def test_nothing_was_complained_about(show: Show) -> None:
    entries = [entry for entry in show.browser.get_log("browser") if entry["level"] == "SEVERE"]
    assert [entry["message"] for entry in entries if "status of 422" not in entry["message"]] == []


def test_a_blocked_camera_is_said_with_the_cure(show: Show, tmp_path: Path) -> None:
    with chromium(tmp_path / "profile", "--deny-permission-prompts") as browser:
        browser.get(show.url)
        page = Show(browser, show.portraits, show.url, show.token)
        page.wait(lambda: bool(page.script("window.facepuppet && facepuppet.drawn() > 0")), "no picture came")
        page.click("camera")
        page.wait(lambda: "blocked" in page.text("camera-problem"), "nothing was said")
        assert "address bar" in page.text("camera-problem")

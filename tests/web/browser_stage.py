# SPDX-License-Identifier: MIT
"""A Chromium whose camera plays a real clip, and the line of `facepuppet web`. Knows no expectation."""

import base64
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import av
import cv2
import numpy as np
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from waiting import HANG_S, wait_until

from face.arrays import Image
from face.photo import read_photo
from methods.method import Opening
from realtime.live.opening import BROWSER, open_live
from realtime.offline.builtin import portrait_path
from realtime.options import Driver, Live, Output, Page

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
DRIVER = shutil.which("chromedriver")
DATA = Path(__file__).parents[2].parent / "shared" / "data"
FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--use-fake-device-for-media-stream", "--window-size=1280,800",
)  # fmt: skip
CLIP_FRAMES = 150
SIZE = (640, 480)


@dataclass
class Show:
    """A page in a browser, and what stands before and behind it."""

    browser: webdriver.Chrome
    portraits: tuple[Path, Path]
    url: str
    token: str

    def script(self, code: str) -> object:
        return self.browser.execute_script(f"return {code}")

    def drawn(self) -> int:
        return int(self.script("facepuppet.drawn()"))  # type: ignore[call-overload]

    def canvas(self) -> Image:
        """What the page shows now, (H, W, 3) uint8 RGB."""
        url = str(self.script("document.getElementById('picture').toDataURL('image/png')"))
        data = np.frombuffer(base64.b64decode(url.partition(",")[2]), np.uint8)
        return np.ascontiguousarray(cv2.imdecode(data, cv2.IMREAD_COLOR)[:, :, ::-1])

    def text(self, identity: str) -> str:
        return str(self.script(f"document.getElementById('{identity}').textContent"))

    def press(self, key: str) -> None:
        self.browser.find_element(By.TAG_NAME, "body").send_keys(key)

    def click(self, identity: str) -> None:
        self.browser.execute_script(f"document.getElementById('{identity}').click()")

    def portrait(self) -> int:
        return int(self.script("facepuppet.state().portrait"))  # type: ignore[call-overload]

    def wait(self, true: Callable[[], bool], what: str) -> None:
        assert wait_until(true), f"{what}; the page says {self.text('line')!r}"


def driving_frames() -> Iterator[Image]:
    """A real moving face; where the clips are not at hand, a photo that is moved before the camera."""
    clip = DATA / "driving" / "d3.mp4"
    if clip.exists():
        with av.open(str(clip)) as container:
            for number, frame in enumerate(container.decode(video=0)):
                if number >= CLIP_FRAMES:
                    return
                yield frame.to_ndarray(format="rgb24")
        return
    photo = read_photo(portrait_path())[0:400, 27:427]
    for number in range(CLIP_FRAMES):
        phase = 2 * np.pi * number / CLIP_FRAMES
        turn = cv2.getRotationMatrix2D((200, 170), 12 * np.sin(phase), 1 + 0.08 * np.sin(2 * phase))
        turn[:, 2] += (18 * np.sin(phase), 8 * np.cos(phase))
        yield np.asarray(cv2.warpAffine(photo, turn, (400, 400), borderMode=cv2.BORDER_REPLICATE), np.uint8)


def write_camera_file(path: Path) -> None:
    """Motion JPEG at 640x480, what Chromium plays as its fake camera."""
    with path.open("wb") as out:
        for image in driving_frames():
            scale = min(SIZE[0] / image.shape[1], SIZE[1] / image.shape[0])
            small = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
            picture = np.zeros((SIZE[1], SIZE[0], 3), np.uint8)
            top, left = (SIZE[1] - small.shape[0]) // 2, (SIZE[0] - small.shape[1]) // 2
            picture[top : top + small.shape[0], left : left + small.shape[1]] = small
            out.write(cv2.imencode(".jpg", picture[:, :, ::-1])[1].tobytes())


def two_portraits(folder: Path) -> tuple[Path, Path]:
    """Two people where their photos are at hand; otherwise one, and her mirror image in other colours."""
    photos = sorted((DATA / "portraits").glob("*.jpg"))
    if len(photos) > 60:
        return photos[3], photos[-3]
    photo = read_photo(portrait_path())[0:320, 62:382]
    first, second = folder / "first.png", folder / "second.png"
    cv2.imwrite(str(first), photo[:, :, ::-1])
    cv2.imwrite(str(second), photo[:, ::-1])  # left and right exchanged, and red and blue
    return first, second


@contextmanager
def line(portraits: tuple[Path, Path]) -> Iterator[str]:
    """What `facepuppet web` runs; the page's address."""
    with open_live(
        Live(
            tuple(str(path) for path in portraits),
            driver=Driver(BROWSER, SIZE, recalibrate=True),
            output=Output(("web",), badge=True),
            page=Page(port=0),
        ),
        Opening(),
    ) as live:
        running = threading.Thread(target=live.session.run, daemon=True)
        running.start()
        try:
            yield live.page
        finally:
            live.session.quit()
            running.join(HANG_S)
    assert not running.is_alive()


@contextmanager
def chromium(folder: Path, *flags: str) -> Iterator[webdriver.Chrome]:
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for flag in (*FLAGS, *flags, f"--user-data-dir={folder}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    browser = webdriver.Chrome(options=options, service=Service(DRIVER))
    try:
        yield browser
    finally:
        browser.quit()


def distance(a: Image, b: Image) -> float:
    """Mean difference of two pictures in grey levels, the second brought to the first one's size."""
    b = cv2.resize(b, (a.shape[1], a.shape[0]), interpolation=cv2.INTER_AREA)
    return float(np.abs(a.astype(int) - b.astype(int)).mean())


def looks(show: Show, count: int, every_s: float = 0.35) -> list[Image]:
    pictures = []
    for _ in range(count):
        pictures.append(show.canvas())
        time.sleep(every_s)
    return pictures

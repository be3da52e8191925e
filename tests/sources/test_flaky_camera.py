# SPDX-License-Identifier: MIT
"""The camera gives the newest picture, survives what cameras do, and comes back by itself."""

import logging
import threading
import time
from collections.abc import Iterator
from itertools import islice

import cv2
import numpy as np
import pytest
from waiting import HANG_S, STUCK_S, no_hang, wait_until

from face.errors import CameraUnavailable
from face.frame import Frame
from realtime.sources.camera import BLANK_GREY, LOST_AFTER_S, Camera, as_rgb

FAST_S = 0.05  # retries and time-outs of these tests
PATIENT_S = 1.0  # time-out where no picture may be missed, however busy the machine


class FlakyCamera:
    """Opens devices whose pictures carry the number of their grab, from one run of numbers over all openings.

    Grabs in `drops` fail, those in `breaks` raise; from grab `dies_at` on all fail, and so does opening until
    it was tried `returns_after` times.
    """

    def __init__(
        self,
        *,
        drops: tuple[int, ...] = (),
        breaks: tuple[int, ...] = (),
        dies_at: int | None = None,
        returns_after: int = 0,
        fps: float = 200.0,
        size: tuple[int, int] = (64, 48),
    ) -> None:
        self.drops, self.breaks = drops, breaks
        self.dies_at, self.returns_after = dies_at, returns_after
        self.fps, self.size = fps, size
        self.grabs = 0
        self.grabbed_s: list[float] = []  # when each picture was grabbed
        self.dead = False
        self.attempts: list[float] = []  # when opening was tried
        self.released = 0
        self.opened = 0

    def __call__(self, address: int | str, size: tuple[int, int], fps: float) -> "FlakyDevice":
        self.attempts.append(time.perf_counter())
        if self.dead:
            self.returns_after -= 1
            if self.returns_after > 0:
                raise CameraUnavailable(f"camera {address} is not there")
            self.dead, self.dies_at = False, None
        self.opened += 1
        return FlakyDevice(self)


class FlakyDevice:
    def __init__(self, camera: FlakyCamera) -> None:
        self._camera = camera

    def grab(self) -> bool:
        camera = self._camera
        if camera.dies_at is not None and camera.grabs >= camera.dies_at:
            camera.dead = True
            return False
        time.sleep(1 / camera.fps)
        camera.grabs += 1
        camera.grabbed_s.append(time.perf_counter())
        if camera.grabs - 1 in camera.breaks:
            raise cv2.error("the driver stumbles")
        return camera.grabs - 1 not in camera.drops

    def retrieve(self) -> tuple[bool, np.ndarray]:
        width, height = self._camera.size
        return True, np.full((height, width, 3), self._camera.grabs - 1, np.uint8)

    def release(self) -> None:
        self._camera.released += 1


def opened(
    flaky: FlakyCamera, *, fps: float = 100.0, timeout_s: float = FAST_S, retry_s: float = FAST_S
) -> Camera:
    return Camera(0, fps=fps, timeout_s=timeout_s, retry_s=retry_s, opener=flaky)


def is_blank(frame: Frame) -> bool:
    return bool((frame.image == BLANK_GREY).all())


def number(frame: Frame) -> int:
    return int(frame.image[0, 0, 0])


def until(source: Iterator[Frame], wanted: object, limit: int = 400) -> list[Frame]:
    """Frames up to the first for which `wanted(frame)` holds."""
    frames = []
    for frame in islice(source, limit):
        frames.append(frame)
        if wanted(frame):  # type: ignore[operator]
            return frames
    raise AssertionError(f"none of {limit} frames was the one waited for")


def test_pictures_come_in_order_with_their_time_of_capture() -> None:
    began_s = time.perf_counter()
    with opened(FlakyCamera(), timeout_s=PATIENT_S) as camera:
        frames = list(islice(camera, 20))
        ended_s = time.perf_counter()
    numbers = [number(frame) for frame in frames]
    assert numbers == sorted(set(numbers))
    assert [frame.index for frame in frames] == sorted({frame.index for frame in frames})
    assert all(began_s <= frame.captured_s <= ended_s for frame in frames)
    assert all(frame.media_s is None for frame in frames)
    assert frames[0].image.shape == (48, 64, 3) and frames[0].image.flags.c_contiguous


def test_who_fetches_late_gets_the_newest_and_the_rest_is_dropped() -> None:
    flaky = FlakyCamera(fps=100)
    with opened(flaky, timeout_s=PATIENT_S) as camera:
        source = iter(camera)
        first = next(source)
        assert wait_until(lambda: flaky.grabs > number(first) + 12)
        grabs = flaky.grabs
        late = next(source)
    assert number(late) >= grabs - 2, "the last that was handed over, while the next one was grabbed"
    assert late.index - first.index == number(late) - number(first) > 8


def test_single_failures_are_passed_over_without_opening_again() -> None:
    flaky = FlakyCamera(drops=(3, 4, 5), breaks=(8,))
    with opened(flaky) as camera:
        frames = until(iter(camera), lambda frame: number(frame) > 12 and not is_blank(frame))
    seen = {number(frame) for frame in frames if not is_blank(frame)}
    assert not seen & {3, 4, 5, 8}
    assert len(flaky.attempts) == 1


def test_an_unplugged_camera_comes_back_without_a_restart(caplog: pytest.LogCaptureFixture) -> None:
    flaky = FlakyCamera(dies_at=10, returns_after=3)
    with caplog.at_level(logging.INFO), opened(flaky, timeout_s=LOST_AFTER_S / 2) as camera:
        source = iter(camera)
        before = until(source, is_blank)
        during = until(source, lambda frame: not is_blank(frame))
        assert camera.connected
        after = list(islice(source, 5))
    real = [number(frame) for frame in before + during + after if not is_blank(frame)]
    assert max(number(frame) for frame in before[:-1]) == 9
    assert number(during[-1]) == 10
    assert len(real) == len(set(real)), "an old picture was repeated"
    assert real == sorted(real)
    assert [f.index for f in before + during + after] == sorted({f.index for f in before + during + after})
    assert len(flaky.attempts) == 4 and flaky.released == flaky.opened == 2
    lines = [record.getMessage() for record in caplog.records]
    assert lines == ["camera 0 gives no pictures; opening it again every 0.05 s", "camera 0 is back"]


def test_while_it_is_away_blank_pictures_keep_the_pace() -> None:
    flaky = FlakyCamera(dies_at=3, returns_after=10**6, size=(80, 60))
    with opened(flaky, fps=50) as camera:
        source = iter(camera)
        until(source, is_blank)
        started_s = time.perf_counter()
        blanks = list(islice(source, 50))
        taken_s = time.perf_counter() - started_s
        assert not camera.connected and camera.fps == 0.0
    assert all(is_blank(frame) and frame.image.shape == (60, 80, 3) for frame in blanks)
    assert taken_s > 0.9
    gaps = np.diff(flaky.attempts[1:])
    assert len(gaps) and min(gaps) >= FAST_S * 0.9  # no busy loop of opening


def test_it_never_waits_longer_than_its_time_out() -> None:
    with no_hang(), opened(FlakyCamera(dies_at=0, returns_after=10**6), retry_s=STUCK_S) as camera:
        assert is_blank(next(iter(camera)))


def test_the_frame_rate_is_measured_over_the_last_second() -> None:
    flaky = FlakyCamera(fps=200)
    with opened(flaky, fps=30, timeout_s=PATIENT_S) as camera:
        until(iter(camera), lambda frame: number(frame) >= 60)
        flaky.fps = 50  # what came faster within the last second counts too
        until(iter(camera), lambda frame: number(frame) >= 80)
        measured, newest_s = camera.fps, flaky.grabbed_s[-1]
    grabbed_s = [grab_s for grab_s in flaky.grabbed_s if newest_s - 1 < grab_s <= newest_s]
    assert measured == pytest.approx((len(grabbed_s) - 1) / (newest_s - grabbed_s[0]), rel=0.1)


def test_closing_ends_the_iteration_and_the_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("realtime.sources.camera.LEAVE_WITHIN_S", HANG_S)
    for flaky in (FlakyCamera(), FlakyCamera(dies_at=0, returns_after=10**6)):
        camera = opened(flaky)
        reader = threading.Thread(target=lambda camera=camera: list(camera))
        reader.start()
        time.sleep(0.1)
        with no_hang():
            camera.__exit__()
        reader.join(HANG_S)
        assert not reader.is_alive()
        assert flaky.released == flaky.opened
    assert "camera" not in [thread.name for thread in threading.enumerate()]


def test_a_driver_that_hangs_does_not_hold_the_end_up(caplog: pytest.LogCaptureFixture) -> None:
    let_go = threading.Event()

    class HangingDevice(FlakyDevice):
        def grab(self) -> bool:
            let_go.wait(STUCK_S)
            return False

    flaky = FlakyCamera()
    camera = Camera(0, opener=lambda address, size, fps: HangingDevice(flaky))
    with no_hang():
        camera.__exit__()
    assert "does not answer" in caplog.text
    let_go.set()
    assert wait_until(lambda: flaky.released == 1)


STRANGE = [
    cv2.error("the backend stumbles"),
    OSError(19, "No such device"),
    RuntimeError("a binding's own"),
    AttributeError("'NoneType' object has no attribute 'shape'"),
    MemoryError(),
]


@pytest.mark.parametrize("error", STRANGE, ids=lambda error: type(error).__name__)
def test_a_camera_that_fails_oddly_while_it_is_opened_again_comes_back(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    flaky, tries = FlakyCamera(dies_at=3), list[int]()

    def opener(address: int | str, size: tuple[int, int], fps: float) -> FlakyDevice:
        if flaky.dead and len(tries) < 3:
            tries.append(flaky.grabs)
            raise error
        return flaky(address, size, fps)

    with Camera(0, fps=100, timeout_s=FAST_S, retry_s=FAST_S, opener=opener) as camera:
        source = iter(camera)
        until(source, is_blank)
        until(source, lambda frame: not is_blank(frame))
    assert len(tries) == 3
    lines = [record.getMessage() for record in caplog.records if type(error).__name__ in record.getMessage()]
    assert len(lines) == 1, "said once, not with every try"


@pytest.mark.parametrize("error", STRANGE[:3], ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("method", ["grab", "release"])
def test_a_driver_that_raises_while_it_loses_its_camera_ends_nothing(method: str, error: Exception) -> None:
    class Leaving(FlakyDevice):
        def grab(self) -> bool:
            return False

    def raises(device: FlakyDevice) -> bool:
        raise error

    setattr(Leaving, method, raises)
    flaky = FlakyCamera()
    devices = iter((Leaving(flaky), FlakyDevice(flaky)))
    with Camera(0, timeout_s=FAST_S, retry_s=FAST_S, opener=lambda *asked: next(devices)) as camera:
        source = iter(camera)
        until(source, is_blank)
        until(source, lambda frame: not is_blank(frame))


@pytest.mark.parametrize(
    "odd",
    [
        np.zeros((48, 64, 2), np.uint8),  # YUYV as it came
        np.zeros((48, 64), np.uint16),  # a thermal or depth camera
        np.zeros((48, 64, 3), np.float32),
        np.zeros((0, 64, 3), np.uint8),
        "no array",
    ],
    ids=["raw", "16 bits", "floats", "empty", "nothing"],
)
def test_what_is_no_picture_is_passed_over(odd: object) -> None:
    class Odd(FlakyDevice):
        def retrieve(self) -> tuple[bool, object]:  # type: ignore[override]
            return True, odd if self._camera.grabs % 2 else super().retrieve()[1]

    flaky = FlakyCamera()
    with Camera(0, timeout_s=1.0, opener=lambda *asked: Odd(flaky)) as camera:
        frames = list(islice(camera, 5))
    assert all(frame.image.shape == (48, 64, 3) and frame.image.dtype == np.uint8 for frame in frames)


def test_a_programmer_s_error_in_the_grab_thread_is_raised_to_the_reader() -> None:
    class BrokenDevice(FlakyDevice):
        def retrieve(self) -> tuple[bool, np.ndarray]:
            raise TypeError("a bug")

    flaky = FlakyCamera()
    with Camera(0, opener=lambda address, size, fps: BrokenDevice(flaky)) as camera:
        with pytest.raises(TypeError, match="a bug"):
            next(iter(camera))
    assert flaky.released == 1


def test_a_camera_that_is_not_there_is_an_error_at_once() -> None:
    def nothing(address: int | str, size: tuple[int, int], fps: float) -> FlakyDevice:
        raise CameraUnavailable("camera 7 is not there; no camera was found here; plug it in")

    with pytest.raises(CameraUnavailable, match="camera 7 is not there"):
        Camera(7, opener=nothing)


def test_what_is_asked_for_reaches_the_device() -> None:
    asked = []

    def opener(address: int | str, size: tuple[int, int], fps: float) -> FlakyDevice:
        asked.append((address, size, fps))
        return FlakyDevice(FlakyCamera())

    with Camera("/dev/video3", size=(1280, 720), fps=25.0, opener=opener):
        assert asked == [("/dev/video3", (1280, 720), 25.0)]
    with Camera(0, opener=opener):
        assert asked[-1] == (0, (640, 480), 30.0)


def test_blue_and_red_are_not_exchanged() -> None:
    bgr = np.zeros((2, 2, 3), np.uint8)
    bgr[..., 0] = 200  # blue, as OpenCV orders it
    assert as_rgb(bgr)[0, 0].tolist() == [0, 0, 200]
    assert as_rgb(np.full((2, 2), 7, np.uint8))[0, 0].tolist() == [7, 7, 7]


@pytest.mark.parametrize("wrong", [{"fps": 0.0}, {"timeout_s": 0.0}, {"retry_s": -1.0}, {"size": (0, 480)}])
def test_impossible_settings_are_a_programmer_s_error(wrong: dict) -> None:
    with pytest.raises(ValueError, match="all above 0"):
        Camera(0, opener=FlakyCamera(), **wrong)


def test_the_usual_time_out_is_short_enough_for_a_live_line() -> None:
    assert LOST_AFTER_S <= 0.5

# SPDX-License-Identifier: MIT
"""What every source promises, whatever it reads."""

import threading
import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow
from waiting import HANG_S, no_hang, wait_until

from realtime.frame import Source
from realtime.sources import SOURCES, Camera, Images, TestCard, Video

NAP_S, FRESH_S = 0.3, 0.1


class SteadyDevice:
    """A camera that never fails, 100 pictures a second."""

    def grab(self) -> bool:
        time.sleep(0.01)
        return True

    def retrieve(self) -> tuple[bool, np.ndarray]:
        return True, np.full((48, 64, 3), 77, np.uint8)

    def release(self) -> None:
        self.released = True


def folder(path: Path) -> Path:
    for number in range(100):
        Pillow.new("RGB", (64, 48), (number, 0, 0)).save(path / f"{number}.png")
    return path


BUILDERS: dict[str, Callable[[Path, Path], Source]] = {
    "camera": lambda path, clip: Camera(0, opener=lambda address, size, fps: SteadyDevice()),
    "video": lambda path, clip: Video(clip),
    "images": lambda path, clip: Images(folder(path)),
    "testcard": lambda path, clip: TestCard(),
}
OFFLINE: dict[str, Callable[[Path, Path], Source]] = {
    "video": lambda path, clip: Video(clip, live=False),
    "images": lambda path, clip: Images(folder(path), live=False),
    "testcard": lambda path, clip: TestCard(live=False, frames=50),
}


@pytest.fixture
def before() -> set[threading.Thread]:
    """The threads there were before the source was opened."""
    return set(threading.enumerate())


@pytest.fixture(params=SOURCES)
def source(request: pytest.FixtureRequest, tmp_path: Path, clip: Path) -> Iterator[Source]:
    with BUILDERS[request.param](tmp_path, clip) as opened:
        yield opened


@pytest.fixture(params=OFFLINE)
def offline(request: pytest.FixtureRequest, tmp_path: Path, clip: Path) -> Iterator[Source]:
    with OFFLINE[request.param](tmp_path, clip) as opened:
        yield opened


def test_every_registered_source_is_tested() -> None:
    assert set(BUILDERS) == set(SOURCES)
    assert set(OFFLINE) == set(SOURCES) - {"camera"}


def test_frames_are_contiguous_rgb_of_one_size(source: Source) -> None:
    frames = list(islice(source, 8))
    assert len({frame.image.shape for frame in frames}) == 1
    for frame in frames:
        assert frame.image.dtype == np.uint8 and frame.image.ndim == 3 and frame.image.shape[2] == 3
        assert frame.image.flags.c_contiguous


def test_no_two_frames_share_their_pixels(source: Source) -> None:
    frames = list(islice(source, 4))
    for first, second in zip(frames, frames[1:], strict=False):
        assert not np.shares_memory(first.image, second.image)


def test_numbers_rise_and_time_of_capture_lies_in_the_past(source: Source) -> None:
    last_index, last_s = -1, 0.0
    for frame in islice(source, 10):
        assert frame.index > last_index
        assert last_s < frame.captured_s <= time.perf_counter()
        assert frame.media_s is None
        last_index, last_s = frame.index, frame.captured_s


def test_live_it_is_live_and_knows_its_rate(source: Source) -> None:
    assert source.live
    next(iter(source))
    assert 0 < source.fps < 1000


def test_live_a_slow_reader_gets_fresh_frames_and_gaps(source: Source) -> None:
    """Each nap would put a queue further behind; a machine that is busy now and then does not."""
    iterator = iter(source)

    def fresh() -> bool:
        before = next(iterator)
        time.sleep(NAP_S)
        asked_s = time.perf_counter()
        late = next(iterator)
        return asked_s - late.captured_s < FRESH_S and late.index - before.index > 4

    assert wait_until(fresh)


def test_it_ends_from_another_thread(source: Source) -> None:
    reader = threading.Thread(target=lambda: list(islice(source, 100_000)))
    reader.start()
    time.sleep(0.1)
    with no_hang():
        source.__exit__(None, None, None)
    reader.join(HANG_S)
    assert not reader.is_alive()


def test_after_closing_no_frame_comes(source: Source) -> None:
    next(iter(source))
    source.__exit__(None, None, None)
    source.__exit__(None, None, None)  # closing twice is no error
    assert list(islice(source, 3)) == []


def test_it_leaves_no_thread_behind(
    before: set[threading.Thread], source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("realtime.sources.camera.LEAVE_WITHIN_S", HANG_S)
    list(islice(source, 3))
    source.__exit__(None, None, None)
    assert set(threading.enumerate()) <= before


def test_offline_every_frame_comes_with_its_media_time(offline: Source) -> None:
    assert not offline.live
    frames = list(offline)
    assert [frame.index for frame in frames] == list(range(len(frames)))
    assert [frame.media_s for frame in frames] == pytest.approx(
        [number / offline.fps for number in range(len(frames))], abs=0.002
    )
    assert len(frames) >= 30


def test_offline_it_can_be_read_again_frame_for_frame(tmp_path: Path, clip: Path) -> None:
    for build in OFFLINE.values():
        images = []
        for _ in range(2):
            with build(tmp_path, clip) as opened:
                images.append([frame.image for frame in islice(opened, 10)])
        assert all(np.array_equal(one, other) for one, other in zip(*images, strict=True))

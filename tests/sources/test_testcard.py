# SPDX-License-Identifier: MIT
"""The test card keeps its pace, can be read back, and leaves out what nobody fetched."""

import io
import time

import numpy as np
import pytest
from PIL import Image as Pillow
from waiting import STUCK_S, no_hang

from realtime.sources.pacing import Pace, Ticks
from realtime.sources.testcard import TestCard, read_counter

SIZES = [(640, 480), (1280, 720), (64, 48), (100, 77), (360, 640)]


@pytest.mark.parametrize("size", SIZES)
def test_the_number_can_be_read_back(size: tuple[int, int]) -> None:
    with TestCard(size, live=False, frames=300) as card:
        for frame in card:
            assert frame.image.shape == (size[1], size[0], 3) and frame.image.dtype == np.uint8
            assert read_counter(frame.image) == frame.index
    assert frame.index == 299


def test_the_number_survives_compression_and_scaling() -> None:
    for frame in TestCard((640, 480), live=False, frames=70):
        picture = Pillow.fromarray(frame.image)
        stream = io.BytesIO()
        picture.save(stream, "JPEG", quality=30)
        assert read_counter(np.asarray(Pillow.open(stream))) == frame.index
        assert read_counter(np.asarray(picture.resize((320, 240)))) == frame.index
        assert read_counter(np.asarray(picture.resize((1000, 700)))) == frame.index


def test_what_is_no_card_has_no_number() -> None:
    assert read_counter(np.full((480, 640, 3), 96, np.uint8)) is None
    noise = np.random.default_rng(0).integers(0, 255, (480, 640, 3), dtype=np.uint8)
    assert read_counter(noise) is None
    for frame in TestCard((320, 240), live=False, frames=100):
        assert read_counter(frame.image[:, ::-1]) is None
        assert read_counter(frame.image[::-1]) is None


def test_the_card_moves() -> None:
    first, second = [frame.image for frame in TestCard(live=False, frames=2)]
    assert np.any(first[:360] != second[:360])


def test_live_it_keeps_the_pace() -> None:
    with TestCard(fps=50, frames=26) as card:
        started_s = time.perf_counter()
        frames = list(card)
    assert time.perf_counter() - started_s >= 0.5
    assert np.diff([frame.captured_s for frame in frames]) == pytest.approx(
        np.diff([frame.index for frame in frames]) / 50, abs=1e-6
    )
    assert frames[0].media_s is None


def test_live_what_nobody_fetched_is_left_out() -> None:
    with TestCard(fps=100, frames=60) as card:
        indices, asked_s = [], time.perf_counter()
        for frame in card:
            assert frame.captured_s > asked_s - 0.011, "the newest when it was asked for"
            indices.append(frame.index)
            time.sleep(0.1)
            asked_s = time.perf_counter()
    assert 1 <= len(indices) <= 7
    assert min(np.diff(indices), default=9) >= 9


def test_offline_every_card_comes_at_once_with_its_media_time() -> None:
    with no_hang():
        frames = list(TestCard(fps=30 / STUCK_S, live=False, frames=30))
    assert [frame.index for frame in frames] == list(range(30))
    assert [frame.media_s for frame in frames] == pytest.approx([n * STUCK_S / 30 for n in range(30)])


@pytest.mark.parametrize(("size", "fps"), [((63, 48), 30.0), ((64, 47), 30.0), ((640, 480), 0.0)])
def test_impossible_cards_are_a_programmer_s_error(size: tuple[int, int], fps: float) -> None:
    with pytest.raises(ValueError, match="expected"):
        TestCard(size, fps)


def test_a_wait_is_kept_and_ends_when_closed() -> None:
    pace = Pace()
    start_s = pace.due_s(0.0)
    assert pace.wait_until(start_s + 0.05)
    assert time.perf_counter() - start_s >= 0.05
    pace.close()
    with no_hang():
        assert not pace.wait_until(time.perf_counter() + STUCK_S)


def test_a_slipped_pace_moves_all_later_deadlines() -> None:
    pace = Pace()
    before_s = pace.due_s(1.0)
    pace.slip(0.25)
    assert pace.due_s(1.0) == pytest.approx(before_s + 0.25)


def test_ticks_never_come_twice() -> None:
    ticks = Ticks(1000.0, live=True)
    seen = []
    for _ in range(50):
        number = ticks.upcoming()
        assert ticks.wait_for(number) is not None
        seen.append(number)
    assert min(np.diff(seen)) >= 1

# SPDX-License-Identifier: MIT
"""Pictures as a clip: natural order, one still for ever, errors that name the picture."""

import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow

from face.errors import BadImage, WrongUse
from realtime.sources.images import Images, picture_paths


def grey(path: Path, level: int) -> Path:
    Pillow.new("RGB", (40, 30), (level, level, level)).save(path)
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three pictures whose natural order is not their order by letters, and what does not belong to them."""
    grey(tmp_path / "frame10.png", 100)
    grey(tmp_path / "frame9.png", 90)
    grey(tmp_path / "Frame011.PNG", 110)
    (tmp_path / "notes.txt").write_text("not a picture")
    grey(tmp_path / ".hidden.png", 1)
    (tmp_path / "more.png").mkdir()
    return tmp_path


def levels(frames: list) -> list[int]:
    return [int(frame.image[0, 0, 0]) for frame in frames]


def test_a_folder_comes_once_in_natural_order(folder: Path) -> None:
    with Images(folder, fps=10, live=False) as source:
        frames = list(source)
    assert levels(frames) == [90, 100, 110]
    assert [frame.media_s for frame in frames] == pytest.approx([0.0, 0.1, 0.2])
    assert frames[0].image.shape == (30, 40, 3) and frames[0].image.dtype == np.uint8


def test_live_a_folder_is_paced_and_ends(folder: Path) -> None:
    with Images(folder, fps=20) as source:
        frames = list(source)
    assert levels(frames) == [90, 100, 110]
    assert frames[-1].captured_s - frames[0].captured_s == pytest.approx(0.1, abs=1e-6)


def test_live_a_folder_can_be_repeated(folder: Path) -> None:
    with Images(folder, fps=100, loop=True) as source:
        frames = list(islice(source, 7))
    order = [90, 100, 110]
    assert levels(frames) == [order[frame.index % 3] for frame in frames]


def test_live_what_nobody_fetched_is_not_even_read(folder: Path) -> None:
    grey(folder / "frame8.png", 80)
    for number in range(12, 20):
        grey(folder / f"frame{number}.png", 10 * number)
    with Images(folder, fps=10) as source:
        iterator = iter(source)
        next(iterator)
        (folder / "frame9.png").write_bytes(b"damaged")
        time.sleep(0.21)
        assert levels([next(iterator)])[0] >= 100


def test_live_one_picture_is_repeated_for_ever(tmp_path: Path) -> None:
    with Images(grey(tmp_path / "still.png", 50), fps=100) as source:
        frames = list(islice(source, 20))
    assert levels(frames) == [50] * 20
    frames[0].image[:] = 0
    assert levels(frames[1:]) == [50] * 19  # who draws into one frame does not draw into the next


def test_offline_one_picture_comes_once(tmp_path: Path) -> None:
    assert len(list(Images(grey(tmp_path / "still.png", 50), live=False))) == 1


def test_a_damaged_picture_is_named_when_its_turn_comes(folder: Path) -> None:
    (folder / "frame10.png").write_bytes(b"damaged")
    source = iter(Images(folder, live=False))
    next(source)
    with pytest.raises(BadImage, match=r"frame10\.png holds no picture"):
        next(source)


def test_a_damaged_first_picture_is_refused_at_once(folder: Path) -> None:
    (folder / "frame9.png").write_bytes(b"damaged")
    with pytest.raises(BadImage, match=r"frame9\.png"):
        Images(folder)


def test_a_folder_without_pictures_says_what_it_holds(tmp_path: Path) -> None:
    with pytest.raises(BadImage, match="holds nothing, expected pictures"):
        Images(tmp_path)
    for name in ("a.txt", "b.txt", "c.mp4", "d"):
        (tmp_path / name).write_text("x")
    with pytest.raises(BadImage, match=r"holds 2 x \.txt, 1 x (\.mp4|no ending), 1 x .*expected pictures"):
        Images(tmp_path)


def test_a_missing_folder_or_picture_is_wrong_use(tmp_path: Path) -> None:
    with pytest.raises(WrongUse, match="does not exist"):
        Images(tmp_path / "still.png")
    with pytest.raises(WrongUse, match="does not exist"):
        picture_paths(tmp_path / "pictures")


def test_an_unreadable_picture_is_named_as_such(unreadable: Callable[[str], Path]) -> None:
    with pytest.raises(BadImage, match="may not be read by this user"):
        Images(unreadable("secret.png"))


def test_an_offline_loop_is_a_programmer_s_error(folder: Path) -> None:
    with pytest.raises(ValueError, match="never end"):
        Images(folder, live=False, loop=True)

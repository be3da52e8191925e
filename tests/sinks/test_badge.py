# SPDX-License-Identifier: MIT
"""The badge can be seen, is drawn once, and changes nothing else."""

import numpy as np
import pytest

from face.errors import BadVideo
from realtime import badge as badges
from realtime.badge import CORNERS, Badge, is_marked, synthetic_metadata


def grey(height: int = 512, width: int = 512) -> np.ndarray:
    return np.full((height, width, 3), 128, np.uint8)


@pytest.mark.parametrize("corner", CORNERS)
def test_the_badge_is_in_its_corner_and_nowhere_else(corner: str) -> None:
    before = grey(300, 400)
    changed = (Badge(corner=corner)(before) != before).any(axis=2)
    rows, columns = np.nonzero(changed)
    assert 40 < changed.sum() < 0.01 * changed.size
    assert (rows.max() < 60) if corner.startswith("top") else (rows.min() > 240)
    assert (columns.max() < 80) if corner.endswith("left") else (columns.min() > 320)


def test_the_letters_are_white_on_dark_whatever_lies_below() -> None:
    for level in (0, 128, 255):
        marked = Badge()(np.full((512, 512, 3), level, np.uint8))[-45:, -70:]
        assert marked.max() >= 240 and marked.min() < 100


def test_the_picture_below_is_not_written_to() -> None:
    image = grey()
    Badge()(image)
    assert (image == 128).all()


def test_switched_off_the_picture_goes_through_as_it_is() -> None:
    badge, image = Badge(), grey()
    badge.enabled = False
    assert badge(image) is image


@pytest.mark.parametrize("height, width", [(1, 1), (3, 200), (200, 3), (20, 20), (720, 1280)])
def test_a_picture_of_any_size_is_marked_without_an_error(height: int, width: int) -> None:
    badge = Badge("synthetic")
    assert badge(grey(height, width)).shape == (height, width, 3)
    assert badge(grey(64, 64)).shape == (64, 64, 3)  # and the size may change


def test_the_letters_are_drawn_once_for_a_size(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[str] = []
    draw = badges._bitmap
    monkeypatch.setattr(badges, "_bitmap", lambda *given: drawn.append("") or draw(*given))
    badge = Badge()
    for size in (512, 256):
        for _ in range(20):
            badge(grey(size, size))
    assert len(drawn) == 2


@pytest.mark.parametrize("wrong", [{"corner": "middle"}, {"text": ""}, {"height": 0.0}])
def test_a_badge_that_cannot_be_is_refused(wrong: dict) -> None:
    with pytest.raises(ValueError):
        Badge(**wrong)


def test_the_metadata_names_the_kind_of_source_for_machines() -> None:
    assert "digitalsourcetype/trainedAlgorithmicMedia" in synthetic_metadata()["comment"]
    assert "digitalsourcetype/algorithmicMedia" in synthetic_metadata("algorithmicMedia")["comment"]
    with pytest.raises(ValueError, match="expected one of"):
        synthetic_metadata("digitalCapture")


def test_a_file_that_is_no_video_is_refused_in_one_line(tmp_path) -> None:
    path = tmp_path / "note.mp4"
    path.write_text("no video")
    with pytest.raises(BadVideo, match="no video that can be read") as caught:
        is_marked(path)
    assert "\n" not in str(caught.value)

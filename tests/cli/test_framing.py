# SPDX-License-Identifier: MIT
"""The slot a puppet stands in, the part of the picture that is shown, and what stands on it."""

import numpy as np
import pytest
from cli_stage import FRONTAL, Card, a_motion

from face.motion import BLENDSHAPE_INDEX
from realtime.live.overlay import draw_landmarks, draw_lines
from realtime.live.reference import ReferenceSearch, distance
from realtime.live.slot import Framing, PuppetSlot


def numbered(width: int = 80, height: int = 60) -> np.ndarray:
    """A picture whose red grows to the right and whose green grows downwards."""
    image = np.zeros((height, width, 3), np.uint8)
    image[..., 0] = np.arange(width)
    image[..., 1] = np.arange(height)[:, None]
    return image


def test_the_whole_picture_is_passed_on_as_it_is() -> None:
    image = numbered()
    assert Framing()(image) is image


def test_zoom_shows_the_middle_and_nudges_move_it() -> None:
    framing = Framing().zoomed(2.0)
    assert abs(int(framing(numbered())[..., 0].mean()) - 39) <= 1
    right = framing.moved(0.1, 0.0)
    assert int(right(numbered())[..., 0].mean()) - int(framing(numbered())[..., 0].mean()) == 8
    down = framing.moved(0.0, 0.2)
    assert int(down(numbered())[..., 1].mean()) - int(framing(numbered())[..., 1].mean()) == 12


def test_zooming_out_brings_the_crop_back_inside() -> None:
    corner = Framing().zoomed(4.0).moved(1.0, 1.0)
    assert corner.x == pytest.approx(0.375)
    assert corner.zoomed(0.01) == Framing()


def test_flip_exchanges_left_and_right_and_nothing_else() -> None:
    assert np.array_equal(Framing(flip=True)(numbered()), numbered()[:, ::-1])


@pytest.mark.parametrize("size", [(1, 1), (3, 2), (641, 479)])
def test_any_size_can_be_framed(size: tuple[int, int]) -> None:
    image = np.zeros((size[1], size[0], 3), np.uint8)
    assert Framing(3.7, 0.2, -0.2, True)(image).shape == image.shape


def test_a_slot_without_a_fade_changes_at_once() -> None:
    slot = PuppetSlot(Card(10), fade_s=0.0)
    assert slot(a_motion()).max() == 10
    slot.swap(Card(200))
    assert slot(a_motion()).min() == 200


def test_a_slot_fades_between_puppets_of_different_sizes() -> None:
    slot = PuppetSlot(Card(0), fade_s=60.0)
    slot(a_motion())
    large = Card(200)
    large._image = np.full((100, 120, 3), 200, np.uint8)
    slot.swap(large)
    faded = slot(a_motion())
    assert faded.shape == (100, 120, 3) and faded.max() < 20, "the fade has just begun"


def test_lines_are_drawn_readably_and_cut_to_the_picture() -> None:
    image = np.full((240, 320, 3), 128, np.uint8)
    draw_lines(
        image, ("a message much longer than the picture is wide " * 3, "ä second line"), at_bottom=True
    )
    assert image.max() > 240 and image.min() < 20, "white letters with a dark rim"
    assert (image[:120] == 128).all(), "at the bottom means at the bottom"


def test_landmarks_are_drawn_without_the_driver() -> None:
    image = np.full((240, 320, 3), 128, np.uint8)
    draw_landmarks(image, a_motion())
    changed = (image != 128).any(axis=2)
    assert changed[:80, 220:].any() and not changed[:, :210].any()
    lost = np.full((240, 320, 3), 128, np.uint8)
    draw_landmarks(lost, a_motion(confidence=0.0))
    assert np.unique(lost).tolist() == [32, 128], "without a face the inset is empty"


def test_distance_grows_with_turning_and_with_grimaces_but_little_with_looks() -> None:
    def with_score(name: str, value: float) -> float:
        motion = a_motion()
        motion.blendshapes[BLENDSHAPE_INDEX[name]] = value
        return distance(motion, FRONTAL)

    assert distance(a_motion(), FRONTAL) == 0
    assert distance(a_motion(yaw=10), FRONTAL) < distance(a_motion(yaw=20), FRONTAL)
    assert with_score("jawOpen", 0.5) > 2 * with_score("eyeLookInLeft", 0.5) > 0


def test_the_search_takes_clearly_better_moments_only() -> None:
    search = ReferenceSearch(FRONTAL, ends_s=0.0)
    taken = [search(a_motion(yaw=yaw)) for yaw in (20, 21, 19.5, 10, 9.5, 2)]
    assert taken == [True, False, False, True, False, True]
    assert not search(a_motion(confidence=0.4))

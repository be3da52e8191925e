# SPDX-License-Identifier: MIT
"""The generated head in its photo when it moves: nothing of the old one stays, and the neck goes along."""

import cv2
import numpy as np
import pytest
from skimage import data

from face.alignment import aligned_crop
from face.arrays import Floats, Image
from methods.paste_back import STILL, HeadMove, PasteBack
from methods.portrait import open_portrait

GREEN = (0, 255, 0)
SEEN_THROUGH = 0.005  # of the person's pixels may become or cease to be mixed with the background
MOVES = [
    HeadMove((0, 0, 20), (0.3, 0), 1),
    HeadMove((0, 0, -20), (-0.3, 0), 1),
    HeadMove((0, 0, 0), (0.45, -0.2), 1),
    HeadMove((0, 0, 0), (-0.45, -0.3), 1),
    HeadMove((0, 0, 0), (0, -0.45), 1.1),
]


class Green:
    """The astronaut before a green wall, and what a perfect generator draws of her."""

    def __init__(self) -> None:
        portrait = open_portrait(data.astronaut(), longest=512)
        share = portrait.alpha[..., None]
        self.photo = (portrait.image * share + np.array(GREEN) * (1 - share)).astype(np.uint8)
        self.alpha, self.landmarks = portrait.alpha, portrait.landmarks
        crop = aligned_crop(self.photo, portrait.landmarks, 256)
        self.crop, self.crop_alpha = crop.image, cv2.warpAffine(portrait.alpha, crop.to_crop, (256, 256))
        self.paste = PasteBack(self.photo, portrait.alpha, portrait.landmarks, 256)
        self.paste.match_colours(self.crop, self.crop_alpha)

    def __call__(self, move: HeadMove) -> Image:
        return self.paste(self.crop, self.crop_alpha, move)


@pytest.fixture(scope="module")
def green() -> Green:
    return Green()


def mixed(image: Image) -> Floats:
    """(H, W) where a pixel is neither the wall nor free of it."""
    values = image.astype(int)
    return (values[..., 1] > values[..., [0, 2]].max(2) + 20) & (np.abs(values - GREEN).max(2) > 25)


@pytest.mark.parametrize("move", MOVES)
def test_no_ghost_stands_beside_a_moved_head(green: Green, move: HeadMove) -> None:
    still, moved = green(STILL), green(move)
    person = (np.abs(still.astype(int) - GREEN).max(2) > 60).sum()
    assert abs(int(mixed(moved).sum()) - int(mixed(still).sum())) < SEEN_THROUGH * person


@pytest.mark.parametrize("move", MOVES)
def test_the_neck_follows_the_head(green: Green, move: HeadMove) -> None:
    """From the chin, wherever it went, down to the collar there is no gap."""
    chin = green.landmarks[152, :2]
    eyes = float(np.hypot(*(green.landmarks[33] - green.landmarks[263])[:2]))
    to = chin + np.array(move.shift) * eyes
    moved = green(move)
    for share in np.linspace(0, 1, 60):
        x, y = np.round(to * (1 - share) + (chin + (0, 0.6 * eyes)) * share).astype(int)
        red, level, blue = moved[y, x].astype(int)
        assert level < max(red, blue) + 40, (x, y, moved[y, x])


def test_a_still_head_is_the_photo_and_shoulders_stay_where_they_are(green: Green) -> None:
    chin = int(green.landmarks[152, 1])
    still = green(STILL)
    solid = green.alpha > 0.98
    assert float(np.abs(still.astype(int) - green.photo)[solid].mean()) < 3
    low = chin + int(0.75 * green.paste._side * float(np.hypot(*green.paste._to_photo[:, 0])))
    for move in MOVES:
        assert np.abs(green(move)[low:].astype(int) - green.photo[low:]).max() <= 1


def test_hair_that_the_head_no_longer_carries_is_not_left_hanging(green: Green) -> None:
    """Where the drawn head does not reach the crop's top, the photo's own hair above it goes as well."""
    crown = int(green.landmarks[10, 1] - 0.9 * (green.landmarks[152, 1] - green.landmarks[10, 1]))
    top = max(crown, 0)
    hair = (np.abs(green(STILL)[: top + 40].astype(int) - GREEN).max(2) > 60).sum()
    lower = green.crop_alpha.copy()
    lower[:40] = 0  # bald
    bald = green.paste(green.crop, lower, STILL)
    left = (np.abs(bald[: top + 40].astype(int) - GREEN).max(2) > 60).sum()
    assert left < 0.2 * hair


def test_single_hairs_beyond_the_matte_go_along(green: Green) -> None:
    photo, (x, y) = green.photo.copy(), np.round(green.landmarks[10, :2]).astype(int)
    photo[green.alpha < 0.02] = (150, 190, 230)
    cv2.line(photo, (int(x + 50), int(y - 20)), (int(x + 110), int(y + 50)), (90, 70, 50), 1, cv2.LINE_AA)
    hair = np.abs(photo.astype(int) - (150, 190, 230)).max(2) > 12
    hair &= cv2.dilate(green.alpha, np.ones((7, 7))) < 0.02
    assert hair.sum() > 15
    paste = PasteBack(photo, green.alpha, green.landmarks, 256)
    moved = paste(green.crop, green.crop_alpha, HeadMove((0, 0, 0), (-0.4, 0), 1))
    assert float(np.abs(moved[hair].astype(int) - (150, 190, 230)).max(1).mean()) < 12

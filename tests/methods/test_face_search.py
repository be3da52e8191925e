# SPDX-License-Identifier: MIT
"""Portraits as they come: lying on their side or head, far away in a large photo, or no face at all."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from skimage import data

from face.arrays import Image
from face.errors import BadPortrait
from face.face_model import face_model
from face.pose import euler_angles
from methods import face_search
from methods.face_search import find_face, width_of
from methods.method import Opening
from methods.portrait import SMALLEST_SHOWN_PX, open_portrait
from methods.registry import open_puppet
from methods.subject import Photo

SAME_PLACE_PX = 4.0  # between two readings of one face in one place
PORTRAITS = Path(__file__).resolve().parents[3] / "shared" / "data" / "portraits"


@pytest.fixture(scope="module")
def astronaut() -> Image:
    return np.ascontiguousarray(data.astronaut())


def far_away(astronaut: Image, share: float) -> Image:
    """The astronaut in a photo of 4000 x 3000: `share` times as large as the picture is."""
    rows, columns = np.mgrid[0:3000, 0:4000].astype(np.float32)
    photo = np.dstack((90 + columns / 60, 120 + rows / 60, 150 - columns / 60)).astype(np.uint8)
    person = cv2.resize(astronaut, None, fx=share, fy=share, interpolation=cv2.INTER_CUBIC)
    height, width = person.shape[:2]
    photo[3000 - height :, 1500 : 1500 + width] = person
    return photo


@pytest.mark.parametrize("turn", [0, 1, 2, 3])
def test_a_photo_lying_on_its_side_or_head_is_turned_upright(astronaut: Image, turn: int) -> None:
    upright, face = find_face(np.ascontiguousarray(np.rot90(astronaut, turn)), "me")
    assert np.array_equal(upright, astronaut)
    plain = find_face(astronaut, "me")[1]
    assert np.abs(face.landmarks - plain.landmarks).max() < SAME_PLACE_PX


def test_a_tilted_head_is_no_turned_photo(astronaut: Image) -> None:
    middle = (256, 256)
    tilted = cv2.warpAffine(
        astronaut, cv2.getRotationMatrix2D(middle, 40, 1), (512, 512), borderMode=cv2.BORDER_REPLICATE
    )
    assert find_face(tilted, "me")[0] is tilted


@pytest.mark.parametrize("grey", [False, True], ids=["colour", "grey"])
def test_a_negative_is_refused_in_one_line(
    astronaut: Image, grey: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    photo = np.dstack([cv2.cvtColor(astronaut, cv2.COLOR_RGB2GRAY)] * 3) if grey else astronaut
    assert find_face(photo, "me")[0] is photo
    with pytest.raises(BadPortrait, match=r"^me: .*negative; use the photo itself$|^me: no face found"):
        find_face(255 - photo, "me")
    # What the tracker takes for a face in a negative must not pass, wherever it sees one.
    face = find_face(photo, "me")[1]
    monkeypatch.setattr(face_search, "_search", lambda *given, **named: [face])
    with pytest.raises(BadPortrait, match="as in a negative"):
        find_face(255 - photo, "me")


def test_a_small_face_in_a_large_photo_is_found_and_shown_as_head_and_shoulders(astronaut: Image) -> None:
    photo = far_away(astronaut, 2.5)
    portrait = open_portrait(photo, "me", longest=512)
    height, width = portrait.image.shape[:2]
    assert max(height, width) <= 512
    face = np.ptp(portrait.landmarks[:, 0])
    assert face > 0.95 * SMALLEST_SHOWN_PX
    left, right = portrait.landmarks[:, 0].min(), portrait.landmarks[:, 0].max()
    assert abs((left + right) / 2 - width / 2) < 0.1 * width
    assert portrait.landmarks[:, 1].min() > 0.2 * height, "room for hair"
    assert portrait.landmarks[:, 1].max() < 0.8 * height, "and for shoulders"
    whole = open_portrait(photo, "me", longest=512, whole=True)
    assert whole.image.shape == (384, 512, 3) and np.ptp(whole.landmarks[:, 0]) < 50


def test_the_cut_is_made_from_the_photos_own_pixels(astronaut: Image) -> None:
    photo = far_away(astronaut, 1.0)  # a face of 105 pixels, 2.6 % of the width
    face = find_face(photo, "me")[1]
    portrait = open_portrait(photo, "me", longest=512)
    assert np.ptp(portrait.landmarks[:, 0]) == pytest.approx(width_of(face)), "neither shrunk nor enlarged"
    corner = np.round(face.landmarks[0] - portrait.landmarks[0]).astype(int)
    height, width = portrait.image.shape[:2]
    own = photo[corner[1] : corner[1] + height, corner[0] : corner[0] + width]
    assert np.array_equal(own, portrait.image)


def test_a_photo_that_is_not_reduced_is_shown_whole(astronaut: Image) -> None:
    assert np.array_equal(open_portrait(astronaut, longest=512).image, astronaut)
    large = cv2.resize(astronaut, None, fx=2.0, fy=2.0)[:700, 250:950]
    assert open_portrait(large, longest=650).image.shape == (650, 650, 3), "its face stays large"


def test_the_flag_reaches_the_puppet(astronaut: Image) -> None:
    photo = Photo("me", far_away(astronaut, 2.5))
    cut = open_puppet("mesh", photo, Opening(256))
    whole = open_puppet("mesh", photo, Opening(256, whole_photo=True))
    assert whole.size == (256, 192) and cut.size[0] == cut.size[1] == 256


@pytest.mark.skipif(not PORTRAITS.is_dir(), reason="the shared portraits are not here")
def test_shared_portraits_are_turned_upright_and_their_negatives_refused() -> None:
    for path in sorted(PORTRAITS.glob("*.jpg"))[::32]:
        image = cv2.resize(cv2.imread(str(path))[..., ::-1], (512, 512), interpolation=cv2.INTER_AREA)
        for turn in range(4):
            upright, face = find_face(np.ascontiguousarray(np.rot90(image, turn)), path.name)
            assert np.array_equal(upright, image), (path.name, turn)
        roll = euler_angles(face_model().unpose(face.landmarks)[1])[2]
        assert abs(roll) < 30
        with pytest.raises(BadPortrait):
            find_face(255 - image, path.name)

# SPDX-License-Identifier: MIT
"""Pictures keep their shape in any output size, and bars are where no picture is."""

import numpy as np
import pytest

from face.errors import WrongUse
from realtime.sinks.fit import FITS, Fitter, crop, letterbox


@pytest.mark.parametrize(
    "picture, target, box",
    [
        ((512, 512), (1280, 720), (280, 0, 720, 720)),
        ((1280, 720), (1280, 720), (0, 0, 1280, 720)),
        ((1920, 1080), (1280, 720), (0, 0, 1280, 720)),
        ((1000, 100), (100, 100), (0, 45, 100, 10)),
        ((1, 5000), (100, 100), (49, 0, 1, 100)),  # never thinner than a pixel
    ],
)
def test_letterbox_shows_the_whole_picture_in_the_middle(picture, target, box) -> None:
    assert letterbox(picture, target) == box


@pytest.mark.parametrize(
    "picture, target, box",
    [
        ((512, 512), (1280, 720), (0, 112, 512, 288)),
        ((1280, 720), (512, 512), (280, 0, 720, 720)),
        ((640, 480), (640, 480), (0, 0, 640, 480)),
        ((5000, 1), (100, 100), (2499, 0, 1, 1)),
    ],
)
def test_crop_fills_the_target_with_the_middle_of_the_picture(picture, target, box) -> None:
    assert crop(picture, target) == box


def quadrants(height: int, width: int) -> np.ndarray:
    image = np.zeros((height, width, 3), np.uint8)
    image[: height // 2, : width // 2] = (255, 0, 0)
    image[: height // 2, width // 2 :] = (0, 255, 0)
    image[height // 2 :, : width // 2] = (0, 0, 255)
    image[height // 2 :, width // 2 :] = (255, 255, 0)
    return image


def test_a_letterboxed_picture_has_bars_in_their_colour_beside_it() -> None:
    fitted = Fitter((64, 32), bars=(9, 8, 7))(quadrants(100, 100))
    assert fitted.shape == (32, 64, 3)
    assert (fitted[:, :16] == (9, 8, 7)).all() and (fitted[:, 48:] == (9, 8, 7)).all()
    assert tuple(fitted[2, 18]) == (255, 0, 0) and tuple(fitted[30, 46]) == (255, 255, 0)


def test_a_cropped_picture_leaves_no_bars() -> None:
    fitted = Fitter((64, 32), "crop")(quadrants(100, 100))
    assert tuple(fitted[0, 0]) == (255, 0, 0) and tuple(fitted[31, 63]) == (255, 255, 0)
    assert fitted.any(axis=2).all()


@pytest.mark.parametrize("fit", FITS)
def test_a_picture_that_fits_already_is_handed_on_uncopied(fit: str) -> None:
    image = quadrants(32, 64)
    assert Fitter((64, 32), fit)(image) is image


@pytest.mark.parametrize("fit", FITS)
def test_one_picture_stays_whole_while_the_next_is_fitted(fit: str) -> None:
    fitter = Fitter((64, 32), fit)
    first = fitter(np.full((10, 10, 3), 200, np.uint8))
    kept = first.copy()
    second = fitter(np.full((10, 10, 3), 50, np.uint8))
    assert (first == kept).all() and not np.shares_memory(first, second)
    assert np.shares_memory(fitter(np.full((10, 10, 3), 10, np.uint8)), first)  # two buffers, no more


def test_a_picture_of_another_shape_leaves_nothing_of_the_last_one() -> None:
    fitter = Fitter((64, 32))
    fitter(np.full((10, 100, 3), 200, np.uint8))
    fitter(np.full((10, 100, 3), 200, np.uint8))
    fitted = fitter(np.full((100, 10, 3), 50, np.uint8))
    assert set(np.unique(fitted)) == {0, 50}


@pytest.mark.parametrize("size, fit", [((64, 32), "stretch"), ((0, 32), "crop")])
def test_a_fit_that_is_none_is_refused(size, fit) -> None:
    with pytest.raises(WrongUse, match="expected"):
        Fitter(size, fit)

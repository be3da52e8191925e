# SPDX-License-Identifier: MIT
"""Pictures that are off in known ways, judged against the truth."""

import cv2
import numpy as np
import pytest

from evaluation.against_truth import apart, regions, squares
from face.face_model import face_model

LANDMARKS = (face_model().mean * 120 + (256, 200, 0)).astype(np.float32)  # outer eyes 120 px apart


def noise(seed: int = 0) -> np.ndarray:
    picture = np.random.default_rng(seed).integers(0, 256, (512, 512, 3)).astype(np.uint8)
    return cv2.GaussianBlur(picture, (0, 0), 1.5)


def test_the_mouth_is_in_the_face_and_around_the_lips() -> None:
    face, mouth = regions(LANDMARKS, (512, 512))
    assert not (mouth & ~face).any()
    x, y = np.round(LANDMARKS[[13, 1], :2]).astype(int).T
    assert mouth[y[0], x[0]] and face[y[1], x[1]] and not mouth[y[1], x[1]]


def test_an_error_counts_where_it_is() -> None:
    truth = noise()
    off = truth.copy()
    above = int(LANDMARKS[1, 1])  # the tip of the nose
    off[:above] = np.clip(truth[:above].astype(int) + 10, 0, 255)
    found = apart(off, truth, LANDMARKS)
    assert found.mouth_db > 100 and 25 < found.face_db < 35
    assert found.sharpness == 1


def test_a_blurred_mouth_is_less_sharp_and_a_crisp_one_more() -> None:
    truth = noise()
    blurred = cv2.GaussianBlur(truth, (0, 0), 1.0)
    crisp = np.clip(2 * truth.astype(int) - blurred, 0, 255).astype(np.uint8)
    assert apart(blurred, truth, LANDMARKS).sharpness < 0.8
    assert apart(crisp, truth, LANDMARKS).sharpness > 1.2


def test_squares_show_the_face_and_the_mouth_at_their_sizes() -> None:
    picture = np.zeros((512, 512, 3), np.uint8)
    x, y = np.round(LANDMARKS[[13, 14], :2].mean(0)).astype(int)
    picture[y - 3 : y + 4, x - 3 : x + 4] = 255
    face, mouth = squares(picture, LANDMARKS)
    assert face.shape == (256, 256, 3) and mouth.shape == (128, 128, 3)
    assert mouth[56:72, 56:72].max() == 255 and face.max() > 200


def test_pictures_of_two_sizes_and_faces_outside_are_refused() -> None:
    truth = noise()
    with pytest.raises(ValueError, match="one size"):
        apart(truth[:256], truth, LANDMARKS)
    with pytest.raises(ValueError, match="outside"):
        apart(truth, truth, LANDMARKS + 2000)

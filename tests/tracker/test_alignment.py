# SPDX-License-Identifier: MIT
"""The FFHQ-aligned crop: its geometry, and the way back into the picture."""

import cv2
import numpy as np
import pytest
from scripted_faces import a_face

from face.alignment import LEFT_EYE, MOUTH_CORNERS, RIGHT_EYE, aligned_crop, ffhq_quad


def texture(height: int = 480, width: int = 640) -> np.ndarray:
    """Smooth colours, so that resampling twice changes little."""
    rough = np.random.default_rng(0).integers(0, 255, (height // 40, width // 40, 3)).astype(np.uint8)
    return np.asarray(cv2.resize(rough, (width, height), interpolation=cv2.INTER_CUBIC), np.uint8)


def test_the_square_is_the_one_of_the_rule() -> None:
    points = a_face().landmarks[:, :2]
    right, left = points[list(RIGHT_EYE)].mean(0), points[list(LEFT_EYE)].mean(0)
    eyes, mouth = (right + left) / 2, points[list(MOUTH_CORNERS)].mean(0)
    quad = ffhq_quad(points)
    side = 2 * max(2.0 * np.hypot(*(left - right)), 1.8 * np.hypot(*(mouth - eyes)))
    assert np.hypot(*(quad[3] - quad[0])) == pytest.approx(side, rel=1e-4)
    assert quad.mean(0) == pytest.approx(eyes + 0.1 * (mouth - eyes), abs=0.01)
    assert np.allclose(quad[1] - quad[0], quad[2] - quad[3], atol=1e-3)
    assert (
        quad[0][0] < quad[3][0] and quad[0][1] < quad[1][1]
    )  # top left, bottom left, bottom right, top right


def test_the_square_turns_with_the_head() -> None:
    points = a_face().landmarks[:, :2]
    turn = cv2.getRotationMatrix2D((320, 240), -20, 1.0)
    turned = points @ turn[:, :2].T + turn[:, 2]
    assert np.allclose(ffhq_quad(turned), ffhq_quad(points) @ turn[:, :2].T + turn[:, 2], atol=0.01)


@pytest.mark.parametrize("scale", [0.05, 0.14, 0.3])
def test_what_is_cut_out_and_put_back_is_where_it_was(scale: float) -> None:
    picture, face = texture(), a_face(scale=scale, x=0.02)
    crop = aligned_crop(picture, face.landmarks, 256)
    assert crop.image.shape == (256, 256, 3)
    back = cv2.warpAffine(crop.image, crop.to_picture, (640, 480))
    inside = cv2.fillConvexPoly(np.zeros((480, 640), np.uint8), crop.quad.round().astype(np.int32), 1)
    inside = cv2.erode(inside, np.ones((9, 9), np.uint8)) > 0
    assert np.abs(back.astype(int) - picture)[inside].mean() < 3
    there_and_back = np.vstack([crop.to_crop, (0, 0, 1)]) @ np.vstack([crop.to_picture, (0, 0, 1)])
    assert np.allclose(there_and_back, np.eye(3), atol=1e-3)


def test_a_face_at_the_border_is_filled_up_by_its_mirror_not_by_black() -> None:
    crop = aligned_crop(np.full((480, 640, 3), 200, np.uint8), a_face(x=0.45, y=0.3).landmarks)
    assert crop.image.min() == 200


def test_a_large_face_is_averaged_not_sampled_here_and_there() -> None:
    checks = np.indices((2000, 2000)).sum(0) % 2 * 255
    crop = aligned_crop(np.repeat(checks[..., None], 3, 2).astype(np.uint8), a_face().landmarks * 3, 64)
    assert crop.image.std() < 20  # a pattern of single pixels turns grey


def test_a_picture_that_is_not_eight_bit_is_refused() -> None:
    with pytest.raises(TypeError, match="float64"):
        aligned_crop(np.zeros((10, 10, 3)), a_face().landmarks)


def test_faces_that_ffhq_aligned_are_found_aligned(shared) -> None:
    from engines.mediapipe_reader import VideoReader

    quads = []
    for path in sorted((shared / "faces256").glob("*.jpg"))[::60]:
        picture = cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)
        with VideoReader() as detect:
            face = detect(picture)
        quads += [] if face is None else [ffhq_quad(face.landmarks)]
    corners = np.array([(0, 0), (0, 256), (256, 256), (256, 0)])
    assert len(quads) >= 15
    assert np.abs(np.mean(quads, 0) - corners).max() < 5  # px
    assert np.abs(np.mean(quads, 1) - 128).max() < 8

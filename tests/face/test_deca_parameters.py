# SPDX-License-Identifier: MIT
"""Our angles are DECA's with the other sign, the jaw turns as the face model says, crops are theirs."""

import cv2
import numpy as np
import pytest

from face.deca_parameters import (
    CONTOUR,
    DECA_PX,
    VOX_PX,
    deca_names,
    deca_picture,
    is_deca,
    jaw_of_full_score,
    pose_of,
    vox_crop,
)
from face.motion_vector import motion_of, resting_vector
from face.pose import rotation_matrix

FLIP = np.diag([1.0, -1.0, -1.0])  # our frame to DECA's: y up, z towards the camera


def decas_angles(rotation: np.ndarray) -> np.ndarray:
    """Yaw, pitch, roll in degrees of DECA's axis-angle, through a quaternion, as its users take them."""
    axis_angle = cv2.Rodrigues(rotation)[0][:, 0]
    angle = float(np.linalg.norm(axis_angle))
    w, (x, y, z) = np.cos(angle / 2), axis_angle / angle * np.sin(angle / 2)
    yaw = np.arcsin(-2 * (w * y - x * z))
    pitch = np.arctan2(2 * (w * x + y * z), 1 - 2 * (x * x + y * y))
    roll = np.arctan2(2 * (w * z + x * y), 1 - 2 * (y * y + z * z))
    return np.rad2deg([yaw, pitch, roll])


@pytest.mark.parametrize("seed", range(5))
def test_our_angles_are_decas_with_the_other_sign(seed: int) -> None:
    angles = np.random.default_rng(seed).uniform(-35, 35, 3)
    theirs = decas_angles(FLIP @ rotation_matrix(*angles) @ FLIP)
    assert theirs == pytest.approx(-angles, abs=1e-3)


def test_pose_of_a_motion_has_their_signs() -> None:
    vector = resting_vector()
    vector[:3] = 12, -7, 5
    motion = motion_of(vector, (640, 480), captured_s=0.0)
    assert pose_of(motion)[:3] == pytest.approx(-motion.rotation)
    assert 0.1 < jaw_of_full_score() < 0.5  # opening is positive, and no more than a jaw's


def test_names_are_those_of_the_released_layout() -> None:
    names = deca_names(15)
    assert names[:5] == ("deca:yaw", "deca:pitch", "deca:roll", "deca:jaw", "deca:expression_0")
    assert len(names) == 15 and is_deca(names) and is_deca(deca_names(20))
    assert not is_deca(names[:3]) and not is_deca(("yaw", "pitch")) and not is_deca(names[::-1])


def face(left: float, top: float, width: float, height: float) -> np.ndarray:
    """(478, 3) landmarks whose contour fills a box."""
    points = np.full((478, 3), (left + width / 2, top + height / 2, 1.0), np.float32)
    points[list(CONTOUR)[:2], :2] = (left, top), (left + width, top + height)
    return points


def test_decas_square_is_around_the_contour() -> None:
    image = np.zeros((300, 300, 3), np.uint8)
    image[100:200, 120:200] = 255
    picture = deca_picture(image, face(120, 100, 80, 100))
    assert picture.shape == (1, 3, DECA_PX, DECA_PX) and picture.max() == 1
    side = int(90 * 1.1 * 1.25)
    inside = picture[0, 0] > 0.5
    assert inside.any(0).sum() == pytest.approx(80 / side * DECA_PX, abs=2)
    assert inside.any(1).sum() == pytest.approx(100 / side * DECA_PX, abs=2)
    middle = np.argwhere(inside).mean(0)
    assert middle == pytest.approx([(DECA_PX - 1) / 2] * 2, abs=1.5)


@pytest.mark.parametrize("zoom", [1, 4])
def test_voxcelebs_square_is_twice_the_face_and_a_sixth_higher(zoom: int) -> None:
    image = np.zeros((400 * zoom, 400 * zoom, 3), np.uint8)
    image[150 * zoom : 250 * zoom, 160 * zoom : 240 * zoom] = 255
    points = face(160 * zoom, 150 * zoom, 80 * zoom, 100 * zoom)
    crop, moved = vox_crop(image, points)
    assert crop.shape == (VOX_PX, VOX_PX, 3)
    rows, columns = (np.flatnonzero((crop[..., 0] > 127).any(axis)) for axis in (1, 0))
    # Half the square's side is the contour's longer side: 100 of 200 pixels, from 16.7 below the middle.
    assert len(rows) == pytest.approx(VOX_PX / 2, abs=2) and len(columns) == pytest.approx(102.4, abs=2)
    assert rows.mean() == pytest.approx(127.5 + 16 / 200 * VOX_PX, abs=1.5)
    assert columns.mean() == pytest.approx(127.5, abs=1.5)
    corners = moved[list(CONTOUR)[:2], :2]
    assert corners[0] == pytest.approx([columns[0] - 0.5, rows[0] - 0.5], abs=1.5)
    assert corners[1] == pytest.approx([columns[-1] + 0.5, rows[-1] + 0.5], abs=1.5)


def test_what_lies_beyond_the_picture_is_mirrored() -> None:
    image = np.full((120, 120, 3), 90, np.uint8)
    crop, _ = vox_crop(image, face(20, 10, 80, 100))
    assert crop.min() == crop.max() == 90

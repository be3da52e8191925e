# SPDX-License-Identifier: MIT
"""Shapes of built faces are what they were built with, and a real face's are those of its picture."""

import cv2
import numpy as np
import pytest
from skimage.data import astronaut

from engines.mediapipe_reader import StillReader
from evaluation.shapes import SHAPES, shapes_of
from face.arrays import Floats
from face.face_model import face_model
from face.pose import rotation_matrix

FLOAT32 = 2e-4  # of the rigid fit, in units of the outer eye corners' distance
TURNED = 0.03  # between a picture and itself turned or made smaller: the tracker's noise; 0.015 was measured


def built(**moved: float) -> Floats:
    """(478, 3) the mean face, whose eye corners are 1 apart, with points moved down in that unit."""
    points = {"lower_lip": [14], "left_lid": [386], "right_lid": [159], "left_brow": [334, 282]}
    face = face_model().mean.copy()
    for name, amount in moved.items():
        face[points[name], 1] += amount
    return face


def changes(**moved: float) -> dict[str, float]:
    change = shapes_of(built(**moved)) - shapes_of(built())
    return {name: float(value) for name, value in zip(SHAPES, change, strict=True) if abs(value) > FLOAT32}


def test_each_shape_is_of_its_own_points() -> None:
    assert changes(lower_lip=0.1) == pytest.approx({"lip_gap": 0.1}, abs=FLOAT32)
    assert changes(left_lid=-0.05) == pytest.approx({"lid_gap_left": 0.05}, abs=2e-3)  # nor are the lids
    assert changes(right_lid=0.02) == pytest.approx({"lid_gap_right": -0.02}, abs=2e-3)
    raised = changes(left_brow=-0.06)
    assert raised == pytest.approx({"brow_height_left": 0.06}, abs=6e-3)  # a brow is not right above its eye


def test_mouth_width_is_that_of_its_corners_in_eye_distances() -> None:
    face = built()
    face[[33, 263], 0] *= 1.2  # eyes farther apart than most
    wanted = np.linalg.norm((face[61] - face[291])[:2]) / np.linalg.norm((face[33] - face[263])[:2])
    assert wanted == pytest.approx(np.linalg.norm((face[61] - face[291])[:2]) / 1.2)
    assert shapes_of(face)[SHAPES.index("mouth_width")] == pytest.approx(wanted, abs=FLOAT32)


def test_head_pose_place_and_size_do_not_matter() -> None:
    face = built(lower_lip=0.2, left_brow=-0.05)
    poses = [(30, 0, 0), (0, -25, 0), (0, 0, 40), (25, 15, -20)]
    posed = np.array([140 * face @ rotation_matrix(*pose).T + (320, 200, 5) for pose in poses])
    found = shapes_of(posed.astype(np.float32))
    assert found.shape == (4, len(SHAPES)) and found.dtype == np.float32
    assert np.abs(found - shapes_of(face)).max() < FLOAT32


def test_where_no_face_was_found_there_is_no_shape() -> None:
    faces = np.array([built(), np.full((478, 3), np.nan)], np.float32)
    found = shapes_of(faces)
    assert np.isfinite(found[0]).all() and np.isnan(found[1]).all()
    assert shapes_of(faces[:0]).shape == (0, len(SHAPES))
    with pytest.raises(ValueError, match="expected"):
        shapes_of(faces[0, :468])


def test_a_smile_in_a_picture_is_wide_and_stays_so_when_it_is_turned() -> None:
    picture = np.ascontiguousarray(astronaut()[:300, 70:370])
    turn = cv2.getRotationMatrix2D((150, 130), 25, 0.8)
    turned = np.asarray(cv2.warpAffine(picture, turn, (300, 300), borderMode=cv2.BORDER_REFLECT), np.uint8)
    with StillReader() as reader:
        faces = [reader.one(image) for image in (picture, turned)]
    upright, tilted = (shapes_of(face.landmarks) for face in faces if face is not None)
    assert np.abs(upright - tilted).max() < TURNED
    shape = dict(zip(SHAPES, upright, strict=True))
    calm = dict(zip(SHAPES, shapes_of(built()), strict=True))
    assert shape["mouth_width"] > 1.1 * calm["mouth_width"]  # she smiles,
    assert 0.03 < shape["lip_gap"] < 0.2  # shows her teeth,
    assert min(shape["lid_gap_left"], shape["lid_gap_right"]) > 0.05  # and looks at us

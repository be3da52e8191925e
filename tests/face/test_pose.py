# SPDX-License-Identifier: MIT
"""Rotations, the rigid fit, and the face model that rests on them."""

import numpy as np
import pytest

from face.face_model import face_model
from face.pose import euler_angles, rotation_matrix, similarity_fit

ANGLE_TOLERANCE = 1e-3  # degrees, single precision


@pytest.mark.parametrize("angles", [(0, 0, 0), (30, 0, 0), (0, -20, 0), (0, 0, 45), (-25, 15, -10)])
def test_angles_survive_the_matrix(angles):
    assert np.allclose(euler_angles(rotation_matrix(*angles)), angles, atol=ANGLE_TOLERANCE)


def test_signs_are_the_subjects_own_left_up_and_left_shoulder():
    nose, crown = np.array([0, 0, -1.0]), np.array([0, -1.0, 0])
    assert (rotation_matrix(20, 0, 0) @ nose)[0] > 0.3  # own left is right in the picture
    assert (rotation_matrix(0, 20, 0) @ nose)[1] < -0.3  # up is smaller y
    assert (rotation_matrix(0, 0, 20) @ crown)[0] > 0.3


def test_rigid_fit_recovers_a_known_placement():
    random = np.random.default_rng(1)
    source = random.normal(size=(50, 3))
    rotation = rotation_matrix(17, -8, 5)
    target = 3.2 * source @ rotation.T + [10, -4, 2]
    found, scale, shift = similarity_fit(source, target, random.uniform(0.1, 1, 50))
    assert np.allclose(found, rotation, atol=1e-5)
    assert scale == pytest.approx(3.2, abs=1e-5)
    assert np.allclose(shift, [10, -4, 2], atol=1e-4)


def test_unposed_face_poses_back_to_its_landmarks():
    model = face_model()
    landmarks = (140 * model.mean @ rotation_matrix(20, 5, -7).T + [256, 200, 0]).astype(np.float32)
    shape, rotation, scale, shift = model.unpose(landmarks)
    assert np.allclose(shape, model.mean, atol=1e-4)
    assert np.allclose(scale * shape @ rotation.T + shift, landmarks, atol=1e-2)
    assert np.allclose(euler_angles(rotation), (20, 5, -7), atol=0.01)


@pytest.mark.parametrize(
    ("score", "landmark", "axis", "sign"),
    [
        ("jawOpen", 152, 1, 1),
        ("mouthSmileLeft", 291, 1, -1),
        ("browInnerUp", 9, 1, -1),
        ("mouthPucker", 61, 0, 1),
    ],
)
def test_expression_basis_moves_the_face_as_its_names_say(score, landmark, axis, sign):
    assert sign * face_model().expression({score: 1.0})[landmark, axis] > 0.01


def test_unknown_expression_is_refused_by_name():
    with pytest.raises(KeyError, match="jawOpne"):
        face_model().expression({"jawOpne": 1.0})

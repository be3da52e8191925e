# SPDX-License-Identifier: MIT
"""What the landmarker's file says of the canonical face is what the shipped face model was made of."""

import numpy as np

from engines.face_task import canonical_from_task, pose_weights_from_task
from engines.package_models import landmarker_model
from face.face_model import SURFACE, face_model
from face.pose import similarity_fit

UNLIKE = 0.25  # of the distance between the outer corners of the eyes: no two mean faces differ by more


def test_canonical_face_is_the_one_of_the_face_model() -> None:
    model = face_model()
    vertices, triangles = canonical_from_task(landmarker_model())
    assert np.array_equal(triangles, model.triangles)
    weights = model.rigid_weights[:SURFACE]
    rotation, scale, shift = similarity_fit(model.mean[:SURFACE], vertices, weights)
    away = (vertices - shift) @ rotation / scale - model.mean[:SURFACE]
    assert np.linalg.norm(away, axis=1).max() < UNLIKE
    assert np.allclose(rotation, np.eye(3), atol=0.1), "y down, z away, as the model has them"


def test_pose_weights_are_the_landmarkers_own() -> None:
    weights = pose_weights_from_task(landmarker_model())
    assert weights.shape == (SURFACE,)
    kept = face_model().rigid_weights[:SURFACE]  # of those points that neither jaw nor lips move
    assert np.allclose(weights[kept > 0], kept[kept > 0], atol=1e-4)
    assert (weights > 0).sum() > (kept > 0).sum()

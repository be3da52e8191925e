# SPDX-License-Identifier: MIT
"""Portraits whose face reaches to the person's outline or beyond it, at rest and turned."""

import dataclasses

import numpy as np
import pytest
from skimage import data

from evaluation.against_truth import regions
from methods.mesh.puppet import MeshPuppet
from methods.portrait import open_portrait

REST_MEAN = 0.7  # grey levels in the face


@pytest.fixture(scope="module")
def portrait():
    return open_portrait(data.astronaut())


@pytest.fixture
def opened(monkeypatch):
    """Opens a portrait without measuring what the tracker reads off it."""
    monkeypatch.setattr(MeshPuppet, "_measured", lambda puppet, model: None)
    return MeshPuppet


def shown(puppet, yaw=0.0):
    return puppet.posed(puppet._retarget.probe(np.zeros((468, 3), np.float32), np.array([yaw, 0.0, 0.0])))


def beyond_outline(portrait, stretch=1.2):
    """The portrait as tracked where the tracker takes cheeks for wider than they are."""
    middle = portrait.landmarks[:, :2].mean(0)
    landmarks = portrait.landmarks.copy()
    landmarks[:, 0] = middle[0] + (landmarks[:, 0] - middle[0]) * stretch
    x = np.arange(portrait.alpha.shape[1])
    face = np.abs(x - middle[0]) < 0.46 * np.ptp(portrait.landmarks[:, 0])
    return dataclasses.replace(portrait, landmarks=landmarks, alpha=portrait.alpha * face)


def test_a_face_beyond_the_outline_is_the_photo_at_rest(opened, portrait):
    wide = beyond_outline(portrait)
    face, _ = regions(portrait.landmarks, (512, 512))
    face &= wide.alpha > 0.97
    difference = np.abs(shown(opened(wide)).astype(int) - wide.image)[face].mean()
    assert difference < REST_MEAN

# SPDX-License-Identifier: MIT
"""The stand-in sees what the Face Landmarker sees."""

import numpy as np
import pytest
from numpy.typing import NDArray

torch = pytest.importorskip("torch", reason="torch is not installed: the player does without it")

from skimage import data

from engines.networks.tracker_stand_in import TrackerStandIn
from face.alignment import aligned_crop
from face.direction_parameters import parameters
from training.judges import Seen, StillTracker, open_stand_in, parameters_seen, to_images

# Given the same landmarks, angles and scores differ by rounding alone.
ANGLE_TOLERANCE, SCORE_TOLERANCE = 1e-3, 1e-4
# From the picture on, the cut around the face differs by a few pixels from the face detector's.
CUT_LANDMARKS_PX, CUT_DEGREES, CUT_SCORE = 3.0, 2.0, 0.15


@pytest.fixture(scope="module")
def portrait() -> NDArray[np.uint8]:
    """(256, 256, 3) a face in the public domain, FFHQ-aligned."""
    picture = data.astronaut()
    with StillTracker() as tracker:
        seen = tracker(picture)
    assert seen is not None
    return aligned_crop(picture, seen.landmarks).image


@pytest.fixture(scope="module")
def seen(portrait: NDArray[np.uint8]) -> Seen:
    with StillTracker() as tracker:
        found = tracker(portrait)
    assert found is not None
    return found


@pytest.fixture(scope="module")
def stand_in() -> TrackerStandIn:
    return open_stand_in()


def test_angles_and_scores_of_given_landmarks_are_the_trackers(stand_in: TrackerStandIn, seen: Seen) -> None:
    landmarks = torch.from_numpy(seen.landmarks)[None]
    angles = stand_in.rotation(landmarks, 256)[0].numpy()
    scores = stand_in.scores(landmarks[:, stand_in.score_landmarks, :2])[0][0].numpy()
    assert np.abs(angles - seen.rotation).max() < ANGLE_TOLERANCE
    assert np.abs(scores - seen.scores).max() < SCORE_TOLERANCE


def test_a_picture_is_seen_as_the_tracker_sees_it(
    stand_in: TrackerStandIn, portrait: NDArray[np.uint8], seen: Seen
) -> None:
    with torch.no_grad():
        tracks = stand_in(to_images(portrait[None]))
    away = np.linalg.norm((tracks.landmarks[0].numpy() - seen.landmarks)[:, :2], axis=1)
    assert away.mean() < CUT_LANDMARKS_PX
    assert np.abs(tracks.rotation[0].numpy() - seen.rotation).max() < CUT_DEGREES
    assert np.abs(tracks.scores[0].numpy() - seen.scores).max() < CUT_SCORE


def test_gradients_reach_the_picture(stand_in: TrackerStandIn, portrait: NDArray[np.uint8]) -> None:
    images = to_images(portrait[None]).requires_grad_(True)
    tracks = stand_in(images)
    parameters_seen(tracks.rotation, tracks.scores).sum().backward()
    assert images.grad is not None and images.grad.isfinite().all() and images.grad.abs().max() > 0


def test_the_motion_vector_is_the_same_in_torch_and_numpy(seen: Seen) -> None:
    rotation, scores = torch.from_numpy(seen.rotation)[None], torch.from_numpy(seen.scores)[None]
    assert np.allclose(
        parameters_seen(rotation, scores)[0].numpy(), parameters(seen.rotation, seen.scores), atol=1e-5
    )

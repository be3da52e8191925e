# SPDX-License-Identifier: MIT
"""A mirrored driver is mirrored in all that a puppet reads: angles, gaze, the rest, the landmarks seen."""

import numpy as np
from scripted_faces import SIZE, ScriptedDetector, a_face, blank

from face.motion import Motion
from face.motion_vector import GAZE, ROTATION, TURN, landmarks_of, mirrored, resting_vector, vector_of_motion
from face.pose import euler_angles, rotation_matrix
from realtime.tracker.face_tracker import FaceTracker

REST, TURNED = a_face(yaw=8, x=0.04), a_face(yaw=20, x=0.1, jaw=0.3)


def test_mirroring_reflects_angles_and_gaze() -> None:
    vector = resting_vector()
    vector[ROTATION], vector[TURN], vector[GAZE] = (20, 10, 5), (18, 12, 7), (6, -4)
    flip = np.diag((-1.0, 1.0, 1.0))
    for part in (ROTATION, TURN):
        reflected = euler_angles(flip @ rotation_matrix(*vector[part]) @ flip)
        assert np.allclose(mirrored(vector)[part], reflected, atol=1e-3)
    assert mirrored(vector)[GAZE].tolist() == [-6, -4]


def last_motion(*, mirror: bool) -> Motion:
    """Of a driver that rests, then turns; nothing about it is symmetric."""
    with FaceTracker(ScriptedDetector([[REST]] * 45 + [[TURNED]] * 5), smoothing=0, mirror=mirror) as tracker:
        return [tracker(blank(index, index / 30)) for index in range(50)][-1]


def test_the_rest_of_a_mirrored_driver_is_mirrored() -> None:
    plain, mirror = last_motion(mirror=False), last_motion(mirror=True)
    assert plain.neutral is not None and mirror.neutral is not None
    wanted = mirrored(vector_of_motion(plain.neutral))
    assert np.allclose(vector_of_motion(mirror.neutral), wanted, atol=0.01)
    assert not np.allclose(vector_of_motion(plain.neutral), wanted, atol=0.01)


def test_the_landmarks_seen_of_a_mirrored_driver_are_mirrored() -> None:
    plain, mirror = last_motion(mirror=False), last_motion(mirror=True)
    assert plain.seen is not None and mirror.seen is not None
    wanted = landmarks_of(mirrored(vector_of_motion(plain)), SIZE)
    assert np.abs(mirror.seen - wanted).max() < 0.5  # pixels
    assert np.abs(plain.seen - wanted).max() > 20


def test_a_mirrored_driver_moves_against_its_rest_as_its_mirror_image_does() -> None:
    plain, mirror = last_motion(mirror=False), last_motion(mirror=True)
    assert plain.neutral is not None and mirror.neutral is not None
    assert np.allclose(
        mirror.rotation - mirror.neutral.rotation,
        (plain.rotation - plain.neutral.rotation) * (-1, 1, -1),
        atol=0.1,
    )

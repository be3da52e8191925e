# SPDX-License-Identifier: MIT
"""The scripted driver talks, turns, blinks and looks, and comes back to where it began."""

import numpy as np
import pytest

from face.face_model import LEFT_EYE_LOWER, LEFT_EYE_UPPER, face_model
from face.motion import Motion
from face.scripted import BLINKS_S, PERIOD_S, scripted_clip, scripted_pose

SIZE = (640, 480)


@pytest.fixture(scope="module")
def clip() -> tuple[Motion, ...]:
    landmarks = face_model().mean * 120 + np.array((320, 200, 0), np.float32)
    return tuple(scripted_clip(landmarks, SIZE))


def opening(motion: Motion) -> float:
    upper, lower = motion.landmarks[list(LEFT_EYE_UPPER[1:-1])], motion.landmarks[list(LEFT_EYE_LOWER[1:-1])]
    return float(np.linalg.norm(upper - lower, axis=1).mean())


def test_the_script_does_everything_a_driver_does(clip: tuple[Motion, ...]) -> None:
    yaw, pitch, roll = np.array([motion.rotation for motion in clip]).T
    assert yaw.max() > 15 and yaw.min() < -15
    assert pitch.max() > 8 and pitch.min() < -8
    assert np.ptp(roll) > 8
    gaze = np.array([motion.gaze for motion in clip])
    assert np.ptp(gaze[:, 0]) > 30 and np.ptp(gaze[:, 1]) > 8
    for name, least in (
        ("jawOpen", 0.4),
        ("mouthSmileLeft", 0.7),
        ("eyeBlinkRight", 0.95),
        ("browInnerUp", 0.5),
    ):
        assert max(motion.blendshape(name) for motion in clip) > least


def test_it_can_be_looped(clip: tuple[Motion, ...]) -> None:
    assert len(clip) == round(30 * PERIOD_S)
    assert np.abs(clip[-1].landmarks - clip[0].landmarks).max() < 1
    for time_s in (0.0, 1.7, 9.99):
        for one, other in zip(_parts(time_s), _parts(time_s + PERIOD_S), strict=True):
            np.testing.assert_allclose(one, other, atol=1e-4)


def _parts(time_s: float) -> tuple[np.ndarray, ...]:
    pose = scripted_pose(time_s)
    return pose.rotation, pose.gaze, pose.blendshapes


def test_lids_meet_at_the_height_of_a_blink(clip: tuple[Motion, ...]) -> None:
    rest = opening(clip[0])
    for blink_s in BLINKS_S:
        during = [opening(motion) for motion in clip if 0 <= motion.captured_s - blink_s < 0.3]
        assert min(during) < 0.15 * rest


def test_nothing_jumps(clip: tuple[Motion, ...]) -> None:
    """30 frames a second; lids are the quickest part of a face."""
    for before, after in zip(clip, clip[1:], strict=False):
        assert np.abs(after.rotation - before.rotation).max() < 6
        assert np.abs(after.landmarks - before.landmarks).max() < 0.25 * 120


def test_the_neutral_is_the_rest_it_was_made_from(clip: tuple[Motion, ...]) -> None:
    assert all(motion.neutral is clip[0].neutral for motion in clip)
    np.testing.assert_allclose(clip[0].landmarks, clip[0].neutral.landmarks, atol=1e-3)  # type: ignore[union-attr]
    assert [motion.captured_s for motion in clip[:3]] == [0, 1 / 30, 2 / 30]


def test_scores_stay_scores(clip: tuple[Motion, ...]) -> None:
    scores = np.array([motion.blendshapes for motion in clip])
    assert scores.min() >= 0 and scores.max() <= 1


@pytest.mark.parametrize(("fps", "seconds"), [(0, 1), (30, 0), (-1, 1)])
def test_a_clip_of_no_length_is_refused(fps: float, seconds: float) -> None:
    with pytest.raises(ValueError, match="must be positive"):
        next(scripted_clip(face_model().mean, SIZE, fps=fps, seconds=seconds))

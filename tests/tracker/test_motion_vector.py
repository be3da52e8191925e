# SPDX-License-Identifier: MIT
"""A face as a vector: there and back, and what sums of vectors look like."""

import numpy as np
import pytest
from scripted_faces import SIZE, a_face

from face.gain import Gain, apply_gain, gain_of, gained
from face.idle import IdleMotion, blink, close_lids
from face.motion import BLENDSHAPE_INDEX
from face.motion_vector import (
    HEAD_CENTRE,
    ROTATION,
    SCORES,
    SHAPE,
    TURN,
    landmarks_of,
    mirrored,
    motion_of,
    resting_vector,
    vector_of,
    vector_of_motion,
)

ROUND_TRIP_PX = 2e-3  # float32 at 640 px
ANGLE = 0.3  # degrees; opening the mouth tilts the rigid fit by less


def a_motion(**pose: float):
    face = a_face(**pose)
    vector = vector_of(
        face.landmarks, SIZE, rotation=face.rotation, gaze=np.zeros(2), blendshapes=face.blendshapes
    )
    return motion_of(vector, SIZE, captured_s=1.0)


def test_landmarks_survive_the_way_into_a_vector_and_back() -> None:
    face = a_face(yaw=25, x=0.2, y=-0.1, scale=0.2, jaw=0.5)
    vector = vector_of(
        face.landmarks, SIZE, rotation=face.rotation, gaze=np.zeros(2), blendshapes=face.blendshapes
    )
    assert np.abs(landmarks_of(vector, SIZE) - face.landmarks).max() < ROUND_TRIP_PX
    assert np.allclose(vector_of_motion(motion_of(vector, SIZE, captured_s=0.0)), vector, atol=1e-4)


def test_scale_and_translation_are_in_picture_widths_and_free_of_rotation() -> None:
    frontal, turned = a_motion(x=0.1), a_motion(x=0.1)
    assert frontal.scale == pytest.approx(0.14, abs=1e-4)
    vector = resting_vector(0.14)
    vector[TURN] = (30, 0, 0)
    about_centre = vector.copy()
    shift = HEAD_CENTRE - np.array([0, 0.18, -0.14])
    angle = np.deg2rad(-30)
    turned_shift = shift @ np.array(
        [[np.cos(angle), 0, -np.sin(angle)], [0, 1, 0], [np.sin(angle), 0, np.cos(angle)]]
    )
    about_centre[6:9] += 0.14 * (shift - turned_shift)
    turned = motion_of(about_centre, SIZE, captured_s=0.0)
    upright = motion_of(resting_vector(0.14), SIZE, captured_s=0.0)
    assert np.allclose(turned.translation, upright.translation, atol=1e-4)


def test_the_mean_of_two_faces_is_the_face_between_them() -> None:
    left, right = vector_of_motion(a_motion(yaw=-30)), vector_of_motion(a_motion(yaw=30))
    between = landmarks_of((left + right) / 2, SIZE)
    assert np.abs(between - a_motion().landmarks).max() < 0.05  # averaged pixels would be 10 px too narrow


def test_a_face_mirrored_twice_is_itself_and_once_has_its_sides_by_name_swapped() -> None:
    face = a_motion(yaw=20, x=0.1, jaw=0.3)
    vector = vector_of_motion(face)
    vector[SCORES.start + BLENDSHAPE_INDEX["mouthSmileLeft"]] = 0.7
    once = mirrored(vector)
    assert once[SCORES.start + BLENDSHAPE_INDEX["mouthSmileRight"]] == pytest.approx(0.7)
    assert once[SCORES.start + BLENDSHAPE_INDEX["mouthSmileLeft"]] == 0
    assert np.array_equal(mirrored(once), vector)
    width = SIZE[0]
    before, after = landmarks_of(vector, SIZE), landmarks_of(once, SIZE)
    for left, right in ((263, 33), (473, 468), (291, 61), (1, 1)):
        assert after[left, :2] == pytest.approx((width - before[right, 0], before[right, 1]), abs=0.01)


@pytest.mark.parametrize("gain", [0.0, 0.5, 1.0, 1.5])
def test_pose_gain_scales_angles_and_landmarks_alike(gain: float) -> None:
    neutral, motion = a_motion(yaw=5), a_motion(yaw=25, jaw=0.5)
    scaled = gained(motion, neutral, Gain(pose=gain))
    assert scaled.rotation[0] == pytest.approx(5 + 20 * gain, abs=0.01)
    assert vector_of_motion(scaled)[TURN][0] == pytest.approx(5 + 20 * gain, abs=ANGLE)
    assert scaled.blendshape("jawOpen") == pytest.approx(0.5)
    assert scaled.neutral is neutral


def test_expression_gain_opens_the_mouth_and_leaves_head_and_eyes() -> None:
    neutral, motion = a_motion(), a_motion(yaw=15, jaw=0.4, blink=0.6)
    scaled = gained(motion, neutral, Gain(expression=0.5))
    chin = [vector_of_motion(m)[SHAPE].reshape(-1, 3)[152, 1] for m in (neutral, motion, scaled)]
    assert (chin[2] - chin[0]) / (chin[1] - chin[0]) == pytest.approx(0.5, abs=0.02)
    assert scaled.blendshape("jawOpen") == pytest.approx(0.2)
    assert scaled.blendshape("eyeBlinkLeft") == pytest.approx(0.6)
    assert scaled.rotation[0] == pytest.approx(15)


def test_eyes_gain_above_one_lets_lids_meet_but_not_cross() -> None:
    rest = resting_vector()
    shut = rest.copy()
    shut[SHAPE] = close_lids(rest[SHAPE].reshape(-1, 3), 0.8).ravel()
    shut[SCORES.start + BLENDSHAPE_INDEX["eyeBlinkLeft"]] = 0.8
    wide = apply_gain(shut, rest, Gain(eyes=2.0))
    shape = wide[SHAPE].reshape(-1, 3)
    assert (shape[145, 1] - shape[159, 1]) == pytest.approx(0, abs=1e-6)
    assert wide[SCORES].max() <= 1


def test_a_gain_of_one_changes_nothing_and_strangers_are_named() -> None:
    rest = resting_vector()
    assert apply_gain(rest, rest * 0, Gain()) is rest
    with pytest.raises(ValueError, match="'brows'.*pose, expression, eyes"):
        gain_of({"brows": 1.0})
    with pytest.raises(ValueError, match="-1"):
        Gain(pose=-1)


def test_idling_starts_at_rest_blinks_every_few_seconds_and_really_shuts_the_lids() -> None:
    rest = resting_vector()
    idle = IdleMotion(seed=4)
    assert np.array_equal(idle(rest, 0.0), rest)
    times = np.arange(0, 60, 1 / 30)
    faces = np.array([idle(rest, t) for t in times])
    gaps = faces[:, SHAPE].reshape(len(times), -1, 3)
    for upper, lower in ((159, 145), (386, 374)):
        gap = gaps[:, lower, 1] - gaps[:, upper, 1]
        assert gap.min() < 0.1 * gap[0]
        assert gap.min() > -1e-6  # they meet, they do not cross
    score = faces[:, SCORES.start + BLENDSHAPE_INDEX["eyeBlinkRight"]]
    starts = np.flatnonzero((score[1:] > 0.4) & (score[:-1] <= 0.4))
    assert 60 / 5.4 <= len(starts) <= 60 / 2.6 * 1.3
    assert np.ptp(np.diff(times[starts])) > 0.5  # not a metronome
    assert 0.3 < np.ptp(faces[:, ROTATION][:, 1]) < 4  # breath and sway, not a nod


def test_idling_is_the_same_for_the_same_seed_and_another_for_another() -> None:
    rest = resting_vector()

    def course(seed: int) -> np.ndarray:
        idle = IdleMotion(seed)
        return np.array([idle(rest, t) for t in np.arange(0, 12, 0.05)])

    assert np.array_equal(course(7), course(7))
    assert not np.array_equal(course(7), course(8))


def test_a_blink_falls_faster_than_it_rises() -> None:
    course = np.array([blink(t) for t in np.arange(0, 0.4, 0.005)])
    peak = int(course.argmax())
    assert course[0] == 0 and course[peak] == pytest.approx(1) and course[-1] == 0
    assert peak < (course > 0).sum() / 2


def test_expression_gain_above_one_lets_lips_meet_but_not_cross() -> None:
    rest = resting_vector()
    pressed = rest.copy()
    shape = pressed[SHAPE].reshape(-1, 3)
    gap = shape[14, 1] - shape[13, 1]
    shape[13, 1] += 0.45 * gap
    shape[14, 1] -= 0.45 * gap
    lips = apply_gain(pressed, rest, Gain(expression=2.0))[SHAPE].reshape(-1, 3)
    assert lips[14, 1] - lips[13, 1] == pytest.approx(0, abs=1e-6)

# SPDX-License-Identifier: MIT
"""Which instant is a driver's rest: of a clip, of a first second, and on demand."""

from dataclasses import replace

import numpy as np
import pytest
from scripted_faces import SIZE, a_face

from face.calibration import NeutralEstimate, neutral_of
from face.idle import close_lids
from face.motion import BLENDSHAPE_INDEX, Motion
from face.motion_vector import SCORES, SHAPE, motion_of, resting_vector, vector_of


def a_vector(**pose: float) -> np.ndarray:
    face = a_face(**pose)
    return vector_of(
        face.landmarks, SIZE, rotation=face.rotation, gaze=np.zeros(2), blendshapes=face.blendshapes
    )


def a_motion(at_s: float = 0.0, confidence: float = 1.0, **pose: float) -> Motion:
    return motion_of(a_vector(**pose), SIZE, captured_s=at_s, confidence=confidence)


def talking(seed: int = 0, frames: int = 120) -> list[Motion]:
    """Speech with blinks at a head pose of 8 degrees; instants 40 to 43 are at rest."""
    random = np.random.default_rng(seed)
    clip = []
    for index in range(frames):
        rest = 40 <= index < 44
        clip.append(
            a_motion(
                index / 30,
                yaw=8 + (0 if rest else float(random.normal(0, 4))),
                jaw=0.0 if rest else float(random.uniform(0.1, 0.6)),
                smile=0.0 if rest else float(random.uniform(0, 0.5)),
                blink=0.8 if index % 30 < 4 else 0.1,
            )
        )
    return clip


def test_the_neutral_of_a_clip_is_its_shut_mouth_at_the_usual_pose() -> None:
    clip = talking()
    assert neutral_of(clip).captured_s in {clip[i].captured_s for i in range(40, 44)}


def test_shut_eyes_are_never_the_neutral_although_the_mouth_rests() -> None:
    clip = talking()
    clip[60] = a_motion(2.0, yaw=8, blink=0.9)  # mouth shut, pose usual, eyes shut
    assert neutral_of(clip).blendshape("eyeBlinkLeft") < 0.2


def test_a_resting_face_that_looks_far_aside_is_not_the_neutral() -> None:
    clip = talking()
    clip[70] = a_motion(70 / 30, yaw=45)
    assert abs(neutral_of(clip).rotation[0] - 8) < 5


def test_instants_without_a_face_do_not_count() -> None:
    clip = [a_motion(0.0, confidence=0.0), *talking()[40:50], a_motion(9.0, confidence=0.4)]
    assert neutral_of(clip).confidence == 1.0


def test_a_clip_without_any_face_gives_its_first_motion_and_an_empty_one_is_refused() -> None:
    clip = [a_motion(3.0, confidence=0.0), a_motion(4.0, confidence=0.0)]
    assert neutral_of(clip).captured_s == 3.0
    with pytest.raises(ValueError, match="without motions"):
        neutral_of([])


def test_a_neutral_has_no_neutral_of_its_own() -> None:
    motion = a_motion()
    assert neutral_of([replace(motion, neutral=motion)]).neutral is None


def test_there_is_an_estimate_from_the_first_frame_and_it_ends_after_its_window() -> None:
    estimate = NeutralEstimate(0.5)
    with pytest.raises(ValueError, match="no vector"):
        estimate()
    estimate.add(a_vector(yaw=3), 0.033)
    assert np.allclose(estimate(), a_vector(yaw=3))
    for _ in range(14):
        estimate.add(a_vector(yaw=3), 1 / 30)
    assert not estimate.done
    for _ in range(2):
        estimate.add(a_vector(yaw=3), 1 / 30)
    assert estimate.done
    before = estimate()
    estimate.add(a_vector(yaw=40), 1 / 30)
    assert np.array_equal(estimate(), before)


def test_a_first_second_of_speech_with_a_blink_gives_open_eyes_and_a_shut_mouth() -> None:
    estimate = NeutralEstimate(1.0)
    for index in range(31):
        blink = 0.9 if 5 <= index < 10 else 0.05
        jaw = 0.0 if index >= 20 else 0.4
        vector = a_vector(jaw=jaw, blink=blink)
        if blink > 0.5:
            vector[SHAPE] = close_lids(vector[SHAPE].reshape(-1, 3), blink).ravel()
        estimate.add(vector, 1 / 30)
    rest = estimate()
    assert rest[SCORES.start + BLENDSHAPE_INDEX["jawOpen"]] < 0.02
    assert rest[SCORES.start + BLENDSHAPE_INDEX["eyeBlinkLeft"]] < 0.1
    lids = rest[SHAPE].reshape(-1, 3)
    open_lids = resting_vector()[SHAPE].reshape(-1, 3)
    assert lids[145, 1] - lids[159, 1] == pytest.approx(open_lids[145, 1] - open_lids[159, 1], abs=0.005)

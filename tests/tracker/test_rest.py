# SPDX-License-Identifier: MIT
"""Whose rest a rest is, which faces are none, and the very moment that a search found."""

import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scripted_faces import SIZE, ScriptedDetector, a_face, blank

from engines.mediapipe_reader import Face
from face.calibration import same_face, why_no_rest
from face.idle import close_lids
from face.motion_vector import SHAPE, landmarks_of, resting_vector, vector_of
from realtime.tracker.face_tracker import FaceTracker
from realtime.tracker.neutrals import KeptNeutral, NeutralStore

STRANGER = {"long_nose": 0.5}


def eyes_shut() -> Face:
    vector = resting_vector()
    vector[SHAPE] = close_lids(vector[SHAPE].reshape(-1, 3), 1.0).ravel()
    return replace(a_face(), landmarks=landmarks_of(vector, SIZE))


NO_RESTS = {
    "the mouth is open": a_face(jaw=0.5),
    "the eyes are shut": eyes_shut(),
    "the head is turned by 35 degrees": a_face(yaw=35),
}


def vector(face: Face) -> np.ndarray:
    return vector_of(
        face.landmarks, SIZE, rotation=face.rotation, gaze=np.zeros(2), blendshapes=face.blendshapes
    )


def keep(tmp_path: Path, face: Face, *, chosen: bool = True) -> NeutralStore:
    store = NeutralStore(tmp_path)
    store.save("cam", KeptNeutral(vector(face), chosen))
    return store


def smile_of_the_rest(store: NeutralStore, face: Face) -> tuple[float, str]:
    """After two seconds of the face in front of the camera of the kept rest; and what the user was told."""
    with FaceTracker(ScriptedDetector([[face]]), store=store, source_name="cam") as tracker:
        motions = [tracker(blank(index, index / 30)) for index in range(60)]
        told = tracker.news()
    assert motions[-1].neutral is not None
    return motions[-1].neutral.blendshape("mouthSmileLeft"), told


def test_a_kept_rest_is_used_for_the_face_it_fits(tmp_path: Path) -> None:
    smile, told = smile_of_the_rest(keep(tmp_path, a_face(smile=0.4)), a_face())
    assert smile == pytest.approx(0.4, abs=0.02) and told == ""


def test_another_visitor_of_the_same_camera_gets_a_rest_of_their_own(tmp_path: Path) -> None:
    smile, told = smile_of_the_rest(keep(tmp_path, a_face(smile=0.4)), a_face(**STRANGER))
    assert smile < 0.02 and "another face" in told
    kept = NeutralStore(tmp_path).load("cam")
    assert kept is not None and same_face(kept.vector, [vector(a_face(**STRANGER))])


def test_who_sits_down_after_a_long_absence_is_looked_at_anew(tmp_path: Path) -> None:
    script = [[a_face(smile=0.4)]] * 60 + [[]] * 200 + [[a_face(**STRANGER)]] * 90
    store = keep(tmp_path, a_face(smile=0.4))
    with FaceTracker(ScriptedDetector(script), store=store, source_name="cam") as tracker:
        last = [tracker(blank(index, index / 30)) for index in range(len(script))][-1]
    assert last.neutral is not None and last.neutral.blendshape("mouthSmileLeft") < 0.02


@pytest.mark.parametrize("reason", NO_RESTS)
def test_what_is_no_rest_is_refused_with_the_reason_when_it_is_asked_for(reason: str) -> None:
    script = [[a_face()]] * 60 + [[NO_RESTS[reason]]] * 60
    with FaceTracker(ScriptedDetector(script)) as tracker:
        before = [tracker(blank(index, index / 30)) for index in range(61)][-1].neutral
        tracker.calibrate()
        after = [tracker(blank(index, index / 30)) for index in range(61, 120)][-1].neutral
        told = tracker.news()
    assert reason in told and "press X again" in told
    assert before is not None and after is not None
    assert np.array_equal(before.landmarks, after.landmarks)


@pytest.mark.parametrize("reason", NO_RESTS)
def test_a_kept_file_that_is_no_rest_is_passed_over_in_one_line(
    tmp_path: Path, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    store = keep(tmp_path, NO_RESTS[reason])
    with caplog.at_level(logging.WARNING):
        assert store.load("cam") is None
    assert len(caplog.records) == 1 and reason in caplog.text


def test_a_start_with_an_open_mouth_is_told_once_and_waits_for_a_rest(tmp_path: Path) -> None:
    script = [[a_face(jaw=0.5)]] * 100 + [[a_face(smile=0.2)]] * 60
    store = NeutralStore(tmp_path)
    told = []
    with FaceTracker(ScriptedDetector(script), store=store, source_name="cam") as tracker:
        for index in range(len(script)):
            motion = tracker(blank(index, index / 30))
            told.append(tracker.news())
    assert [line for line in told if line] == [told[31]] and "the mouth is open" in told[31]
    assert motion.neutral is not None and motion.neutral.blendshape("jawOpen") < 0.02
    kept = store.load("cam")
    assert kept is not None and why_no_rest(kept.vector) == ""


def test_the_moment_that_was_found_is_the_rest_whatever_gains_and_smoothing_make_of_it() -> None:
    yaws = [*[0.0] * 60, *np.linspace(0, 20, 12), *np.linspace(20, -20, 20)]
    script = [[a_face(yaw=float(yaw))] for yaw in yaws]
    with FaceTracker(ScriptedDetector(script), gains={"pose": 2.0}, mirror=True) as tracker:
        for index in range(70):
            motion = tracker(blank(index, index / 30))
        found = tracker.tracked()
        assert found is not None and found.rotation[0] == pytest.approx(-yaws[69], abs=0.01)
        assert abs(motion.rotation[0] - found.rotation[0]) > 5, "the gain is not the driver's"
        tracker.calibrate(found)
        rest = [tracker(blank(index, index / 30)) for index in range(70, 200)][-1].neutral
    assert rest is not None and rest.rotation[0] == pytest.approx(-yaws[69], abs=0.01)


def test_there_is_nothing_tracked_without_a_face() -> None:
    with FaceTracker(ScriptedDetector([[a_face()]] * 3 + [[]])) as tracker:
        tracker(blank(0, 0.0))
        assert tracker.tracked() is not None
        for index in range(1, 6):
            tracker(blank(index, index / 30))
        assert tracker.tracked() is None

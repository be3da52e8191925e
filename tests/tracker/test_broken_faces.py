# SPDX-License-Identifier: MIT
"""A face that is not finite or has no area is no face: what comes after it is as if it had never been."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from scripted_faces import SIZE, ScriptedDetector, a_face, blank

from engines.mediapipe_reader import Face
from face.motion import Motion
from realtime.tracker.face_tracker import FaceTracker
from realtime.tracker.follow import is_face

HERE = {"x": -0.03, "yaw": 15.0}
BEFORE, AFTER = 10, 20


def with_landmarks(change: Callable[[np.ndarray], None]) -> Face:
    face = a_face(**HERE)
    landmarks = face.landmarks.copy()
    change(landmarks)
    return replace(face, landmarks=landmarks)


def with_value(name: str, value: float) -> Face:
    face = a_face(**HERE)
    values = getattr(face, name).copy()
    values.flat[1] = value
    return replace(face, **{name: values})


def onto_a_line(landmarks: np.ndarray) -> None:
    landmarks[:, 1] = 0.5 * landmarks[:, 0] + 7


def onto_a_point(landmarks: np.ndarray) -> None:
    landmarks[:] = landmarks[0]


BROKEN = {
    **{f"{name} {value}": with_value(name, value) for name in ("landmarks", "rotation", "blendshapes")
       for value in (np.nan, np.inf, -np.inf, 3e38)},
    "a line": with_landmarks(onto_a_line),
    "a point": with_landmarks(onto_a_point),
    "zeros": with_landmarks(lambda landmarks: landmarks.fill(0)),
    "far away": with_landmarks(lambda landmarks: np.add(landmarks, 1e8, out=landmarks)),
    "all nan": with_landmarks(lambda landmarks: landmarks.fill(np.nan)),
}  # fmt: skip


def tracked(at_the_break: list[Face], frames: int = BEFORE + 1 + AFTER) -> list[Motion]:
    script = [[a_face(**HERE)]] * BEFORE + [at_the_break] + [[a_face(**HERE)]] * AFTER
    with FaceTracker(ScriptedDetector(script)) as tracker:
        return [tracker(blank(index, index / 30)) for index in range(frames)]


@pytest.mark.parametrize("broken", BROKEN.values(), ids=BROKEN)
def test_a_broken_face_counts_as_no_face_and_leaves_nothing_behind(broken: Face) -> None:
    motions, without = tracked([broken]), tracked([])
    for motion, wanted in zip(motions, without, strict=True):
        assert np.array_equal(motion.landmarks, wanted.landmarks)
        assert np.array_equal(motion.blendshapes, wanted.blendshapes)
        assert motion.neutral is not None and np.isfinite(motion.neutral.landmarks).all()
    assert motions[-1].rotation == pytest.approx([15, 0, 0], abs=0.1)


def test_a_run_that_begins_with_broken_faces_idles_until_the_first_whole_one() -> None:
    with FaceTracker(ScriptedDetector([[BROKEN["all nan"]]] * 20 + [[a_face(**HERE)]])) as tracker:
        motions = [tracker(blank(index, index / 30)) for index in range(60)]
    assert all(motion.confidence == 0 for motion in motions[:20])
    assert all(np.isfinite(motion.landmarks).all() for motion in motions)
    assert motions[-1].confidence == 1


@pytest.mark.parametrize("yaw", [0.0, 60.0, 90.0])
@pytest.mark.parametrize("scale", [0.01, 0.14, 0.6])
def test_faces_in_profile_and_small_ones_are_faces(yaw: float, scale: float) -> None:
    assert is_face(a_face(yaw=yaw, scale=scale), SIZE[0])

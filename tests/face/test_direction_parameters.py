# SPDX-License-Identifier: MIT
"""The motion vector of `directions` reads what its names say, against the driver's neutral."""

import numpy as np
import pytest

from face.direction_parameters import INDEX, NAMES, RANGES, parameters_of, scaled
from face.motion import BLENDSHAPE_INDEX, Motion
from face.motion_vector import motion_of, resting_vector


def motion(
    *, rotation: tuple[float, float, float] = (0, 0, 0), neutral: Motion | None = None, **scores: float
) -> Motion:
    vector = resting_vector()
    rest = motion_of(vector, (640, 480), captured_s=0.0)
    values = np.zeros(len(BLENDSHAPE_INDEX), np.float32)
    for name, value in scores.items():
        values[BLENDSHAPE_INDEX[name]] = value
    return Motion(
        captured_s=0.0,
        rotation=np.array(rotation, np.float32),
        translation=rest.translation,
        scale=rest.scale,
        blendshapes=values,
        landmarks=rest.landmarks,
        gaze=rest.gaze,
        confidence=1.0,
        image_size=(640, 480),
        neutral=neutral,
    )


def test_each_number_is_what_it_is_called() -> None:
    p = parameters_of(motion(rotation=(12, -7, 30), jawOpen=0.4, mouthSmileLeft=1.0, eyeBlinkRight=0.5))
    expected = {"yaw": 12, "pitch": -7, "jaw_open": 0.4, "smile": 0.5, "blink_right": 0.5}
    assert {name: float(p[INDEX[name]]) for name in expected} == pytest.approx(expected)
    others = [p[INDEX[name]] for name in NAMES if name not in expected]
    assert np.abs(others).max() == 0  # roll, too, moves nothing


def test_gaze_is_in_degrees_towards_the_subjects_left_and_up() -> None:
    aside = parameters_of(motion(eyeLookOutLeft=0.5, eyeLookInRight=0.5))
    up = parameters_of(motion(eyeLookUpLeft=0.4, eyeLookUpRight=0.4))
    assert aside[INDEX["gaze_x"]] == pytest.approx(15.0)
    assert up[INDEX["gaze_y"]] == pytest.approx(12.0)


def test_with_a_neutral_only_the_change_counts() -> None:
    rest = motion(rotation=(5, 5, 0), mouthSmileLeft=0.3, mouthSmileRight=0.3)
    same = motion(rotation=(5, 5, 0), mouthSmileLeft=0.3, mouthSmileRight=0.3, neutral=rest)
    more = motion(rotation=(15, 5, 0), mouthSmileLeft=0.3, mouthSmileRight=0.3, neutral=rest)
    assert np.abs(parameters_of(same)).max() == 0
    assert parameters_of(more)[INDEX["yaw"]] == pytest.approx(10.0)


def test_scaling_ends_at_the_range() -> None:
    assert np.allclose(scaled(RANGES), 6.0)
    assert np.allclose(scaled(-3 * RANGES), -6.0)
    assert np.allclose(scaled(RANGES / 4), 1.5)

# SPDX-License-Identifier: MIT
"""ARD, AED and what is told beside them, on tracks whose answer is known."""

import numpy as np
import pytest

from engines.mediapipe_reader import Face
from evaluation.distances import Track, aed, aed_p, ard, over_pairs, track_of, transfer, unmoved
from evaluation.follow import SIGNALS
from face.motion import BLENDSHAPE_INDEX, BLENDSHAPES

SCORES = len(BLENDSHAPES)
NOTHING = np.zeros(0, np.float32)


def still(yaw: float = 0, pitch: float = 0, roll: float = 0, **scores: float) -> Track:
    row = np.zeros((1, SCORES), np.float32)
    for name, value in scores.items():
        row[0, BLENDSHAPE_INDEX[name]] = value
    return Track(np.array([[yaw, pitch, roll]], np.float32), row)


def film(*pictures: Track) -> Track:
    return Track(np.concatenate([p.rotation for p in pictures]), np.concatenate([p.scores for p in pictures]))


LOST = Track(np.full((1, 3), np.nan, np.float32), np.full((1, SCORES), np.nan, np.float32))


def test_ard_is_the_mean_of_three_angles_and_aed_of_the_scores() -> None:
    driver = film(still(yaw=10), still(yaw=-20, pitch=3))
    result = film(still(yaw=7), still(yaw=-20, pitch=0, roll=6))
    assert ard(driver, result) == pytest.approx((3 + 3 + 6) / 6)
    one = film(still(), still(jawOpen=0.51))
    assert aed(one, film(still(), still())) == pytest.approx(0.51 / (2 * 51))
    # jawOpen is one of the 13 expression numbers of p, and its range is 0.5
    assert aed_p(one, film(still(), still())) == pytest.approx(0.51 / 0.5 / (2 * 13), rel=1e-5)
    assert aed_p(still(yaw=30, pitch=20), still()) == 0, "the head's pose is no expression"


def test_frames_without_a_face_do_not_count_but_are_told() -> None:
    driver = film(still(yaw=10), still(yaw=10))
    found = transfer(
        driver, still(), still(), film(still(yaw=8), LOST), csim=np.array([0.5, 0.7]), dlib=np.array([0.3])
    )
    assert found.ard == pytest.approx(2 / 3) and found.faces == 0.5
    assert found.csim == pytest.approx(0.6) and found.csim_worst == 0.5 and found.dlib == pytest.approx(0.3)
    lost = transfer(driver, still(), still(), film(LOST, LOST), csim=NOTHING, dlib=NOTHING)
    assert np.isnan([lost.ard, lost.aed_relative, lost.csim, lost.dlib]).all() and lost.faces == 0
    assert over_pairs([found, lost], "ard") == pytest.approx((2 / 3,) * 3)


def test_relative_figures_measure_the_movement_and_not_the_rests() -> None:
    rest, photo = still(yaw=4, pitch=-6, mouthPucker=0.2), still(yaw=-8, jawOpen=0.1, mouthPucker=0.9)
    driver = film(rest, still(yaw=14, pitch=-6, mouthPucker=0.6))
    result = film(photo, still(yaw=2, jawOpen=0.1, mouthPucker=1.0))  # a score cannot pass 1
    found = transfer(driver, rest, photo, result, csim=NOTHING, dlib=NOTHING)
    assert found.ard_relative == pytest.approx(0, abs=1e-6) and found.aed_relative == pytest.approx(
        0, abs=1e-6
    )
    assert found.ard == pytest.approx((12 + 6) / 3), "absolutely, the two rests lie apart"
    frozen = transfer(driver, rest, photo, unmoved(photo, 2), csim=NOTHING, dlib=NOTHING)
    assert frozen.ard_relative == pytest.approx(10 / 6) and frozen.yaw_relative == pytest.approx(5)
    assert frozen.pitch_relative == pytest.approx(0, abs=1e-6)
    # Around their means both move by half of it either way, wherever the result stands.
    assert frozen.ard_centred == pytest.approx(5 / 3)
    aside = film(still(yaw=30), still(yaw=40, mouthPucker=0.4))
    found = transfer(driver, rest, photo, aside, csim=NOTHING, dlib=NOTHING)
    assert (found.ard_centred, found.aed_centred) == pytest.approx((0, 0), abs=1e-6) and found.ard > 8


def test_signals_of_a_track_are_those_of_the_reenactment() -> None:
    row = still(yaw=3, jawOpen=0.4, eyeBlinkLeft=0.2, eyeBlinkRight=0.4, mouthSmileLeft=0.6).signals[0]
    wanted = {"yaw": 3, "jawOpen": 0.4, "blink": 0.3, "smile": 0.3}
    assert dict(zip(SIGNALS, row, strict=True)) == pytest.approx({"pitch": 0, "roll": 0} | wanted)


def test_a_track_of_faces_has_a_gap_where_there_is_none() -> None:
    shown = still(yaw=3, jawOpen=0.4)
    face = Face(np.zeros((478, 3), np.float32), shown.rotation[0], shown.scores[0])
    track = track_of([face, None])
    assert track.seen.tolist() == [True, False]
    assert np.array_equal(track.rotation[:1], shown.rotation)
    assert np.array_equal(track.scores[:1], shown.scores)
    assert np.isnan(track.signals[1]).all() and track_of([]).signals.shape == (0, len(SIGNALS))

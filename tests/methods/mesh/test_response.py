# SPDX-License-Identifier: MIT
"""A portrait's response: learned from probes, turned around, and used only where something is asked for."""

import numpy as np
import pytest

from face.face_model import face_model
from face.motion import BLENDSHAPE_INDEX
from face.mouth_reader import MouthReader
from methods.mesh.response import (
    FEEDFORWARD,
    LARGEST,
    Probed,
    Response,
    corrections,
    features,
    measure_response,
    targets,
)

REACH = 0.12  # score: the damped correction of a well-behaved face gets this near to what is wanted


class ModelFace:
    """Scores are a known function of the offset: what a tracker would read off an ideal portrait."""

    def __init__(self, *, smile_at_rest=-2.0, jaw_at_rest=-4.0, lost=0, crossing=0.0):
        self.crossing = crossing  # share of a pitch that is read as roll as well
        self.reader = MouthReader(face_model())
        self.bias = np.array([jaw_at_rest, smile_at_rest])
        self.lost = lost
        self.shown = 0

    def logits(self, held):
        return self.bias + np.array([6.0 * held[0] + 0.5 * held[8], 4.0 * held[1] - 1.0 * held[0]])

    def __call__(self, offsets, turn):
        yaw, pitch, roll = (float(angle) for angle in turn)
        self.shown += 1
        if 1 < self.shown <= 1 + self.lost:
            return None
        jaw, smile = 1 / (1 + np.exp(-self.logits(features(self.reader(offsets), yaw, pitch))))
        scores = np.zeros(52, np.float32)
        scores[BLENDSHAPE_INDEX["jawOpen"]] = jaw
        scores[[BLENDSHAPE_INDEX["mouthSmileLeft"], BLENDSHAPE_INDEX["mouthSmileRight"]]] = smile
        return Probed(scores, np.array([5 + yaw, pitch, roll + self.crossing * pitch]), turn)


@pytest.fixture(scope="module")
def response():
    return measure_response(ModelFace(), face_model())


def test_correction_brings_the_score_to_what_is_wanted(response):
    face = ModelFace()
    for wanted in ((0.3, 0.3), (0.5, 0.15), (0.1, 0.6)):
        held = features(np.zeros(7, np.float32), 0, 0)
        held[:2] += corrections(held, np.array(wanted, np.float32), response) / [0.75, 1.0]
        jaw, smile = 1 / (1 + np.exp(-face.logits(held)))
        assert jaw == pytest.approx(wanted[0], abs=REACH)
        assert smile == pytest.approx(wanted[1], abs=REACH)


def test_jaw_makes_up_for_a_smile_that_cannot_go_further():
    """Here less smile reads as a wider mouth, and the smile cannot be wiped off altogether."""
    weights = np.zeros((2, 11), np.float32)
    weights[0, :2], weights[1, :2] = (5.0, -2.0), (0.0, 3.0)
    stubborn = Response(
        weights, np.array([-3.0, 5.0], np.float32), np.array([0.05, 0.99], np.float32), np.eye(3)
    )
    held = np.zeros(11, np.float32)
    jaw, smile = corrections(held, np.array([0.3, 0.02], np.float32), stubborn)
    assert smile == pytest.approx(-LARGEST[1])
    wanted = np.log(0.3 / 0.7)
    assert -3 + 5 * jaw / FEEDFORWARD[0] - 2 * smile == pytest.approx(wanted, abs=0.6)


def test_resting_face_is_left_alone(response):
    held = features(np.zeros(7, np.float32), 0, 0)
    assert np.abs(corrections(held, targets(response, 0.0, 0.0), response)).max() < 0.15


def test_head_turn_is_not_taken_for_an_open_mouth(response):
    turned = features(np.zeros(7, np.float32), 0.0, 15.0)
    assert corrections(turned, targets(response, 0.0, 0.0), response)[0] <= 0.05


def test_smiling_portrait_has_room_to_smile_more():
    smiling = measure_response(ModelFace(smile_at_rest=2.0), face_model())
    assert smiling.at_rest[1] > 0.8
    calm, happy = (targets(smiling, 0.0, share)[1] for share in (0.0, 1.0))
    assert calm < 0.5 * smiling.at_rest[1]
    assert happy >= smiling.at_rest[1]


def test_targets_rise_with_the_driver(response):
    rising = np.array([targets(response, share, share) for share in np.linspace(0, 1, 6)])
    assert (np.diff(rising, axis=0) > 0).all()


def test_a_few_lost_faces_do_not_matter_but_many_do():
    assert measure_response(ModelFace(lost=10), face_model()) is not None
    assert measure_response(ModelFace(lost=60), face_model()) is None


def test_crossing_of_pitch_into_roll_is_found():
    turning = measure_response(ModelFace(crossing=0.4), face_model()).turning
    assert turning[2, 1] == pytest.approx(0.4, abs=0.15)
    assert np.diag(turning) == pytest.approx(1, abs=0.05)
    assert measure_response(ModelFace(), face_model()).turning == pytest.approx(np.eye(3), abs=1e-4)

# SPDX-License-Identifier: MIT
"""The search for a clip's corrections, on clips whose readings are a known function of them."""

import numpy as np
import pytest

from methods.mesh.refinement import LARGEST, SCORES, SIGNALS, Wanted, refine

FRAMES = 60
TIME = np.linspace(0, 4 * np.pi, FRAMES)
STEEPNESS = np.array([4.0, 4.0, -2.5], np.float32)
AIM = np.stack(
    [
        0.4 + 0.3 * np.sin(TIME),
        0.5 + 0.3 * np.cos(TIME),
        *(8 * np.sin(TIME + k) for k in range(3)),
        0.3 + 0 * TIME,
    ],
    axis=1,
).astype(np.float32)
LIPS = 0.1 + 0.05 * np.sin(TIME)[:, None] * [1, 0, 0, 0]  # of the shapes only the lip gap moves
WISH = np.concatenate([AIM, LIPS], axis=1).astype(np.float32)


class Clip:
    """What a tracker would read off a clip whose face does too little, and crosses pitch into roll."""

    def __init__(self, *, lost=(), backwards=(), steep=1.0, pull=0.0, opening=0.0):
        self.lost, self.backwards, self.steep = list(lost), list(backwards), steep
        self.pull = pull  # of the smile's correction on the jaw
        self.opening = opening  # of the lips by the jaw's correction
        self.shown = []

    def __call__(self, trims):
        self.shown.append(trims.copy())
        trims = trims.copy()
        lips = LIPS + self.opening * trims[:, :1] * [1, 0, 0, 0]
        trims[:, self.backwards] *= -1
        trims[:, 0] += self.pull * trims[:, 1]
        seen = AIM * 0.6
        seen[:, 4] += 0.3 * AIM[:, 3]
        seen[:, 2:5] += trims[:, 2:5]
        for column, steepness in zip(SCORES, STEEPNESS * self.steep, strict=True):
            score = np.clip(seen[:, column], 0.02, 0.98)
            seen[:, column] = 1 / (1 + np.exp(-np.log(score / (1 - score)) - steepness * trims[:, column]))
        seen = np.concatenate([seen, lips], axis=1)
        seen[self.lost] = np.nan
        return seen


def error(seen):
    return np.nanstd(AIM - seen[:, : len(SIGNALS)], axis=0)


@pytest.mark.parametrize("steep", [0.7, 1.0, 2.0])
def test_corrected_clip_reads_as_wanted(steep):
    clip = Clip(steep=steep)
    before = error(clip(np.zeros_like(AIM)))
    trims, seen = refine(clip, Wanted(WISH), steepness=STEEPNESS)
    moving = np.arange(len(SIGNALS) - 1)
    assert (error(seen)[moving] < 0.4 * before[moving]).all()
    assert (seen == clip(trims)).all()
    assert (np.abs(trims) <= LARGEST).all()


@pytest.mark.parametrize("column", range(len(SIGNALS) - 1))
def test_signal_that_answers_the_wrong_way_is_left_alone(column):
    clip = Clip(backwards=[column])
    trims, seen = refine(clip, Wanted(WISH), steepness=STEEPNESS)
    assert np.abs(trims[:, column]).max() == 0
    others = [k for k in range(len(SIGNALS) - 1) if k != column]
    assert (error(seen)[others] < error(clip(np.zeros_like(AIM)))[others]).all()


def test_signal_that_another_ones_correction_spoils_is_mended_in_its_turn():
    clip = Clip(pull=-2.0)
    before = error(clip(np.zeros_like(AIM)))
    trims, seen = refine(clip, Wanted(WISH), steepness=STEEPNESS)
    assert error(clip(clip.shown[2]))[0] > before[0]  # the first correction, as the smile's pulls the jaw
    assert (error(seen)[:2] < 0.6 * before[:2]).all()


def test_correction_that_leaves_lips_farther_from_the_drivers_is_taken_back():
    good, _ = refine(Clip(opening=0.001), Wanted(WISH), steepness=STEEPNESS)
    trims, seen = refine(Clip(opening=0.5), Wanted(WISH), steepness=STEEPNESS)
    assert np.abs(good[:, 0]).max() > 0.1
    assert np.std(seen[:, 6] - LIPS[:, 0]) < 0.005
    assert (error(seen)[1:5] < 0.6 * error(Clip()(np.zeros_like(AIM)))[1:5]).all()  # others are corrected


def test_clip_that_is_right_is_read_once():
    clip = Clip()
    trims, _ = refine(clip, Wanted(clip(np.zeros_like(AIM))), steepness=STEEPNESS)
    assert not trims.any()
    assert len(clip.shown) == 2  # once here, once in the search


def test_frame_without_a_face_goes_with_its_neighbours():
    whole, _ = refine(Clip(), Wanted(WISH), steepness=STEEPNESS)
    trims, seen = refine(Clip(lost=[20, 21]), Wanted(WISH), steepness=STEEPNESS)
    assert np.isnan(seen[20:22]).all()
    assert trims[20:22, 1] == pytest.approx(whole[20:22, 1], abs=0.08)


def test_clip_without_any_face_or_wish_stays_as_it_is():
    trims, seen = refine(Clip(lost=range(FRAMES)), Wanted(WISH), steepness=STEEPNESS)
    assert not trims.any()
    assert np.isnan(seen).all()
    trims, _ = refine(Clip(), Wanted(np.full_like(WISH, np.nan)), steepness=STEEPNESS)
    assert not trims.any()


def test_less_than_next_to_nothing_is_nothing_to_mend():
    wanted = Wanted(np.full((4, 10), 0.05, np.float32))
    missing = wanted.missing(np.zeros((4, 10), np.float32))
    assert not missing[:, SCORES].any()
    assert missing[:, 2:5] == pytest.approx(0.05)
    assert (wanted.missing(np.full((4, 10), 0.3, np.float32))[:, SCORES] < -0.2).all()

# SPDX-License-Identifier: MIT
"""Shapes that follow, and the two faults that people notice, on series whose answer is known."""

import numpy as np
import pytest

from evaluation.shape_follow import (
    BROWS,
    LIDS,
    LIPS,
    WIDTH,
    follow_shapes,
    followed,
    rates,
    summarise_shape,
    unlike,
)

WAVE = np.sin(np.linspace(0, 6 * np.pi, 120))
REST = np.float32([0.0, 0.6, 0.2, 0.3])


def driver() -> np.ndarray:
    """A talking, blinking driver with still brows; a third of its frames have shut lips."""
    lips = np.maximum(0.2 * WAVE, 0)
    lids = np.where(np.arange(120) % 40 < 4, 0.01, 0.2)
    return np.stack([lips, 0.6 + 0.05 * WAVE, lids, np.full(120, 0.3)], 1).astype(np.float32)


def test_both_sides_are_taken_together() -> None:
    shapes = np.float32([[0.1, 0.6, 0.2, 0.4, 0.30, 0.34]])
    assert followed(shapes)[0] == pytest.approx([0.1, 0.6, 0.3, 0.32])


def test_a_scaled_and_shifted_copy_follows_with_its_gain_and_offset() -> None:
    found = follow_shapes(driver(), driver() * 0.5 + 0.1, REST)
    assert found.correlation[[LIPS, WIDTH, LIDS]] == pytest.approx(1, abs=1e-5)
    assert found.gain[[LIPS, WIDTH, LIDS]] == pytest.approx(0.5, abs=1e-5)
    assert np.isnan(found.correlation[BROWS]), "still brows do not count"
    summary = summarise_shape([found], LIPS)
    assert (summary.pairs, summary.median, summary.worst) == (1, pytest.approx(1), pytest.approx(1))


def test_shut_lips_shown_open_are_counted_though_scores_would_follow() -> None:
    shown = driver()
    shown[:, LIPS] = shown[:, LIPS] * 0.8 + 0.07
    found = follow_shapes(driver(), shown, REST)
    assert found.correlation[LIPS] > 0.99, "a correlation does not see it"
    assert found.shut_frames > 50 and found.shut_shown_open == found.shut_frames
    assert rates([found])[0] == 1.0
    parted = REST.copy()
    parted[LIPS] = 0.05
    assert follow_shapes(driver(), shown, parted).shut_frames == 0, (
        "a portrait that shows teeth may keep them"
    )
    assert np.isnan(rates([follow_shapes(driver(), shown, parted)])[0])


def test_open_eyes_shown_shut_are_counted() -> None:
    shown = driver()
    shown[30:36, LIDS] = 0.05
    found = follow_shapes(driver(), shown, REST)
    assert found.open_shown_shut == 6 and found.open_frames == 108
    assert follow_shapes(driver(), driver(), REST).open_shown_shut == 0, "a blink is no fault"


def test_frames_without_a_face_count_nowhere() -> None:
    shown = driver()
    shown[:60] = np.nan
    found = follow_shapes(driver(), shown, REST)
    assert found.correlation[LIPS] == pytest.approx(1, abs=1e-5) and found.open_frames == 56
    nothing = follow_shapes(driver(), np.full_like(shown, np.nan), REST)
    assert np.isnan(nothing.correlation).all() and nothing.shut_frames == 0
    assert summarise_shape([nothing], LIPS).pairs == 0


def test_the_worst_frames_are_those_whose_shapes_are_wrong() -> None:
    shown = driver() + np.float32([0.01, 0, 0, 0])
    shown[77, LIPS] += 0.3
    shown[5] = np.nan
    away = unlike(follow_shapes(driver(), shown, REST), (REST, REST))
    assert np.nanargmax(away) == 77 and np.isnan(away[5])

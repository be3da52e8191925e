# SPDX-License-Identifier: MIT
"""Correlation, gain and their summaries on signals whose answer is known."""

import numpy as np
import pytest

from evaluation.follow import SIGNALS, Pair, driver_moves, follow, summarise, worst_first
from evaluation.recognisers import Spread
from evaluation.shape_follow import ShapeFollow, follow_shapes

YAW, PITCH, ROLL, JAW, BLINK, SMILE = range(len(SIGNALS))
TIME = np.linspace(0, 4 * np.pi, 200)


def unmoved() -> ShapeFollow:
    """Ten frames of a face that stands still."""
    still = np.full((10, 4), 0.3, np.float32)
    return follow_shapes(still, still, still[0])


def driver() -> np.ndarray:
    """Yaw of 20 degrees, jaw and blink of 0.5; pitch, roll and smile too small to count."""
    wave = np.sin(TIME)
    columns = [10 * wave, 3 * wave, 0 * wave, 0.25 + 0.25 * wave, 0.25 - 0.25 * wave, 0.1 * wave]
    return np.stack(columns, axis=1).astype(np.float32)


def pair(name: str, *correlation: float) -> Pair:
    values = np.full(len(SIGNALS), np.nan, np.float32)
    values[: len(correlation)] = correlation
    nothing = np.zeros((0, len(SIGNALS)), np.float32)
    own = Spread(np.float32([0.2, 0.3, 0.7]), np.float32([0.98, 0.97, 0.8]))
    return Pair("clip", name, 0.6, 0.1, values, values * 2, 1.0, own, nothing, nothing, unmoved())


def test_only_signals_the_driver_moves_count() -> None:
    assert driver_moves(driver()).tolist() == [True, False, False, True, True, False]


def test_scaled_and_shifted_copy_follows_fully_with_its_gain() -> None:
    correlation, gain = follow(driver(), driver() * 0.5 + 4)
    assert correlation[[YAW, JAW, BLINK]] == pytest.approx(1)
    assert gain[[YAW, JAW, BLINK]] == pytest.approx(0.5)
    assert np.isnan(correlation[[PITCH, ROLL, SMILE]]).all()


def test_quarter_wave_lag_and_inversion_are_not_forgiven() -> None:
    late = driver()
    late[:, YAW] = 10 * np.sin(TIME - np.pi / 2)
    late[:, JAW] = -late[:, JAW]
    correlation, _ = follow(driver(), late)
    assert correlation[YAW] == pytest.approx(0, abs=0.02)
    assert correlation[JAW] == pytest.approx(-1)


def test_output_that_never_moves_counts_as_zero() -> None:
    correlation, gain = follow(driver(), np.ones_like(driver()))
    assert correlation[[YAW, JAW, BLINK]].tolist() == [0, 0, 0]
    assert gain[[YAW, JAW, BLINK]].tolist() == [0, 0, 0]


def test_output_that_shows_no_face_counts_as_zero() -> None:
    correlation, _ = follow(driver(), np.full_like(driver(), np.nan))
    assert correlation[[YAW, JAW, BLINK]].tolist() == [0, 0, 0]


def test_frames_without_a_face_are_left_out() -> None:
    output = driver() + 1
    output[30:60] = np.nan
    seen = driver()
    seen[100:110] = np.nan
    correlation, _ = follow(seen, output)
    assert correlation[YAW] == pytest.approx(1)


def test_tracks_of_other_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match="expected as many"):
        follow(driver(), driver()[:-1])


def test_summary_is_over_the_pairs_that_count() -> None:
    pairs = [pair(str(number), value) for number, value in enumerate([0.5, 0.9, 0.95, 0.97, np.nan])]
    found = summarise(pairs, YAW)
    assert found.pairs == 4
    assert found.median == pytest.approx(0.925)
    assert found.p10 == pytest.approx(0.62)
    assert found.worst == pytest.approx(0.5)
    assert found.reached == pytest.approx(0.5 + 0.25)  # 0.9 itself reaches the target
    assert found.gain == pytest.approx(1.85)
    assert summarise(pairs, SMILE).pairs == 0


def test_worst_pair_is_the_one_farthest_below_a_target() -> None:
    good, poor, uncounted = pair("good", 0.95), pair("poor", 0.99, 0.99, 0.99, 0.99, 0.7), pair("uncounted")
    assert [found.portrait for found in worst_first([uncounted, good, poor])] == ["poor", "good", "uncounted"]
    assert poor.shortfall == pytest.approx(0.05)
    assert poor.distance == pytest.approx(0.3)

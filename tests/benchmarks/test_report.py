# SPDX-License-Identifier: MIT
"""The CSV file of a reenactment measurement."""

import csv
from pathlib import Path

import numpy as np
import pytest

from benchmarks.report import write_csv
from evaluation.follow import SIGNALS, Pair
from evaluation.recognisers import Spread
from evaluation.shape_follow import ShapeFollow, follow_shapes


def unmoved() -> ShapeFollow:
    """Ten frames of a face that stands still."""
    still = np.full((10, 4), 0.3, np.float32)
    return follow_shapes(still, still, still[0])


def test_csv_leaves_signals_that_do_not_count_empty(tmp_path: Path) -> None:
    correlation = np.full(len(SIGNALS), np.nan, np.float32)
    correlation[0] = 0.95
    nothing = np.zeros((0, len(SIGNALS)), np.float32)
    own = Spread(np.float32([0.2, 0.3, 0.7]), np.float32([0.98, 0.97, 0.8]))
    pair = Pair("clip", "one", 0.6, 0.1, correlation, correlation * 2, 1.0, own, nothing, nothing, unmoved())
    write_csv(tmp_path / "pairs.csv", [pair])
    with (tmp_path / "pairs.csv").open(newline="") as stream:
        (row,) = csv.DictReader(stream)
    assert row["portrait"] == "one"
    assert float(row["r_yaw"]) == pytest.approx(0.95)
    assert row["r_smile"] == row["gain_smile"] == ""
    assert float(row["distance"]) == pytest.approx(0.3)

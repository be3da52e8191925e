# SPDX-License-Identifier: MIT
"""What is kept of a driver's rest: whole or not at all, and never a number that would poison a run."""

import os
from pathlib import Path

import numpy as np
import pytest

from face.motion_vector import SIZE, resting_vector
from realtime.tracker.neutrals import KeptNeutral, NeutralStore


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
def test_a_kept_rest_that_is_not_finite_is_measured_anew(wrong: float, tmp_path: Path) -> None:
    store = NeutralStore(tmp_path)
    vector = resting_vector()
    vector[SIZE // 2] = wrong
    store.save("camera", KeptNeutral(vector, chosen=True))
    assert store.path("camera").is_file()
    assert store.load("camera") is None


def test_a_kept_rest_is_replaced_in_one_step(tmp_path: Path) -> None:
    store = NeutralStore(tmp_path)
    store.save("camera", KeptNeutral(resting_vector(0.14), chosen=False))
    path = store.path("camera")
    held = tmp_path / "held"
    os.link(path, held)  # who has it open goes on reading what was there
    before = held.read_bytes()
    store.save("camera", KeptNeutral(resting_vector(0.2), chosen=True))
    assert held.read_bytes() == before != path.read_bytes()
    assert sorted(tmp_path.iterdir()) == sorted([held, path])
    found = store.load("camera")
    assert found is not None and found.chosen
    assert np.array_equal(found.vector, resting_vector(0.2))

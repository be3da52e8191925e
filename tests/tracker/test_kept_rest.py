# SPDX-License-Identifier: MIT
"""A kept rest never stops a start, and keeping it never halts the picture."""

import logging
from pathlib import Path

import numpy as np
import pytest
from scripted_faces import ScriptedDetector, a_face, blank

from face.motion_vector import resting_vector
from realtime.tracker.face_tracker import FaceTracker
from realtime.tracker.neutrals import KeptNeutral, NeutralStore

FLIPS = 250
NEUTRAL = KeptNeutral(resting_vector(), True)


def flipped(whole: bytes, seed: int) -> bytes:
    """The bytes with one bit the other way round."""
    broken, bit = bytearray(whole), int(np.random.default_rng(seed).integers(8 * len(whole)))
    broken[bit // 8] ^= 1 << bit % 8
    return bytes(broken)


def test_a_flipped_bit_is_read_over_or_passed_over(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    store = NeutralStore(tmp_path)
    store.save("cam", NEUTRAL)
    path = store.path("cam")
    whole, passed_over = path.read_bytes(), 0
    with caplog.at_level(logging.WARNING):
        for seed in range(FLIPS):
            path.write_bytes(flipped(whole, seed))
            kept = store.load("cam")
            passed_over += kept is None
            assert kept is None or np.array_equal(kept.vector, NEUTRAL.vector)
    assert passed_over > FLIPS / 2
    assert len(caplog.records) == passed_over, "each with one line"


def test_a_source_whose_name_is_no_text_has_a_rest_of_its_own(tmp_path: Path) -> None:
    store = NeutralStore(tmp_path)
    names = [
        "caf\udce9.mp4",
        "caf\udcea.mp4",
        "caf\ud800.mp4",
    ]  # from a disk in another encoding
    for number, name in enumerate(names):
        store.save(name, KeptNeutral(resting_vector() + number, False))
    kept = [store.load(name) for name in names]
    assert [round(float(each.vector[0])) for each in kept if each is not None] == [0, 1, 2]


def test_the_rest_is_written_when_the_run_ends_and_not_while_pictures_flow(tmp_path: Path) -> None:
    store = NeutralStore(tmp_path)
    with FaceTracker(ScriptedDetector([[a_face(smile=0.4)]]), store=store, source_name="cam") as tracker:
        for index in range(60):
            tracker(blank(index, index / 30))
        assert store.load("cam") is None, "a slow disk would halt the picture"
    assert store.load("cam") is not None

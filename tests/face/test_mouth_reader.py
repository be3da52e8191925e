# SPDX-License-Identifier: MIT
"""Amounts of a mouth's directions are read back as they were put in."""

import pytest

from face.face_model import SURFACE, face_model
from face.mouth_reader import MouthReader, directions


def test_reader_finds_what_was_put_in() -> None:
    model = face_model()
    reader = MouthReader(model)
    jaw, smile = directions(model)[:2]
    amounts = reader(0.6 * jaw + 0.4 * smile)
    assert amounts[0] == pytest.approx(0.6, abs=0.12)
    assert amounts[1] == pytest.approx(0.4, abs=0.12)


def test_directions_cover_the_surface_only() -> None:
    assert directions(face_model()).shape == (7, SURFACE, 3)

# SPDX-License-Identifier: MIT
"""A portrait is measured once; another portrait, other code or a damaged file is measured anew."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from face.motion import LANDMARKS
from methods.mesh import response_cache
from methods.mesh.response import Response
from methods.mesh.response_cache import kept_response
from methods.portrait import Portrait

MEASURED = Response(
    np.full((2, 11), 0.1, np.float32),
    np.array([1 / 3, -2], np.float32),
    np.zeros(2, np.float32),
    np.eye(3, dtype=np.float64),
)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(response_cache, "cache_folder", lambda: tmp_path)
    return tmp_path / "responses"


class Measuring:
    """Counts how often a portrait is measured."""

    def __init__(self, found: Response | None = MEASURED) -> None:
        self.found, self.times = found, 0

    def __call__(self) -> Response | None:
        self.times += 1
        return self.found


def a_portrait(grey: int = 9) -> Portrait:
    landmarks, scores = np.zeros((LANDMARKS, 3), np.float32), np.zeros(52, np.float32)
    return Portrait(np.full((8, 8, 3), grey, np.uint8), landmarks, scores, np.ones((8, 8), np.float32))


def test_the_second_time_nothing_is_measured_and_every_number_is_the_same(cache: Path) -> None:
    measure = Measuring()
    kept_response(a_portrait(), measure)
    again = kept_response(a_portrait(), measure)
    assert measure.times == 1 and again is not None
    for name in ("weights", "bias", "at_rest", "turning"):
        found, expected = getattr(again, name), getattr(MEASURED, name)
        assert found.dtype == expected.dtype and (found == expected).all()
    assert [path.suffix for path in cache.iterdir()] == [".npz"], "nothing unfinished is left"


@pytest.mark.parametrize("part", ["image", "alpha", "landmarks", "blendshapes"])
def test_a_portrait_that_differs_in_anything_is_another(part: str) -> None:
    measure = Measuring()
    kept_response(a_portrait(), measure)
    changed = getattr(a_portrait(), part).copy()
    changed.flat[0] += 1
    kept_response(replace(a_portrait(), **{part: changed}), measure)
    assert measure.times == 2


def test_other_code_measures_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    measure = Measuring()
    kept_response(a_portrait(), measure)
    monkeypatch.setattr(response_cache, "_measuring_code", lambda: b"another")
    kept_response(a_portrait(), measure)
    assert measure.times == 2


@pytest.mark.parametrize("damage", [b"", b"PK no archive", None])
def test_a_damaged_file_is_measured_anew_and_replaced(damage: bytes | None, cache: Path) -> None:
    measure = Measuring()
    kept_response(a_portrait(), measure)
    (path,) = cache.iterdir()
    path.write_bytes(path.read_bytes()[:-40] if damage is None else damage)
    for _ in range(2):
        kept_response(a_portrait(), measure)
    assert measure.times == 2


def test_a_face_that_is_lost_too_often_is_not_kept(cache: Path) -> None:
    measure = Measuring(None)
    assert kept_response(a_portrait(), measure) is None
    assert not cache.exists()


def test_a_disk_that_takes_nothing_is_no_error(cache: Path) -> None:
    cache.write_bytes(b"a file in the folder's place")
    assert kept_response(a_portrait(), Measuring()) is MEASURED
